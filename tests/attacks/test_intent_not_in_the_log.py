"""The server asks for signatures without having logged the intent, or with another one."""

import pytest
from tests.simulators.instance import Instance

from sealwright.core.errors import Code
from sealwright.signer.protocol import Round


def test_an_index_beyond_the_log_is_no_intent():
    instance = Instance()
    submission = instance.approved()
    result = instance.round(sign=(instance.order(submission, len(instance.log.entries)),))
    assert instance.code_of(result) is Code.INTENT_NOT_LOGGED


@pytest.mark.parametrize("index", [0, 1, 2, (1 << 53) - 1])
def test_entries_of_other_kinds_are_no_intent(index):
    instance = Instance()
    result = instance.round(sign=(instance.order(instance.approved(), index),))
    assert instance.code_of(result) is Code.INTENT_NOT_LOGGED


def test_an_intent_given_without_a_checkpoint_over_it_does_not_count():
    instance = Instance()
    submission = instance.approved()
    index = instance.log.append(instance.make_intent(submission))
    ask = Round(start=index, entries=(instance.log.entries[index],), sign=(instance.order(submission, index),))
    assert instance.code_of(instance.engine.handle(ask)) is Code.LOG_INCONSISTENT
    assert instance.code_of(instance.engine.handle(Round(start=index + 1, sign=ask.sign))) is Code.LOG_INCONSISTENT
    assert instance.engine.handle(Round(start=index + 1, checkpoint=instance.log.checkpoint())).refusal is None
    assert instance.engine.handle(Round(start=index + 1, sign=ask.sign)).signed[0].outcome


def test_an_intent_under_a_checkpoint_of_another_key_does_not_count():
    instance = Instance()
    submission = instance.approved()
    fork = instance.log.copy()
    fork.private_key = type(fork)().private_key
    index = fork.append(instance.make_intent(submission))
    result = instance.catch_up(log=fork, sign=(instance.order(submission, index),))
    assert result.refusal.code is Code.NOT_TRUSTED
    assert not result.signed


def test_an_intent_that_names_other_votes_than_are_given_is_refused():
    instance = Instance()
    submission = instance.approved()
    votes = instance.make_intent(submission).votes
    assert instance.refusal(submission, votes=votes[:1]) is Code.INTENT_MISMATCH
    assert instance.refusal(submission, votes=votes[::-1]) is Code.INTENT_MISMATCH
    assert instance.refusal(submission, reports=("0" * 64,)) is Code.INTENT_MISMATCH
    assert instance.sign(submission)


def test_an_intent_for_another_signer_or_session_is_refused():
    instance = Instance()
    submission = instance.approved()
    assert instance.refusal(submission, signer="signer-2") is Code.SESSION_ENDED
    assert instance.refusal(submission, session="0" * 64) is Code.SESSION_ENDED
