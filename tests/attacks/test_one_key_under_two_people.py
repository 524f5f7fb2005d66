"""A policy, signed by administrators who did not look, lists one key for two people."""

import base64

import pytest
from tests.simulators.instance import Instance, SoftPerson

from sealwright.core import sshsig
from sealwright.core.errors import Code
from sealwright.policy import documents as d


def as_security_key(person: SoftPerson) -> d.Authenticator:
    """The same Ed25519 key under the name of a FIDO key: another line, another fingerprint."""
    name, raw = b"sk-ssh-ed25519@openssh.com", person.private_key.public_key().public_bytes_raw()
    blob = b"".join(map(sshsig.string, (name, raw, b"ssh:")))
    return d.Authenticator(key=f"{name.decode()} {base64.b64encode(blob).decode()}")


@pytest.mark.parametrize("disguise", [lambda person: person.authenticator, as_security_key])
def test_the_whole_policy_is_refused(disguise):
    instance = Instance()
    dan_as_well = (instance.people["dan"].authenticator, disguise(instance.people["ben"]))
    instance.put(instance.person("dan", authenticators=dan_as_well))
    instance.log_policy()
    refusal = instance.catch_up().refusal
    assert refusal.code is Code.POLICY_INVALID
    assert "belongs to somebody else" in refusal.message
    assert instance.refusal(instance.approved()) is Code.POLICY_INCOMPLETE


def test_a_key_shared_with_a_pipeline_is_refused_too():
    instance = Instance()
    pipeline = instance.pipeline("ci", controllers=("dan",))
    instance.people["ci"] = instance.people["ben"]
    instance.put(d.Pipeline(**{f: getattr(pipeline, f) for f in pipeline.__slots__ if f != "authenticators"},
                            authenticators=(instance.people["ben"].authenticator,)))  # fmt: skip
    instance.log_policy()
    assert instance.catch_up().refusal.code is Code.POLICY_INVALID


def test_a_further_key_of_ones_own_is_fine():
    instance = Instance()
    keys = (instance.people["dan"].authenticator, SoftPerson("dan").authenticator)
    instance.put(instance.person("dan", authenticators=keys))
    instance.log_policy()
    assert instance.sign(instance.approved())
