"""Attack: the server or an outage uses a stateful key up: by intent after intent, session after session, try by try."""

from collections.abc import Iterator

import pytest
from tests.attacks.test_stateful_numbers import Case
from tests.simulators.instance import DAY

from sealwright.core import records
from sealwright.core.errors import Code, RefusedError, UnavailableError
from sealwright.policy.documents import Outcome
from sealwright.signer import blocks


@pytest.fixture
def case(tmp_path):
    return Case(tmp_path)


def outcomes(case: Case, *, intents: int, in_one_round: int = 1) -> Iterator[Outcome]:
    """Have one approved request signed again and again."""
    instance, submission = case.instance, case.submission()
    for _ in range(intents):
        indices = [instance.log.append(instance.make_intent(submission)) for _ in range(in_one_round)]
        result = instance.round(sign=tuple(instance.order(submission, index) for index in indices))
        for index, answer in zip(indices, result.signed, strict=True):
            if answer.outcome is not None:
                instance.log_outcome(index, answer.outcome)
                yield records.parse(Outcome, answer.outcome.document)
        if result.announcement is not None:
            case.announce(result)


def test_one_request_uses_one_number_however_often_it_is_signed(case):
    made = list(outcomes(case, intents=40))
    assert len({outcome.slots[0].signature for outcome in made}) == 1
    assert case.partition.signed == 1
    assert case.sign() == 2


def test_what_is_given_again_leaves_only_when_its_outcome_is_logged(case):
    instance, submission = case.instance, case.submission()
    instance.ask(submission)
    case.announce(instance.round())
    first, result = instance.ask(submission)
    instance.log_outcome(first, instance.outcome_of(result))
    (kept,) = instance.round(release=(first,)).released[0].signatures
    again, result = instance.ask(submission)
    assert instance.release_refusal(again) is Code.OUTCOME_NOT_LOGGED
    instance.log_outcome(again, instance.outcome_of(result))
    assert instance.round(release=(again,)).released[0].signatures == (kept,)


def test_in_one_round_a_request_uses_up_no_more_than_the_block(case):
    assert len(list(outcomes(case, intents=8, in_one_round=6))) > 6
    assert case.partition.signed == 6


def test_another_request_for_the_same_bytes_uses_a_number_of_its_own(case):
    assert [case.sign() for _ in range(2)] == [1, 2]


def test_nothing_leaves_behind_a_number_outside_the_block(case):
    case.sign()
    case.partition.shift = 8
    instance, submissions = case.instance, [case.submission() for _ in range(3)]
    indices = [instance.log.append(instance.make_intent(submission)) for submission in submissions]
    orders = tuple(instance.order(s, i) for s, i in zip(submissions, indices, strict=True))
    for answer in instance.round(sign=orders).signed:
        assert records.parse(Outcome, answer.outcome.document).slots[0].failure == Code.STATE_EXHAUSTED


def test_keys_used_in_turn_keep_their_blocks(case):
    case.with_second_key()
    for _ in range(8):
        case.sign(1)
        case.sign(2)
    assert sorted(case.seen) == sorted([*range(1, 9)] * 2)
    assert set(case.marks.values()) == {9}


def test_a_request_with_two_stateful_keys_is_signed_after_one_session(case):
    case.with_second_key()
    assert case.sign(1, 2) == 1
    assert case.seen == [1, 1]
    assert set(case.marks.values()) == {9}
    assert case.sign(2, 1) == 2


def test_what_other_keys_signed_in_the_same_round_is_released_before_the_session_ends(case):
    instance, submissions = case.instance, [case.instance.approved(), case.submission()]
    indices = [instance.log.append(instance.make_intent(submission)) for submission in submissions]
    result = instance.round(sign=tuple(instance.order(s, i) for s, i in zip(submissions, indices, strict=True)))
    assert result.signed[0].outcome is not None
    assert result.signed[1].refusal.code is Code.SESSION_ENDED
    assert result.announcement is None
    instance.log_outcome(indices[0], result.signed[0].outcome)
    late = instance.approved()
    index = instance.log.append(instance.make_intent(late))
    result = instance.round(release=(indices[0],), sign=(instance.order(late, index),))
    assert result.released[0].signatures
    assert result.signed[0].refusal.code is Code.SESSION_ENDED, "it would be lost"
    case.announce(result)
    assert case.sign() == 1
    assert instance.sign(late)


def test_the_session_ends_for_a_stateful_key_whatever_the_server_holds_back(case):
    instance, submission = case.instance, case.submission()
    for _ in range(2):
        orders = [(s, instance.log.append(instance.make_intent(s))) for s in (instance.approved(), submission)]
        result = instance.round(sign=tuple(instance.order(*order) for order in orders))
    case.announce(result)
    assert case.sign() == 1


BROKEN = UnavailableError("the disk is full", code=Code.KEYSTORE_UNAVAILABLE)


def failures(case: Case, count: int) -> list[Code]:
    """Ask while the keystore fails; return how the slot failed each time, or why it was not tried."""
    found = []
    for _ in range(count):
        index, result = case.instance.ask(case.submission())
        answer = result.signed[0]
        if answer.refusal is not None:
            found.append(answer.refusal.code)
            if result.announcement is not None:
                case.announce(result)
            continue
        case.instance.log_outcome(index, answer.outcome)
        found.append(Code(records.parse(Outcome, answer.outcome.document).slots[0].failure))
    return found


def test_a_failure_costs_one_number_and_eight_in_a_row_stop_the_key(case):
    case.sign()
    case.partition.failure = BROKEN
    found = failures(case, 20)
    assert found[:7] == [Code.KEYSTORE_UNAVAILABLE] * 7
    assert found[7] is Code.SESSION_ENDED, "seven were left in the block"
    assert case.marks == {case.key.fingerprint: 17}
    _, result = case.instance.ask(case.submission())
    assert "failed 8 times in a row" in result.signed[0].refusal.message
    assert result.signed[0].refusal.hint == "mend its keystore, then restart the signer"
    case.partition.failure = None
    assert failures(case, 1) == [Code.KEYSTORE_UNAVAILABLE]
    case.restart()
    assert case.sign() == 17


def test_a_signature_in_between_lets_a_key_fail_again(case):
    for _ in range(3):
        case.partition.failure = BROKEN
        failures(case, 3)
        case.partition.failure = None
        case.sign()
    case.partition.failure = BROKEN
    assert "failed 8" not in str(case.instance.ask(case.submission())[1].signed[0].refusal)


def test_a_number_outside_the_block_and_a_block_without_numbers_burn_the_rest_of_it(case):
    case.sign()
    case.partition.failure = RefusedError("no number left in the block", code=Code.STATE_EXHAUSTED)
    assert failures(case, 2) == [Code.STATE_EXHAUSTED, Code.SESSION_ENDED]
    case.partition.failure = None
    assert case.sign() == 9


def test_a_key_that_is_not_ready_loses_no_number_and_no_patience(case):
    case.sign()
    case.partition.failure = UnavailableError("its tree is being made", code=Code.KEY_NOT_READY)
    assert set(failures(case, 12)) == {Code.KEY_NOT_READY}
    case.partition.failure = None
    assert case.sign() == 2


def test_a_request_for_more_numbers_than_are_left_is_refused_and_the_key_goes_on(case):
    case.sign()
    session = case.instance.session
    _, result = case.instance.ask(case.submission(*[1] * 40))
    assert result.signed[0].refusal.code is Code.STATE_EXHAUSTED
    assert "23 signature numbers left, 40 are wanted at once" in result.signed[0].refusal.message
    assert (result.session, result.announcement) == (session, None)
    assert case.sign() == 2


@pytest.mark.parametrize("counter", [(1 << 60, 1 << 62), (33, 32), (-1, 32), (1, 1024), (1, 31)])
def test_a_counter_that_cannot_be_right_is_refused_and_ends_no_round(case, counter):
    instance, other, lms = case.instance, case.instance.approved(), case.submission()
    case.partition.counters = lambda: {case.key.fingerprint: counter}
    indices = [instance.log.append(instance.make_intent(submission)) for submission in (other, lms)]
    result = instance.round(sign=(instance.order(other, indices[0]), instance.order(lms, indices[1])))
    assert result.signed[0].outcome is not None
    assert result.signed[1].refusal.code is Code.NOT_FOUND
    assert "with a counter of its 32 numbers" in result.signed[1].refusal.message


def test_with_more_living_requests_than_signatures_are_kept_new_ones_wait_and_none_is_signed_twice(case, monkeypatch):
    monkeypatch.setattr(blocks, "MAX_KEPT_BYTES", 1500)  # two of theirs
    instance, submissions = case.instance, [case.submission() for _ in range(3)]
    refused = []
    for submission in submissions * 8:
        index, result = instance.ask(submission)
        answer = result.signed[0]
        if result.announcement is not None:
            case.announce(result)
        elif answer.refusal is not None:
            refused.append(answer.refusal.code)
        else:
            instance.log_outcome(index, answer.outcome)
    assert case.partition.signed <= 3
    assert set(refused) == {Code.SIGNER_UNAVAILABLE}
    instance.clock.time += 2 * DAY
    assert case.sign() == case.partition.signed, "they expired, and are forgotten"
