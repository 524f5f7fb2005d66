"""A policy lists an administrator's key for a voter: one person would stand above the policy and inside it twice."""

from dataclasses import replace

import pytest
from tests.simulators.instance import Instance, SoftPerson

from sealwright.core.errors import Code


@pytest.mark.parametrize("further", [False, True])
def test_the_whole_policy_is_refused(further):
    instance = Instance()
    stolen = instance.admins["root-a"].authenticator
    keys = (instance.people["dan"].authenticator, stolen) if further else (stolen,)
    instance.put(instance.person("dan", authenticators=keys))
    instance.log_policy()
    refusal = instance.catch_up().refusal
    assert refusal.code is Code.POLICY_INVALID
    assert "belongs to somebody else" in refusal.message
    assert instance.refusal(instance.approved()) is Code.POLICY_INCOMPLETE


def test_an_administrator_may_vote_under_the_same_name():
    instance = Instance()
    instance.people["root-a"] = instance.admins["root-a"]
    instance.put(instance.person("root-a"))
    instance.log_policy()
    assert instance.sign(instance.vote(instance.submit(), "ben", "root-a"))


def test_a_root_with_one_key_for_two_administrators_is_ignored():
    instance = Instance()
    first, second = instance.root.administrators
    twins = (first, replace(second, authenticators=first.authenticators))
    root = instance.next_root(administrators=twins)
    instance.log.append(instance.granting("root", instance.signed_root(root)))
    assert instance.sign(instance.approved())


def test_an_administrator_and_a_pipeline_may_not_share_a_key():
    instance = Instance()
    instance.people["ci"] = SoftPerson("ci", instance.admins["root-a"].private_key)
    pipeline = instance.pipeline("ci", controllers=("ada",))
    instance.put(replace(pipeline, authenticators=(instance.admins["root-a"].authenticator,)))
    instance.log_policy()
    assert instance.catch_up().refusal.code is Code.POLICY_INVALID
