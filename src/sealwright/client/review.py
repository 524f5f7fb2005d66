"""A second look at a draft: what compiles and still could not work, or was revoked."""

from collections.abc import Iterator

from sealwright.client.drafts import Draft
from sealwright.client.key_sets import check_new_sets
from sealwright.client.new_keys import check_usable, revoked_name, wanted
from sealwright.client.revocations import Revocations
from sealwright.client.standing import InForce
from sealwright.core.errors import Code, RefusedError
from sealwright.policy.documents import KeyProfile, Person, Pipeline, RestrictionKind, Scope, State
from sealwright.policy.sections import Sections, parse_section
from sealwright.policy.signatures import fingerprint


def check_additions(draft: Draft, in_force: InForce) -> None:
    """Raise ``RefusedError`` for what the draft adds and nobody could use; what is in force already may stay."""
    old = {(s.type, s.id): s for s in map(parse_section, in_force.sections)}
    revocations = in_force.revocations
    check_new_sets(draft, [section for section in old.values() if isinstance(section, Scope)])
    for profile in draft.all(KeyProfile):
        before = old.get((profile.type, profile.id))
        if isinstance(before, KeyProfile) and before.public_key != profile.public_key:
            raise RefusedError(
                f"key {profile.id} would be another key than in force",
                code=Code.CONFLICT,
                hint="keys are never replaced: choose another name for the new one",
            )
        if before is None:
            check_usable(wanted(profile), draft, revocations)
    holders: list[Person | Pipeline] = [*draft.all(Person), *draft.all(Pipeline)]
    for holder in holders:
        known = old.get((holder.type, holder.id))
        if known is None and (taken := revocations.person(holder.id)) is not None:
            raise revoked_name(holder.type, taken)
        had = known.authenticators if isinstance(known, Person | Pipeline) else ()
        for authenticator in set(holder.authenticators) - set(had):
            if (taken := revocations.authenticator(fingerprint(authenticator))) is not None:
                raise revoked_name("SSH key", taken)


def notes_on(sections: Sections, revocations: Revocations) -> list[str]:
    """Say what a policy may well contain, and an administrator will want to know."""
    return [
        *_revoked(sections, revocations),
        *short_of_people(sections, revocations),
        *(said for scope in sections.all(Scope) for said in _without_key(scope, sections, revocations)),
    ]


def _revoked(sections: Sections, revocations: Revocations) -> Iterator[str]:
    for profile in sections.all(KeyProfile):
        if (taken := revocations.key(profile.id)) is not None:
            yield f"key {profile.id} is revoked since log index {taken.index} and stays so: `sealwright key remove`"
    for person in sections.all(Person):
        if (taken := revocations.person(person.id)) is not None:
            yield f"{person.id} is revoked since log index {taken.index} and stays so: `sealwright people remove`"
        elif person.authenticators and not revocations.is_able(person) and person.state is State.ACTIVE:
            yield f"{person.id} has no key left that is not revoked: `sealwright people add {person.id} --key FILE.pub`"


def after_revocation(in_force: InForce, kind: RestrictionKind, subject: str) -> list[str]:
    """Say what a revocation that is not logged yet would make impossible."""
    if in_force.standing is None:
        return []
    sections, later = in_force.standing.sections, in_force.revocations.with_one_more(kind, subject)
    before = set(_missing(sections, in_force.revocations))
    return [text for text in _missing(sections, later) if text not in before]


def short_of_people(sections: Sections, revocations: Revocations) -> Iterator[str]:
    """Say for which products too few people can still request and approve."""
    for scope in sections.all(Scope):
        yield from _short_of_people(scope, sections, revocations)


def _missing(sections: Sections, revocations: Revocations) -> Iterator[str]:
    yield from short_of_people(sections, revocations)
    for scope in sections.all(Scope):
        yield from _without_key(scope, sections, revocations)


def _short_of_people(scope: Scope, sections: Sections, revocations: Revocations) -> Iterator[str]:
    active = [p for p in sections.all(Person) if revocations.is_able(p)]
    requesting: list[Person | Pipeline] = [*active, *(p for p in sections.all(Pipeline) if revocations.is_able(p))]
    for group in scope.quorum:
        have = sum(not set(group.roles).isdisjoint(p.roles) for p in active)
        if have < group.approvals:
            roles = " or ".join(group.roles)
            need = "1 approval" if group.approvals == 1 else f"{group.approvals} approvals"
            are = "1 person who can sign is" if have == 1 else f"{have} people who can sign are"
            yield f"{scope.id} needs {need} by {roles}, and {are} that"
    if all(set(scope.requesters).isdisjoint(holder.roles) for holder in requesting):
        yield f"nobody can request for {scope.id}: nobody who can sign is {' or '.join(scope.requesters)}"


def _without_key(scope: Scope, sections: Sections, revocations: Revocations) -> Iterator[str]:
    keys = [k for k in sections.all(KeyProfile) if (k.product, k.environment) == (scope.product, scope.environment)]
    usable = [k for k in keys if k.state is State.ACTIVE and revocations.key(k.id) is None]
    if not usable:
        yield f"{scope.id} has no key that signs"
    for key in usable:
        if key.grade not in scope.key_grades:
            yield f"key {key.id} is graded {key.grade} and {scope.id} takes {', '.join(scope.key_grades)}"
