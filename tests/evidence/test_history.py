"""A copy of the log proves what the signer said of it, and shows what a dishonest server or signer left out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.client.signed import Maker
from tests.simulators.instance import Instance, MemoryHeads, MemoryLog

from sealwright.client.assembly import assemble
from sealwright.client.files import FileSource
from sealwright.core import records
from sealwright.core.envelopes import SignedDocument
from sealwright.core.errors import Code, RefusedError, SealwrightError, VerificationError
from sealwright.core.images import MemorySource
from sealwright.evidence.bundle import AsOf, Evidence, TrustFile
from sealwright.evidence.history import History, check_history
from sealwright.evidence.verify import VerifiedEvidence, verify_evidence
from sealwright.formats import FORMATS
from sealwright.policy.documents import Outcome, RestrictionKind
from sealwright.policy.entries import IntentEntry, parse_entry
from sealwright.policy.fold import Restrictions
from sealwright.translog import merkle

IMAGE = b"firmware of a gateway " * 9
Step = Callable[[Instance, SignedDocument], SignedDocument]


@dataclass(frozen=True)
class Case:
    """An image signed by an installation, with its evidence and the log as it is."""

    maker: Maker
    evidence: Evidence
    trust: TrustFile

    @property
    def log(self) -> MemoryLog:
        return self.maker.instance.log

    def history(self, entries: Sequence[bytes] | None = None, **changes: Any) -> History:
        """Check against a copy of the whole log, or of these entries under an honest checkpoint over them."""
        log = replace(self.log, entries=list(self.log.entries if entries is None else entries))
        return check_history(self.evidence, replace(self.trust, **changes), log.entries, log.checkpoint())

    def verified(self, restrictions: Restrictions | None = None) -> VerifiedEvidence:
        return verify_evidence(self.evidence, MemorySource(IMAGE), self.trust, FORMATS, restrictions=restrictions)


def root_hash(entries: Sequence[bytes]) -> str:
    return merkle.root_of([merkle.leaf_hash(entry) for entry in entries]).hex()


def as_of(maker: Maker, size: int) -> AsOf:
    entries = maker.instance.log.entries[:size]
    return AsOf(size=size, root_hash=root_hash(entries), policy_version=int(size > 1), policy_index=int(size > 1))


def signed(folder: Path, step: Step | None = None) -> Case:
    """Sign; ``step`` is what happens between a signer's outcome and its log entry, and what the outcome then says."""
    maker, path = Maker(), folder / "gateway.bin"
    path.write_bytes(IMAGE)
    prepared = maker.prepare(path)
    if step:
        make_dishonest(maker.instance, step)
    dossier = maker.sign(prepared)
    with FileSource(path) as source:
        evidence = assemble(dossier, path.name, source, FORMATS)
    return Case(maker, evidence, maker.trust(as_of=as_of(maker, 2)))


def make_dishonest(instance: Instance, step: Step) -> None:
    """From here on the signer says what ``step`` makes of its outcome, and releases whatever it signed."""
    honest_round, honest_outcome = instance.round, instance.outcome_of

    def round_(**order: Any) -> Any:
        if "release" not in order:
            return honest_round(**order)
        kept = instance.engine._pending[order["release"][0]]
        return SimpleNamespace(released=[SimpleNamespace(refusal=None, signatures=kept.signatures)])

    instance.outcome_of = lambda result: step(instance, honest_outcome(result))  # type: ignore[method-assign]
    instance.round = round_  # type: ignore[method-assign]


def veto(instance: Instance, outcome: SignedDocument) -> SignedDocument:
    intent = parse_entry(instance.log.entries[-1])
    assert isinstance(intent, IntentEntry)
    instance.restrict(RestrictionKind.VETO, intent.request)
    return outcome


def revoke_ben(instance: Instance, outcome: SignedDocument) -> SignedDocument:
    instance.restrict(RestrictionKind.REVOKE_PERSON, "ben")
    return outcome


def claim_old_policy(instance: Instance, outcome: SignedDocument) -> SignedDocument:
    """A newer policy is followed and concealed."""
    instance.log_policy()
    return claim_newest_size(instance, outcome)


def claim_old_root(instance: Instance, outcome: SignedDocument) -> SignedDocument:
    instance.log_root(instance.next_root())
    return claim_newest_size(instance, outcome)


def new_root(instance: Instance, outcome: SignedDocument) -> SignedDocument:
    instance.log_root(instance.next_root())
    return outcome


def new_session(instance: Instance, outcome: SignedDocument) -> SignedDocument:
    announcement = instance.catch_up(instance.new_engine(heads=MemoryHeads())).announcement
    assert announcement is not None
    instance.log.append(instance.granting("session", announcement))
    return outcome


def claim_newest_size(instance: Instance, outcome: SignedDocument) -> SignedDocument:
    said = records.parse(Outcome, outcome.document)
    entries = instance.log.entries
    said = replace(said, size=len(entries), root_hash=root_hash(entries))
    return instance.engine._signed("outcome", records.serialise(said))


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return signed(tmp_path_factory.mktemp("history"))


def refused(case: Case, *entries: Sequence[bytes], **changes: Any) -> SealwrightError:
    with pytest.raises((RefusedError, VerificationError)) as caught:
        case.history(*entries, **changes)
    return caught.value


def test_a_copy_of_the_log_proves_the_outcome(case):
    history = case.history()
    assert history.size == len(case.log.entries)
    assert history.notes(case.evidence, case.verified(history.restrictions).approved) == ()


@pytest.mark.parametrize(
    ("step", "code", "said"),
    [
        (claim_old_policy, Code.POLICY_NOT_CURRENT, "was not the newest when this was signed: entry 4 was in force"),
        (claim_old_root, Code.ROOT_INVALID, "was not in force when this was signed: entry 4 was at size 5"),
        (new_root, Code.ROOT_INVALID, "was not in force when this was signed: entry 4 was at size 6"),
        (new_session, Code.SESSION_ENDED, "of signer signer-1 was not its newest at size 6"),
    ],
)
def test_what_a_dishonest_signer_conceals_is_seen_in_the_copy_alone(tmp_path, step, code, said):
    case = signed(tmp_path, step)
    case.verified()
    error = refused(case)
    assert (type(error), error.code) == (RefusedError, code)
    assert said in error.message


@pytest.mark.parametrize(("step", "code"), [(veto, Code.VETOED), (revoke_ben, Code.REVOKED)])
def test_what_was_restricted_before_the_outcome_refuses_it(tmp_path, step, code):
    case = signed(tmp_path, step)
    case.verified()
    with pytest.raises(RefusedError) as caught:
        case.verified(case.history().restrictions)
    assert caught.value.code == code


def test_a_veto_that_a_fork_hides_is_noticed_by_the_copy_that_has_it(case):
    instance = case.maker.instance
    intent = parse_entry(case.evidence.intent.entry)
    assert isinstance(intent, IntentEntry)
    fork = replace(instance.log, entries=list(instance.log.entries))
    instance.log.entries, kept = fork.entries[: case.evidence.outcome_index], instance.log.entries
    try:
        instance.restrict(RestrictionKind.VETO, intent.request)
        seen = [*instance.log.entries, *fork.entries[case.evidence.outcome_index :]]
    finally:
        instance.log.entries = kept
    error = refused(case, seen)
    assert (type(error), error.code) == (VerificationError, Code.LOG_INCONSISTENT)
    assert "is not the outcome of the evidence" in error.message


def test_a_fork_before_the_intent_is_noticed_where_the_trust_file_knows_the_log(case):
    other = Maker().instance.log.entries
    error = refused(case, [other[0], *case.log.entries[1:]], as_of=case.trust.as_of)
    assert (type(error), error.code) == (VerificationError, Code.LOG_INCONSISTENT)
    assert "the copy is not of the log that the trust file knows: root hash at size 2" in error.message


def test_a_fork_that_trust_file_and_signer_do_not_reach_is_noticed_by_the_evidence(tmp_path):
    case = signed(tmp_path)
    case.maker.instance.restrict(RestrictionKind.REVOKE_PERSON, "dan")
    later = replace(case, evidence=replace(case.evidence, checkpoint=case.log.checkpoint()))
    error = refused(later, [*case.log.entries[:-1], b"another"])
    assert "the copy is not of the log that the evidence knows: root hash at size 6" in error.message


@pytest.mark.parametrize("missing", [1, 2, 4])
def test_a_copy_that_ends_before_the_outcome_is_refused_with_what_helps(case, missing):
    error = refused(case, case.log.entries[:-missing])
    assert (type(error), error.code) == (RefusedError, Code.LOG_INCONSISTENT)
    assert f"ends after {len(case.log.entries) - missing} entries, the outcome is entry 4" in error.message
    assert "sealwright log mirror" in error.hint


def test_a_copy_shorter_than_the_trust_file_knows_is_refused(case):
    error = refused(case, as_of=replace(case.trust.as_of, size=99))
    assert (type(error), error.code) == (RefusedError, Code.LOG_INCONSISTENT)
    assert "the trust file knows 99" in error.message


@pytest.mark.parametrize("size", [0, 1, 2, 5])
def test_another_root_hash_or_policy_than_the_trust_file_knows_is_refused(case, size):
    known = as_of(case.maker, size)
    case.history(as_of=known)
    error = refused(case, as_of=replace(known, root_hash="1" * 64))
    assert (type(error), error.code) == (VerificationError, Code.LOG_INCONSISTENT)
    error = refused(case, as_of=replace(known, policy_version=7))
    assert f"policy version in the first {size} entries" in error.message


def test_other_roots_than_the_trust_file_knows_are_refused(case):
    error = refused(case, roots=("1" * 64,))
    assert (type(error), error.code) == (VerificationError, Code.NOT_TRUSTED)


@pytest.mark.parametrize("index", range(5))
def test_a_changed_entry_is_refused(case, index):
    entries = list(case.log.entries)
    entries[index] = entries[index].replace(b"1", b"2")
    for note in (case.log.checkpoint(), replace(case.log, entries=entries).checkpoint()):
        with pytest.raises((RefusedError, VerificationError)):
            check_history(case.evidence, case.trust, entries, note)


def test_a_copy_with_more_or_fewer_entries_than_its_checkpoint_is_refused(case):
    note = case.log.checkpoint()
    with pytest.raises(VerificationError, match="more entries than its checkpoint"):
        check_history(case.evidence, case.trust, [*case.log.entries, b"more"], note)
    with pytest.raises(VerificationError, match="entries in the copy of the log: expected 5, got 4"):
        check_history(case.evidence, case.trust, case.log.entries[:-1], note)


def test_entries_behind_the_evidence_must_be_those_of_the_checkpoint_too(case):
    longer = replace(case.log, entries=[*case.log.entries, b"garbage"])
    assert case.history(longer.entries).size == 6
    with pytest.raises(VerificationError, match="the entries of the copy are not those of its checkpoint"):
        check_history(case.evidence, case.trust, [*case.log.entries, b"other"], longer.checkpoint())


def test_a_checkpoint_by_another_key_or_without_its_witnesses_is_refused(case):
    forged = MemoryLog(entries=case.log.entries).checkpoint()
    with pytest.raises(VerificationError, match="not signed by the key of log"):
        check_history(case.evidence, case.trust, case.log.entries, forged)
    assert "0 trusted witnesses cosigned" in refused(case, witness_quorum=1).message


def test_what_was_restricted_later_is_said_and_refuses_nothing(tmp_path):
    case = signed(tmp_path)
    instance, approved = case.maker.instance, case.verified().approved
    instance.restrict(RestrictionKind.VETO, approved.request_digest)
    instance.restrict(RestrictionKind.REVOKE_PERSON, "cleo")
    instance.restrict(RestrictionKind.REVOKE_PERSON, "dan")
    authenticator = instance.people["ada"].key.fingerprint
    instance.restrict(RestrictionKind.REVOKE_AUTHENTICATOR, authenticator)
    instance.restrict(RestrictionKind.REVOKE_KEY_PROFILE, case.maker.profile.id)
    history = case.history()
    assert history.notes(case.evidence, case.verified(history.restrictions).approved) == (
        f"logged after the outcome, entry 5: veto {approved.request_digest}",
        "logged after the outcome, entry 6: revoke-person cleo",
        f"logged after the outcome, entry 8: revoke-authenticator {authenticator}",
        "logged after the outcome, entry 9: revoke-key-profile gateway/production/1",
    )
