"""Signed notes: a text and lines of signatures under it, each by a named key.

Three kinds of signature are known: Ed25519 over the text, the timestamped Ed25519 cosignature of a witness, and the
timestamped ML-DSA-44 cosignature, which a log makes of its own checkpoints beside Ed25519.
Reference: C2SP signed-note v1.0.0, C2SP tlog-cosignature v1.1.0-rc.1; ``docs/spec/log.md``.
"""

import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from hashlib import sha256
from typing import assert_never

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from sealwright.core import canonical, edwards
from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.translog.checkpoints import cosigned_message, parse_checkpoint

MAX_NOTE_BYTES = 128 * 1024
MAX_SIGNATURES = 32
MAX_VKEY_BYTES = 4096
KEY_ID_BYTES = 4
ML_DSA_44_KEY_BYTES = 1312

_DASH = "\N{EM DASH} "
_TIME = struct.Struct(">Q")  # before the signature of a cosignature
_ML_DSA_44_SPKI = bytes.fromhex("30820532300b06096086480165030403110382052100")  # up to the key (RFC 9881, section 4)
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


class SignatureType(IntEnum):
    """The first byte of a key, which says what its signatures are."""

    ED25519 = 0x01
    COSIGNATURE = 0x04
    ML_DSA_44 = 0x06


_SIGNATURE_BYTES = {SignatureType.ED25519: 64, SignatureType.COSIGNATURE: 64, SignatureType.ML_DSA_44: 2420}


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A named public key; in text ``<name>+<key id>+<base64 of type and key>``, a *vkey*."""

    name: str
    kind: SignatureType
    public_key: bytes

    def __post_init__(self) -> None:
        if not self.name or "+" in self.name or any(c.isspace() for c in self.name) or _CONTROL.search(self.name):
            raise _invalid("key name is empty or holds a space, a plus or a control character")
        if self.kind is SignatureType.ML_DSA_44:
            if len(self.public_key) != ML_DSA_44_KEY_BYTES:
                raise _invalid(f"ML-DSA-44 public keys have 1312 bytes, not {len(self.public_key)}")
            return
        if len(self.public_key) != edwards.KEY_BYTES:
            raise _invalid(f"Ed25519 public keys have 32 bytes, not {len(self.public_key)}")
        edwards.check_point(self.public_key)

    @property
    def key_id(self) -> bytes:
        """Four bytes that tell keys of one name apart; not a fingerprint."""
        return sha256(self.name.encode() + b"\n" + bytes((self.kind,)) + self.public_key).digest()[:KEY_ID_BYTES]

    @property
    def subject_public_key_info(self) -> bytes:
        """The bare key, to compare it with keys of other kinds."""
        is_ml_dsa = self.kind is SignatureType.ML_DSA_44
        return _ML_DSA_44_SPKI + self.public_key if is_ml_dsa else edwards.spki_of(self.public_key)

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{canonical.to_base64(bytes((self.kind,)) + self.public_key)}"

    def verify(self, text: bytes, signature: bytes) -> int | None:
        """Check one signature over the note text; return the time in a cosignature (POSIX seconds), else None."""
        time = None
        if self.kind is not SignatureType.ED25519:
            time, signature = self._cosignature(signature)
        public_key: Ed25519PublicKey | MLDSA44PublicKey
        try:
            if self.kind is SignatureType.ML_DSA_44:
                public_key = MLDSA44PublicKey.from_public_bytes(self.public_key)
            else:
                public_key = Ed25519PublicKey.from_public_bytes(self.public_key)
            public_key.verify(signature, _message(self.kind, self.name, time or 0, text))
        except (InvalidSignature, ValueError):
            raise VerificationError(f"note signature of {self.name} ({self.key_id.hex()}) does not verify") from None
        return time

    def _cosignature(self, data: bytes) -> tuple[int, bytes]:
        expected = _TIME.size + _SIGNATURE_BYTES[self.kind]
        if len(data) != expected:
            raise VerificationError(f"cosignature of {self.name} has {len(data)} bytes, not {expected}")
        (time,) = _TIME.unpack_from(data)
        if time >> 63:
            raise VerificationError(f"cosignature of {self.name} has a time beyond 2^63")
        return time, data[_TIME.size :]


def _message(kind: SignatureType, name: str, time: int, text: bytes) -> bytes:
    """What a signature of this kind is over."""
    match kind:
        case SignatureType.ED25519:
            return text
        case SignatureType.COSIGNATURE:
            return b"cosignature/v1\ntime %d\n" % time + text
        case SignatureType.ML_DSA_44:
            # Nothing but the three lines is covered, so a text that says more is none.
            return cosigned_message(parse_checkpoint(text), name, time)
        case _:
            assert_never(kind)


@lru_cache(maxsize=256)
def parse_vkey(text: str) -> VerifierKey:
    """Read a vkey; ``FormatError`` unless it is well-formed, of a known type and its key id is right."""
    parts = text.split("+", 2)  # the base64 may hold further plus signs
    if len(text) > MAX_VKEY_BYTES or len(parts) != 3 or not re.fullmatch("[0-9a-f]{8}", parts[1]):
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
    """A named Ed25519 key that signs notes; with an ML-DSA-44 key beside it, checkpoints only, and twice."""

    name: str
    private_key: Ed25519PrivateKey
    ml_dsa_key: MLDSA44PrivateKey | None = None

    @property
    def verifier_key(self) -> VerifierKey:
        return VerifierKey(self.name, SignatureType.ED25519, self.private_key.public_key().public_bytes_raw())

    @property
    def ml_dsa_verifier_key(self) -> VerifierKey | None:
        if self.ml_dsa_key is None:
            return None
        return VerifierKey(self.name, SignatureType.ML_DSA_44, self.ml_dsa_key.public_key().public_bytes_raw())

    def sign(self, text: bytes) -> bytes:
        """Return the note over ``text``, which must end in a newline; ``FormatError`` if no note can hold it."""
        note = text + b"\n" + self._line(self.verifier_key, self.private_key.sign(text))
        if self.ml_dsa_key is not None and (key := self.ml_dsa_verifier_key) is not None:
            # Time 0: the log vouches for its tree, not for the hour (tlog-cosignature, "ML-DSA-44 signed message").
            signature = self.ml_dsa_key.sign(_message(key.kind, self.name, 0, text))
            note += self._line(key, _TIME.pack(0) + signature)
        if parse_note(note).text != text:
            raise _invalid("text does not end in a newline")
        return note

    def _line(self, key: VerifierKey, signature: bytes) -> bytes:
        return f"{_DASH}{self.name} {canonical.to_base64(key.key_id + signature)}\n".encode()


def _invalid(message: str, at: int | None = None) -> FormatError:
    return FormatError(message, at=at, code=Code.INVALID_DOCUMENT)
