"""One signature envelope for every document: who, with which authenticator, in which scheme, the bytes."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from sealwright.core.records import Bounds, Digest, Id

MAX_SIGNATURE_BYTES = 16 * 1024


class SignatureKind(StrEnum):
    """How the 32 raw digest bytes were signed."""

    SSHSIG = "sshsig"  # PROTOCOL.sshsig, one namespace per use
    ED25519 = "ed25519"  # RFC 8032 over the digest: the signer's identity key


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One signature over a document's digest."""

    signer: Id
    """The person, pipeline or signer who says so; looked up in root or policy, never believed."""
    authenticator: Digest
    """SHA-256 of the public key blob."""
    kind: SignatureKind
    signature: Annotated[bytes, Bounds(1, MAX_SIGNATURE_BYTES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedDocument:
    """A document's exact canonical bytes and the signatures over its digest."""

    document: Annotated[bytes, Bounds(2, 1 << 20)]
    signatures: Annotated[tuple[Envelope, ...], Bounds(0, 64)]
