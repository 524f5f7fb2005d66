"""Two engines run with one identity: a fail-over that was none, or a copied machine."""

from tests.simulators.instance import Instance, MemoryHeads

from sealwright.core.errors import Code
from sealwright.signer.protocol import Round


def two_engines(instance: Instance):
    """The older one with its session, and a newer one whose session is logged."""
    older, older_session = instance.engine, instance.session
    instance.heads = MemoryHeads(instance.heads.head)
    instance.start_signer()
    return older, older_session


def test_the_newer_session_ends_the_older():
    instance = Instance()
    older, older_session = two_engines(instance)
    submission = instance.approved()
    index = instance.log.append(instance.make_intent(submission, session=older_session))
    result = instance.catch_up(older)
    assert result.refusal is None
    assert result.announcement is None
    size = len(instance.log.entries)
    ask = Round(start=size, sign=(instance.order(submission, index),))
    assert instance.code_of(older.handle(ask)) is Code.SESSION_ENDED
    assert instance.sign(submission)


def test_neither_signs_what_the_other_signs():
    instance = Instance()
    older, _ = two_engines(instance)
    submission = instance.approved()
    index, result = instance.ask(submission)
    assert result.signed[0].outcome
    instance.catch_up(older)
    before = instance.signatures_made
    ask = Round(start=len(instance.log.entries), sign=(instance.order(submission, index),))
    assert instance.code_of(older.handle(ask)) is Code.SESSION_ENDED
    assert instance.signatures_made == before


def test_the_older_releases_nothing_any_more():
    instance = Instance()
    submission = instance.approved()
    index = instance.signed_and_logged(submission)
    older, _ = two_engines(instance)
    instance.catch_up(older)
    released = older.handle(Round(start=len(instance.log.entries), release=(index,))).released[0]
    assert released.refusal.code is Code.SESSION_ENDED
    assert not released.signatures


def test_of_two_that_announce_at_once_the_first_in_the_log_goes_on():
    instance = Instance(start=False)
    instance.log_policy()
    engines = [instance.new_engine(heads=MemoryHeads()) for _ in range(2)]
    announcements = [instance.catch_up(engine).announcement for engine in engines]
    for announcement in announcements:
        instance.log.append(instance.granting("session", announcement))
    results = [instance.catch_up(engine) for engine in engines]
    assert [result.announcement for result in results] == [None, None]
    submission = instance.approved()
    for engine, result, expected in zip(engines, results, (None, Code.SESSION_ENDED), strict=True):
        instance.session = result.session
        index = instance.log.append(instance.make_intent(submission))
        answer = instance.catch_up(engine, sign=(instance.order(submission, index),)).signed[0]
        assert (answer.refusal and answer.refusal.code) is expected


def test_a_copy_with_the_same_memory_gets_nothing_more_out():
    # A copied virtual machine has the session too.  Both sign, but one outcome is the first in the log.
    instance = Instance()
    copy = instance.new_engine(heads=MemoryHeads(instance.heads.head))
    copy._session = instance.session
    submission = instance.approved()
    index, result = instance.ask(submission)
    order = instance.order(submission, index)
    instance.catch_up(copy)
    of_copy = copy.handle(Round(start=len(instance.log.entries), sign=(order,)))
    instance.log_outcome(index, instance.outcome_of(result))
    instance.log_outcome(index, instance.outcome_of(of_copy))
    assert instance.round(release=(index,)).released[0].signatures
    instance.catch_up(copy)
    released = copy.handle(Round(start=len(instance.log.entries), release=(index,))).released[0]
    assert released.refusal.code is Code.OUTCOME_NOT_LOGGED
