"""Dan vetoed and saw it in the log; the server tries to have the request signed all the same."""

from dataclasses import replace

import pytest
from tests.simulators.instance import Instance

from sealwright.core.errors import Code
from sealwright.policy.documents import RestrictionKind
from sealwright.signer.protocol import Round

ENDS = [RestrictionKind.VETO, RestrictionKind.CANCEL]


@pytest.mark.parametrize("kind", ENDS)
def test_a_logged_veto_stops_the_signer(kind):
    instance = Instance()
    submission = instance.approved()
    instance.restrict(kind, submission.digest, person="dan")
    assert instance.refusal(submission) is Code.VETOED


@pytest.mark.parametrize("kind", ENDS)
def test_a_veto_between_signing_and_release_keeps_the_signatures_in(kind):
    instance = Instance()
    submission = instance.approved()
    index = instance.signed_and_logged(submission)
    instance.restrict(kind, submission.digest, person="dan")
    assert instance.release_refusal(index) is Code.VETOED


def test_showing_the_log_only_up_to_the_veto_does_not_get_the_signatures_out():
    instance = Instance()
    submission = instance.approved()
    index = instance.log.append(instance.make_intent(submission))
    before_the_veto = instance.log.copy()
    instance.restrict(RestrictionKind.VETO, submission.digest, person="dan")
    result = instance.catch_up(log=before_the_veto, sign=(instance.order(submission, index),))
    instance.log_outcome(index, instance.outcome_of(result))
    assert instance.release_refusal(index) is Code.VETOED


def test_leaving_the_veto_out_of_the_entries_does_not_match_the_checkpoint():
    instance = Instance()
    submission = instance.approved()
    instance.restrict(RestrictionKind.VETO, submission.digest, person="dan")
    instance.log.append(instance.make_intent(submission))
    veto, intent = instance.log.entries[-2:]
    size = len(instance.log.entries)
    for entries in ((intent,), (intent, intent)):
        shown = Round(start=size - 2, entries=entries, checkpoint=instance.log.checkpoint())
        assert instance.engine.handle(shown).refusal.code is Code.LOG_INCONSISTENT
        instance.catch_up(log=instance.log.copy(size - 2))  # it had started over
    assert instance.engine.handle(replace(shown, entries=(veto, intent))).refusal is None


def test_a_veto_of_another_request_changes_nothing():
    instance = Instance()
    submission, other = instance.approved(), instance.approved()
    instance.restrict(RestrictionKind.VETO, other.digest, person="dan")
    assert instance.sign(submission)
