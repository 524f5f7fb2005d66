"""The root demands witnesses; the owner of the log key shows checkpoints that they did not cosign."""

import pytest
from tests.simulators.instance import Clock, Instance, SoftWitness

from sealwright.core.errors import Code
from sealwright.policy import documents as d


def witnessed(count: int, quorum: int) -> tuple[Instance, list[SoftWitness]]:
    """An installation whose newest root demands ``quorum`` of ``count`` witnesses; none of them cosigns yet."""
    instance = Instance()
    witnesses = [SoftWitness(f"witness-{n}.example", Clock(instance.clock.time)) for n in range(count)]
    listed = tuple(d.Witness(name=w.name, key=str(w.vkey)) for w in witnesses)
    instance.log_root(instance.next_root(witnesses=listed, witness_quorum=quorum))
    instance.log_policy()
    return instance, witnesses


def test_a_checkpoint_that_nobody_cosigned_is_refused():
    instance, _ = witnessed(1, 1)
    assert instance.catch_up().refusal.code is Code.NOT_TRUSTED


def test_a_cosigned_checkpoint_is_followed_and_signed_under():
    instance, witnesses = witnessed(1, 1)
    instance.log.witnesses = witnesses
    assert instance.catch_up().refusal is None
    assert instance.sign(instance.approved())


def test_one_witness_twice_is_refused():
    instance, witnesses = witnessed(2, 2)
    instance.log.witnesses = [witnesses[0], witnesses[0]]
    refusal = instance.catch_up().refusal
    assert (refusal.code, "two signature lines of key" in refusal.message) == (Code.INVALID_DOCUMENT, True)
    instance.log.witnesses = witnesses
    assert instance.catch_up().refusal is None


def test_a_witness_of_the_same_name_with_another_key_does_not_count():
    instance, witnesses = witnessed(1, 1)
    instance.log.witnesses = [SoftWitness(witnesses[0].name, witnesses[0].clock)]
    assert instance.catch_up().refusal.code is Code.NOT_TRUSTED


def test_a_cosignature_over_another_checkpoint_does_not_count():
    instance, witnesses = witnessed(1, 1)

    class Replaying(SoftWitness):
        def cosign(self, text: bytes) -> bytes:
            return super().cosign(text.replace(b"acme", b"acne"))

    witness = witnesses[0]
    instance.log.witnesses = [Replaying(witness.name, witness.clock, witness.private_key)]
    assert instance.catch_up().refusal.code is Code.SIGNATURE_MISMATCH


def test_the_witnesses_of_the_newest_root_are_asked_for():
    instance, witnesses = witnessed(1, 1)
    instance.log.witnesses = witnesses
    other = SoftWitness("other.example", instance.clock)
    listed = (d.Witness(name=other.name, key=str(other.vkey)),)
    instance.log_root(instance.next_root(witnesses=listed))
    instance.log_policy()
    assert instance.catch_up().refusal.code is Code.NOT_TRUSTED
    instance.log.witnesses.append(other)
    assert instance.catch_up().refusal is None


@pytest.mark.parametrize("ahead", [601, 1 << 39, 1 << 62])
def test_a_witness_far_ahead_is_refused_and_not_remembered(ahead):
    instance, witnesses = witnessed(1, 1)
    instance.log.witnesses = witnesses
    assert instance.catch_up().refusal is None
    honest, head = instance.clock.time, instance.heads.head
    witnesses[0].clock.time = honest + ahead
    submission = instance.approved()
    instance.log_policy()
    assert instance.catch_up().refusal.code is Code.CLOCK_UNTRUSTED
    assert instance.heads.head == head
    witnesses[0].clock.time = honest
    assert instance.catch_up().refusal is None
    assert instance.sign(submission)


def test_a_witness_a_little_ahead_moves_the_signers_time():
    instance, witnesses = witnessed(1, 1)
    instance.log.witnesses = witnesses
    submission = instance.submit(instance.make_request(expires=instance.clock.now() + 300))
    instance.vote(submission, "ben", "cleo")
    witnesses[0].clock.time += 300
    assert instance.refusal(submission) is Code.REQUEST_EXPIRED
