"""``sealwright product``: products, their environments and the rules there; changes go into the policy draft."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from sealwright.cli.drafting import keep, say_stale, spell_taken, taken_json
from sealwright.cli.output import note, show, show_json, show_table, utc
from sealwright.cli.typed import noun
from sealwright.client import administration, products
from sealwright.client.differences import spell_key_set, spell_quorum
from sealwright.client.people import known_roles
from sealwright.core import records
from sealwright.core.errors import ConfigurationError
from sealwright.policy.documents import Environment, KeyGrade, Person, Scope

product = noun("products and the rules of their environments")
Json = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
Product = Annotated[str, typer.Argument(metavar="PRODUCT", help="name of the product, as router")]
In = Annotated[Environment, typer.Option("--environment", help="each environment has its own keys and rules")]
Approvals = Annotated[
    int | None, typer.Option(min=0, max=16, help="how many approvals, by people who did not request; 2 for a new one")
]
Recomputed = Annotated[
    int | None, typer.Option(min=0, max=16, help="how many of them by people who rebuilt every slot; 1 for a new one")
]
Approver = Annotated[
    list[str] | None, typer.Option("--approver", help="role whose approvals count, else approver; repeat for more")
]
Requester = Annotated[
    list[str] | None, typer.Option("--requester", help="role that may request, else developer; repeat for more")
]
KeyGrades = Annotated[
    list[KeyGrade] | None,
    typer.Option("--key-grade", help="key grades accepted; production takes both hardware ones unless named; repeat"),
]
MemberStates = Annotated[
    list[str] | None, typer.Option("--member-state", help="where it is sold, as DE; repeat for more")
]
Support = Annotated[str, typer.Option("--support-until", help="end of support, as 2031-12-31")]


@product.command("list")
def list_products(json: Json = False) -> None:
    """List products: of the draft if there is one, else of the policy in force; and which keys are revoked."""
    with administration.reading() as desk:
        say_stale(desk)
    scopes, revoked = desk.draft.all(Scope), desk.in_force.revocations
    if json:
        show_json(
            [
                {
                    **records.dump(scope),
                    "keys": [
                        {"id": key.id, "revoked": taken_json(revoked.key(key.id))}
                        for key in products.keys_of(desk.draft, scope)
                    ],
                }
                for scope in scopes
            ]
        )
        return
    for scope in scopes:
        show(scope.id)
        own = [key.id for key in products.keys_of(desk.draft, scope)]
        taken = [found for key in own if (found := revoked.key(key)) is not None]
        show_table(
            [
                ("requests", f"by {', '.join(scope.requesters)}"),
                ("approvals", "; ".join(map(spell_quorum, scope.quorum)) or "none needed"),
                ("key grades", ", ".join(scope.key_grades)),
                ("keys", ", ".join(key for key in own if revoked.key(key) is None) or "none"),
                *(("key set", spell_key_set(key_set)) for key_set in scope.key_sets or ()),
                *(("revoked key", f"{found.subject}, {spell_taken(found)}") for found in taken),
                ("member states", ", ".join(scope.member_states) or "none named"),
                ("supported until", _spell_date(scope.support_until) if scope.support_until else "not said"),
            ]
        )


@product.command()
def add(
    name: Product,
    environment: In,
    approvals: Approvals = None,
    recomputed: Recomputed = None,
    approver: Approver = None,
    requester: Requester = None,
    key_grade: KeyGrades = None,
    member_state: MemberStates = None,
    support_until: Support = "",
    json: Json = False,
) -> None:
    """Add a product's environment to the draft; one that is there is left alone: `product change`.

    Production needs at least one approval by somebody who did not request, and takes hardware keys only unless
    --key-grade says software.
    """
    rules = _rules(approvals, recomputed, approver, requester, key_grade, member_state, support_until)
    with administration.editing() as desk:
        known = known_roles(desk.draft)
        scope_id = products.add(desk.draft, name, environment, rules)
        keep(desk, ("scope", scope_id), json=json)
        _say_new_roles(desk, known, rules)


@product.command()
def change(
    name: Product,
    environment: In,
    approvals: Approvals = None,
    recomputed: Recomputed = None,
    approver: Approver = None,
    requester: Requester = None,
    key_grade: KeyGrades = None,
    member_state: MemberStates = None,
    support_until: Support = "",
    json: Json = False,
) -> None:
    """Change what is named of a product's rules in the draft, and nothing else."""
    rules = _rules(approvals, recomputed, approver, requester, key_grade, member_state, support_until)
    with administration.editing() as desk:
        known = known_roles(desk.draft)
        scope_id = products.change(desk.draft, name, environment, rules)
        keep(desk, ("scope", scope_id), json=json)
        _say_new_roles(desk, known, rules)


@product.command()
def remove(
    name: Annotated[str, typer.Argument(metavar="PRODUCT/ENVIRONMENT", help="as router/test")],
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="its keys too: out of the policy; they stay in their keystore")
    ] = False,
    json: Json = False,
) -> None:
    """Take a product's environment out of the draft."""
    with administration.editing() as desk:
        keys = products.remove(desk.draft, name, with_keys=with_keys)
        keep(desk, ("scope", name), *(("key-profile", key) for key in keys), json=json)


def _rules(
    approvals: int | None,
    recomputed: int | None,
    approver: list[str] | None,
    requester: list[str] | None,
    key_grade: list[KeyGrade] | None,
    member_state: list[str] | None,
    support_until: str,
) -> products.Rules:
    # Typer gives an empty list for an option that was not there.
    return products.Rules(
        approvals=approvals,
        recomputed=recomputed,
        approvers=approver or None,
        requesters=requester or None,
        key_grades=key_grade or None,
        member_states=member_state or None,
        support_until=_date(support_until),
    )


def _say_new_roles(desk: administration.Desk, known: list[str], rules: products.Rules) -> None:
    """A misspelt role is a rule that nobody can meet."""
    held = {role for person in desk.draft.all(Person) for role in person.roles}
    for role in {*(rules.approvers or ()), *(rules.requesters or ())} - {*known, *held}:
        note(f"{role} is a new role, nobody has it yet; there were: {', '.join(known)}")


def _spell_date(seconds: int) -> str:
    """Spell what was given as a date as a date."""
    text = utc(seconds)
    return text.removesuffix(" 00:00:00 UTC")


def _date(text: str) -> int | None:
    if not text:
        return None
    try:
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise ConfigurationError(
            f"{text!r} is no date", setting="--support-until", hint="write it as 2031-12-31"
        ) from None
