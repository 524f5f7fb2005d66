"""The outcome is logged, but the server collects the signatures only when the moment suits it."""

import pytest
from tests.simulators.instance import Instance

from sealwright.core.errors import Code


@pytest.mark.parametrize("seconds", [601, 3600])
def test_after_ten_minutes_nothing_is_released(seconds):
    instance = Instance()
    index = instance.signed_and_logged(instance.approved())
    instance.clock.time += seconds
    assert instance.release_refusal(index) is Code.RELEASE_TOO_LATE


def test_within_ten_minutes_it_is():
    instance = Instance()
    index = instance.signed_and_logged(instance.approved())
    instance.clock.time += 600
    assert instance.round(release=(index,)).released[0].signatures


def test_setting_the_clock_back_does_not_help_once_the_time_was_seen():
    instance = Instance()
    index = instance.signed_and_logged(instance.approved())
    instance.clock.time += 601
    instance.log_policy()
    instance.catch_up()
    instance.clock.time -= 300
    assert instance.release_refusal(index) is Code.RELEASE_TOO_LATE


def test_the_request_can_be_signed_again_after_that():
    instance = Instance()
    submission = instance.approved()
    index = instance.signed_and_logged(submission)
    instance.clock.time += 601
    assert instance.release_refusal(index) is Code.RELEASE_TOO_LATE
    assert instance.sign(submission)


def test_what_was_not_collected_is_forgotten():
    instance = Instance()
    index = instance.signed_and_logged(instance.approved())
    instance.clock.time += 601
    instance.ask(instance.approved())
    assert index not in instance.engine._pending
