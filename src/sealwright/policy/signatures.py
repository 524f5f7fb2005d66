"""Who signed a document: envelopes checked against the authenticators that root or policy list for a person."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sealwright.core import sshsig
from sealwright.core.envelopes import Envelope, SignatureKind, SignedDocument
from sealwright.core.errors import Code, FormatError, RefusedError, VerificationError
from sealwright.policy.documents import Administrator, Authenticator


class Namespace(StrEnum):
    """One SSHSIG namespace a use, so that no signature can be carried over to another."""

    ROOT = "sealwright-root-v1"
    POLICY = "sealwright-policy-v1"
    REQUEST = "sealwright-request-v1"
    VOTE = "sealwright-vote-v1"
    RESTRICTION = "sealwright-restriction-v1"
    MINUTES = "sealwright-minutes-v1"
    LOGIN = "sealwright-login-v1"


@lru_cache(maxsize=8192)
def ssh_key(line: str) -> sshsig.SshPublicKey:
    """Return the public key of an OpenSSH line; ``FormatError`` unless it is in its only spelling."""
    key = sshsig.parse_public_key(line)
    if key.line() != line:
        raise FormatError("SSH public key with a comment or in an unusual spelling", code=Code.INVALID_DOCUMENT)
    return key


def fingerprint(authenticator: Authenticator) -> str:
    """SHA-256 of the authenticator's public key blob, lower-case hex."""
    return ssh_key(authenticator.key).fingerprint


def public_key_of(authenticator: Authenticator) -> bytes:
    """Return the bare public key (SubjectPublicKeyInfo): one key stays one, called ``sk-`` or not."""
    return ssh_key(authenticator.key).key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def verify_envelope(
    envelope: Envelope, digest: str, authenticators: Iterable[Authenticator], namespace: Namespace
) -> Authenticator:
    """Check one signature over ``digest`` by one of these authenticators; raises ``VerificationError``."""
    if envelope.kind is not SignatureKind.SSHSIG:
        raise VerificationError("people and pipelines sign with SSH keys", expected="sshsig", got=envelope.kind)
    for authenticator in authenticators:
        key = ssh_key(authenticator.key)
        if key.fingerprint == envelope.authenticator:
            sshsig.verify(
                envelope.signature,
                key=key,
                namespace=namespace,
                message=bytes.fromhex(digest),
                require_user_verification=authenticator.user_verification,
            )
            return authenticator
    raise VerificationError(f"authenticator {envelope.authenticator[:16]} does not belong to {envelope.signer}")


def the_envelope(signed: SignedDocument, code: Code) -> Envelope:
    """Return the only envelope of a document that one party signs."""
    if len(signed.signatures) != 1:
        raise RefusedError(f"{len(signed.signatures)} signatures where exactly one belongs", code=code)
    return signed.signatures[0]


def who_signed(
    signatures: Sequence[Envelope], digest: str, administrators: Sequence[Administrator], namespace: Namespace
) -> tuple[frozenset[str], tuple[Envelope, ...]]:
    """Return the distinct administrators who signed, and the envelopes that are none of theirs.

    People count, not signatures or keys.
    """
    by_person = {a.person: a.authenticators for a in administrators}
    signed, foreign = set(), []
    for envelope in signatures:
        try:
            verify_envelope(envelope, digest, by_person.get(envelope.signer, ()), namespace)
            signed.add(envelope.signer)
        except (VerificationError, FormatError):
            foreign.append(envelope)
    return frozenset(signed), tuple(foreign)


def verify_ed25519(envelope: Envelope, digest: str, key: bytes) -> None:
    """Check a signer's signature over ``digest`` with its 32-byte identity key; raises ``VerificationError``."""
    if envelope.kind is not SignatureKind.ED25519:
        raise VerificationError("signers sign with Ed25519 identity keys", expected="ed25519", got=envelope.kind)
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(envelope.signature, bytes.fromhex(digest))
    except (InvalidSignature, ValueError):
        raise VerificationError(f"signature of signer {envelope.signer} does not verify") from None
