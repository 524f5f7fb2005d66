"""A pipeline that nobody controls asks, one person approves: production needs two people in all."""

from dataclasses import replace

from tests.simulators.instance import Instance

from sealwright.core.errors import Code
from sealwright.policy import documents as d


def with_one_approval_and(*pipeline_controllers: str) -> Instance:
    instance = Instance()
    groups = (d.QuorumGroup(roles=("approver",), approvals=1, recomputed=0),)
    instance.put(replace(instance.sections["scope", "router/production"], quorum=groups))
    instance.put(instance.pipeline("ci", controllers=pipeline_controllers))
    instance.log_policy()
    return instance


def test_one_person_and_a_pipeline_without_controllers_are_one_person():
    instance = with_one_approval_and()
    submission = instance.submit(instance.make_request(requester="ci", requester_kind="pipeline"))
    assert instance.refusal(instance.vote(submission, "ben")) is Code.QUORUM_NOT_MET


def test_two_approvals_make_two_people():
    instance = with_one_approval_and()
    submission = instance.submit(instance.make_request(requester="ci", requester_kind="pipeline"))
    assert instance.sign(instance.vote(submission, "ben", "cleo"))


def test_a_controller_is_the_other_person():
    instance = with_one_approval_and("ada")
    submission = instance.submit(instance.make_request(requester="ci", requester_kind="pipeline"))
    assert instance.sign(instance.vote(submission, "ben"))


def test_a_requester_is_the_other_person():
    instance = with_one_approval_and()
    assert instance.sign(instance.vote(instance.submit(), "ben"))
