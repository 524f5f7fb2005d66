"""Keys for the test values of ``docs/spec``, each made from the SHA-256 of a text that begins with TEST ONLY.

Every signature made here is deterministic (Ed25519, ECDSA by RFC 6979, RSA PKCS #1, ML-DSA with 32 zero bytes for the
random ones), so that the values can be made again and compared.
"""

import hashlib
import itertools
import random
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from dilithium_py.ml_dsa import ML_DSA_44

from sealwright.core import sshsig
from sealwright.core.envelopes import Envelope, SignatureKind
from sealwright.core.sshsig import mpint, string
from sealwright.policy.documents import Authenticator

APPLICATION = b"ssh:"
_ORDER_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def seed(label: str) -> bytes:
    """Return 32 bytes that anybody can make again."""
    return hashlib.sha256(f"TEST ONLY {label}".encode()).digest()


def ed25519_key(label: str) -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.from_private_bytes(seed(label))


def ml_dsa_44_key(label: str) -> mldsa.MLDSA44PrivateKey:
    return mldsa.MLDSA44PrivateKey.from_seed_bytes(seed(label))


def sign_ml_dsa_44(label: str, message: bytes) -> bytes:
    """Sign with the key of this label by dilithium-py: another program than the one that verifies."""
    _, private_key = ML_DSA_44.key_derive(seed(label))
    signature: bytes = ML_DSA_44.sign(private_key, message, deterministic=True)
    return signature


def p256_key(label: str) -> ec.EllipticCurvePrivateKey:
    scalar = int.from_bytes(seed(label), "big") % (_ORDER_P256 - 1) + 1
    return ec.derive_private_key(scalar, ec.SECP256R1())


def rsa_key(label: str) -> rsa.RSAPrivateKey:
    """Return an RSA-2048 key: each prime is the next one from 1024 bits of hashes of the label on."""
    p, q = (_next_prime(_bits(f"{label} {name}")) for name in ("p", "q"))
    p, q = max(p, q), min(p, q)
    e, d = 65537, pow(65537, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(e, p * q)
    return rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public).private_key()


def spki(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def sign_payload(key: PrivateKey, payload: bytes) -> bytes:
    """Sign a message (Ed25519) or a SHA-256 digest (the others)."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(payload)
    prehashed = utils.Prehashed(hashes.SHA256())
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(payload, padding.PKCS1v15(), prehashed)
    return key.sign(payload, ec.ECDSA(prehashed, deterministic_signing=True))


def certificate(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey, label: str, validity: tuple) -> bytes:
    """Return a self-signed certificate in DER whose name says TEST ONLY."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"TEST ONLY {label}")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(int.from_bytes(seed(label)[:8], "big") >> 1 | 1)
    builder = builder.not_valid_before(validity[0]).not_valid_after(validity[1])
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return builder.sign(key, None).public_bytes(Encoding.DER)
    return builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True).public_bytes(Encoding.DER)


@dataclass(frozen=True)
class SshKey:
    """An SSH key of one of the kinds that may vote."""

    kind: str
    private: PrivateKey
    application: bytes = APPLICATION

    @property
    def blob(self) -> bytes:
        public = self.private.public_key()
        if isinstance(public, ed25519.Ed25519PublicKey):
            parts = [public.public_bytes_raw()]
        elif isinstance(public, ec.EllipticCurvePublicKey):
            parts = [b"nistp256", public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)]
        else:
            numbers = public.public_numbers()
            return string(self.kind.encode()) + mpint(numbers.e) + mpint(numbers.n)
        if self.kind.startswith("sk-"):
            parts.append(self.application)
        return b"".join(map(string, [self.kind.encode(), *parts]))

    @property
    def line(self) -> str:
        return sshsig.parse_public_key(self.blob).line()

    @property
    def authenticator(self) -> Authenticator:
        return Authenticator(key=self.line, user_verification=self.kind.startswith("sk-"))

    def sign(self, namespace: str, message: bytes, *, flags: int = 5, algorithm: str = "") -> bytes:
        """Return a binary SSHSIG."""
        algorithm = algorithm or ("rsa-sha2-256" if self.kind == "ssh-rsa" else self.kind)
        to_sign, says = sshsig.to_be_signed(namespace, message), b""
        if self.kind.startswith("sk-"):
            says = bytes((flags,)) + (7).to_bytes(4, "big")
            to_sign = hashlib.sha256(self.application).digest() + says + hashlib.sha256(to_sign).digest()
        prehashed = not isinstance(self.private, ed25519.Ed25519PrivateKey)
        value = sign_payload(self.private, hashlib.sha256(to_sign).digest() if prehashed else to_sign)
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            value = b"".join(map(mpint, utils.decode_dss_signature(value)))
        inner = string(algorithm.encode()) + string(value) + says
        parts = map(string, [self.blob, namespace.encode(), b"", b"sha512", inner])
        return sshsig.MAGIC + (1).to_bytes(4, "big") + b"".join(parts)

    def envelope(self, signer: str, namespace: str, digest: str) -> Envelope:
        fingerprint = hashlib.sha256(self.blob).hexdigest()
        signature = self.sign(namespace, bytes.fromhex(digest))
        return Envelope(signer=signer, authenticator=fingerprint, kind=SignatureKind.SSHSIG, signature=signature)


def ssh_key(label: str, kind: str = "ssh-ed25519") -> SshKey:
    """Return the SSH key of this kind and label."""
    if kind == "ssh-rsa":
        return SshKey(kind, rsa_key(label))
    return SshKey(kind, ed25519_key(label) if "ed25519" in kind else p256_key(label))


def _bits(label: str) -> int:
    """Return 1024 bits with the two highest and the lowest set."""
    value = int.from_bytes(b"".join(seed(f"{label} {i}") for i in range(4)), "big")
    return value | 3 << 1022 | 1


def _next_prime(start: int) -> int:
    return next(n for n in itertools.count(start, 2) if n % 65537 != 1 and _is_prime(n))


def _is_prime(n: int) -> bool:
    """Miller-Rabin with fixed bases; for candidates that nobody chose to deceive it."""
    if any(n % p == 0 for p in (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)):
        return False
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    bases = random.Random(n)  # noqa: S311 - the same bases every time
    for base in (bases.randrange(2, n - 1) for _ in range(24)):
        x = pow(base, odd, n)
        if x not in (1, n - 1) and all((x := x * x % n) != n - 1 for _ in range(twos - 1)):
            return False
    return True
