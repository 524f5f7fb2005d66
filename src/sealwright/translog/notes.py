"""Signed notes: a text and lines of signatures under it, each by a named key.

Two kinds of signature are known: Ed25519 over the text, and the timestamped Ed25519 cosignature of a witness.
Reference: C2SP signed-note v1.0.0, C2SP tlog-cosignature v1.0.1; ``docs/spec/log.md``.
"""

import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sealwright.core import canonical, edwards
from sealwright.core.errors import Code, FormatError, VerificationError

MAX_NOTE_BYTES = 128 * 1024
MAX_SIGNATURES = 32
KEY_ID_BYTES = 4

_DASH = "\N{EM DASH} "
_COSIGNATURE = struct.Struct(">Q64s")  # time, signature
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


class SignatureType(IntEnum):
    """The first byte of a key, which says what its signatures are."""

    ED25519 = 0x01
    COSIGNATURE = 0x04


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A named public key; in text ``<name>+<key id>+<base64 of type and key>``, a *vkey*."""

    name: str
    kind: SignatureType
    public_key: bytes

    def __post_init__(self) -> None:
        if not self.name or "+" in self.name or any(c.isspace() for c in self.name) or _CONTROL.search(self.name):
            raise _invalid("key name is empty or holds a space, a plus or a control character")
        if len(self.public_key) != edwards.KEY_BYTES:
            raise _invalid(f"Ed25519 public keys have 32 bytes, not {len(self.public_key)}")
        edwards.check_point(self.public_key)

    @property
    def key_id(self) -> bytes:
        """Four bytes that tell keys of one name apart; not a fingerprint."""
        return sha256(self.name.encode() + b"\n" + bytes((self.kind,)) + self.public_key).digest()[:KEY_ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{canonical.to_base64(bytes((self.kind,)) + self.public_key)}"

    def verify(self, text: bytes, signature: bytes) -> int | None:
        """Check one signature over the note text; return the time in a cosignature (POSIX seconds), else None."""
        time, message = None, text
        if self.kind is SignatureType.COSIGNATURE:
            if len(signature) != _COSIGNATURE.size:
                raise VerificationError(f"cosignature of {self.name} has {len(signature)} bytes, not 72")
            time, signature = _COSIGNATURE.unpack(signature)
            if time >> 63:
                raise VerificationError(f"cosignature of {self.name} has a time beyond 2^63")
            message = b"cosignature/v1\ntime %d\n" % time + text
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, message)
        except (InvalidSignature, ValueError):
            raise VerificationError(f"note signature of {self.name} ({self.key_id.hex()}) does not verify") from None
        return time


@lru_cache(maxsize=256)
def parse_vkey(text: str) -> VerifierKey:
    """Read a vkey; ``FormatError`` unless it is well-formed, of a known type and its key id is right."""
    parts = text.split("+", 2)  # the base64 may hold further plus signs
    if len(text) > 1024 or len(parts) != 3 or not re.fullmatch("[0-9a-f]{8}", parts[1]):
        raise _invalid("a verifier key reads name+8 hex digits+base64")
    encoded = canonical.from_base64(parts[2])
    if not encoded or encoded[0] not in SignatureType._value2member_map_:
        raise _invalid(f"verifier key of unknown type {encoded[:1].hex() or 'none'}")
    key = VerifierKey(parts[0], SignatureType(encoded[0]), encoded[1:])
    if key.key_id.hex() != parts[1]:
        raise _invalid(f"verifier key {key.name} says key id {parts[1]}, it is {key.key_id.hex()}")
    return key


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line, not yet verified."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A note as parsed; nothing in it is verified."""

    text: bytes
    """What is signed, with its last newline."""
    signatures: tuple[NoteSignature, ...]

    def verify(self, keys: Sequence[VerifierKey]) -> dict[VerifierKey, int | None]:
        """Return those of ``keys`` that signed, with the time of each cosigner.

        Signatures of other keys are ignored; a bad signature of a known key is a ``VerificationError``, because
        somebody tampered or the key is mistaken.
        """
        known = {(key.name, key.key_id): key for key in keys}
        if len(known) != len(set(keys)):
            raise _invalid("two different verifier keys share name and key id")
        signed: dict[VerifierKey, int | None] = {}
        for line in self.signatures:
            key = known.get((line.name, line.key_id))
            if key is not None:
                signed[key] = key.verify(self.text, line.signature)
        return signed


def parse_note(data: bytes) -> Note:
    """Read a signed note strictly; ``FormatError`` with the offset otherwise."""
    if len(data) > MAX_NOTE_BYTES:
        raise _invalid(f"note of {len(data)} bytes, at most {MAX_NOTE_BYTES} are accepted")
    try:
        whole = data.decode()
    except UnicodeDecodeError as e:
        raise _invalid("note is not UTF-8", at=e.start) from None
    if found := _CONTROL.search(whole):
        raise _invalid(f"note holds control character {ord(found.group()):#04x}")
    text, blank, lines = whole.rpartition("\n\n")
    if not blank or not lines.endswith("\n"):
        raise _invalid("note does not end with an empty line and signature lines")
    signatures = lines[:-1].split("\n", MAX_SIGNATURES)
    if len(signatures) > MAX_SIGNATURES:
        raise _invalid(f"note has more than {MAX_SIGNATURES} signatures")
    return Note((text + "\n").encode(), _distinct(_signature(line) for line in signatures))


def _distinct(signatures: Iterable[NoteSignature]) -> tuple[NoteSignature, ...]:
    """One line for each key: a second one says nothing, and would be one more spelling of the same note."""
    by_key: dict[tuple[str, bytes], NoteSignature] = {}
    for line in signatures:
        if by_key.setdefault((line.name, line.key_id), line) is not line:
            raise _invalid(f"note has two signature lines of key {line.name[:60]} ({line.key_id.hex()})")
    return tuple(by_key.values())


def _signature(line: str) -> NoteSignature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space or not name or "+" in name or any(c.isspace() for c in name):
        raise _invalid(f"not a signature line: {line[:60]!r}")
    blob = canonical.from_base64(encoded)
    if len(blob) <= KEY_ID_BYTES:
        raise _invalid(f"signature of {name[:60]} is too short")
    return NoteSignature(name, blob[:KEY_ID_BYTES], blob[KEY_ID_BYTES:])


@dataclass(frozen=True, slots=True)
class NoteSigner:
    """A named Ed25519 key that signs notes; whoever holds the key gives it."""

    name: str
    private_key: Ed25519PrivateKey

    @property
    def verifier_key(self) -> VerifierKey:
        return VerifierKey(self.name, SignatureType.ED25519, self.private_key.public_key().public_bytes_raw())

    def sign(self, text: bytes) -> bytes:
        """Return the note over ``text``, which must end in a newline; ``FormatError`` if no note can hold it."""
        blob = self.verifier_key.key_id + self.private_key.sign(text)
        note = text + f"\n{_DASH}{self.name} {canonical.to_base64(blob)}\n".encode()
        if parse_note(note).text != text:
            raise _invalid("text does not end in a newline")
        return note


def _invalid(message: str, at: int | None = None) -> FormatError:
    return FormatError(message, at=at, code=Code.INVALID_DOCUMENT)
