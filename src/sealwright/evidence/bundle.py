"""The evidence file and the trust file as records.

Evidence is everything an outsider needs to check one artifact's signatures without a server; the trust file is what the
outsider must know beforehand.  Specification: ``docs/spec/evidence.md`` and ``docs/spec/trust-file.md``.
"""

from dataclasses import dataclass, fields
from typing import Annotated, Literal

from sealwright.core.envelopes import SignedDocument
from sealwright.core.patches import Patch
from sealwright.core.records import Bounds, Count, Digest
from sealwright.policy.documents import FileName, LogMlDsaKey, Origin, VerifierKey, Witness, log_keys_of
from sealwright.translog.log_keys import LogKeys

MAX_EVIDENCE_BYTES = 16 << 20
MAX_ROOTS = 256
"""So many newest versions of the root lead to the one in force; who knows only older ones needs a newer trust file."""
EVIDENCE_SUFFIX = ".sealwright"

Hash = Annotated[bytes, Bounds(32, 32)]
Proof = Annotated[tuple[Hash, ...], Bounds(0, 63)]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedDocument:
    """A granting entry's document, its place in the log and the proof of it."""

    signed: SignedDocument
    index: Count
    proof: Proof


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenSection:
    """A policy section, its place among the sorted section digests and the proof of it."""

    document: Annotated[bytes, Bounds(2, 1 << 20)]
    index: Count
    proof: Proof


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEntry:
    """The exact bytes of a log entry, its index and inclusion proof."""

    entry: Annotated[bytes, Bounds(2, 65535)]
    index: Count
    proof: Proof


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """One request that was signed: who approved it, under which rules, and where the log says so."""

    format: Literal[1]
    instance: Digest
    roots: Annotated[tuple[LoggedDocument, ...], Bounds(1, MAX_ROOTS)]
    """The root in force at the outcome, last; before it the versions back to one that trust files may know."""
    policy: LoggedDocument
    sections: Annotated[tuple[ProvenSection, ...], Bounds(1, 512)]
    """In ascending order of their indices."""
    request: SignedDocument
    votes: Annotated[tuple[SignedDocument, ...], Bounds(0, 64)]
    reports: Annotated[tuple[SignedDocument, ...], Bounds(0, 256)]
    intent: LoggedEntry
    outcome: SignedDocument
    outcome_index: Count
    outcome_proof: Proof
    followed: Proof
    """Consistency proof from the log the signer had followed (size and root in the outcome) to the checkpoint."""
    checkpoint: Annotated[bytes, Bounds(1, 65536)]
    signatures: Annotated[tuple[Annotated[bytes, Bounds(1, 65536)], ...], Bounds(1, 200)]
    """Canonical signatures of the slots, in the request's order."""
    messages: Annotated[tuple[Annotated[bytes, Bounds(0, 65536)], ...], Bounds(0, 200)]
    """Whole messages of the slots whose key signs messages, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence(SignedRequest):
    """The proof of one artifact's signatures (public profile: ids and digests, no names).

    ``signatures`` and ``messages`` are those of its slots.
    """

    type: Literal["evidence"]
    artifact: FileName
    patch: Patch


@dataclass(frozen=True, slots=True, kw_only=True)
class Dossier(SignedRequest):
    """What a server knows of a signed request: evidence for each of its artifacts, but for the patch.

    ``signatures`` and ``messages`` are those of the whole request.  The client, which has the image, makes one
    ``Evidence`` an artifact of it.
    """

    type: Literal["dossier"]

    def evidence(
        self, artifact: str, signatures: tuple[bytes, ...], messages: tuple[bytes, ...], patch: Patch
    ) -> Evidence:
        """Return the evidence of one artifact, with what of this belongs to it."""
        shared = {f.name: getattr(self, f.name) for f in fields(SignedRequest)}
        shared |= {"signatures": signatures, "messages": messages}
        return Evidence(**shared, type="evidence", artifact=artifact, patch=patch)


@dataclass(frozen=True, slots=True, kw_only=True)
class AsOf:
    """A point of the log known to whoever made the trust file."""

    size: Count
    root_hash: Digest
    policy_version: Count
    policy_index: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustFile:
    """What a verifier starts from; get it from the maker of the firmware by a way you trust."""

    type: Literal["trust"]
    format: Literal[1]
    instance: Digest
    roots: Annotated[tuple[Digest, ...], Bounds(1, 4096)]
    """Digests of root versions 1, 2, … up to the newest known."""
    log: Origin
    log_key: VerifierKey
    log_ml_dsa: LogMlDsaKey | None = None
    witnesses: Annotated[tuple[Witness, ...], Bounds(0, 32)]
    witness_quorum: Annotated[int, Bounds(0, 32)]
    as_of: AsOf
    distrusted: Annotated[tuple[Digest, ...], Bounds(0, 65536)]
    """SHA-256 of the SubjectPublicKeyInfo of keys whose signatures count no more."""

    @property
    def log_keys(self) -> LogKeys:
        """The log's keys as what opens its checkpoints takes them."""
        return log_keys_of(self.log_key, self.log_ml_dsa)
