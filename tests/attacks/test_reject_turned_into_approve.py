"""Cleo rejected; the server edits her vote, or gives it as it is."""

from dataclasses import replace

from tests.simulators.instance import Instance

from sealwright.core import records
from sealwright.core.errors import Code
from sealwright.policy.documents import Decision


def test_an_edited_vote_is_refused():
    instance = Instance()
    submission = instance.vote(instance.submit(), "ben")
    rejection = instance.make_vote(submission, "cleo", decision=Decision.REJECT)
    approval = records.serialise(replace(rejection, decision=Decision.APPROVE))
    submission.votes.append(replace(instance.signed_vote(rejection), document=approval))
    assert instance.refusal(submission) is Code.VOTE_INVALID


def test_a_rejection_among_enough_approvals_stops_the_request():
    instance = Instance()
    submission = instance.vote(instance.submit(), "ben", "dan")
    submission.votes.append(instance.signed_vote(instance.make_vote(submission, "cleo", decision=Decision.REJECT)))
    assert instance.refusal(submission) is Code.VETOED


def test_displayed_turned_into_recomputed_is_refused():
    instance = Instance()
    submission = instance.submit()
    for name in ("ben", "cleo"):
        vote = instance.make_vote(submission, name, checked="displayed")
        edited = records.serialise(replace(vote, checked="recomputed"))
        submission.votes.append(replace(instance.signed_vote(vote), document=edited))
    assert instance.refusal(submission) is Code.VOTE_INVALID


def test_votes_that_only_looked_do_not_meet_a_rule_that_asks_for_recomputing():
    instance = Instance()
    submission = instance.submit()
    for name in ("ben", "cleo"):
        submission.votes.append(instance.signed_vote(instance.make_vote(submission, name, checked="displayed")))
    assert instance.refusal(submission) is Code.QUORUM_NOT_MET
