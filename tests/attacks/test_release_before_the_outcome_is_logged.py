"""The server wants the signatures without their outcome in the log."""

from tests.simulators.instance import Instance

from sealwright.core.errors import Code
from sealwright.signer.protocol import Round


def signed(instance: Instance):
    index, result = instance.ask(instance.approved())
    return index, instance.outcome_of(result)


def test_nothing_is_released_before_the_outcome_is_logged():
    instance = Instance()
    index, outcome = signed(instance)
    assert instance.release_refusal(index) is Code.OUTCOME_NOT_LOGGED
    instance.log_outcome(index, outcome)
    assert instance.round(release=(index,)).released[0].signatures


def test_an_answer_to_a_signing_order_holds_no_signature():
    instance = Instance()
    _, result = instance.ask(instance.approved())
    assert not result.released
    assert set(result.signed[0].__slots__) == {"intent_index", "outcome", "refusal"}


def test_asking_in_the_round_that_signs_is_too_early():
    instance = Instance()
    submission = instance.approved()
    index = instance.log.append(instance.make_intent(submission))
    result = instance.round(sign=(instance.order(submission, index),), release=(index,))
    assert result.signed[0].outcome
    assert result.released[0].refusal.code is Code.OUTCOME_NOT_LOGGED


def test_an_outcome_shown_without_a_checkpoint_over_it_does_not_count():
    instance = Instance()
    index, outcome = signed(instance)
    at = instance.log_outcome(index, outcome)
    ask = Round(start=at, entries=(instance.log.entries[at],), release=(index,))
    assert instance.engine.handle(ask).released[0].refusal.code is Code.LOG_INCONSISTENT


def test_another_outcome_in_its_place_does_not_count():
    instance = Instance()
    index, outcome = signed(instance)
    other_index, other = signed(instance)
    instance.log_outcome(index, other)
    assert instance.release_refusal(index) is Code.OUTCOME_NOT_LOGGED
    instance.log_outcome(other_index, other)
    assert instance.round(release=(other_index,)).released[0].signatures
    # The first outcome entry of an intent is the one that counts.
    instance.log_outcome(index, outcome)
    assert instance.release_refusal(index) is Code.OUTCOME_NOT_LOGGED


def test_an_outcome_logged_before_its_intent_does_not_count():
    instance = Instance()
    submission = instance.approved()
    intent = len(instance.log.entries) + 1
    index, outcome = signed(instance)
    assert index != intent
    instance.log_outcome(intent, outcome)
    assert instance.release_refusal(index) is Code.OUTCOME_NOT_LOGGED
    assert instance.sign(submission)


def test_nothing_is_kept_for_an_intent_that_was_refused():
    instance = Instance()
    index, _ = instance.ask(instance.vote(instance.submit(), "ben"))
    assert instance.release_refusal(index) is Code.RELEASE_TOO_LATE


def test_release_can_be_asked_again():
    instance = Instance()
    index = instance.signed_and_logged(instance.approved())
    first = instance.round(release=(index,)).released[0].signatures
    assert instance.round(release=(index, index)).released[1].signatures == first


def test_after_a_restart_the_signatures_are_gone():
    instance = Instance()
    index = instance.signed_and_logged(instance.approved())
    instance.start_signer()
    assert instance.release_refusal(index) is Code.RELEASE_TOO_LATE
