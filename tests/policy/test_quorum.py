"""Quorums: distinct people for every demand, also where roles overlap."""

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulators.instance import Instance

from sealwright.core.errors import Code, RefusedError
from sealwright.policy import documents as d
from sealwright.policy.quorum import Ballot, check_demands

INSTANCE = Instance()
SCOPE = INSTANCE.sections["scope", "router/production"]
VOTE = INSTANCE.make_vote(INSTANCE.submit(), "ben")


def group(*roles: str, approvals: int, recomputed: int = 0) -> d.QuorumGroup:
    return d.QuorumGroup(roles=roles, approvals=approvals, recomputed=recomputed)


def ballot(name: str, *roles: str, recomputed: bool = True) -> Ballot:
    checked = d.Checked.RECOMPUTED if recomputed else d.Checked.DISPLAYED
    person = replace(INSTANCE.person("ben"), id=name, roles=roles)
    return Ballot(
        vote=replace(VOTE, person=name, checked=checked),
        digest="0" * 64,
        person=person,
        authenticator=person.authenticators[0],
    )


def is_met(groups: tuple[d.QuorumGroup, ...], ballots: tuple[Ballot, ...]) -> bool:
    try:
        check_demands(replace(SCOPE, quorum=groups), ballots)
    except RefusedError as error:
        if error.code is not Code.QUORUM_NOT_MET:
            raise
        return False
    return True


RELEASE, SAFETY = group("release", approvals=1), group("safety", approvals=1)


def test_one_person_with_two_roles_does_not_stand_for_two_groups():
    both = ballot("ben", "release", "safety")
    assert not is_met((RELEASE, SAFETY), (both,))
    assert is_met((RELEASE, SAFETY), (both, ballot("cleo", "safety")))
    assert is_met((RELEASE, SAFETY), (both, ballot("cleo", "release")))


def test_three_people_who_share_one_role_do_not_meet_the_other():
    people = tuple(ballot(name, "release") for name in ("ben", "cleo", "dan"))
    assert not is_met((RELEASE, SAFETY), people)


def test_overlapping_groups_need_as_many_people_as_all_of_them_ask_for():
    # Each group alone is met, each pair of people covers both, but three demands need three people.
    groups = (group("release", "safety", approvals=2), group("safety", approvals=1))
    ben, cleo = ballot("ben", "release", "safety"), ballot("cleo", "safety")
    assert not is_met(groups, (ben, cleo))
    assert is_met(groups, (ben, cleo, ballot("dan", "release")))


def test_a_group_may_ask_that_some_recompute():
    groups = (group("release", approvals=2, recomputed=1),)
    looked = ballot("ben", "release", recomputed=False)
    assert not is_met(groups, (looked, ballot("cleo", "release", recomputed=False)))
    assert not is_met(groups, (ballot("ben", "release"),))
    assert is_met(groups, (looked, ballot("cleo", "release")))
    assert is_met(groups, (ballot("ben", "release"), ballot("cleo", "release")))


def test_a_recomputed_vote_of_a_bystander_does_not_help():
    groups = (group("release", approvals=2, recomputed=1),)
    looked = [ballot(name, "release", recomputed=False) for name in ("ben", "cleo")]
    assert not is_met(groups, (*looked, ballot("dan", "bystander")))


def test_the_same_person_twice_is_one():
    groups = (group("release", approvals=2),)
    assert not is_met(groups, (ballot("ben", "release"), ballot("ben", "release", recomputed=False)))


def test_no_demand_needs_nobody():
    assert is_met((), ())


def test_the_refusal_says_what_is_missing():
    with pytest.raises(RefusedError, match=r"1 of 2 approvals by distinct people with role release$") as error:
        check_demands(replace(SCOPE, quorum=(group("release", approvals=2),)), (ballot("ben", "release"),))
    assert "ask 1 more" in error.value.hint


def test_the_refusal_counts_all_approvals_before_those_that_recomputed():
    scope = replace(SCOPE, quorum=(group("release", "safety", approvals=2, recomputed=1),))
    for votes, found, more in (
        ((), "0 of 2 approvals by distinct people with role release or safety, 0 of 1 recomputed$", 2),
        ((ballot("ben", "safety", recomputed=False),), "1 of 2 approvals .*, 0 of 1 recomputed$", 1),
    ):
        with pytest.raises(RefusedError, match=found) as error:
            check_demands(scope, votes)
        assert f"ask {more} more" in error.value.hint


def met_by_trying(groups: tuple[d.QuorumGroup, ...], ballots: tuple[Ballot, ...]) -> bool:
    """Seat a distinct person on every demand, trying all ways."""
    seats = [(g.roles, i < g.recomputed) for g in groups for i in range(g.approvals)]
    return any(
        all(
            set(roles) & set(b.person.roles) and (not only or b.vote.checked is d.Checked.RECOMPUTED)
            for (roles, only), b in zip(seats, chosen, strict=True)
        )
        for chosen in permutations(ballots, len(seats))
    )


roles = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=2, unique=True)
groups = st.lists(
    st.tuples(roles, st.integers(1, 2), st.integers(0, 2)).map(
        lambda g: group(*g[0], approvals=g[1], recomputed=min(g[1], g[2]))
    ),
    max_size=3,
).map(tuple)
ballots = st.lists(st.tuples(roles, st.booleans()), max_size=5).map(
    lambda many: tuple(ballot(f"p{i}", *r, recomputed=c) for i, (r, c) in enumerate(many))
)


@settings(max_examples=300, deadline=None)
@given(groups, ballots)
def test_a_quorum_is_met_exactly_where_every_demand_can_have_a_person_of_its_own(groups, ballots):
    assert is_met(groups, ballots) == met_by_trying(groups, ballots)
