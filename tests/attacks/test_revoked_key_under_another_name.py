"""A stolen key is revoked, and its thief goes on with it under its other name.

An SSH key listed as plain key and as FIDO key has two fingerprints, and a revocation names one.
"""

import pytest
from tests.attacks.test_one_key_under_two_people import as_security_key
from tests.simulators.instance import Instance, SoftPerson

from sealwright.core.errors import Code
from sealwright.policy import documents as d


@pytest.mark.parametrize("again", [lambda person: person.authenticator, as_security_key])
def test_a_policy_that_lists_a_key_of_one_person_twice_is_refused(again):
    instance = Instance()
    ben = instance.people["ben"]
    instance.put(instance.person("ben", authenticators=(ben.authenticator, again(ben))))
    instance.log_policy()
    refusal = instance.catch_up().refusal
    assert refusal is not None
    assert (refusal.code, refusal.message) == (Code.POLICY_INVALID, "a public key of ben is there twice")
    assert instance.refusal(instance.approved()) is Code.POLICY_INCOMPLETE


def test_after_a_revocation_only_another_key_of_that_person_counts():
    instance = Instance()
    stolen, other = instance.people["ben"], SoftPerson("ben")
    instance.put(instance.person("ben", authenticators=(stolen.authenticator, other.authenticator)))
    instance.log_policy()
    instance.restrict(d.RestrictionKind.REVOKE_AUTHENTICATOR, stolen.key.fingerprint)
    assert instance.refusal(instance.approved()) is Code.REVOKED
    instance.people["ben"] = other
    assert instance.sign(instance.approved())
