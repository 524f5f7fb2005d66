"""``sealwright people``: who may request and approve; changes go into the policy draft."""

from pathlib import Path
from typing import Annotated

import typer

from sealwright.cli.output import note, show, show_json, show_table
from sealwright.cli.typed import noun
from sealwright.client import administration
from sealwright.core.errors import Code, RefusedError
from sealwright.policy.documents import Person, RestrictionKind
from sealwright.policy.signatures import fingerprint
from sealwright.service.messages import NameBody, NamesAnswer

people = noun("people, their keys and roles")
Json = Annotated[bool, typer.Option("--json", help="print the result as JSON")]


@people.command("list")
def list_people(json: Json = False) -> None:
    """List people: of the draft if there is one, else of the policy in force."""
    with administration.editing() as desk:
        names = {n.person: n.name for n in desk.api.get(NamesAnswer, "/v1/names").names}
        everybody = desk.draft.all(Person)
    if json:
        show_json(
            [
                {
                    "person": p.id,
                    "name": names.get(p.id, ""),
                    "roles": list(p.roles),
                    "state": str(p.state),
                    "keys": [fingerprint(a) for a in p.authenticators],
                }
                for p in everybody
            ]
        )
        return
    for person in everybody:
        name = f" ({names[person.id]})" if person.id in names else ""
        show(f"{person.id}{name}  {person.state}  {', '.join(person.roles) or 'no roles'}")
        show_table([("key", fingerprint(a)) for a in person.authenticators])


@people.command()
def add(
    person: Annotated[str, typer.Argument(help="an id that says nothing of the person's name to outsiders")],
    key: Annotated[list[Path], typer.Option(help="public key file (.pub); repeat for more")],
    role: Annotated[list[str] | None, typer.Option(help="role, such as developer or approver; repeat for more")] = None,
    user_verification: Annotated[
        bool, typer.Option("--user-verification", help="demand the PIN of a FIDO key with each signature")
    ] = False,
) -> None:
    """Add a person to the draft, or give one more keys and roles."""
    with administration.editing() as desk:
        lines = [administration.read_public_key(path) for path in key]
        administration.add_person(desk.draft, person, lines, role or [], verified=user_verification)
        desk.save()
    note(f"{person} is in the draft; `sealwright policy propose` when it is complete")


@people.command()
def remove(person: str) -> None:
    """Take a person out of the draft (of the policy to come; use revoke for a key that was lost)."""
    with administration.editing() as desk:
        desk.draft.remove("person", person)
        desk.save()
    note(f"{person} is not in the draft any more")


@people.command()
def revoke(
    person: Annotated[str, typer.Argument(help="person id, or the fingerprint of one key with --key")],
    reason: Annotated[str, typer.Option(help="why; kept with the signed document")],
    key: Annotated[bool, typer.Option("--key", help="PERSON is the fingerprint of one authenticator")] = False,
) -> None:
    """Revoke a person or one key at once: by a log entry, not by the next policy."""
    kind = RestrictionKind.REVOKE_AUTHENTICATOR if key else RestrictionKind.REVOKE_PERSON
    with administration.editing() as desk:
        logged = administration.restrict(desk.settings, desk.api, kind, person, reason)
    show(f"done: {kind} {person} is at log index {logged.index}, inclusion proven")


@people.command()
def name(
    person: str,
    full_name: Annotated[str, typer.Argument(help="the name; leave out with --erase")] = "",
    contact: Annotated[str, typer.Option(help="e-mail address or telephone")] = "",
    erase: Annotated[bool, typer.Option("--erase", help="erase the name and contact")] = False,
) -> None:
    """Keep or erase the name behind a person id, in the server's directory alone."""
    if not full_name and not erase:
        raise RefusedError("no name given", code=Code.CONFLICT, hint="give NAME or --erase")
    with administration.editing() as desk:
        desk.api.post(
            NamesAnswer,
            "/v1/names",
            NameBody(person=person, name=None if erase else full_name, contact=contact or None),
        )
    note(f"the directory has {'no name' if erase else 'a name'} for {person}")
