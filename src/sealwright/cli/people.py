"""``sealwright people``: who may request and approve, pipelines too; changes go into the policy draft."""

import re
from pathlib import Path
from typing import Annotated

import typer

from sealwright.cli.drafting import confirm, keep, say_stale, spell_taken, taken_json
from sealwright.cli.output import note, show, show_columns, show_json
from sealwright.cli.typed import noun
from sealwright.client import administration
from sealwright.client import people as in_draft
from sealwright.client.review import after_revocation
from sealwright.client.short_forms import whole
from sealwright.core import sshsig
from sealwright.core.errors import Code, RefusedError
from sealwright.policy.documents import Person, Pipeline, RestrictionKind
from sealwright.policy.signatures import fingerprint
from sealwright.service.messages import NameBody, NamesAnswer

people = noun("people and pipelines, their keys and roles")
Holder = Person | Pipeline
Json = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
PersonId = Annotated[str, typer.Argument(metavar="PERSON", help="a person's id")]
Role = Annotated[
    list[str] | None,
    typer.Option(
        "--role", help="developer (requests), approver, or another role that a product's rules name; repeat for more"
    ),
]


@people.command("list")
def list_people(json: Json = False) -> None:
    """List people and pipelines: of the draft if there is one, else of the policy in force; and who is revoked."""
    with administration.reading() as desk:
        say_stale(desk)
        names = {n.person: n.name for n in desk.api.get(NamesAnswer, "/v1/names").names}
        holders: list[Holder] = [*desk.draft.all(Person), *desk.draft.all(Pipeline)]
        if json:
            show_json([_as_json(desk, holder, names.get(holder.id, "")) for holder in holders])
            return
        rows: list[tuple[str, ...]] = [("PERSON", "NAME", "STATE", "ROLES", "KEY")]
        for holder in holders:
            rows += _rows(desk, holder, names.get(holder.id, ""))
        show_columns(rows)


@people.command()
def add(
    person: Annotated[
        str, typer.Argument(metavar="PERSON", help="an id that says nothing of the person's name to outsiders")
    ],
    key: Annotated[
        list[Path] | None, typer.Option(help="public key file (.pub); repeat for more; needed for somebody new")
    ] = None,
    role: Role = None,
    pipeline: Annotated[
        bool, typer.Option("--pipeline", help="a build system: it requests, never approves, and has controllers")
    ] = False,
    controller: Annotated[
        list[str] | None,
        typer.Option(
            help="person who can change what the pipeline builds, and so counts as requester; repeat for more"
        ),
    ] = None,
    user_verification: Annotated[
        bool, typer.Option("--user-verification", help="demand the PIN of a FIDO key with each signature")
    ] = False,
    json: Json = False,
) -> None:
    """Add a person or pipeline to the draft, or give one more keys, roles and controllers."""
    with administration.editing() as desk:
        lines = [administration.read_public_key(path) for path in key or []]
        controllers = controller or [] if pipeline or controller else None
        kind = in_draft.add(
            desk.draft, desk.in_force, person, lines, role or [], verified=user_verification, controllers=controllers
        )
        keep(desk, (kind, person), json=json)


@people.command()
def remove(
    person: PersonId,
    key: Annotated[
        list[str] | None,
        typer.Option(help="take only this key: its .pub file, or its fingerprint or the first digits of it"),
    ] = None,
    role: Annotated[list[str] | None, typer.Option(help="take only this role; repeat for more")] = None,
    controller: Annotated[
        list[str] | None, typer.Option(help="take only this controller of a pipeline; repeat for more")
    ] = None,
    json: Json = False,
) -> None:
    """Take a person or pipeline out of the draft, or only some of their keys, roles and controllers.

    This is of the policy to come; use revoke for a key that was lost.
    """
    with administration.editing() as desk:
        kind = in_draft.find(desk.draft, person).type
        if key or role or controller:
            keys = [_fingerprint(k) for k in key or []]
            in_draft.take_away(desk.draft, person, keys, role or [], controller or [])
        else:
            in_draft.remove(desk.draft, person)
        keep(desk, (kind, person), json=json)


@people.command()
def revoke(
    person: Annotated[
        str,
        typer.Argument(
            metavar="PERSON", help="person or pipeline id; with --key the fingerprint of one key, its first digits do"
        ),
    ],
    reason: Annotated[str, typer.Option(help="why; kept with the signed document, and shown to everybody")],
    key: Annotated[bool, typer.Option("--key", help="PERSON is the fingerprint of one authenticator")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask before revoking")] = False,
    json: Json = False,
) -> None:
    """Revoke a person or one key at once and for ever: by a log entry, not by the next policy."""
    kind = RestrictionKind.REVOKE_AUTHENTICATOR if key else RestrictionKind.REVOKE_PERSON
    with administration.reading() as desk:
        owners = administration.owners(desk)
        subject = whole(person, owners, "key") if key else person
        what = f"key {subject[:16]} of {owners.get(subject, 'nobody known here')}" if key else f"person {subject}"
        for text in after_revocation(desk.in_force, kind, subject):
            note(f"warning: {text}")
        confirm(f"revoke {what} for ever?", yes=yes, otherwise="nothing was revoked")
        logged = administration.restrict(desk.settings, desk.api, kind, subject, reason)
    if json:
        show_json({"kind": str(kind), "subject": subject, "index": logged.index})
        return
    show(f"done: {what} is revoked at log index {logged.index}, inclusion proven")


@people.command()
def name(
    person: PersonId,
    full_name: Annotated[str, typer.Argument(metavar="NAME", help="the name; leave out with --erase")] = "",
    contact: Annotated[str, typer.Option(help="e-mail address or telephone")] = "",
    erase: Annotated[bool, typer.Option("--erase", help="erase the name and contact")] = False,
    json: Json = False,
) -> None:
    """Keep or erase the name behind a person id, in the server's directory alone."""
    if bool(full_name) is erase:
        said = "both a name and --erase" if erase else "no name"
        raise RefusedError(f"{said} given", code=Code.CONFLICT, hint="give NAME or --erase")
    with administration.reading() as desk:
        listed = [n.person for n in desk.api.get(NamesAnswer, "/v1/names").names]
        if erase and person not in listed:
            raise RefusedError(f"the directory has no name for {person[:96]}", code=Code.NOT_FOUND)
        administrators = [a.person for a in desk.in_force.root.administrators]
        in_draft.check_known(desk.draft, person, [*administrators, *listed])
        body = NameBody(person=person, name=None if erase else full_name, contact=contact or None)
        desk.api.post(NamesAnswer, "/v1/names", body)
    if json:
        show_json({"person": person, "has_name": not erase})
        return
    note(f"the directory has {'no name' if erase else 'a name'} for {person}")


def _rows(desk: administration.Desk, holder: Holder, name: str) -> list[tuple[str, ...]]:
    """Return a row for each key; the first has what is said of whoever holds it."""
    revocations, keys = desk.in_force.revocations, list(map(fingerprint, holder.authenticators)) or [""]
    taken = revocations.person(holder.id)
    cells = [f"{own}{f'  revoked, {spell_taken(t)}' if (t := revocations.authenticator(own)) else ''}" for own in keys]
    state = f"revoked, {spell_taken(taken)}" if taken else str(holder.state)
    if isinstance(holder, Pipeline):
        state = f"pipeline of {', '.join(holder.controllers) or 'nobody'}, {state}"
    first = (holder.id, name, state, ", ".join(holder.roles) or "no roles", cells[0])
    return [first, *(("", "", "", "", cell) for cell in cells[1:])]


def _as_json(desk: administration.Desk, holder: Holder, name: str) -> dict[str, object]:
    revocations, keys = desk.in_force.revocations, list(map(fingerprint, holder.authenticators))
    return {
        "person": holder.id,
        "kind": holder.type,
        "name": name,
        "roles": list(holder.roles),
        "controllers": list(holder.controllers) if isinstance(holder, Pipeline) else [],
        "state": str(holder.state),
        "keys": keys,
        "revoked": taken_json(revocations.person(holder.id)),
        "revoked_keys": {key: taken_json(taken) for key in keys if (taken := revocations.authenticator(key))},
    }


def _fingerprint(text: str) -> str:
    """Read a fingerprint or its first digits, or the public key file that somebody named instead."""
    if re.fullmatch("[0-9a-f]{4,64}", text) and not Path(text).exists():
        return text
    return sshsig.parse_public_key(administration.read_public_key(Path(text))).fingerprint
