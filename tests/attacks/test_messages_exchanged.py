"""A slot whose key signs whole messages: the server exchanges the message, leaves it out or brings more."""

from dataclasses import replace

import pytest
from tests.simulators.instance import Instance, Submission

from sealwright.core.errors import Code
from sealwright.core.keys import Algorithm


def with_message(message: bytes) -> tuple[Instance, Submission]:
    instance = Instance(start=False).with_product("plc", algorithm=Algorithm.ED25519)
    instance.log_policy()
    instance.start_signer()
    submission = instance.submit(instance.make_request(message, product="plc"), messages=(message,))
    return instance, instance.vote(submission, "ben", "cleo")


@pytest.mark.parametrize(
    "messages", [(), (b"evil",), (b"",), (b"good", b"good"), (b"good", b"evil"), (b"evil", b"good")]
)
def test_other_messages_than_the_approved_one_are_refused(messages):
    instance, submission = with_message(b"good")
    submission.messages = messages
    assert instance.refusal(submission) is Code.SLOT_INVALID


@pytest.mark.parametrize("message", [b"good", b"", b"x" * 65_536])
def test_the_approved_message_is_signed(message):
    instance, submission = with_message(message)
    assert len(instance.sign(submission)[0]) == 64


def test_a_message_longer_than_64_kib_is_refused():
    instance, submission = with_message(b"x" * 65_537)
    assert instance.refusal(submission) is Code.SLOT_INVALID


def test_a_message_for_a_slot_that_signs_a_digest_is_refused():
    instance = Instance()
    submission = instance.approved()
    assert instance.refusal(replace(submission, messages=(b"firmware",))) is Code.SLOT_INVALID
    assert instance.sign(submission)


def test_messages_of_two_slots_may_not_change_places():
    instance, _ = with_message(b"")
    slots = tuple(instance.slot(m, key_profile="plc/production/1", slot=m.decode()) for m in (b"one", b"two"))
    submission = instance.approved(image=b"one", product="plc", slots=slots)
    assert instance.refusal(replace(submission, messages=(b"two", b"one"))) is Code.SLOT_INVALID
    assert len(instance.sign(replace(submission, messages=(b"one", b"two")))) == 2
