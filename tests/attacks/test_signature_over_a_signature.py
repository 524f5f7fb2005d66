"""A slot that signs another slot's signature: the server exchanges the tail, or has something else signed with it."""

import hashlib
from dataclasses import replace

import pytest
from tests.client.signed import Maker
from tests.independent.both import independent
from tests.simulators.instance import Instance, MemoryPartition, Submission

from sealwright.client.assembly import assemble
from sealwright.client.recompute import recompute
from sealwright.core import records
from sealwright.core.errors import Code, RefusedError, SealwrightError, VerificationError
from sealwright.core.images import MemorySource
from sealwright.core.keys import MAX_WHOLE_MESSAGE_BYTES, Algorithm, PublicKey
from sealwright.core.patches import Patch
from sealwright.evidence.bundle import Evidence
from sealwright.evidence.verify import verify_evidence
from sealwright.formats import FORMATS
from sealwright.formats.interface import Trust
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


def test_as_many_pairs_as_a_request_may_have_are_signed_each_over_its_own_first(instance):
    pairs = [(f"first {n}".encode(), f"tail {n}".encode()) for n in range(d.MAX_SLOTS // 2)]
    slots = [slot(first, f"first-{n}") for n, (first, _) in enumerate(pairs)]
    slots += [slot(tail, f"second-{n}", f"first-{n}") for n, (_, tail) in enumerate(pairs)]
    messages = (*(first for first, _ in pairs), *(tail for _, tail in pairs))
    made = instance.sign(submitted(instance, *slots, messages=messages))
    for n, (_, tail) in enumerate(pairs):
        public_key(instance).verify(Algorithm.ED25519, made[n] + tail, made[len(pairs) + n])


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


# With the format that lays such slots out: the approver before, the auditor after

IMAGE = b"firmware of the mill"


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    maker = Maker(algorithm=Algorithm.ED25519)
    path = tmp_path_factory.mktemp("minisign") / "mill.bin"
    path.write_bytes(IMAGE)
    prepared = maker.prepare(path, options=maker.options() | {"output": "minisign", "trusted_comment": "version 1"})
    return maker, prepared, assemble(maker.sign(prepared), path.name, MemorySource(IMAGE), FORMATS)


def refusal(maker: Maker, evidence: Evidence) -> Code:
    with pytest.raises(SealwrightError) as caught:
        verify_evidence(evidence, MemorySource(IMAGE), maker.trust(), FORMATS)
    assert independent(IMAGE, records.serialise(evidence), records.serialise(maker.trust())), "it says verified"
    return caught.value.code


def test_the_evidence_of_a_minisign_file_verifies(signed):
    maker, prepared, evidence = signed
    verified = verify_evidence(evidence, MemorySource(IMAGE), maker.trust(), FORMATS)
    assert [slot.after for slot in verified.approved.request.slots] == [None, "signature"]
    assert [profile.id for profile in verified.signing_keys] == [maker.profile.id] * 2
    (sidecar,) = evidence.patch.sidecars
    assert FORMATS["raw"].verify(
        MemorySource(IMAGE), Trust(keys=(PublicKey(maker.profile.public_key),)), {sidecar.suffix: sidecar.content}
    )
    recompute(maker.request(prepared), {"mill.bin": MemorySource(IMAGE)}, maker.profiles, FORMATS)


def test_the_independent_verifier_says_that_it_does_not_know_such_signatures(signed):
    maker, _, evidence = signed
    said = independent(IMAGE, records.serialise(evidence), records.serialise(maker.trust()))
    assert said == "a signature over a signature is not supported by this verifier: global-signature"


def test_evidence_with_another_tail_or_with_signatures_exchanged_is_refused(signed):
    maker, _, evidence = signed
    first, tail = evidence.messages
    for changed in (
        {"messages": (first, tail.replace(b"version 1", b"version 2"))},
        {"messages": (first, evidence.signatures[0] + tail)},
        {"messages": (first,)},
        {"messages": (tail, first)},
        {"signatures": evidence.signatures[::-1]},
        {"signatures": (evidence.signatures[0],) * 2},
        {"signatures": evidence.signatures[:1]},
    ):
        assert refusal(maker, replace(evidence, **changed)) is Code.EVIDENCE_MISMATCH


def test_a_sidecar_flipped_anywhere_is_not_that_of_the_evidence(signed):
    """Also where minisign's signatures cover nothing: in the key id and the untrusted comment."""
    maker, _, evidence = signed
    (sidecar,) = evidence.patch.sidecars
    for at in range(len(sidecar.content)):
        content = bytearray(sidecar.content)
        content[at] ^= 1
        forged = Patch(old_size=len(IMAGE), sidecars=(replace(sidecar, content=bytes(content)),))
        with pytest.raises(SealwrightError) as caught:
            verify_evidence(replace(evidence, patch=forged), MemorySource(IMAGE), maker.trust(), FORMATS)
        assert caught.value.code is Code.IMAGE_MISMATCH


SHARED = (
    "roots", "policy", "sections", "request", "votes", "intent", "outcome", "outcome_index", "outcome_proof",
    "followed", "checkpoint", "messages", "signatures",
)  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        lambda first, second: (first, replace(second, after=None)),
        lambda first, second: (replace(first, slot="other"), replace(second, after="other")),
        lambda first, second: (replace(second, after=None), first),
    ],
)
def test_slots_that_the_format_does_not_lay_out_are_found_though_they_were_approved(signed, change):
    """The requester is evil, two people approved without looking, and the signer knows no formats."""
    maker, prepared, evidence = signed
    slots = change(*prepared.slots)
    named = {hashlib.sha256(message).hexdigest(): message for message in prepared.messages}
    evil = replace(prepared, slots=slots, messages=tuple(named[slot.digest] for slot in slots))
    request = maker.request(evil)
    with pytest.raises(VerificationError) as caught:
        recompute(request, {"mill.bin": MemorySource(IMAGE)}, maker.profiles, FORMATS)
    assert caught.value.code is Code.SLOTS_DIFFER
    dossier = maker.sign(evil, request=request)
    with pytest.raises(VerificationError) as caught:
        assemble(dossier, "mill.bin", MemorySource(IMAGE), FORMATS)
    assert caught.value.code is Code.SLOTS_DIFFER
    forged = replace(evidence, **{name: getattr(dossier, name) for name in SHARED})
    assert refusal(maker, forged) is Code.SLOTS_DIFFER


def test_a_slot_that_signs_a_signature_added_to_another_output_is_found(signed, tmp_path):
    maker, *_ = signed
    path = tmp_path / "mill.bin"
    path.write_bytes(IMAGE)
    plain = maker.prepare(path)
    honest = assemble(maker.sign(plain), path.name, MemorySource(IMAGE), FORMATS)
    more = replace(plain.slots[0], slot="more", digest=hashlib.sha256(TAIL).hexdigest(), after=plain.slots[0].slot)
    evil = replace(plain, slots=(*plain.slots, more), messages=(*plain.messages, TAIL))
    request = maker.request(evil)
    with pytest.raises(VerificationError) as caught:
        recompute(request, {"mill.bin": MemorySource(IMAGE)}, maker.profiles, FORMATS)
    assert caught.value.code is Code.SLOTS_DIFFER
    dossier = maker.sign(evil, request=request)
    assert len(dossier.signatures) == 2
    forged = replace(honest, **{name: getattr(dossier, name) for name in SHARED})
    assert refusal(maker, forged) is Code.SLOTS_DIFFER


def test_a_server_that_gives_other_signatures_than_the_slots_ask_for_is_found_before_anything_is_written(signed):
    maker, prepared, _ = signed
    dossier = maker.sign(prepared)
    key = maker.instance.partitions[maker.profile.partition].keys[PublicKey(maker.profile.public_key).fingerprint]
    first, _ = dossier.signatures
    for second in (key.sign(dossier.messages[1]), key.sign(first + b"evil"), first):
        with pytest.raises(VerificationError, match="slot global-signature of mill"):
            assemble(replace(dossier, signatures=(first, second)), "mill.bin", MemorySource(IMAGE), FORMATS)


def test_a_key_set_of_one_key_signs_both_slots(tmp_path):
    maker = Maker(algorithm=Algorithm.ED25519)
    scope = maker.instance.sections["scope", maker.profile.id.removesuffix("/1")]
    key_set = d.KeySet(id="mill", members=(maker.profile.id,), rule=d.KeySetRule.ANY, image_format="raw")
    maker.instance.put(replace(scope, key_sets=(key_set,)))
    maker.instance.log_policy()
    path = tmp_path / "mill.bin"
    path.write_bytes(IMAGE)
    prepared = maker.prepare(path, options=maker.options() | {"output": "minisign"})
    evidence = assemble(maker.sign(prepared), path.name, MemorySource(IMAGE), FORMATS)
    assert verify_evidence(evidence, MemorySource(IMAGE), maker.trust(), FORMATS).key_sets == (key_set,)
    for kept in (evidence.signatures[:1], evidence.signatures[1:], ()):
        assert refusal(maker, replace(evidence, signatures=kept)) in (Code.EVIDENCE_MISMATCH, Code.INVALID_DOCUMENT)
