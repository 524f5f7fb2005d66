"""The signer's clock is set back or ahead, or the server lies about the time in an intent."""

import pytest
from tests.simulators.instance import DAY, Instance

from sealwright.core.errors import Code
from sealwright.policy.documents import RestrictionKind


def seen(instance: Instance) -> None:
    """The signer follows one more entry, and remembers the time."""
    instance.restrict(RestrictionKind.VETO, "0" * 64)
    assert instance.catch_up().refusal is None


def test_a_clock_far_behind_the_time_it_has_seen_signs_nothing():
    instance = Instance()
    submission = instance.approved()
    instance.clock.time -= 601
    index = instance.log.append(instance.make_intent(submission))
    result = instance.catch_up(sign=(instance.order(submission, index),))
    assert result.refusal.code is Code.CLOCK_UNTRUSTED
    assert not result.signed
    instance.clock.time += 601
    assert instance.sign(submission)


def test_a_clock_set_back_while_the_log_rests_signs_nothing():
    instance = Instance()
    submission = instance.approved()
    index = instance.log.append(instance.make_intent(submission))
    instance.catch_up()
    instance.clock.time -= 601
    assert instance.code_of(instance.round(sign=(instance.order(submission, index),))) is Code.CLOCK_UNTRUSTED


def test_a_clock_a_little_behind_goes_on_with_the_time_it_has_seen():
    instance = Instance()
    submission = instance.submit(instance.make_request(expires=instance.clock.now() + 300))
    instance.vote(submission, "ben", "cleo")
    instance.clock.time += 300
    seen(instance)
    instance.clock.time -= 200
    assert instance.refusal(submission) is Code.REQUEST_EXPIRED


def test_the_time_is_remembered_over_a_restart():
    instance = Instance()
    submission = instance.submit(instance.make_request(expires=instance.clock.now() + 300))
    instance.vote(submission, "ben", "cleo")
    instance.clock.time += 300
    seen(instance)
    instance.clock.time -= 200
    instance.start_signer()
    assert instance.refusal(submission) is Code.REQUEST_EXPIRED


@pytest.mark.parametrize("seconds", [-601, 601, DAY])
def test_an_intent_whose_time_is_not_the_signers_is_refused(seconds):
    instance = Instance()
    submission = instance.approved()
    assert instance.refusal(submission, time=instance.clock.now() + seconds) is Code.CLOCK_UNTRUSTED


@pytest.mark.parametrize("seconds", [-600, 600])
def test_ten_minutes_apart_is_near_enough(seconds):
    instance = Instance()
    assert instance.sign(instance.approved(), time=instance.clock.now() + seconds)


def test_an_intent_kept_back_is_refused():
    instance = Instance()
    submission = instance.approved()
    index = instance.log.append(instance.make_intent(submission))
    instance.clock.time += 601
    assert instance.code_of(instance.round(sign=(instance.order(submission, index),))) is Code.CLOCK_UNTRUSTED


def test_the_outcome_says_the_signers_time_not_the_servers():
    instance = Instance()
    index, result = instance.ask(instance.approved(), time=instance.clock.now() + 500)
    assert b'"time":%d' % instance.clock.now() in instance.outcome_of(result).document
    assert index


@pytest.mark.parametrize("seconds", [-DAY, DAY])
def test_a_vote_outside_the_requests_life_is_refused(seconds):
    instance = Instance()
    submission = instance.vote(instance.submit(), "ben")
    vote = instance.make_vote(submission, "cleo", time=instance.clock.now() + seconds)
    submission.votes.append(instance.signed_vote(vote))
    assert instance.refusal(submission) is Code.VOTE_INVALID


class JumpingClock:
    """Tells the right time to whoever asks first, and an impossible one from then on."""

    def __init__(self, time: int) -> None:
        self.times = [time]

    def now(self) -> int:
        return self.times.pop() if self.times else 0


def test_a_clock_that_jumps_while_signing_loses_no_answer():
    instance = Instance()
    submission = instance.approved()
    index = instance.log.append(instance.make_intent(submission))
    instance.catch_up()
    instance.engine._follower._clock = JumpingClock(instance.clock.now())
    orders = (instance.order(submission, index), instance.order(submission, index + 1))
    first, second = instance.round(sign=orders).signed
    assert first.outcome
    assert second.refusal.code is Code.CLOCK_UNTRUSTED
