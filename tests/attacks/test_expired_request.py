"""An approved request is kept back and used later than its requester allowed."""

from tests.simulators.instance import DAY, Instance

from sealwright.core.errors import Code


def test_a_request_is_dead_from_its_last_second_on():
    instance = Instance()
    submission = instance.approved()
    instance.clock.time += DAY
    assert instance.refusal(submission) is Code.REQUEST_EXPIRED


def test_a_request_lives_until_the_second_before():
    instance = Instance()
    submission = instance.approved()
    instance.clock.time += DAY - 1
    assert instance.sign(submission)


def test_a_request_that_expires_between_signing_and_release_stays_in():
    instance = Instance()
    submission = instance.approved()
    instance.clock.time += DAY - 1
    index = instance.signed_and_logged(submission)
    instance.clock.time += 1
    assert instance.release_refusal(index) is Code.REQUEST_EXPIRED


def test_a_request_that_would_live_longer_than_thirty_days_is_refused():
    instance = Instance()
    longest = instance.clock.now() + 30 * DAY
    assert instance.refusal(instance.approved(expires=longest + 1)) is Code.REQUEST_INVALID
    assert instance.sign(instance.approved(expires=longest))


def test_a_request_from_the_future_is_refused():
    # Otherwise it could be made today and live for sixty days.
    instance = Instance()
    tomorrow = instance.clock.now() + DAY
    request = {"created": tomorrow, "expires": tomorrow + DAY}
    assert instance.refusal(instance.approved(**request)) is Code.REQUEST_NOT_YET_VALID


def test_a_request_that_ends_before_it_begins_is_refused():
    instance = Instance()
    now = instance.clock.now()
    assert instance.refusal(instance.approved(created=now + 60, expires=now + 30)) is Code.REQUEST_INVALID


def test_a_policy_that_expires_between_signing_and_release_keeps_the_signatures_in():
    instance = Instance()
    instance.log_policy(instance.make_policy(expires=instance.clock.now() + 60))
    index = instance.signed_and_logged(instance.approved())
    instance.clock.time += 60
    assert instance.release_refusal(index) is Code.POLICY_EXPIRED
