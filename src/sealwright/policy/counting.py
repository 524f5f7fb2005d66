"""Which approvals help a quorum: what intake refuses at once, and what people are shown beside a vote.

``authorise`` ignores an approval that helps no group (docs/spec/authorise.md#quorum); nobody may read it as consent.
"""

from sealwright.core.errors import Code, RefusedError
from sealwright.policy.documents import Checked, Person, Scope
from sealwright.policy.quorum import Ballot


def may_vote(person: Person | None, scope: Scope) -> bool:
    """Whether a person has a role of some quorum group."""
    return person is not None and not voting_roles(scope).isdisjoint(person.roles)


def voting_roles(scope: Scope) -> frozenset[str]:
    """Return the roles whose approvals a scope asks for."""
    return frozenset(role for group in scope.quorum for role in group.roles)


def check_may_vote(person: str, section: Person | None, scope: Scope, hint: str) -> None:
    """Raise ``RefusedError`` (``not-permitted``) for somebody without a role that votes on ``scope``."""
    if may_vote(section, scope):
        return
    roles = " or ".join(sorted(voting_roles(scope)))
    raise RefusedError(
        f"{person} has no role that votes on {scope.id}, which takes {roles}"
        if roles
        else f"{scope.id} asks for no approval: a vote of {person} would count for nothing",
        code=Code.NOT_PERMITTED,
        hint=hint,
    )


def why_not(ballot: Ballot, scope: Scope) -> str:
    """Say why a valid approval helps no group; empty when it helps one."""
    groups = [group for group in scope.quorum if not set(group.roles).isdisjoint(ballot.person.roles)]
    if not groups:
        return f"{ballot.person.id} has no role that votes on {scope.id}"
    if ballot.vote.checked is Checked.DISPLAYED and all(group.recomputed == group.approvals for group in groups):
        return "looked only at what the request says, and the rules ask for approvals that recomputed"
    return ""
