"""The fold of the log: what root, policy, sessions and restrictions hold after each entry.

It depends on log bytes only: the same bytes give the same state to signer, client and auditor.  Invalid entries are
ignored, never an error: who can write to the log must not be able to wedge those who follow it.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.envelopes import SignedDocument
from sealwright.core.errors import Code, FormatError, RefusedError, VerificationError
from sealwright.policy.documents import MAX_POLICY_SECONDS, Policy, RestrictionKind, Root, Session, SignerIdentity
from sealwright.policy.entries import (
    Entry,
    GrantingEntry,
    IntentEntry,
    OutcomeEntry,
    RestrictionEntry,
    TimestampedEntry,
    parse_entry,
)
from sealwright.policy.roots import open_first_root, open_next_root
from sealwright.policy.signatures import Namespace, the_envelope, verify_ed25519, who_signed

REMEMBERED_INTENTS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RootInForce:
    """The newest root, its digest, where it is logged, and as it was signed."""

    root: Root
    digest: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyInForce:
    """The newest policy under the newest root, its digest and where it is logged."""

    policy: Policy
    digest: str
    index: int


@dataclass(slots=True)
class Restrictions:
    """What restricting entries took away, each with the index of the first entry that did."""

    by_kind: dict[RestrictionKind, dict[str, int]] = field(
        default_factory=lambda: {kind: {} for kind in RestrictionKind}
    )

    def add(self, kind: RestrictionKind, subject: str, index: int) -> None:
        """Remember a restriction; the first one counts."""
        self.by_kind[kind].setdefault(subject, index)

    def find(self, kind: RestrictionKind, subject: str) -> int | None:
        """Return the index of the entry that restricts ``subject``, or None."""
        return self.by_kind[kind].get(subject)


@dataclass(slots=True, kw_only=True)
class LogState:
    """Everything that follows from the first ``size`` entries of the log ``origin`` of ``instance``."""

    instance: str
    origin: str
    size: int = 0
    root: RootInForce | None = None
    policy: PolicyInForce | None = None
    newest_policy_version: int = 0
    sessions: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Signer id to its newest session and the index of that entry."""
    marks: dict[str, int] = field(default_factory=dict)
    """Stateful key, by fingerprint, to the end of its newest block of signature numbers."""
    restrictions: Restrictions = field(default_factory=Restrictions)
    intents: OrderedDict[int, tuple[IntentEntry, str]] = field(default_factory=OrderedDict)
    """The newest intents: index to entry and digest."""
    outcomes: OrderedDict[int, tuple[int, str]] = field(default_factory=OrderedDict)
    """Intent index to the index of its first outcome entry and the document's digest."""

    def apply(self, data: bytes) -> Entry | None:
        """Fold the next entry in; return it if it counts, None if it is ignored."""
        index = self.size
        self.size += 1
        try:
            entry = parse_entry(data)
            self._apply(entry, index, data)
        except (FormatError, RefusedError, VerificationError):
            return None
        return entry

    def signer(self, signer_id: str, index: int) -> SignerIdentity | None:
        """Return the signer's identity if the root in force lists it for log index ``index``."""
        signers = self.root.root.signers if self.root else ()
        for signer in signers:
            if signer.id == signer_id and signer.valid_from <= index:
                return signer if signer.valid_until is None or index < signer.valid_until else None
        return None

    def _apply(self, entry: Entry, index: int, data: bytes) -> None:
        match entry:
            case GrantingEntry(entry="root"):
                self._apply_root(entry.signed, index)
            case GrantingEntry(entry="policy"):
                self._apply_policy(entry.signed, index)
            case GrantingEntry():
                self._apply_session(entry.signed, index)
            case RestrictionEntry():
                self.restrictions.add(entry.kind, entry.subject, index)
            case IntentEntry():
                self.intents[index] = entry, document_digest("intent", self.instance, data)
                _trim(self.intents)
            case OutcomeEntry():
                self.outcomes.setdefault(entry.intent_index, (index, entry.document))
                _trim(self.outcomes)
            case TimestampedEntry():
                pass  # matters to evidence, not to what may be signed next

    def _apply_root(self, signed: SignedDocument, index: int) -> None:
        if self.root is None:
            root, digest = open_first_root(signed)
            if digest != self.instance:
                raise RefusedError("first root of another installation", code=Code.WRONG_INSTANCE)
        else:
            root, digest = open_next_root(signed, self.root.root, self.root.digest, self.instance)
        if all(log.origin != self.origin for log in root.logs):
            raise RefusedError("root does not name this log", code=Code.WRONG_LOG)
        self.root = RootInForce(root=root, digest=digest, index=index)
        self.policy = None  # a newer root voids the policy until one under it is logged

    def _apply_policy(self, signed: SignedDocument, index: int) -> None:
        if self.root is None:
            raise RefusedError("policy before any root", code=Code.POLICY_INVALID)
        policy, digest = open_policy(signed, self.root.root, self.root.digest, self.instance)
        if policy.version <= self.newest_policy_version:
            raise RefusedError(f"policy version {policy.version} is not newer", code=Code.POLICY_NOT_CURRENT)
        self.policy = PolicyInForce(policy=policy, digest=digest, index=index)
        self.newest_policy_version = policy.version

    def _apply_session(self, signed: SignedDocument, index: int) -> None:
        session = records.parse(Session, signed.document)
        signer = self.signer(session.signer, index)
        if signer is None:
            raise RefusedError(f"root lists no signer {session.signer} here", code=Code.NOT_PERMITTED)
        digest = document_digest("session", self.instance, signed.document)
        verify_ed25519(the_envelope(signed, Code.SESSION_ENDED), digest, signer.key)
        _, newest = self.sessions.get(session.signer, ("", -1))
        if not newest < session.size <= index:
            # It did not know the session before it, so it is not newer: an ended session, logged again, stays ended.
            raise RefusedError(f"session of signer {session.signer} is not its newest", code=Code.SESSION_ENDED)
        for mark in session.marks or ():
            if not self.marks.get(mark.key, 0) <= mark.first < mark.stop:
                # Two sessions were announced at once: whose numbers were marked first keeps them.
                raise RefusedError(f"numbers of key {mark.key[:16]} are marked already", code=Code.SESSION_ENDED)
        self.marks |= {mark.key: mark.stop for mark in session.marks or ()}
        self.sessions[session.signer] = session.session, index


def open_policy(signed: SignedDocument, root: Root, root_digest: str, instance: str) -> tuple[Policy, str]:
    """Check a policy head under ``root``: its root, lifetime and threshold; return it and its digest."""
    policy = records.parse(Policy, signed.document)
    digest = document_digest("policy", instance, signed.document)
    if policy.root != root_digest:
        raise RefusedError("policy stands under another root", code=Code.POLICY_NOT_CURRENT)
    if not policy.created < policy.expires <= policy.created + MAX_POLICY_SECONDS:
        raise RefusedError("policy lifetime is not within 400 days of its creation", code=Code.POLICY_INVALID)
    people, foreign = who_signed(signed.signatures, digest, root.administrators, Namespace.POLICY)
    if foreign:
        raise RefusedError(
            f"the signature of {foreign[0].signer} under the policy is not that of an administrator of root version "
            f"{root.version}",
            code=Code.POLICY_INVALID,
        )
    if len(people) < root.threshold:
        raise RefusedError(
            f"policy version {policy.version} is signed by {len(people)} of {root.threshold} administrators",
            code=Code.POLICY_INVALID,
            hint=f"`sealwright policy sign {digest[:16]}` by one more administrator",
        )
    return policy, digest


def _trim(remembered: OrderedDict[int, tuple[IntentEntry, str]] | OrderedDict[int, tuple[int, str]]) -> None:
    if len(remembered) > REMEMBERED_INTENTS:
        remembered.popitem(last=False)
