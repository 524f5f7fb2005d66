"""A slot that signs another slot's signature: the server exchanges the tail, or has something else signed with it."""

import hashlib
from dataclasses import replace

import pytest
from tests.simulators.instance import Instance, MemoryPartition, Submission

from sealwright.core import records
from sealwright.core.errors import Code, RefusedError
from sealwright.core.keys import MAX_WHOLE_MESSAGE_BYTES, Algorithm, PublicKey
from sealwright.policy import documents as d
from sealwright.policy.authorise import rules_of

KEY, OTHER_KEY = "plc/production/1", "plc/production/2"
FIRST, TAIL, SIGNATURE_BYTES = b"the firmware", b"timestamp:1790000000", 64


@pytest.fixture
def instance() -> Instance:
    instance = Instance(start=False).with_product("plc", algorithm=Algorithm.ED25519)
    instance.with_key(OTHER_KEY, algorithm=Algorithm.ED25519)
    instance.with_key("plc/production/3", algorithm=Algorithm.ECDSA_P256_SHA256)
    instance.log_policy()
    instance.start_signer()
    return instance


def slot(message: bytes, name: str, after: str | None = None, **changes: str) -> d.RequestSlot:
    made = d.RequestSlot(
        artifact="firmware.bin",
        slot=name,
        key_profile=KEY,
        digest=hashlib.sha256(message).hexdigest(),
        after=after,
    )
    return replace(made, **changes)


PAIR = (slot(FIRST, "signature"), slot(TAIL, "global-signature", "signature"))


def submitted(instance: Instance, *slots: d.RequestSlot, messages: tuple[bytes, ...] = (FIRST, TAIL)) -> Submission:
    request = instance.make_request(FIRST, product="plc", slots=slots)
    return instance.vote(instance.submit(request, messages=messages), "ben", "cleo")


def public_key(instance: Instance, profile: str = KEY) -> PublicKey:
    return PublicKey(instance.sections["key-profile", profile].public_key)


def test_the_second_signature_is_over_the_first_and_the_approved_tail(instance):
    first, second = instance.sign(submitted(instance, *PAIR))
    key = public_key(instance)
    key.verify(Algorithm.ED25519, FIRST, first)
    key.verify(Algorithm.ED25519, first + TAIL, second)


def test_pairs_of_several_keys_and_plain_slots_are_signed_in_one_request(instance):
    slots = (
        PAIR[0],
        slot(b"plain", "plain"),
        slot(FIRST, "other", key_profile=OTHER_KEY),
        PAIR[1],
        slot(b"tail", "other-tail", "other", key_profile=OTHER_KEY),
    )
    messages = (FIRST, b"plain", FIRST, TAIL, b"tail")
    made = instance.sign(submitted(instance, *slots, messages=messages))
    public_key(instance).verify(Algorithm.ED25519, made[0] + TAIL, made[3])
    public_key(instance).verify(Algorithm.ED25519, b"plain", made[1])
    public_key(instance, OTHER_KEY).verify(Algorithm.ED25519, made[2] + b"tail", made[4])


@pytest.mark.parametrize(
    "messages",
    [
        (FIRST, b"timestamp:1890000000"),
        (FIRST, b""),
        (FIRST,),
        (TAIL, FIRST),
        (FIRST, TAIL, b""),
        (FIRST, bytes(SIGNATURE_BYTES) + TAIL),  # a first signature of the server's choice
    ],
)
def test_another_tail_than_the_approved_one_is_refused(instance, messages):
    assert instance.refusal(submitted(instance, *PAIR, messages=messages)) is Code.SLOT_INVALID


@pytest.mark.parametrize(
    "slots",
    [
        (PAIR[1],),  # the slot it comes after is not there
        PAIR[::-1],  # it stands before it
        (PAIR[0], replace(PAIR[1], after="global-signature")),  # it comes after itself
        (PAIR[0], replace(PAIR[1], after="another")),
        (PAIR[0], replace(PAIR[1], key_profile=OTHER_KEY)),  # it would sign another key's signature
        (*PAIR, slot(b"more", "more", "global-signature")),  # a chain
        (*PAIR, slot(b"more", "more", "signature")),  # two over one
        (slot(FIRST, "signature", "signature"), PAIR[1]),
    ],
)
def test_a_slot_that_comes_after_no_earlier_free_slot_of_its_key_is_refused(instance, slots):
    submission = submitted(instance, *slots, messages=tuple(FIRST for _ in slots))
    assert instance.refusal(submission) is Code.SLOT_INVALID
    with pytest.raises(RefusedError, match="cannot sign a signature of"):
        rules_of(instance.make_request(FIRST, product="plc", slots=slots), instance.standing())


def test_a_slot_of_another_artifact_is_none_that_it_can_come_after(instance):
    artifacts = (instance.artifact(FIRST, "a.bin"), instance.artifact(b"b", "b.bin"))
    slots = (replace(PAIR[0], artifact="a.bin"), replace(PAIR[1], artifact="b.bin"))
    request = instance.make_request(product="plc", artifacts=artifacts, slots=slots)
    submission = instance.vote(instance.submit(request, messages=(FIRST, TAIL)), "ben", "cleo")
    assert instance.refusal(submission) is Code.SLOT_INVALID


def test_only_an_ed25519_key_signs_a_signature(instance):
    slots = tuple(replace(one, key_profile="plc/production/3") for one in PAIR)
    assert instance.refusal(submitted(instance, *slots, messages=())) is Code.SLOT_INVALID
    with pytest.raises(RefusedError, match="only a key of ed25519"):
        rules_of(instance.make_request(FIRST, product="plc", slots=slots), instance.standing())


@pytest.mark.parametrize(
    ("after", "code"), [(None, Code.VOTE_INVALID), ("other", Code.VOTE_INVALID), ("another", Code.SLOT_INVALID)]
)
def test_what_a_slot_comes_after_is_part_of_what_people_signed(instance, after, code):
    other = slot(b"other", "other")
    honest = submitted(instance, PAIR[0], other, PAIR[1], messages=(FIRST, b"other", TAIL))
    slots = (PAIR[0], other, replace(PAIR[1], after=after))
    forged = instance.submit(instance.make_request(FIRST, product="plc", slots=slots), messages=honest.messages)
    forged.votes = honest.votes
    assert instance.refusal(forged) is code
    assert len(instance.sign(honest)) == 3


@pytest.mark.parametrize("too_long", [0, 1])
def test_signature_and_tail_are_at_most_one_whole_message(instance, too_long):
    tail = bytes(MAX_WHOLE_MESSAGE_BYTES - SIGNATURE_BYTES + too_long)
    submission = submitted(instance, PAIR[0], slot(tail, "tail", "signature"), messages=(FIRST, tail))
    if too_long:
        assert instance.refusal(submission) is Code.SLOT_INVALID
    else:
        assert len(instance.sign(submission)) == 2


class LyingPartition(MemoryPartition):
    """Signs something else than the first message it is asked for."""

    def sign(self, tasks):
        return super().sign([replace(task, payload=b"evil") if task.payload == FIRST else task for task in tasks])


class BrokenPartition(MemoryPartition):
    """Has lost its key when it is asked for the first message."""

    def sign(self, tasks):
        if any(task.payload == FIRST for task in tasks):
            raise RefusedError("no such key", code=Code.NOT_FOUND)
        return super().sign(tasks)


@pytest.mark.parametrize(
    ("kind", "failure"), [(LyingPartition, Code.SIGNATURE_MISMATCH), (BrokenPartition, Code.NOT_FOUND)]
)
def test_a_first_signature_that_failed_is_not_signed(instance, kind, failure):
    partition = kind()
    partition.keys = instance.partitions["plc-production"].keys
    instance.partitions["plc-production"] = partition
    other = slot(b"other", "other")
    submission = submitted(instance, PAIR[0], other, PAIR[1], messages=(FIRST, b"other", TAIL))
    index, result = instance.ask(submission)
    outcome = records.parse(d.Outcome, instance.outcome_of(result).document)
    assert [done.failure for done in outcome.slots][::2] == [failure, failure]
    assert [done.signature for done in outcome.slots][::2] == [None, None]
    assert partition.signed == {LyingPartition: 2, BrokenPartition: 0}[kind]
    instance.log_outcome(index, instance.outcome_of(result))
    assert instance.round(release=(index,)).released[0].signatures[2] == b""
