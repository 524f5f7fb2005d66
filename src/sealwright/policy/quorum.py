"""Who must have approved: distinct people for every demand of a scope, and two of them in production.

Specification: ``docs/spec/authorise.md``; why this way: ADR 0020.
"""

from dataclasses import dataclass
from itertools import combinations

from sealwright.core.errors import Code, RefusedError
from sealwright.policy.documents import Authenticator, Checked, Environment, Person, Scope, Vote


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """A valid vote and who cast it."""

    vote: Vote
    digest: str
    person: Person
    authenticator: Authenticator


def check_quorum(scope: Scope, requesters: frozenset[str], ballots: tuple[Ballot, ...]) -> None:
    """Raise ``RefusedError`` (``quorum-not-met``) unless these ballots meet the scope's quorum, and two people stand
    behind the request in production: ``requesters`` are the people who asked.
    """
    check_demands(scope, ballots)
    _check_two_people(scope, requesters, ballots)


def check_demands(scope: Scope, ballots: tuple[Ballot, ...]) -> None:
    """Distinct people for every demand: any set of demands needs as many people as it asks for (Hall's theorem)."""
    demands = [
        (frozenset(group.roles), need, recomputed)
        for group in scope.quorum
        for need, recomputed in ((group.recomputed, True), (group.approvals - group.recomputed, False))
        if need
    ]
    missing = 0
    for size in range(1, len(demands) + 1):
        for some in combinations(demands, size):
            need = sum(count for _, count, _ in some)
            have = {b.person.id for b in ballots if any(_satisfies(b, roles, only) for roles, _, only in some)}
            missing = max(missing, need - len(have))
    if missing:
        raise _quorum_refusal(scope, ballots, missing)


def _check_two_people(scope: Scope, requesters: frozenset[str], ballots: tuple[Ballot, ...]) -> None:
    """No policy can allow less in production; a pipeline that nobody controls brings no person of its own."""
    if scope.environment is not Environment.PRODUCTION:
        return
    approvers = {ballot.person.id for ballot in ballots}
    if not approvers or len(approvers | requesters) < 2:
        raise RefusedError(
            f"scope {scope.id}: {len(approvers | requesters)} of 2 people stand behind this request",
            code=Code.QUORUM_NOT_MET,
            hint="ask one more to run `sealwright request check` and `sealwright request approve`",
        )


def _satisfies(ballot: Ballot, roles: frozenset[str], only_recomputed: bool) -> bool:
    checked = ballot.vote.checked is Checked.RECOMPUTED or not only_recomputed
    return checked and not roles.isdisjoint(ballot.person.roles)


def _quorum_refusal(scope: Scope, ballots: tuple[Ballot, ...], missing: int) -> RefusedError:
    """Say of each group what it has; one person counts for one place only, so more may be missing than they show."""
    groups = []
    for group in scope.quorum:
        ours = [b for b in ballots if _satisfies(b, frozenset(group.roles), only_recomputed=False)]
        people = len({b.person.id for b in ours})
        recomputed = len({b.person.id for b in ours if b.vote.checked is Checked.RECOMPUTED})
        groups.append(
            f"{people} of {group.approvals} approvals by distinct people with role {' or '.join(group.roles)}"
        )
        groups[-1] += f", {recomputed} of {group.recomputed} recomputed" if group.recomputed else ""
    return RefusedError(
        f"scope {scope.id}: {'; '.join(groups)}",
        code=Code.QUORUM_NOT_MET,
        hint=f"ask {missing} more to run `sealwright request check` and `sealwright request approve`",
    )
