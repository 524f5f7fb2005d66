"""The server brings the sections of the policy: chosen, doubled, exchanged or left out."""

from dataclasses import replace

import pytest
from tests.simulators.instance import Instance

from sealwright.core import records
from sealwright.core.errors import Code
from sealwright.policy.documents import State
from sealwright.signer.protocol import Round


def left_out(sections: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return sections[1:]


def doubled(sections: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return (*sections, sections[0])


def one_doubled_one_left_out(sections: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return (sections[0], *sections[:-1])


def one_added(sections: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return (*sections, sections[0].replace(b'"id":"ada"', b'"id":"eve"'))


def one_edited(sections: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return (sections[0].replace(b'"approver"', b'"approver2"'), *sections[1:])


def one_that_is_none(sections: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return (b'{"type":"scope"}', *sections[1:])


@pytest.mark.parametrize(
    ("choose", "code"),
    [
        (left_out, Code.POLICY_INCOMPLETE),
        (doubled, Code.POLICY_INVALID),
        (one_doubled_one_left_out, Code.POLICY_INVALID),
        (one_added, Code.POLICY_INCOMPLETE),
        (one_edited, Code.POLICY_INCOMPLETE),
        (one_that_is_none, Code.INVALID_DOCUMENT),
    ],
)
def test_only_the_complete_policy_is_taken(choose, code):
    instance = Instance()
    instance.log_policy()
    genuine = instance.section_bytes()
    assert choose(genuine) != genuine
    size = len(instance.log.entries)
    entries = tuple(instance.log.entries[-1:])
    following = Round(start=size - 1, entries=entries, checkpoint=instance.log.checkpoint(), sections=choose(genuine))
    assert instance.engine.handle(following).refusal.code is code
    submission = instance.approved()
    index = instance.log.append(instance.make_intent(submission))
    entries = tuple(instance.log.entries[-1:])
    ask = Round(start=size, entries=entries, checkpoint=instance.log.checkpoint(),
                sign=(instance.order(submission, index),))  # fmt: skip
    assert instance.code_of(instance.engine.handle(ask)) is Code.POLICY_INCOMPLETE
    assert instance.engine.handle(Round(start=size + 1, sections=genuine)).refusal is None
    assert instance.sign(submission)


def test_the_order_of_sections_does_not_matter():
    instance = Instance()
    instance.sections = dict(reversed(instance.sections.items()))
    assert (
        instance.engine.handle(Round(start=len(instance.log.entries), sections=instance.section_bytes())).refusal
        is None
    )
    assert instance.sign(instance.approved())


def test_a_policy_that_says_two_things_of_one_person_is_refused():
    # Both are in the signed policy; the server may not choose which is meant.
    instance = Instance()
    instance.sections["person", "cleo again"] = replace(instance.person("cleo"), state=State.REVOKED, salt="0" * 32)
    instance.log_policy()
    refusal = instance.catch_up().refusal
    assert refusal.code is Code.POLICY_INVALID
    assert refusal.message == "person cleo is there twice"


def test_a_section_of_an_unknown_kind_makes_the_policy_unreadable():
    instance = Instance()
    scope = records.dump(instance.sections["scope", "router/production"]) | {"type": "super-scope"}
    size = len(instance.log.entries)
    result = instance.engine.handle(Round(start=size, sections=(records.serialise(scope),)))
    assert result.refusal.code is Code.INVALID_DOCUMENT
