"""People and pipelines of a draft: adding one, giving more keys and roles, taking some away."""

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, Literal

from sealwright.client.drafts import Draft
from sealwright.client.ids import check_id
from sealwright.client.new_keys import revoked_name
from sealwright.client.revocations import Revocations
from sealwright.client.short_forms import whole
from sealwright.client.standing import InForce
from sealwright.core import records
from sealwright.core.errors import Code, ConfigurationError, RefusedError
from sealwright.policy.documents import Authenticator, Person, Pipeline, Root, Scope, State
from sealwright.policy.signatures import fingerprint, public_key_of

USUAL_ROLES = ("approver", "developer")
"""Roles that products take unless they say otherwise."""


def known_roles(draft: Draft) -> list[str]:
    """Return the roles that mean something: the usual ones, and all that a product's rules name."""
    scopes = draft.all(Scope)
    named = {role for scope in scopes for role in scope.requesters}
    named |= {role for scope in scopes for group in scope.quorum for role in group.roles}
    return sorted({*USUAL_ROLES, *named})


def add(
    draft: Draft,
    in_force: InForce,
    person: str,
    keys: Sequence[str],
    roles: Sequence[str],
    *,
    verified: bool,
    controllers: Sequence[str] | None = None,
) -> Literal["person", "pipeline"]:
    """Add a person, or a pipeline where ``controllers`` are given; or give one more keys, roles and controllers.

    Return which of them it is.
    """
    old = draft.get(Person, person) or draft.get(Pipeline, person)
    _check_new(draft, in_force.revocations, person, old, controllers)
    check_roles(roles, known_roles(draft))
    added = {key: Authenticator(key=key, user_verification=verified) for key in keys}
    for authenticator in added.values():
        if (taken := in_force.revocations.authenticator(fingerprint(authenticator))) is not None:
            raise revoked_name("SSH key", taken)
        _check_owner(draft, in_force.root, person, authenticator)
    have = {a.key: a for a in old.authenticators} if old else {}
    have.update(added)
    if not have:
        raise ConfigurationError(f"{person} has no key", setting="--key", hint="give --key FILE.pub")
    members: dict[str, Any] = {
        "format": 1,
        "salt": "0" * 32,
        "id": person,
        "authenticators": tuple(have.values()),
        "roles": tuple(sorted({*(old.roles if old else ()), *roles})),
        "state": State.ACTIVE,
    }
    if isinstance(old, Pipeline) or controllers:
        known = old.controllers if isinstance(old, Pipeline) else ()
        together = tuple(sorted({*known, *(controllers or ())}))
        pipeline = Pipeline(type="pipeline", controllers=together, **members)
        draft.put(records.load(Pipeline, records.dump(pipeline)))
        return "pipeline"
    draft.put(records.load(Person, records.dump(Person(type="person", **members))))
    return "person"


def _check_new(
    draft: Draft,
    revocations: Revocations,
    person: str,
    old: Person | Pipeline | None,
    controllers: Sequence[str] | None,
) -> None:
    check_id(person, "PERSON", "dave.smith", slashes=False)
    if (taken := revocations.person(person)) is not None:
        raise revoked_name("pipeline" if isinstance(old, Pipeline) else "person", taken)
    if controllers is not None and isinstance(old, Person):
        raise RefusedError(
            f"{person} is a person already", code=Code.CONFLICT, hint="choose another name for the pipeline"
        )
    if controllers is not None and old is None and not controllers:
        raise ConfigurationError(
            f"nobody controls the pipeline {person}",
            setting="--controller",
            hint="name those who can change what it builds: they cannot approve what it requests",
        )
    for controller in controllers or ():
        if draft.get(Person, controller) is None:
            raise unknown(controller, [p.id for p in draft.all(Person)])


def _check_owner(draft: Draft, root: Root, person: str, authenticator: Authenticator) -> None:
    """Refuse a key of somebody else at once: whoever has it would be two people."""
    holders: list[Person | Pipeline] = [*draft.all(Person), *draft.all(Pipeline)]
    owners = [(holder.id, a) for holder in holders for a in holder.authenticators]
    owners += [(admin.person, a) for admin in root.administrators for a in admin.authenticators]
    for owner, known in owners:
        if owner != person and public_key_of(known) == public_key_of(authenticator):
            raise RefusedError(
                f"key {fingerprint(authenticator)[:16]} is a key of {owner}",
                code=Code.CONFLICT,
                hint=f"each key belongs to one id: give {person} another one, or go on as {owner}",
            )


def take_away(
    draft: Draft, person: str, fingerprints: Sequence[str], roles: Sequence[str], controllers: Sequence[str] = ()
) -> None:
    """Take some keys, roles or controllers from a person or pipeline, who stays."""
    old = find(draft, person)
    have = {fingerprint(a): a for a in old.authenticators}
    fingerprints = [whole(one, have, "key") for one in fingerprints]
    controlled = old.controllers if isinstance(old, Pipeline) else ()
    for what, given, known in (
        ("key", fingerprints, list(have)),
        ("role", roles, list(old.roles)),
        ("controller", controllers, list(controlled)),
    ):
        for one in given:
            if one not in known:
                raise RefusedError(
                    f"{person} has no {what} {one[:96]}",
                    code=Code.NOT_FOUND,
                    hint=f"{person} has: {', '.join(known) or 'none'}",
                )
    left = tuple(a for print_, a in have.items() if print_ not in fingerprints)
    for what, remain in (("key", left), ("controller", set(controlled) - set(controllers) or not controllers)):
        if not remain:
            raise RefusedError(
                f"{person} would have no {what} left",
                code=Code.CONFLICT,
                hint=f"add the new one first, or take {person} out: `sealwright people remove {person}`",
            )
    changed = replace(old, authenticators=left, roles=tuple(role for role in old.roles if role not in roles))
    if isinstance(changed, Pipeline):
        changed = replace(changed, controllers=tuple(c for c in changed.controllers if c not in controllers))
    draft.put(changed)


def remove(draft: Draft, person: str) -> None:
    """Take a person or pipeline out; ``RefusedError`` (``conflict``) for somebody who controls a pipeline."""
    holder = find(draft, person)
    controlled = [p.id for p in draft.all(Pipeline) if person in p.controllers]
    if controlled:
        raise RefusedError(
            f"{person} controls {', '.join(controlled)}",
            code=Code.CONFLICT,
            hint=f"`sealwright people remove {controlled[0]} --controller {person}` first",
        )
    draft.remove(holder.type, person)


def find(draft: Draft, person: str) -> Person | Pipeline:
    """Return a person or pipeline of the draft; ``RefusedError`` (``not-found``) when there is none of that id."""
    found = draft.get(Person, person) or draft.get(Pipeline, person)
    if found is None:
        raise unknown(person, [holder.id for kind in (Person, Pipeline) for holder in draft.all(kind)])
    return found


def check_known(draft: Draft, person: str, others: Sequence[str]) -> None:
    """Raise ``RefusedError`` unless the draft, or ``others``, know this id."""
    known = [holder.id for kind in (Person, Pipeline) for holder in draft.all(kind)]
    if person not in (*known, *others):
        raise unknown(person, [*known, *others])


def unknown(person: str, known: Sequence[str]) -> RefusedError:
    """Return the refusal for an id that nobody has."""
    close = get_close_matches(person, known, 1)
    return RefusedError(
        f"there is no person {person[:96]}",
        code=Code.NOT_FOUND,
        hint=f"did you mean {close[0]}?" if close else "list them with `sealwright people list`",
    )


def check_roles(roles: Sequence[str], known: Sequence[str]) -> None:
    """Raise ``RefusedError`` for a role that no rule names: whoever has it can do nothing."""
    for role in roles:
        if role not in known:
            close = get_close_matches(role, known, 1)
            meant = f"did you mean {close[0]}? " if close else ""
            raise RefusedError(
                f"no product's rules name a role {role[:96]}",
                code=Code.NOT_FOUND,
                hint=f"{meant}roles: {', '.join(known)}; a new one begins with "
                "`sealwright product add … --approver ROLE`",
            )
