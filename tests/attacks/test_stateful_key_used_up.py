"""Attack: the server uses a stateful key up with one approved request, by logging intent after intent for it."""

from collections.abc import Iterator

import pytest
from tests.attacks.test_stateful_numbers import Case

from sealwright.core import records
from sealwright.core.errors import Code
from sealwright.policy.documents import Outcome


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
