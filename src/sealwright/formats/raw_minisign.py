"""The minisign file beside a raw file: a signature over its hash, and one over that signature and a trusted comment.

Prehashed ones alone (``ED``): the legacy kind (``Ed``) is over the whole file, which a keystore would have to be sent.
Reference: minisign, "Signature format" and "Public key format"; libsodium for what is a point and a signature.
"""

import hashlib
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sealwright.core import canonical
from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.formats.cms_shapes import check_signature
from sealwright.formats.interface import SigningKey, Slot, Trust
from sealwright.formats.raw_outputs import Digest, Found, Output, slot_of, suffix_of

HASH = "blake2b"
"""BLAKE2b-512."""
GLOBAL_SLOT = "global-signature"
PREHASHED, LEGACY = b"ED", b"Ed"
KEY_ID_BYTES = 8
_SIGNATURE, _PUBLIC_KEY = struct.Struct("2s8s64s"), struct.Struct("2s8s32s")
UNTRUSTED, TRUSTED = "untrusted comment: ", "trusted comment: "
_FILE = re.compile(
    rb"untrusted comment: ([^\r\n]{0,1000})\n([A-Za-z0-9+/]{99}=)\n"
    rb"trusted comment: ([^\r\n]{0,8000})\n([A-Za-z0-9+/]{86}==)\n"
)
"""The four lines; the bounds of the comments are inside those of minisign, 1,024 and 8,192 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MinisignDraft:
    """A minisign file that lacks its two signatures."""

    key: SigningKey
    digest: bytes
    """BLAKE2b-512 of the file."""
    trusted_comment: str

    def __post_init__(self) -> None:
        if self.key.algorithm is not Algorithm.ED25519:
            raise _no_key(self.key.algorithm)

    @property
    def suffix(self) -> str:
        return suffix_of(Output.MINISIGN, self.key.algorithm)

    def slots(self) -> tuple[Slot, ...]:
        first = slot_of(self.key, self.digest)
        tail = slot_of(self.key, self.trusted_comment.encode())
        return first, replace(tail, name=GLOBAL_SLOT, after=first.name)

    def content(self, signatures: Sequence[bytes]) -> bytes:
        signature, global_signature = signatures
        comment, public = self.trusted_comment.encode(), self.key.public_key
        check_signature(public, self.key.algorithm, self.digest, signature)
        check_signature(public, self.key.algorithm, signature + comment, global_signature)
        blob = _SIGNATURE.pack(PREHASHED, key_id(public), signature)
        lines = (
            f"{UNTRUSTED}signature by key {spelled(key_id(public))}",
            canonical.to_base64(blob),
            f"{TRUSTED}{self.trusted_comment}",
            canonical.to_base64(global_signature),
        )
        return "".join(f"{line}\n" for line in lines).encode()


def comment_of(signing_time: int, more: str | None) -> str:
    """Return the trusted comment: the time as minisign writes it, then what the caller has to say."""
    return f"timestamp:{signing_time}" + (f"\t{more}" if more else "")


def check(content: bytes, trust: Trust, digest: Digest) -> Found:
    """Check both signatures, in whatever words the comments are."""
    identifier, signature, comment, global_signature = _read(content)
    hashed = digest(HASH)
    key = _key_of(identifier, hashed, signature, trust)
    try:
        check_signature(key, Algorithm.ED25519, signature + comment, global_signature)
    except VerificationError:
        raise VerificationError("the trusted comment is not the one that was signed") from None
    return Found(Algorithm.ED25519, spelled(identifier), key)


def describe(content: bytes) -> tuple[str, str, int | None]:
    """Return the algorithm, the key and the time that a file names; nothing is verified."""
    identifier, _, comment, _ = _read(content)
    time = re.match(rb"timestamp:(\d{1,12})(\t|$)", comment)
    return Algorithm.ED25519, f"minisign key {spelled(identifier)}", int(time[1]) if time else None


def _read(content: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Return key id, signature, trusted comment and the signature over both."""
    lines = _FILE.fullmatch(content)
    if lines is None:
        raise FormatError("not the four lines of a minisign file", code=Code.INVALID_DOCUMENT)
    blob, global_signature = (canonical.from_base64(_text(lines[n])) for n in (2, 4))
    for comment in (lines[1], lines[3]):
        canonical.encode(_text(comment).replace("\t", " "))  # which refuses what could hide or turn text
    algorithm, identifier, signature = _SIGNATURE.unpack(blob)
    if algorithm == LEGACY:
        raise FormatError(
            "minisign signature of the legacy kind, which is over the whole file",
            code=Code.INVALID_DOCUMENT,
            hint="minisign signs the hash of the file if it is called without -l",
        )
    if algorithm != PREHASHED:
        raise FormatError("minisign signature of an unknown kind", code=Code.INVALID_DOCUMENT)
    return identifier, signature, lines[3], global_signature


def _key_of(identifier: bytes, hashed: bytes, signature: bytes, trust: Trust) -> PublicKey:
    """Return the trusted key that made the first signature.

    Nothing signs the key id, and minisign draws those of its keys by lot: it chooses a key here, and proves nothing.
    """
    keys = [key for key in trust.keys if isinstance(key.key, Ed25519PublicKey)]
    named = [key for key in keys if key_id(key) == identifier]
    for key in named or keys:
        try:
            check_signature(key, Algorithm.ED25519, hashed, signature)
        except VerificationError:
            if named:
                raise
        else:
            return key
    raise VerificationError(
        f"no trusted key made the signature of the minisign key {spelled(identifier)} over this file",
        code=Code.NOT_TRUSTED,
    )


def public_key_file(key: PublicKey) -> str:
    """Return a key as ``minisign -V -p`` reads it; ``FormatError`` for one that is not Ed25519."""
    blob = _PUBLIC_KEY.pack(LEGACY, key_id(key), _raw(key))
    return f"{UNTRUSTED}minisign public key {spelled(key_id(key))}\n{canonical.to_base64(blob)}\n"


def key_id(key: PublicKey) -> bytes:
    """Return the first bytes of the SHA-256 of the raw key: the same wherever the file is made again."""
    return hashlib.sha256(_raw(key)).digest()[:KEY_ID_BYTES]


def spelled(identifier: bytes) -> str:
    """Return a key id as minisign prints it: as a little-endian number, without zeros in front."""
    return f"{int.from_bytes(identifier, 'little'):X}"


def _raw(key: PublicKey) -> bytes:
    if not isinstance(key.key, Ed25519PublicKey):
        raise _no_key(type(key.key).__name__.removesuffix("PublicKey"))
    return key.key.public_bytes_raw()


def _text(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise FormatError("minisign file is not UTF-8", code=Code.INVALID_DOCUMENT) from None


def _no_key(found: str) -> FormatError:
    return FormatError(
        f"minisign has no keys of {found}", code=Code.INVALID_DOCUMENT, hint=f"it takes {Algorithm.ED25519} alone"
    )
