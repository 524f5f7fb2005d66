"""``check_history``: with a copy of the log, what the signer said about the log is no longer its word but proven.

The copy is folded from its first entry, as a signer does.  It must be of the log that trust file and evidence know;
then root, policy and session in force at the outcome, and all that was vetoed or revoked before it, follow from bytes.
Pure: the entries come from the caller.  Specification: ``docs/spec/evidence.md``, "With a copy of the log".
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.errors import Code, RefusedError, VerificationError
from sealwright.evidence.bundle import Evidence, TrustFile
from sealwright.policy.authorise import Approved
from sealwright.policy.documents import Outcome, RestrictionKind
from sealwright.policy.entries import OutcomeEntry
from sealwright.policy.fold import LogState, Restrictions
from sealwright.translog import merkle
from sealwright.translog.checkpoints import Checkpoint
from sealwright.translog.log_keys import open_checkpoint
from sealwright.translog.notes import parse_vkey

_REFRESH = "refresh the copy with `sealwright log mirror`, or get a newer one from where it came"


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What a copy of the log proved about one outcome.  Only ``check_history`` makes one."""

    size: int
    """Entries of the copy; nothing is known of what was logged after them."""
    restrictions: Restrictions
    """Those logged before the outcome, for ``verify_evidence``."""
    later: Restrictions
    """Those logged after it: what was signed stays signed, but its holder will want to know."""

    def notes(self, evidence: Evidence, approved: Approved) -> tuple[str, ...]:
        """Say what was logged after the outcome against its request, its people, their keys or its key profiles."""
        envelopes = [e for signed in (evidence.request, *evidence.votes) for e in signed.signatures]
        concerned = {
            RestrictionKind.VETO: {approved.request_digest},
            RestrictionKind.CANCEL: {approved.request_digest},
            RestrictionKind.REVOKE_PERSON: {approved.request.requester, *(b.vote.person for b in approved.ballots)},
            RestrictionKind.REVOKE_AUTHENTICATOR: {envelope.authenticator for envelope in envelopes},
            RestrictionKind.REVOKE_KEY_PROFILE: {profile.id for profile in approved.profiles},
        }
        found = sorted(
            (index, kind, subject)
            for kind, subjects in concerned.items()
            for subject in subjects
            if (index := self.later.find(kind, subject)) is not None
        )
        return tuple(f"logged after the outcome, entry {index}: {kind} {subject}" for index, kind, subject in found)


def check_history(evidence: Evidence, trust: TrustFile, entries: Iterable[bytes], checkpoint_note: bytes) -> History:
    """Prove from ``entries``, all that ``checkpoint_note`` covers, what was in force and restricted at the outcome.

    The image and the signatures are not looked at: ``verify_evidence`` does that, given ``restrictions`` from here.
    Raises ``VerificationError`` where the copy is not of this log or not as signed, ``RefusedError`` where the outcome
    is one that no signer should have released, or where the copy is too short to say.
    """
    copy = _open(checkpoint_note, trust)
    check = _Check(evidence, trust, _open(evidence.checkpoint, trust))
    check.lengths(copy.size)
    state, tree = LogState(instance=trust.instance, origin=trust.log), merkle.CompactRange()
    check.point(state, tree)
    for data in entries:
        if tree.size == copy.size:
            raise _inconsistent("the copy of the log has more entries than its checkpoint", str(copy.size), "more")
        check.entry(tree.size, data)
        state.apply(data)
        tree.append(merkle.leaf_hash(data))
        check.point(state, tree)
    if tree.size != copy.size:
        raise _inconsistent("entries in the copy of the log", str(copy.size), str(tree.size))
    if tree.root() != copy.root:
        raise _inconsistent(
            "the entries of the copy are not those of its checkpoint: root hash", copy.root.hex(), tree.root().hex()
        )
    restrictions, later = _split(state.restrictions, evidence.outcome_index)
    return History(size=copy.size, restrictions=restrictions, later=later)


class _Check:
    """What must hold at which place of the log."""

    def __init__(self, evidence: Evidence, trust: TrustFile, checkpoint: Checkpoint) -> None:
        self._evidence, self._trust, self._checkpoint = evidence, trust, checkpoint
        self._outcome = records.parse(Outcome, evidence.outcome.document)
        digest = document_digest("outcome", trust.instance, evidence.outcome.document)
        entry = OutcomeEntry(entry="outcome", format=1, intent_index=self._outcome.intent_index, document=digest)
        self._entries = {
            evidence.intent.index: ("intent", evidence.intent.entry),
            evidence.outcome_index: ("outcome", records.serialise(entry)),
        }
        self._roots_seen: list[str] = []

    def lengths(self, copy_size: int) -> None:
        """Refuse a copy that ends too early, and evidence whose places are out of order and so never come by."""
        outcome, evidence = self._outcome, self._evidence
        if not evidence.intent.index < outcome.size <= evidence.outcome_index < self._checkpoint.size:
            raise VerificationError("log order is not intent, outcome, checkpoint", code=Code.EVIDENCE_MISMATCH)
        for why, size in (
            (f"the outcome is entry {evidence.outcome_index}", evidence.outcome_index + 1),
            (f"the evidence knows {self._checkpoint.size}", self._checkpoint.size),
            (f"the trust file knows {self._trust.as_of.size}", self._trust.as_of.size),
        ):
            if copy_size < size:
                raise RefusedError(
                    f"the copy of the log ends after {copy_size} entries, {why}",
                    code=Code.LOG_INCONSISTENT,
                    hint=_REFRESH,
                )

    def entry(self, index: int, data: bytes) -> None:
        """Intent and outcome stand where the evidence says."""
        kind, wanted = self._entries.get(index, ("", data))
        if data != wanted:
            raise VerificationError(
                f"entry {index} of the copy of the log is not the {kind} of the evidence", code=Code.LOG_INCONSISTENT
            )

    def point(self, state: LogState, tree: merkle.CompactRange) -> None:
        """Check what is known of the log at this size."""
        size, as_of, outcome = tree.size, self._trust.as_of, self._outcome
        if state.root is not None and state.root.index == size - 1:
            self._root(state.root.digest)
        if size == as_of.size:
            _same_root("trust file", tree, as_of.root_hash)
            known = (as_of.policy_version, as_of.policy_index)
            policy = (state.policy.policy.version, state.policy.index) if state.policy else (0, 0)
            if policy != known:
                raise VerificationError(
                    f"policy version in the first {size} entries, and its entry",
                    expected=f"{known[0]} at {known[1]}",
                    got=f"{policy[0]} at {policy[1]}",
                    code=Code.NOT_TRUSTED,
                )
        if size == outcome.size:
            _same_root("signer", tree, outcome.root_hash)
            self._in_force(state)
        if size == self._evidence.outcome_index + 1:
            # A signer releases nothing once a newer root or session of its own is logged.
            self._root_in_force(state)
            self._session_in_force(state)
        if size == self._checkpoint.size:
            _same_root("evidence", tree, self._checkpoint.root.hex())

    def _root(self, digest: str) -> None:
        known = self._trust.roots[len(self._roots_seen) : len(self._roots_seen) + 1]
        self._roots_seen.append(digest)
        if known and known[0] != digest:
            raise VerificationError(
                f"digest of root version {len(self._roots_seen)} in the copy of the log",
                expected=known[0],
                got=digest,
                code=Code.NOT_TRUSTED,
            )

    def _in_force(self, state: LogState) -> None:
        self._root_in_force(state)
        self._session_in_force(state)
        if state.policy is None or state.policy.index != self._outcome.policy_index:
            found = f"entry {state.policy.index}" if state.policy else "none"
            raise RefusedError(
                f"the policy at entry {self._outcome.policy_index} was not the newest when this was signed: "
                f"{found} was in force at size {state.size}",
                code=Code.POLICY_NOT_CURRENT,
            )

    def _root_in_force(self, state: LogState) -> None:
        if state.root is None or state.root.index != self._outcome.root_index:
            found = f"entry {state.root.index}" if state.root else "none"
            raise RefusedError(
                f"the root at entry {self._outcome.root_index} was not in force when this was signed: "
                f"{found} was at size {state.size}",
                code=Code.ROOT_INVALID,
            )

    def _session_in_force(self, state: LogState) -> None:
        session, _ = state.sessions.get(self._outcome.signer, ("none", -1))
        if session != self._outcome.session:
            raise RefusedError(
                f"session {self._outcome.session[:16]} of signer {self._outcome.signer} was not its newest at size "
                f"{state.size}, that was {session[:16]}",
                code=Code.SESSION_ENDED,
            )


def _open(note: bytes, trust: TrustFile) -> Checkpoint:
    return open_checkpoint(
        note,
        origin=trust.log,
        log_keys=trust.log_keys,
        witnesses=[parse_vkey(w.key) for w in trust.witnesses],
        quorum=trust.witness_quorum,
    ).checkpoint


def _same_root(whose: str, tree: merkle.CompactRange, expected: str) -> None:
    got = tree.root().hex()
    if got != expected:
        raise _inconsistent(
            f"the copy is not of the log that the {whose} knows: root hash at size {tree.size}", expected, got
        )


def _split(restrictions: Restrictions, outcome_index: int) -> tuple[Restrictions, Restrictions]:
    before, after = Restrictions(), Restrictions()
    for kind, subjects in restrictions.by_kind.items():
        for subject, index in subjects.items():
            (before if index < outcome_index else after).add(kind, subject, index)
    return before, after


def _inconsistent(what: str, expected: str, got: str) -> VerificationError:
    return VerificationError(what, expected=expected, got=got, code=Code.LOG_INCONSISTENT)
