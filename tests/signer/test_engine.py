"""The signer's engine on the good way: what it signs, and when it lets go."""

import hashlib

from tests.simulators.instance import Instance

from sealwright.core.keys import Algorithm, PublicKey


def test_an_approved_request_is_signed_after_its_intent_and_released_after_its_outcome():
    instance = Instance()
    submission = instance.vote(instance.submit(), "ben", "cleo")
    (signature,) = instance.sign(submission)
    profile = instance.sections["key-profile", "router/production/1"]
    PublicKey(profile.public_key).verify(profile.algorithm, hashlib.sha256(b"firmware").digest(), signature)


def test_a_development_request_needs_no_vote():
    instance = Instance()
    assert instance.sign(instance.submit(instance.make_request(environment="development")))


def test_a_key_that_signs_messages_gets_the_message():
    instance = Instance(start=False).with_product("plc", algorithm=Algorithm.ED25519)
    instance.log_policy()
    instance.start_signer()
    submission = instance.submit(instance.make_request(b"small", product="plc"), messages=(b"small",))
    (signature,) = instance.sign(instance.vote(submission, "ben", "cleo"))
    profile = instance.sections["key-profile", "plc/production/1"]
    PublicKey(profile.public_key).verify(Algorithm.ED25519, b"small", signature)
