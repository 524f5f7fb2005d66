"""SSH signatures (SSHSIG) and SSH public keys: strict, one spelling each.

No certificates, no DSA, no ``ssh-rsa`` (SHA-1) signatures, no key options.  Making signatures is not done here.
Reference: OpenSSH PROTOCOL.sshsig, PROTOCOL.u2f; RFC 4251, section 5; RFC 4253, 5656, 8332 and 8709.
"""

import hashlib
import struct
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

from sealwright.core import canonical, edwards
from sealwright.core.errors import Code, FormatError, VerificationError

MAGIC = b"SSHSIG"
MAX_BYTES = 16 * 1024
USER_PRESENT, USER_VERIFIED = 0x01, 0x04

_SK_ED25519, _SK_ECDSA = "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"
_RSA_HASHES: dict[str, hashes.HashAlgorithm] = {"rsa-sha2-256": hashes.SHA256(), "rsa-sha2-512": hashes.SHA512()}
_CURVES: dict[str, tuple[ec.EllipticCurve, hashes.HashAlgorithm]] = {
    "nistp256": (ec.SECP256R1(), hashes.SHA256()),
    "nistp384": (ec.SECP384R1(), hashes.SHA384()),
    "nistp521": (ec.SECP521R1(), hashes.SHA512()),
}


@dataclass(frozen=True, slots=True)
class SshPublicKey:
    """A checked public key; only ``parse_public_key`` makes one."""

    kind: str
    blob: bytes
    application: str | None = field(compare=False)
    """FIDO application (``ssh:``) of an ``sk-`` key; None for other keys."""
    key: ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey = field(compare=False, repr=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the blob, lower-case hex."""
        return hashlib.sha256(self.blob).hexdigest()

    def line(self) -> str:
        """Return the key as in a ``.pub`` file, without a comment."""
        return f"{self.kind} {canonical.to_base64(self.blob)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SshVerified:
    """What a valid signature says of the person; None where the kind of key cannot say it."""

    user_present: bool | None = None
    user_verified: bool | None = None
    counter: int | None = None


class Reader:
    """Reads the data types of RFC 4251, section 5; ``FormatError`` with the offset where they do not fit."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, length: int) -> bytes:
        if length > len(self.data) - self.at:
            raise _invalid(f"{length} bytes wanted, {len(self.data) - self.at} left", at=self.at)
        self.at += length
        return self.data[self.at - length : self.at]

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        return self.take(self.u32())

    def mpint(self) -> int:
        value = int.from_bytes(raw := self.string(), "big", signed=True)
        if value <= 0 or mpint(value)[4:] != raw:
            raise _invalid("integer is not positive or not in its shortest form", at=self.at - len(raw))
        return value

    def end(self) -> None:
        if self.at != len(self.data):
            raise _invalid(f"{len(self.data) - self.at} bytes too many", at=self.at)


def string(data: bytes) -> bytes:
    """Encode a ``string``."""
    return struct.pack(">I", len(data)) + data


def mpint(value: int) -> bytes:
    """Encode a positive ``mpint``."""
    return string(value.to_bytes(value.bit_length() // 8 + 1, "big"))


def parse_public_key(line_or_blob: str | bytes) -> SshPublicKey:
    """Read a key line (``ssh-ed25519 AAAA… comment``) or a key blob; ``FormatError`` if it is no supported key."""
    if isinstance(line_or_blob, bytes):
        return _parse_blob(line_or_blob)
    kind, encoded, *_ = [*line_or_blob[:MAX_BYTES].split(maxsplit=2), "", ""]
    key = _parse_blob(canonical.from_base64(encoded))
    if key.kind != kind:
        raise _invalid(f"the line says {kind[:60]!r}, the key is {key.kind}")
    return key


def verify(
    signature: bytes,
    *,
    key: SshPublicKey,
    namespace: str,
    message: bytes,
    require_user_verification: bool = False,
    application: str = "ssh:",
) -> SshVerified:
    """Verify a binary SSHSIG over ``message`` by ``key`` in exactly this namespace.

    ``sk-`` keys must be for ``application`` and show user presence.  Raises ``VerificationError``; ``FormatError``
    where the structure is broken.
    """
    signed, algorithm, reader = open_signature(signature, key=key, namespace=namespace, message=message)
    check_algorithm(key, algorithm)
    value = reader.string()
    if key.application is None:
        reader.end()
        check_value(key, algorithm, value, signed)
        return SshVerified()
    flags, counter = reader.take(1)[0], reader.u32()
    reader.end()
    check_value(key, algorithm, value, fido_message(key, flags, counter, hashlib.sha256(signed).digest()))
    return check_flags(key, flags, counter, application, require_user_verification=require_user_verification)


def open_signature(signature: bytes, *, key: SshPublicKey, namespace: str, message: bytes) -> tuple[bytes, str, Reader]:
    """Check all but the signature: return the signed bytes, the algorithm and a reader that stands at its value."""
    blob, got_namespace, hash_name, inner = _parse(signature)
    if got_namespace != namespace.encode():
        raise VerificationError(
            "SSH signature namespace differs", expected=namespace, got=ascii(got_namespace[:80])[2:-1]
        )
    if blob != key.blob:
        got = hashlib.sha256(blob).hexdigest()
        raise VerificationError("SSH signature is by another key", expected=key.fingerprint, got=got)
    reader = Reader(inner)
    return to_be_signed(namespace, message, hash_name), text(reader.string()), reader


def to_be_signed(namespace: str, message: bytes, hash_name: str = "sha512") -> bytes:
    """Return the bytes that the key signs (PROTOCOL.sshsig, section 3)."""
    digest = hashlib.new(hash_name, message).digest()
    return MAGIC + string(namespace.encode()) + string(b"") + string(hash_name.encode()) + string(digest)


def text(raw: bytes) -> str:
    """Decode a short name in plain ASCII."""
    if len(raw) > 255 or not raw.isascii() or b'"' in raw:
        raise _invalid("name in SSH data is not short plain ASCII")
    return raw.decode()


def check_algorithm(key: SshPublicKey, algorithm: str) -> None:
    """The algorithm must be the one of the key's kind, for RSA one of the two with SHA-2."""
    expected = tuple(_RSA_HASHES) if key.kind == "ssh-rsa" else (key.kind,)
    if algorithm not in expected:
        raise VerificationError("SSH signature algorithm differs", expected=" or ".join(expected), got=algorithm)


def check_value(key: SshPublicKey, algorithm: str, value: bytes, signed: bytes) -> None:
    """Verify the bare signature."""
    public = key.key
    try:
        if isinstance(public, ed25519.Ed25519PublicKey):
            public.verify(value, signed)
        elif isinstance(public, rsa.RSAPublicKey):
            public.verify(value, signed, padding.PKCS1v15(), _RSA_HASHES[algorithm])
        else:
            reader = Reader(value)
            encoded = utils.encode_dss_signature(reader.mpint(), reader.mpint())
            reader.end()
            public.verify(encoded, signed, ec.ECDSA(_CURVES[f"nistp{public.key_size}"][1]))
    except InvalidSignature:
        raise VerificationError(f"SSH signature does not verify with key {key.fingerprint[:16]}") from None


def fido_message(key: SshPublicKey, flags: int, counter: int, rest: bytes) -> bytes:
    """Return what a FIDO authenticator signs (PROTOCOL.u2f, "SSH U2F signatures")."""
    return hashlib.sha256((key.application or "").encode()).digest() + struct.pack(">BI", flags, counter) + rest


def check_flags(
    key: SshPublicKey, flags: int, counter: int, application: str, *, require_user_verification: bool
) -> SshVerified:
    """Check what the authenticator signed about the person."""
    if key.application != application:
        raise VerificationError("FIDO key is for another application", expected=application, got=str(key.application))
    if not flags & USER_PRESENT:
        raise VerificationError("FIDO signature was made without user presence")
    if require_user_verification and not flags & USER_VERIFIED:
        raise VerificationError("FIDO signature was made without user verification (PIN or fingerprint)")
    return SshVerified(user_present=True, user_verified=bool(flags & USER_VERIFIED), counter=counter)


def _parse(signature: bytes) -> tuple[bytes, bytes, str, bytes]:
    """Return key blob, namespace, hash name and inner signature blob."""
    if len(signature) > MAX_BYTES:
        raise _invalid(f"SSH signature of {len(signature)} bytes, at most {MAX_BYTES} are accepted")
    reader = Reader(signature)
    if reader.take(6) != MAGIC:
        raise _invalid("not an SSH signature", at=0)
    if (version := reader.u32()) != 1:
        raise _invalid(f"SSH signature of version {version}, only 1 is known", at=6)
    blob, namespace, reserved, hash_name, inner = (reader.string() for _ in range(5))
    reader.end()
    if not namespace or reserved:
        raise _invalid("SSH signature without a namespace or with a reserved field")
    if hash_name not in (b"sha256", b"sha512"):
        raise _invalid(f"SSH signature hashes with {text(hash_name)!r}, not sha256 or sha512")
    return blob, namespace, hash_name.decode(), inner


@lru_cache(maxsize=8192)
def _parse_blob(blob: bytes) -> SshPublicKey:
    if len(blob) > MAX_BYTES:
        raise _invalid(f"SSH key of {len(blob)} bytes, at most {MAX_BYTES} are accepted")
    reader = Reader(blob)
    kind, application = text(reader.string()), None
    key: ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey
    try:
        if kind in ("ssh-ed25519", _SK_ED25519):
            key = _ed25519(reader.string())
        elif kind == "ssh-rsa":
            key = _rsa(exponent=reader.mpint(), modulus=reader.mpint())
        elif kind == _SK_ECDSA or kind.removeprefix("ecdsa-sha2-") in _CURVES:
            curve, point = text(reader.string()), reader.string()
            if not kind.split("@")[0].endswith(f"ecdsa-sha2-{curve}") or point[:1] != b"\x04":
                raise _invalid(f"{kind} key with curve {curve!r}, or its point is compressed")
            key = ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[curve][0], point)
        else:
            reason = "SSH certificates are not accepted" if "-cert-v" in kind else "SSH key kind is not supported"
            raise _invalid(f"{reason}: {kind!r}")
    except ValueError:  # a point off its curve, an even modulus
        raise _invalid(f"{kind} key has impossible numbers") from None
    if kind.startswith("sk-"):
        application = text(reader.string())
    reader.end()
    return SshPublicKey(kind, blob, application, key)


def _ed25519(raw: bytes) -> ed25519.Ed25519PublicKey:
    edwards.check_point(raw)
    return ed25519.Ed25519PublicKey.from_public_bytes(raw)


def _rsa(*, exponent: int, modulus: int) -> rsa.RSAPublicKey:
    if not 2048 <= modulus.bit_length() <= 8192 or exponent.bit_length() > 64:
        raise _invalid(f"RSA key of {modulus.bit_length()} bits, 2048 to 8192 are accepted (public exponent to 64)")
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def _invalid(message: str, *, at: int | None = None) -> FormatError:
    return FormatError(message, at=at, code=Code.INVALID_DOCUMENT)
