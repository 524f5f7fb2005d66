"""The signer's engine on the good way: what it signs, and when it lets go."""

import hashlib
from dataclasses import replace

import pytest
from tests.simulators.instance import Instance, MemoryPartition

from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.errors import Code, UnavailableError
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.policy.documents import Outcome
from sealwright.policy.signatures import verify_ed25519
from sealwright.signer import engine


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


class LyingPartition(MemoryPartition):
    """A token with a fault: its signatures are over something else."""

    def sign(self, tasks):
        return super().sign([replace(task, payload=bytes(len(task.payload))) for task in tasks])


class BrokenPartition(MemoryPartition):
    """A token that is gone."""

    def sign(self, tasks):
        raise UnavailableError(f"no token for {len(tasks)} tasks", code=Code.KEYSTORE_UNAVAILABLE)


@pytest.mark.parametrize(
    ("kind", "failure"), [(LyingPartition, "signature-mismatch"), (BrokenPartition, "keystore-unavailable")]
)
def test_a_signature_that_fails_is_named_in_the_outcome_and_never_leaves(kind, failure):
    instance = Instance()
    partition = kind()
    partition.keys = instance.partitions["router-production"].keys
    instance.partitions["router-production"] = partition
    index, result = instance.ask(instance.approved())
    outcome = records.parse(Outcome, instance.outcome_of(result).document)
    assert outcome.slots[0].failure == failure
    assert outcome.slots[0].signature is None
    instance.log_outcome(index, instance.outcome_of(result))
    assert instance.round(release=(index,)).released[0].signatures == (b"",)


def test_the_outcome_says_on_what_it_rests():
    instance = Instance()
    index, result = instance.ask(instance.approved())
    outcome = records.parse(Outcome, instance.outcome_of(result).document)
    assert (outcome.intent_index, outcome.root_index, outcome.policy_index) == (index, 0, 1)
    assert outcome.intent == document_digest("intent", instance.instance, instance.log.entries[index])
    assert (outcome.size, outcome.root_hash) == (instance.heads.head.size, instance.heads.head.root_hash)
    assert (outcome.signer, outcome.session) == ("signer-1", instance.session)
    envelope = instance.outcome_of(result).signatures[0]
    digest = document_digest("outcome", instance.instance, instance.outcome_of(result).document)
    verify_ed25519(envelope, digest, instance.identity.public_key().public_bytes_raw())


def test_orders_of_one_round_are_decided_apart():
    instance = Instance()
    good, bad, other = instance.approved(), instance.vote(instance.submit(), "ben"), instance.approved()
    indices = [instance.log.append(instance.make_intent(submission)) for submission in (good, bad, other)]
    orders = [instance.order(s, i) for s, i in zip((good, bad, other), indices, strict=True)]
    answers = instance.round(sign=tuple(orders)).signed
    assert [answer.refusal and answer.refusal.code for answer in answers] == [None, Code.QUORUM_NOT_MET, None]
    for index, answer in zip(indices, answers, strict=True):
        if answer.outcome:
            instance.log_outcome(index, answer.outcome)
    released = instance.round(release=tuple(indices)).released
    assert [bool(r.signatures) for r in released] == [True, False, True]


def test_what_waits_for_its_outcome_is_bounded(monkeypatch):
    monkeypatch.setattr(engine, "MAX_PENDING", 3)
    instance = Instance()
    submission = instance.submit(instance.make_request(environment="development"))
    indices = [instance.signed_and_logged(submission) for _ in range(5)]
    assert list(instance.engine._pending) == indices[-3:]
    assert instance.release_refusal(indices[0]) is Code.RELEASE_TOO_LATE
    assert instance.round(release=(indices[-1],)).released[0].signatures
