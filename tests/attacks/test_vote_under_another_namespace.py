"""A signature that a person made for something else is used as a vote."""

import pytest
from tests.simulators.instance import Instance

from sealwright.core.errors import Code
from sealwright.policy.signatures import Namespace

OTHERS = [str(n) for n in Namespace if n is not Namespace.VOTE]


@pytest.mark.parametrize("namespace", [*OTHERS, "git", "file", "sealwright-vote-v2", "sealwright-vote-v1 "])
def test_a_signature_of_another_namespace_is_no_vote(namespace):
    instance = Instance()
    submission = instance.vote(instance.submit(), "ben")
    submission.votes.append(instance.signed_vote(instance.make_vote(submission, "cleo"), namespace=namespace))
    assert instance.refusal(submission) is Code.VOTE_INVALID


def test_the_namespace_of_votes_is_accepted():
    instance = Instance()
    submission = instance.vote(instance.submit(), "ben")
    vote = instance.make_vote(submission, "cleo")
    submission.votes.append(instance.signed_vote(vote, namespace="sealwright-vote-v1"))
    assert instance.sign(submission)
