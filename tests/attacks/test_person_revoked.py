"""Somebody is revoked, before the signer decides or between signing and release."""

import pytest
from tests.simulators.instance import Instance, SoftPerson

from sealwright.core.errors import Code
from sealwright.policy.documents import RestrictionKind, State


def by_an_entry(instance: Instance, name: str) -> None:
    instance.restrict(RestrictionKind.REVOKE_PERSON, name, person="root-a")


def by_revoking_the_key(instance: Instance, name: str) -> None:
    instance.restrict(RestrictionKind.REVOKE_AUTHENTICATOR, instance.people[name].key.fingerprint, person="root-a")


def in_the_policy(instance: Instance, name: str) -> None:
    instance.put(instance.person(name, state=State.REVOKED))
    instance.log_policy()


def out_of_the_policy(instance: Instance, name: str) -> None:
    del instance.sections["person", name]
    instance.log_policy()


def without_the_role(instance: Instance, name: str) -> None:
    instance.put(instance.person(name, roles=("bystander",)))
    instance.log_policy()


def with_another_key(instance: Instance, name: str) -> None:
    instance.put(instance.person(name, authenticators=(SoftPerson(name).authenticator,)))
    instance.log_policy()


WAYS = [
    (by_an_entry, Code.REVOKED, Code.REVOKED),
    (by_revoking_the_key, Code.REVOKED, Code.REVOKED),
    (in_the_policy, Code.VOTE_INVALID, Code.REQUESTER_NOT_ALLOWED),
    (out_of_the_policy, Code.VOTE_INVALID, Code.REQUESTER_NOT_ALLOWED),
    (without_the_role, Code.QUORUM_NOT_MET, Code.REQUESTER_NOT_ALLOWED),
    (with_another_key, Code.VOTE_INVALID, Code.REQUEST_SIGNATURE),
]


@pytest.mark.parametrize(("revoke", "of_voter", "of_requester"), WAYS)
@pytest.mark.parametrize("name", ["cleo", "ada"])
def test_a_voter_or_requester_revoked_before_the_decision_does_not_count(revoke, of_voter, of_requester, name):
    instance = Instance()
    submission = instance.approved()
    revoke(instance, name)
    assert instance.refusal(submission) is (of_voter if name == "cleo" else of_requester)


@pytest.mark.parametrize(("revoke", "of_voter", "of_requester"), WAYS)
@pytest.mark.parametrize("name", ["cleo", "ada"])
def test_a_revocation_between_signing_and_release_keeps_the_signatures_in(revoke, of_voter, of_requester, name):
    instance = Instance()
    index = instance.signed_and_logged(instance.approved())
    revoke(instance, name)
    assert instance.release_refusal(index) is (of_voter if name == "cleo" else of_requester)


def test_a_revocation_between_signing_and_outcome_keeps_the_signatures_in():
    instance = Instance()
    index, result = instance.ask(instance.approved())
    by_an_entry(instance, "cleo")
    instance.log_outcome(index, instance.outcome_of(result))
    assert instance.release_refusal(index) is Code.REVOKED


@pytest.mark.parametrize("revoke", [by_an_entry, by_revoking_the_key, in_the_policy, out_of_the_policy])
def test_revoking_somebody_else_changes_nothing(revoke):
    instance = Instance()
    submission = instance.approved()
    revoke(instance, "dan")
    assert instance.sign(submission)


def test_a_revoked_key_profile_signs_nothing_and_releases_nothing():
    instance = Instance()
    index = instance.signed_and_logged(instance.approved())
    instance.restrict(RestrictionKind.REVOKE_KEY_PROFILE, "router/production/1")
    assert instance.release_refusal(index) is Code.REVOKED
    assert instance.refusal(instance.approved()) is Code.REVOKED
