"""An older root, validly signed, is used again: its administrator was let go since."""

import pytest
from tests.simulators.instance import START, Instance, SoftPerson

from sealwright.core.errors import Code


def after_root_c_replaced_root_b() -> tuple[Instance, SoftPerson]:
    """Old and new administrators signed root version 2; return the one who left, too."""
    instance = Instance(threshold=2)
    instance.admins["root-c"] = SoftPerson("root-c")
    staying = tuple(a for a in instance.make_root().administrators if a.person != "root-b")
    instance.log_root(instance.next_root(administrators=staying))
    leaving = instance.admins.pop("root-b")
    instance.log_policy()
    return instance, leaving


def test_the_first_root_logged_again_is_ignored():
    instance, _ = after_root_c_replaced_root_b()
    instance.log.append(instance.log.entries[0])
    assert instance.sign(instance.approved())


def test_an_old_policy_does_not_come_back_with_its_root():
    instance, _ = after_root_c_replaced_root_b()
    old_policy = instance.log.entries[1]
    instance.log.append(instance.log.entries[0])
    instance.log.append(old_policy)
    assert instance.sign(instance.approved())


def test_a_root_that_replaces_the_first_again_is_ignored():
    instance, leaving = after_root_c_replaced_root_b()
    signers = [instance.admins["root-a"], leaving]
    evil = instance.make_root(version=2, previous=instance.instance)
    instance.log.append(instance.granting("root", instance.signed_root(evil, signers)))
    assert instance.sign(instance.approved())


def test_a_policy_signed_by_the_former_administrator_is_ignored():
    instance, leaving = after_root_c_replaced_root_b()
    policy = instance.make_policy()
    signers = [instance.admins["root-a"], leaving]
    instance.log.append(instance.granting("policy", instance.signed_policy(policy, signers)))
    assert not instance.catch_up().needs_policy


def test_an_expired_root_signs_nothing_until_a_newer_one_is_logged():
    instance = Instance()
    instance.clock.time = START + 365 * 86_400
    instance.log_policy()
    assert instance.refusal(instance.approved()) is Code.ROOT_EXPIRED
    now = instance.clock.now()
    instance.log_root(instance.next_root(created=now, expires=now + 86_400))
    instance.log_policy()
    assert instance.sign(instance.approved())


def test_a_root_made_in_the_future_signs_nothing():
    instance = Instance()
    created = instance.clock.now() + 3600
    instance.log_root(instance.next_root(created=created, expires=created + 86_400))
    instance.log_policy()
    assert instance.refusal(instance.approved()) is Code.ROOT_INVALID


@pytest.mark.parametrize("days", [0, 1831])
def test_a_root_outside_the_limits_in_code_is_ignored(days):
    instance = Instance()
    now = instance.clock.now()
    root = instance.next_root(created=now, expires=now + days * 86_400)
    instance.log.append(instance.granting("root", instance.signed_root(root)))
    assert instance.sign(instance.approved())
