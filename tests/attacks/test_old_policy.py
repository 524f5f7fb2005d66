"""An older policy, validly signed, is used again: it knew a person who was let go since."""

from tests.simulators.instance import Instance

from sealwright.core.errors import Code
from sealwright.policy.documents import State
from sealwright.signer.protocol import Round


def test_an_old_policy_logged_again_is_ignored():
    instance = Instance()
    old = instance.log.entries[1]
    submission = instance.approved()
    instance.put(instance.person("cleo", state=State.REVOKED))
    instance.log_policy()
    instance.log.append(old)
    assert instance.refusal(submission) is Code.VOTE_INVALID


def test_the_sections_of_an_old_policy_are_refused():
    instance = Instance()
    old_sections = instance.section_bytes()
    submission = instance.approved()
    instance.put(instance.person("cleo", state=State.REVOKED))
    instance.log_policy()
    taken = instance.log.entries[instance._taken(instance.engine) :]
    size = len(instance.log.entries)
    result = instance.engine.handle(
        Round(start=size - len(taken), entries=tuple(taken), checkpoint=instance.log.checkpoint())
    )
    assert result.needs_policy
    result = instance.engine.handle(Round(start=size, sections=old_sections))
    assert result.refusal.code is Code.POLICY_INCOMPLETE
    assert instance.refusal(submission) is Code.VOTE_INVALID


def test_a_new_policy_with_an_old_version_number_is_ignored():
    instance = Instance()
    instance.put(instance.person("dan", roles=("approver", "developer", "release")))
    instance.log_policy()
    instance.catch_up()
    instance.log.append(instance.granting("policy", instance.signed_policy(instance.make_policy(version=2))))
    assert not instance.catch_up().needs_policy
    assert instance.sign(instance.approved())


def test_an_expired_policy_signs_nothing():
    instance = Instance()
    instance.clock.time = instance.policy.expires
    assert instance.refusal(instance.approved()) is Code.POLICY_EXPIRED
    instance.log_policy()
    assert instance.sign(instance.approved())


def test_a_policy_made_in_the_future_signs_nothing():
    # Its lifetime would end later than the limit in code allows.
    instance = Instance()
    created = instance.clock.now() + 3600
    instance.log_policy(instance.make_policy(created=created, expires=created + 400 * 86_400))
    assert instance.refusal(instance.approved()) is Code.POLICY_INVALID


def test_a_policy_for_longer_than_the_limit_in_code_is_ignored():
    instance = Instance()
    endless = instance.make_policy(expires=instance.clock.now() + 401 * 86_400)
    instance.log.append(instance.granting("policy", instance.signed_policy(endless)))
    assert not instance.catch_up().needs_policy
