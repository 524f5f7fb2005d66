"""People voted under one set of rules; the rules change before the signer decides."""

from dataclasses import replace

import pytest
from tests.simulators.instance import Instance, Submission

from sealwright.core.errors import Code
from sealwright.policy import documents as d


def change_the_scope(instance: Instance) -> None:
    groups = (d.QuorumGroup(roles=("approver",), approvals=2, recomputed=2),)
    instance.put(replace(instance.sections["scope", "router/production"], quorum=groups))


def exchange_the_key(instance: Instance) -> None:
    instance.with_key("router/production/1")


def change_only_a_salt(instance: Instance) -> None:
    instance.put(replace(instance.sections["scope", "router/production"], salt="0" * 32))


@pytest.mark.parametrize("change", [change_the_scope, exchange_the_key, change_only_a_salt])
def test_votes_for_other_rules_are_refused(change):
    instance = Instance()
    submission = instance.approved()
    change(instance)
    instance.log_policy()
    assert instance.refusal(submission) is Code.RULES_CHANGED
    again = instance.submit(instance.make_request())
    assert instance.sign(instance.vote(again, "ben", "cleo"))


def test_an_intent_that_names_other_rules_is_refused():
    instance = Instance()
    assert instance.refusal(instance.approved(), rules="0" * 64) is Code.RULES_CHANGED


def test_an_unrelated_change_leaves_pending_votes_alone():
    instance = Instance()
    submission = instance.approved()
    instance.with_product("plc")
    instance.put(instance.person("dan", roles=("developer",)))
    instance.log_policy()
    assert instance.sign(submission)


@pytest.mark.parametrize("change", [change_the_scope, exchange_the_key])
def test_rules_changed_between_signing_and_release_keep_the_signatures_in(change):
    instance = Instance()
    submission = instance.approved()
    index = instance.signed_and_logged(submission)
    change(instance)
    instance.log_policy()
    assert instance.release_refusal(index) is Code.RULES_CHANGED


def test_an_unrelated_change_between_signing_and_release_does_not():
    instance = Instance()
    index = instance.signed_and_logged(instance.approved())
    instance.with_product("plc")
    instance.log_policy()
    assert instance.round(release=(index,)).released[0].signatures


def test_release_waits_for_the_sections_of_a_policy_logged_since():
    instance = Instance()
    submission: Submission = instance.approved()
    index = instance.signed_and_logged(submission)
    instance.log_policy()
    kept, instance.sections = instance.sections, {}
    assert instance.release_refusal(index) is Code.POLICY_INCOMPLETE
    instance.sections = kept
    assert instance.round(release=(index,)).released[0].signatures
