"""Attack: one administrator proposes a change that the next one is not shown before signing."""

from dataclasses import fields, replace

import pytest
from tests.simulators.instance import Instance

from sealwright.client.differences import between, of_roots
from sealwright.core import records
from sealwright.policy import documents as d

GROUP = d.QuorumGroup(roles=("approver",), approvals=1, recomputed=0)
OTHER = d.QuorumGroup(roles=("approver",), approvals=1, recomputed=1)


@pytest.fixture(scope="module")
def instance():
    return Instance(start=False)


def lines(instance, kind, section_id, before, after):
    section = instance.sections[kind, section_id]
    old, new = (records.serialise(replace(section, **members)) for members in (before, after))
    (found,) = between([old], [new])
    return found.lines()[1:]


def test_a_policy_may_ask_for_two_by_two_equal_groups(instance):
    instance.put(replace(instance.sections["scope", "router/production"], quorum=(GROUP, GROUP)))
    instance.log_policy()
    assert instance.loaded().get(d.Scope, "router/production").quorum == (GROUP, GROUP)


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ((GROUP, GROUP), (GROUP,), ["  - quorum: 1 by approver"]),
        ((GROUP,), (GROUP, GROUP), ["  + quorum: 1 by approver"]),
        (
            (GROUP, GROUP, OTHER),
            (GROUP, OTHER, OTHER),
            ["  - quorum: 1 by approver", "  + quorum: 1 by approver, 1 of them recomputed"],
        ),
    ],
)
def test_one_of_two_equal_groups_that_goes_or_comes_is_shown(instance, before, after, shown):
    assert lines(instance, "scope", "router/production", {"quorum": before}, {"quorum": after}) == shown


def test_another_order_shows_all_of_both(instance):
    before, after = {"quorum": (GROUP, OTHER)}, {"quorum": (OTHER, GROUP)}
    assert len(lines(instance, "scope", "router/production", before, after)) == 4


def test_only_a_new_salt_is_called_one(instance):
    said = lines(instance, "scope", "router/production", {"salt": "00" * 16}, {"salt": "11" * 16})
    assert said == ["  the same content with a new salt: votes that wait under its rules become void"]


@pytest.mark.parametrize("member", [field.name for field in fields(d.LogIdentity)])
def test_every_member_of_a_log_in_the_root_is_shown(instance, member):
    log = instance.root.logs[0]
    other = {
        "origin": "log.example/other",
        "key": log.key.replace("+", "-", 1),
        "first_size": 7,
        "ml_dsa": replace(log.ml_dsa, first_size=7),
    }[member]
    changed = replace(instance.root, logs=(replace(log, **{member: other}),))
    assert [name for name, _ in of_roots(instance.root, changed).new] == ["logs"]
