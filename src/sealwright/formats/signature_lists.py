"""EFI signature lists: the contents of PK, KEK, db and dbx, and what a person wants to read in them.

A list holds entries of one type and size, each with the GUID of its owner; several lists follow one another.
Reference: UEFI 2.10, section 32.4.1 (EFI_SIGNATURE_LIST, EFI_SIGNATURE_DATA).
"""

import hashlib
import struct
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from asn1crypto import x509

from sealwright.core.errors import Code, FormatError
from sealwright.formats import uefi
from sealwright.formats.cms_shapes import Certificate
from sealwright.formats.der import check_der

HEADER = struct.Struct("<16sIII")  # SignatureType, SignatureListSize, SignatureHeaderSize, SignatureSize
OWNER_BYTES = 16
MAX_BYTES = 1 << 20
MAX_ENTRIES = 8192
X509 = "a5c059a1-94e4-4aa7-87b5-ab155c2bf072"
HASHES = {
    "826ca512-cf10-4ac9-b187-be01496631bd": ("SHA-1", 20),
    "0b6e5233-a65c-44c9-9407-d9ab83bfc8bd": ("SHA-224", 28),
    "c1c41626-504c-4092-aca9-41f936934328": ("SHA-256", 32),
    "ff3e5307-9fd0-48c9-85f1-8ad56c701e01": ("SHA-384", 48),
    "093e0fae-a6c4-4f50-9f1b-d41e2b89c19a": ("SHA-512", 64),
}
REVOKED_CERTIFICATES = {  # the hash of a TBSCertificate, and since when it is revoked
    "3bd2a492-96c0-4079-b420-fcf98ef103ed": ("SHA-256", 32),
    "7076876e-80c2-4ee6-aad2-28b349a6865b": ("SHA-384", 48),
    "446dbf63-2502-4cda-bcfa-2465d2b0fe9d": ("SHA-512", 64),
}
KEYS = {
    "3c5766e8-269c-4e34-aa14-ed776e85b3b6": ("RSA-2048 modulus", 256),
    "e2b36190-879b-4a3d-ad8d-f2e7bba32784": ("RSA-2048 signature over SHA-256", 256),
}
TYPES = frozenset({X509, *HASHES, *REVOKED_CERTIFICATES, *KEYS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One EFI_SIGNATURE_DATA."""

    type: str
    """GUID of its list."""
    owner: str
    data: bytes

    def __str__(self) -> str:
        return f"{_what(self)}, owner {self.owner}"

    @property
    def rank(self) -> int:
        """What people must see first: a certificate lets somebody in, a hash one program."""
        kinds: tuple[Container[str], ...] = ((X509,), KEYS, REVOKED_CERTIFICATES, HASHES)
        return next(rank for rank, kind in enumerate(kinds) if self.type in kind)


def matches(head: bytes) -> bool:
    """Whether the first bytes are those of a signature list of a known type."""
    if len(head) < HEADER.size:
        return False
    kind, size, header_size, entry_size = HEADER.unpack_from(head)
    return uefi.guid_text(kind) in TYPES and size >= HEADER.size and header_size == 0 and entry_size > OWNER_BYTES


def read(data: bytes, at: int = 0) -> tuple[Entry, ...]:
    """Return the entries of all lists in ``data``, which stands at ``at``; ``FormatError`` where sizes lie."""
    if not data:
        raise FormatError("no signature list", at=at)
    if len(data) > MAX_BYTES:
        raise FormatError(f"signature lists of {len(data)} bytes, at most {MAX_BYTES} are accepted", at=at)
    found = []
    for entry in _entries(data, at):
        found.append(entry)
        if len(found) > MAX_ENTRIES:
            raise FormatError(f"more than {MAX_ENTRIES} entries in signature lists", at=at)
    return tuple(found)


def _entries(data: bytes, base: int) -> Iterator[Entry]:
    at = 0
    while at < len(data):
        if len(data) - at < HEADER.size:
            raise FormatError("signature list is cut short", at=base + at)
        kind, size, header_size, entry_size = HEADER.unpack_from(data, at)
        kind = uefi.guid_text(kind)
        if kind not in TYPES:
            raise FormatError(f"signature list of unknown type {kind}", at=base + at, code=Code.UNSUPPORTED_IMAGE)
        body = size - HEADER.size
        if header_size or entry_size <= OWNER_BYTES or body < entry_size or body % entry_size or at + size > len(data):
            raise FormatError(
                f"signature list of {size} bytes with entries of {entry_size} and a header of {header_size}, "
                f"{len(data) - at} bytes are left",
                at=base + at,
            )
        for start in range(at + HEADER.size, at + size, entry_size):
            entry = Entry(
                type=kind,
                owner=uefi.guid_text(data[start : start + OWNER_BYTES]),
                data=data[start + OWNER_BYTES : start + entry_size],
            )
            _check(entry, base + start)
            yield entry
        at += size


def _check(entry: Entry, at: int) -> None:
    """Raise ``FormatError`` unless the entry is as long as its type says, or is a certificate."""
    expected = None
    if entry.type in HASHES:
        expected = HASHES[entry.type][1]
    elif entry.type in REVOKED_CERTIFICATES:
        expected = REVOKED_CERTIFICATES[entry.type][1] + uefi.TIME.size
    elif entry.type in KEYS:
        expected = KEYS[entry.type][1]
    if expected is not None and len(entry.data) != expected:
        raise FormatError(f"entry of {len(entry.data)} bytes in a list of {entry.type}, expected {expected}", at=at)
    if entry.type == X509:
        subject(entry.data, at)


def subject(der: bytes, at: int = 0) -> str:
    """Return the subject of a certificate; ``FormatError`` if it is none."""
    check_der(der)
    try:
        return Certificate.read(x509.Certificate.load(der, strict=True)).subject
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError):
        raise FormatError("entry is not an X.509 certificate in DER", at=at) from None


def key_kind(der: bytes) -> str:
    """Return of what kind the key in a certificate is: ``rsa``, ``ec`` or another, as X.509 names it."""
    try:
        return str(x509.Certificate.load(der, strict=True).public_key["algorithm"]["algorithm"].native)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError):
        raise FormatError("key in a certificate has no algorithm") from None


def summary(entries: Sequence[Entry]) -> str:
    """Say of entries that are not shown how many there are of each kind, and which: by a hash over all of them."""
    counts = Counter(_kind(entry.type) for entry in entries)
    state = hashlib.sha256()
    for entry in entries:
        state.update(uefi.guid(entry.type) + uefi.guid(entry.owner) + entry.data)
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return f"{len(entries)} more ({kinds}), SHA-256 of their types, owners and contents {state.hexdigest()}"


def _kind(kind: str) -> str:
    if kind == X509:
        return "certificates"
    if kind in REVOKED_CERTIFICATES:
        return f"certificates by {REVOKED_CERTIFICATES[kind][0]}"
    return (HASHES | KEYS)[kind][0]


def _what(entry: Entry) -> str:
    if entry.type == X509:
        return f"certificate {subject(entry.data)} (SHA-256 {hashlib.sha256(entry.data).hexdigest()})"
    if entry.type in HASHES:
        return f"{HASHES[entry.type][0]} {entry.data.hex()}"
    if entry.type in KEYS:
        return f"{KEYS[entry.type][0]} {entry.data.hex()[:32]}…"
    digest, when = entry.data[: -uefi.TIME.size], entry.data[-uefi.TIME.size :]
    since = "always" if not any(when) else _date(when)
    return f"certificate with {REVOKED_CERTIFICATES[entry.type][0]} {digest.hex()}, revoked since {since}"


def _date(when: bytes) -> str:
    year, month, day, hour, minute, second, *_ = uefi.TIME.unpack(when)
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).isoformat()
    except ValueError:
        return f"{year}-{month}-{day} {hour}:{minute}:{second}, which is no date"
