"""The armoured SSHSIG beside a raw file, as ``ssh-keygen -Y sign`` writes it and ``-Y verify`` reads it.

Reference: OpenSSH PROTOCOL.sshsig; RFC 5656, RFC 8332 and RFC 8709 for the signatures in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import utils

from sealwright.core import ssharmour, sshsig
from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.keys import Algorithm, Family, LibraryKey, PublicKey
from sealwright.formats.cms_shapes import check_signature
from sealwright.formats.interface import SigningKey, Slot, Trust
from sealwright.formats.raw_outputs import Digest, Found, Output, not_trusted, slot_of, suffix_of

HASH = "sha512"
DEFAULT_NAMESPACE = "file"
RESERVED = "sealwright-"
"""Votes and policies are in namespaces that begin so; no file shall look like one, should its key become a person's."""
_NAMES = {
    Algorithm.RSA_PKCS1_SHA256: b"rsa-sha2-256",
    Algorithm.RSA_PKCS1_SHA512: b"rsa-sha2-512",
    Algorithm.ECDSA_P256_SHA256: b"ecdsa-sha2-nistp256",
    Algorithm.ECDSA_P384_SHA384: b"ecdsa-sha2-nistp384",
    Algorithm.ECDSA_P521_SHA512: b"ecdsa-sha2-nistp521",
    Algorithm.ED25519: b"ssh-ed25519",
}
_ALGORITHMS = {name.decode(): algorithm for algorithm, name in _NAMES.items()}
MAX_ARMOURED_BYTES = 64 * 1024
MAX_SHOWN = 96
"""Of a namespace, which is as long as its signer likes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SshDraft:
    """An SSHSIG that lacks only its signature."""

    key: SigningKey
    digest: bytes
    """SHA-512 of the file."""
    namespace: str

    def __post_init__(self) -> None:
        if self.key.algorithm not in _NAMES:
            raise FormatError(
                f"OpenSSH has no signature {self.key.algorithm}",
                code=Code.INVALID_DOCUMENT,
                hint=f"algorithms: {', '.join(_NAMES)}",
            )

    @property
    def suffix(self) -> str:
        return suffix_of(Output.SSHSIG, self.key.algorithm)

    @property
    def message(self) -> bytes:
        return message_of(self.namespace, self.digest)

    def slots(self) -> tuple[Slot, ...]:
        return (slot_of(self.key, self.message),)

    def content(self, signatures: Sequence[bytes]) -> bytes:
        (signature,) = signatures
        algorithm, public = self.key.algorithm, self.key.public_key
        check_signature(public, algorithm, self.message, signature)
        if algorithm.family is Family.ECDSA:  # two mpints (RFC 5656, section 3.1.2)
            signature = b"".join(map(sshsig.mpint, utils.decode_dss_signature(signature)))
        members = (
            blob_of(public),
            self.namespace.encode(),
            b"",
            HASH.encode(),
            sshsig.string(_NAMES[algorithm]) + sshsig.string(signature),
        )
        blob = sshsig.MAGIC + (1).to_bytes(4) + b"".join(map(sshsig.string, members))
        return ssharmour.armour(blob).encode()


def check(content: bytes, trust: Trust, digest: Digest) -> Found:
    """Check the signature over the digest of the file, in a namespace of files: any that is not reserved."""
    public, namespace, inner = _read(content)
    shown = _shown(namespace)
    if namespace.startswith(RESERVED.encode()):
        raise VerificationError(f"SSH signature in namespace {shown}, which is of votes and policies, not of files")
    key = next((k for k in trust.keys if isinstance(k.key, LibraryKey) and _blob_or_none(k) == public), None)
    if key is None:
        raise not_trusted(trust, sshsig.parse_public_key(public).fingerprint[:16])
    algorithm, value = _signature(inner)
    ssh_key = sshsig.parse_public_key(public)
    sshsig.check_algorithm(ssh_key, algorithm)
    sshsig.check_value(ssh_key, algorithm, value, message_of(namespace.decode("utf-8", "replace"), digest(HASH)))
    return Found(_ALGORITHMS[algorithm], f"{key.fingerprint[:16]} in namespace {shown}", key)


def describe(content: bytes) -> tuple[str, str]:
    """Return the algorithm and the signer that a file names; nothing is verified."""
    public, namespace, inner = _read(content)
    algorithm, _ = _signature(inner)
    key = sshsig.parse_public_key(public).key
    spki_der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    signer = PublicKey(spki_der).fingerprint[:16]
    return _ALGORITHMS.get(algorithm, algorithm[:MAX_SHOWN]), f"{signer} in namespace {_shown(namespace)}"


def _read(content: bytes) -> tuple[bytes, bytes, bytes]:
    """Return public key, namespace and signature."""
    if len(content) > MAX_ARMOURED_BYTES:
        raise FormatError(f"SSH signature of {len(content)} bytes, at most {MAX_ARMOURED_BYTES} are accepted")
    try:
        blob = ssharmour.dearmour(content.decode("ascii"))
    except UnicodeDecodeError:
        raise FormatError("not an armoured SSH signature", code=Code.INVALID_DOCUMENT) from None
    if ssharmour.armour(blob).encode() != content:
        raise FormatError("SSH signature is not armoured as ssh-keygen does it", code=Code.INVALID_DOCUMENT)
    reader = sshsig.Reader(blob)
    if reader.take(6) != sshsig.MAGIC or reader.u32() != 1:
        raise FormatError("not an SSH signature of version 1", code=Code.INVALID_DOCUMENT)
    public, namespace, reserved, hash_name, inner = (reader.string() for _ in range(5))
    reader.end()
    if not namespace or reserved or hash_name != HASH.encode():
        raise FormatError("SSH signature without a namespace, with a reserved field, or not over SHA-512")
    return public, namespace, inner


def _signature(inner: bytes) -> tuple[str, bytes]:
    """Return the algorithm that a signature names, and its value."""
    reader = sshsig.Reader(inner)
    algorithm, value = sshsig.text(reader.string()), reader.string()
    reader.end()
    return algorithm, value


def _shown(namespace: bytes) -> str:
    return ascii(namespace[:MAX_SHOWN])[2:-1]


def message_of(namespace: str, digest: bytes) -> bytes:
    """Return the bytes that an SSH key signs for a file with this SHA-512 (PROTOCOL.sshsig, section 3)."""
    members = (namespace.encode(), b"", HASH.encode(), digest)
    return sshsig.MAGIC + b"".join(map(sshsig.string, members))


def blob_of(key: PublicKey) -> bytes:
    """Return the key as OpenSSH spells it; ``FormatError`` for a kind that OpenSSH does not know."""
    blob = _blob_or_none(key)
    if blob is None:
        raise FormatError(f"OpenSSH has no {type(key.key).__name__} keys", code=Code.INVALID_DOCUMENT)
    return blob


def _blob_or_none(key: PublicKey) -> bytes | None:
    if not isinstance(key.key, LibraryKey):
        return None
    try:
        line = key.key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    except ValueError:
        return None
    return sshsig.parse_public_key(line.decode()).blob
