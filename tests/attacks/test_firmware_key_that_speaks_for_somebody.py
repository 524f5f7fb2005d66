"""A firmware key that is also somebody's key: who may have a message signed with it speaks for its owner.

A small maker imports an SSH key for the development images; in development nobody need approve.  The requester has the
signer sign, as a firmware message, what an approver of production would sign as a vote.
"""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.simulators.instance import Instance, SoftPerson, SoftWitness

from sealwright.core.errors import Code, RefusedError
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.policy import documents as d
from sealwright.policy.sections import load_complete

SHARED = "router/development/shared"


def share(instance: Instance, key: ed25519.Ed25519PrivateKey) -> None:
    """Sign development images with this key."""
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    instance.with_key(SHARED, algorithm=Algorithm.ED25519, public_key=spki)
    instance.partitions["router-development"].keys[PublicKey(spki).fingerprint] = key


class Borrowed:
    """A private key that is not there: what it shall sign is sent to the signer as a development image."""

    def __init__(self, instance: Instance, key: ed25519.Ed25519PrivateKey) -> None:
        self.instance, self._key = instance, key

    def public_key(self) -> ed25519.Ed25519PublicKey:
        return self._key.public_key()

    def sign(self, message: bytes) -> bytes:
        slots = (self.instance.slot(message, key_profile=SHARED),)
        request = self.instance.make_request(message, environment="development", slots=slots)
        return self.instance.sign(self.instance.submit(request, messages=(message,)))[0]


def owners(instance: Instance) -> dict[str, ed25519.Ed25519PrivateKey]:
    """Everybody's key; the gate and the build farm join the policy for it."""
    gate = ed25519.Ed25519PrivateKey.generate()
    raw = gate.public_key().public_bytes_raw()
    instance.put(d.GateKey(type="gate-key", format=1, salt="00" * 16, id="malware", key=raw, state=d.State.ACTIVE))
    instance.put(instance.pipeline("ci", controllers=("ada",)))
    return {
        "ben": instance.people["ben"].private_key,
        "ci": instance.people["ci"].private_key,
        "root-a": instance.admins["root-a"].private_key,
        "signer signer-1": instance.identity,
        "a log or witness": instance.log.private_key,
        "gate malware": gate,
    }


OWNERS = tuple(owners(Instance(start=False)))


@pytest.mark.parametrize("owner", OWNERS)
def test_a_policy_that_shares_a_key_so_is_refused(owner):
    instance = Instance()
    share(instance, owners(instance)[owner])
    instance.log_policy()
    refusal = instance.catch_up().refusal
    assert refusal is not None
    assert (refusal.code, f"has the key of {owner}: " in refusal.message) == (Code.POLICY_INVALID, True)
    assert instance.refusal(instance.approved()) is Code.POLICY_INCOMPLETE


def test_what_the_rule_prevents_a_vote_signed_as_a_development_image(monkeypatch):
    """Without the rule the signer makes ben's vote itself, on the word of the requester alone."""
    monkeypatch.setattr("sealwright.policy.sections._owners", lambda *_: {})
    instance = Instance(start=False)
    share(instance, instance.people["ben"].private_key)
    instance.log_policy()
    instance.start_signer()
    submission = instance.vote(instance.submit(), "cleo")
    forged = SoftPerson("ben", Borrowed(instance, instance.people["ben"].private_key))
    submission.votes.append(instance.signed_vote(instance.make_vote(submission, "ben"), by=forged))
    assert instance.sign(submission)


def test_a_key_that_does_nothing_else_signs_development_images():
    instance = Instance()
    share(instance, ed25519.Ed25519PrivateKey.generate())
    instance.log_policy()
    assert instance.catch_up().refusal is None
    assert instance.sign(instance.approved())


@pytest.mark.parametrize("machine", ["signer", "witness"])
def test_an_administrator_with_the_key_of_a_machine_is_refused(machine):
    """Its host would sign roots and policies."""
    instance = Instance(start=False)
    administrator, clock = instance.admins["root-a"], instance.clock
    if machine == "signer":
        raw = administrator.private_key.public_key().public_bytes_raw()
        changes = {"signers": (*instance.root.signers, d.SignerIdentity(id="signer-2", key=raw, valid_from=0))}
    else:
        witness = SoftWitness("witness.example", clock, administrator.private_key)
        changes = {"witnesses": (d.Witness(name=witness.name, key=str(witness.vkey)),)}
    with pytest.raises(RefusedError, match="an administrator has the key of a signer, log or witness"):
        load_complete(
            instance.make_policy(), instance.section_bytes(), replace(instance.root, **changes), instance.instance
        )
