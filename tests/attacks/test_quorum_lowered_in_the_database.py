"""The server's database says that one approval is enough; no administrator signed that."""

from dataclasses import replace

from tests.simulators.instance import Instance, SoftPerson

from sealwright.core.errors import Code
from sealwright.policy import documents as d
from sealwright.signer.protocol import Round

ONE_APPROVAL = (d.QuorumGroup(roles=("approver",), approvals=1, recomputed=0),)


def lower_the_quorum(instance: Instance) -> None:
    instance.put(replace(instance.sections["scope", "router/production"], quorum=ONE_APPROVAL))


def test_sections_that_no_policy_names_are_refused():
    instance = Instance()
    lower_the_quorum(instance)
    result = instance.engine.handle(Round(start=len(instance.log.entries), sections=instance.section_bytes()))
    assert result.refusal.code is Code.POLICY_INCOMPLETE
    assert instance.refusal(instance.vote(instance.submit(), "ben")) is Code.RULES_CHANGED


def test_votes_for_the_rules_in_force_do_not_meet_the_lowered_quorum():
    instance = Instance()
    submission = instance.vote(instance.submit(), "ben")
    lower_the_quorum(instance)
    assert instance.refusal(submission) is Code.QUORUM_NOT_MET


def test_a_policy_that_the_server_signs_itself_is_ignored():
    instance = Instance()
    submission = instance.vote(instance.submit(), "ben")
    lower_the_quorum(instance)
    forged = instance.signed_policy(instance.make_policy(), [SoftPerson("root-a"), SoftPerson("root-b")])
    instance.log.append(instance.granting("policy", forged))
    assert not instance.catch_up().needs_policy
    assert instance.refusal(submission) is Code.QUORUM_NOT_MET


def test_a_policy_with_too_few_signatures_is_ignored():
    instance = Instance(threshold=2)
    submission = instance.vote(instance.submit(), "ben")
    lower_the_quorum(instance)
    half_signed = instance.signed_policy(instance.make_policy(), [instance.admins["root-a"]])
    instance.log.append(instance.granting("policy", half_signed))
    assert not instance.catch_up().needs_policy
    assert instance.refusal(submission) is Code.QUORUM_NOT_MET


def test_one_administrator_signing_twice_is_one_administrator():
    instance = Instance(threshold=2)
    submission = instance.vote(instance.submit(), "ben")
    lower_the_quorum(instance)
    admin = instance.admins["root-a"]
    instance.log.append(instance.granting("policy", instance.signed_policy(instance.make_policy(), [admin, admin])))
    assert instance.refusal(submission) is Code.QUORUM_NOT_MET


def test_the_quorum_that_administrators_lowered_counts():
    instance = Instance(threshold=2)
    lower_the_quorum(instance)
    instance.log_policy()
    assert instance.sign(instance.vote(instance.submit(), "ben"))
