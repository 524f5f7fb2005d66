"""Roots that do not follow properly: a version skipped, signed by one side only, or two with the same number."""

from dataclasses import replace

import pytest
from tests.simulators.instance import Instance, SoftPerson

from sealwright.core.errors import Code
from sealwright.policy import documents as d

OLD, NEW = ("root-a", "root-b"), ("root-c", "root-d")


def between_administrators() -> tuple[Instance, d.Root]:
    """A root version 2 with two other administrators, both of whom must sign, and the people to sign it."""
    instance = Instance(threshold=2)
    for name in NEW:
        instance.admins[name] = SoftPerson(name)
    administrators = tuple(
        d.Administrator(person=name, authenticators=(instance.admins[name].authenticator,)) for name in NEW
    )
    return instance, instance.next_root(administrators=administrators)


def log(instance: Instance, root: d.Root, signers: tuple[str, ...]) -> None:
    people = [instance.admins[name] for name in signers]
    instance.log.append(instance.granting("root", instance.signed_root(root, people)))


def is_in_force(instance: Instance, version: int) -> bool:
    instance.catch_up()
    return instance.engine._follower.state.root.root.version == version


@pytest.mark.parametrize(
    "signers",
    [(), OLD, NEW, ("root-a", *NEW), (*OLD, "root-c"), ("root-a", "root-a", *NEW), (*OLD, "root-c", "root-c")],
)
def test_a_root_without_both_thresholds_is_passed_over(signers):
    instance, root = between_administrators()
    log(instance, root, signers)
    assert is_in_force(instance, 1)


def test_a_root_with_both_thresholds_is_in_force():
    instance, root = between_administrators()
    log(instance, root, (*OLD, *NEW))
    assert is_in_force(instance, 2)


def test_a_strangers_signature_beside_both_thresholds_spoils_it():
    instance, root = between_administrators()
    instance.admins["root-e"] = SoftPerson("root-e")
    log(instance, root, (*OLD, *NEW, "root-e"))
    assert is_in_force(instance, 1)


def test_a_version_cannot_be_skipped():
    instance = Instance()
    second = instance.next_root()
    third = replace(instance.next_root(), version=3)
    log(instance, third, OLD)
    assert is_in_force(instance, 1)
    log(instance, second, OLD)
    assert is_in_force(instance, 2)
    log(instance, third, OLD)  # it names version 1 as the one before
    assert is_in_force(instance, 2)


def test_of_two_roots_with_one_version_the_first_logged_counts():
    instance = Instance()
    first, second = instance.next_root(), instance.next_root(expires=instance.root.expires - 1)
    log(instance, first, OLD)
    log(instance, second, OLD)
    instance.catch_up()
    assert instance.engine._follower.state.root.root == first


def test_a_root_that_follows_one_that_was_passed_over_is_passed_over_too():
    instance = Instance()
    forged = instance.next_root()
    log(instance, forged, ())
    instance.root, instance.root_digest = forged, "0" * 64
    log(instance, instance.next_root(), OLD)
    assert is_in_force(instance, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"threshold": 3},
        {"grade": d.Grade.PRODUCTION, "threshold": 1},
        {"witness_quorum": 1},
    ],
)
def test_a_root_that_contradicts_itself_is_passed_over(changes):
    instance = Instance()
    log(instance, instance.next_root(**changes), OLD)
    assert is_in_force(instance, 1)


def test_a_policy_is_void_from_a_newer_root_on_until_one_under_it_is_logged():
    instance = Instance()
    submission = instance.approved()
    voided = instance.log.entries[1]
    instance.log_root(instance.next_root())
    assert instance.refusal(submission) is Code.POLICY_NOT_CURRENT
    instance.log.append(voided)
    assert instance.refusal(submission) is Code.POLICY_NOT_CURRENT
    instance.log_policy()
    assert instance.sign(submission)


def test_a_newer_root_without_a_policy_releases_nothing():
    instance = Instance()
    index = instance.signed_and_logged(instance.approved())
    instance.log_root(instance.next_root())
    assert instance.release_refusal(index) is Code.POLICY_NOT_CURRENT
