"""Attack: a key that belongs to no key set, or one set's key beside another's, signs in the place of the set."""

from dataclasses import replace

import pytest
from tests.simulators.instance import Instance

from sealwright.core.errors import Code, RefusedError
from sealwright.policy import documents as d

IMAGE = b"firmware"
KEYS = ("router/production/1", "router/production/2", "router/production/3", "router/production/4")
SCOPE = ("scope", "router/production")


def with_sets(*members: tuple[str, ...], rule: d.KeySetRule = d.KeySetRule.ALL, image_format: str = "raw") -> Instance:
    instance = Instance(start=False)
    for key in KEYS[1:]:
        instance.with_key(key)
    sets = tuple(
        d.KeySet(id=f"set-{n}", members=some, rule=rule, image_format=image_format) for n, some in enumerate(members)
    )
    instance.put(replace(instance.sections[SCOPE], key_sets=sets))
    instance.log_policy()
    return instance


def started(*members: tuple[str, ...], **changes) -> Instance:
    instance = with_sets(*members, **changes)
    instance.start_signer()
    return instance


def ask(instance: Instance, *keys: str):
    slots = tuple(instance.slot(IMAGE, key_profile=key, slot=f"signature-{n}") for n, key in enumerate(keys))
    return instance.approved(slots=slots)


def test_a_whole_set_signs():
    instance = started(KEYS[:2])
    assert len(instance.sign(ask(instance, *KEYS[:2]))) == 2


@pytest.mark.parametrize("keys", [KEYS[2:3], KEYS[:1], KEYS[:3], (KEYS[0], KEYS[2])])
def test_anything_but_whole_sets_is_refused(keys):
    instance = started(KEYS[:2])
    assert instance.refusal(ask(instance, *keys)) is Code.KEY_SET_INCOMPLETE


def test_two_whole_sets_sign_and_halves_of_two_do_not():
    instance = started(KEYS[:2], KEYS[2:])
    assert len(instance.sign(ask(instance, *KEYS))) == 4
    assert instance.refusal(ask(instance, KEYS[0], KEYS[2])) is Code.KEY_SET_INCOMPLETE


def test_a_set_of_one_lets_a_key_sign_alone_beside_others():
    instance = started(KEYS[:2], KEYS[2:3])
    assert len(instance.sign(ask(instance, KEYS[2]))) == 1
    assert instance.refusal(ask(instance, KEYS[3])) is Code.KEY_SET_INCOMPLETE


def test_one_member_signs_one_slot_and_the_other_two():
    instance = started(KEYS[:2])
    slots = [instance.slot(IMAGE, key_profile=key, slot=f"signature-{n}") for n, key in enumerate(KEYS[:2])]
    slots.append(replace(instance.slot(b"other", key_profile=KEYS[0]), slot="more"))
    assert instance.refusal(instance.approved(slots=tuple(slots))) is Code.KEY_SET_INCOMPLETE


def test_without_a_set_for_the_format_every_key_signs_alone():
    instance = Instance()
    assert len(instance.sign(instance.approved())) == 1


@pytest.mark.parametrize(
    ("members", "found"),
    [
        ((KEYS[:2], KEYS[1:3]), "a key in two of them"),
        (((KEYS[0], "router/production/9"),), "is not in the policy"),
        (((KEYS[0], "router/development/1"),), "of another scope or format"),
    ],
)
def test_a_policy_whose_sets_no_request_could_meet_is_refused(members, found):
    with pytest.raises(RefusedError, match=found) as refused:
        with_sets(*members).loaded()
    assert refused.value.code is Code.POLICY_INVALID


def test_a_set_for_another_format_than_its_keys_is_refused():
    with pytest.raises(RefusedError, match="of another scope or format"):
        with_sets(KEYS[:2], image_format="mcuboot").loaded()
