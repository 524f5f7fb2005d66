"""A request with no slot, with an artifact that has none, or with a slot twice."""

from dataclasses import replace

import pytest
from tests.simulators.instance import Instance

from sealwright.core.errors import Code

KEY = "router/production/1"


def two_artifacts(instance: Instance):
    artifacts = (instance.artifact(b"a", "a.bin"), instance.artifact(b"b", "b.bin"))
    slots = tuple(instance.slot(name.encode(), key_profile=KEY, name=f"{name}.bin") for name in "ab")
    return artifacts, slots


def test_a_request_without_slots_is_none():
    instance = Instance()
    assert instance.refusal(instance.approved(slots=())) is Code.INVALID_DOCUMENT


def test_a_request_without_artifacts_is_none():
    instance = Instance()
    assert instance.refusal(instance.approved(artifacts=())) is Code.INVALID_DOCUMENT


def test_more_slots_than_an_intent_may_have_are_refused():
    instance = Instance()
    slot = instance.slot(b"firmware", key_profile=KEY)
    slots = tuple(replace(slot, slot=f"s{i}", digest=f"{i:064x}") for i in range(201))
    assert instance.refusal(instance.approved(slots=slots)) is Code.INVALID_DOCUMENT
    assert len(instance.sign(instance.approved(slots=slots[:200]))) == 200


def test_an_artifact_without_a_slot_is_refused():
    instance = Instance()
    artifacts, slots = two_artifacts(instance)
    assert instance.refusal(instance.approved(artifacts=artifacts, slots=slots[:1])) is Code.SLOT_INVALID


def test_a_slot_of_no_artifact_is_refused():
    instance = Instance()
    artifacts, slots = two_artifacts(instance)
    assert instance.refusal(instance.approved(artifacts=artifacts[:1], slots=slots)) is Code.SLOT_INVALID


def test_an_artifact_name_twice_is_refused():
    # One of the two would be shown to the approver, the other signed.
    instance = Instance()
    artifacts, slots = two_artifacts(instance)
    twins = (artifacts[0], replace(artifacts[1], name="a.bin"))
    assert instance.refusal(instance.approved(artifacts=twins, slots=slots[:1])) is Code.SLOT_INVALID


@pytest.mark.parametrize("changes", [{}, {"slot": "another-name"}, {"digest": "0" * 64}])
def test_a_slot_twice_is_refused(changes):
    instance = Instance()
    slot = instance.slot(b"firmware", key_profile=KEY)
    assert instance.refusal(instance.approved(slots=(slot, replace(slot, **changes)))) is Code.SLOT_INVALID


def test_two_artifacts_with_a_slot_each_are_signed_in_their_order():
    instance = Instance()
    artifacts, slots = two_artifacts(instance)
    assert len(instance.sign(instance.approved(artifacts=artifacts, slots=slots))) == 2


@pytest.mark.parametrize("name", ["..", ".hidden", "a/b", "", "a\\b", "a b", "é.bin"])
def test_a_name_that_is_no_plain_file_name_is_refused(name):
    instance = Instance()
    artifact = instance.artifact(b"firmware", name)
    slot = instance.slot(b"firmware", key_profile=KEY, name=name)
    assert instance.refusal(instance.approved(artifacts=(artifact,), slots=(slot,))) is Code.INVALID_DOCUMENT
