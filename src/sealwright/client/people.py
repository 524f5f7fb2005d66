"""People of a draft: adding one, giving more keys and roles, taking some away."""

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches

from sealwright.client.drafts import Draft
from sealwright.client.new_keys import revoked_name
from sealwright.client.revocations import Revocations
from sealwright.core import records
from sealwright.core.errors import Code, ConfigurationError, RefusedError
from sealwright.policy.documents import Authenticator, Person, Pipeline, Scope, State
from sealwright.policy.signatures import fingerprint

USUAL_ROLES = ("approver", "developer")
"""Roles that products take unless they say otherwise."""


def known_roles(draft: Draft) -> list[str]:
    """Return the roles that mean something: the usual ones, and all that a product's rules name."""
    scopes = draft.all(Scope)
    named = {role for scope in scopes for role in scope.requesters}
    named |= {role for scope in scopes for group in scope.quorum for role in group.roles}
    return sorted({*USUAL_ROLES, *named})


def add(
    draft: Draft, revocations: Revocations, person: str, keys: Sequence[str], roles: Sequence[str], *, verified: bool
) -> None:
    """Add a person, or give one more keys and roles."""
    old = draft.get(Person, person)
    if (taken := revocations.person(person)) is not None:
        raise revoked_name("person", taken)
    check_roles(roles, known_roles(draft))
    added = {key: Authenticator(key=key, user_verification=verified) for key in keys}
    for authenticator in added.values():
        if (taken := revocations.authenticator(fingerprint(authenticator))) is not None:
            raise revoked_name("SSH key", taken)
    have = {a.key: a for a in old.authenticators} if old else {}
    have.update(added)
    if not have:
        raise ConfigurationError(f"{person} has no key", setting="--key", hint="give --key FILE.pub")
    changed = Person(
        type="person",
        format=1,
        salt="0" * 32,
        id=person,
        authenticators=tuple(have.values()),
        roles=tuple(sorted({*(old.roles if old else ()), *roles})),
        state=State.ACTIVE,
    )
    draft.put(records.load(Person, records.dump(changed)))


def take_away(draft: Draft, person: str, fingerprints: Sequence[str], roles: Sequence[str]) -> None:
    """Take some keys or roles from a person, who stays."""
    old = find(draft, person)
    have = {fingerprint(a): a for a in old.authenticators}
    for what, given, known in (("key", fingerprints, list(have)), ("role", roles, list(old.roles))):
        for one in given:
            if one not in known:
                raise RefusedError(
                    f"{person} has no {what} {one[:96]}",
                    code=Code.NOT_FOUND,
                    hint=f"{person} has: {', '.join(known) or 'none'}",
                )
    left = tuple(a for print_, a in have.items() if print_ not in fingerprints)
    if not left:
        raise RefusedError(
            f"{person} would have no key left",
            code=Code.CONFLICT,
            hint=f"add the new one first, or take the person out: `sealwright people remove {person}`",
        )
    draft.put(replace(old, authenticators=left, roles=tuple(role for role in old.roles if role not in roles)))


def find(draft: Draft, person: str) -> Person:
    """Return a person of the draft; ``RefusedError`` (``not-found``) when there is none of that id."""
    found = draft.get(Person, person)
    if found is None:
        raise unknown(person, [p.id for p in draft.all(Person)])
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
