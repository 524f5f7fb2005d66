"""``sealwright product``: products, their environments and the rules there; changes go into the policy draft."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from sealwright.cli.output import note, show, show_json, show_table, utc
from sealwright.cli.typed import noun
from sealwright.client import administration
from sealwright.core import records
from sealwright.core.errors import ConfigurationError
from sealwright.policy.documents import Environment, KeyGrade, KeyProfile, Mode, QuorumGroup, Scope

product = noun("products and the rules of their environments")
Json = Annotated[bool, typer.Option("--json", help="print the result as JSON")]


@product.command("list")
def list_products(json: Json = False) -> None:
    """List products: of the draft if there is one, else of the policy in force."""
    with administration.editing() as desk:
        scopes, keys = desk.draft.all(Scope), desk.draft.all(KeyProfile)
    if json:
        show_json([records.dump(scope) for scope in scopes])
        return
    for scope in scopes:
        show(scope.id)
        own = [k.id for k in keys if (k.product, k.environment) == (scope.product, scope.environment)]
        show_table(
            [
                ("requests", f"by {', '.join(scope.requesters)}"),
                ("approvals", "; ".join(map(_spell, scope.quorum)) or "none needed"),
                ("key grades", ", ".join(scope.key_grades)),
                ("keys", ", ".join(own) or "none"),
                ("member states", ", ".join(scope.member_states) or "none named"),
                ("supported until", utc(scope.support_until) if scope.support_until else "not said"),
            ]
        )


@product.command()
def add(
    name: Annotated[str, typer.Argument(metavar="PRODUCT")],
    environment: Annotated[Environment, typer.Option(help="each environment has its own keys and rules")],
    approvals: Annotated[int, typer.Option(help="how many approvals, by people who did not request")] = 2,
    recomputed: Annotated[int, typer.Option(help="how many of them by people who rebuilt every slot")] = 1,
    approver: Annotated[list[str] | None, typer.Option(help="role whose approvals count; repeat for more")] = None,
    requester: Annotated[list[str] | None, typer.Option(help="role that may request; repeat for more")] = None,
    key_grade: Annotated[list[KeyGrade] | None, typer.Option(help="key grades accepted; repeat for more")] = None,
    member_state: Annotated[list[str] | None, typer.Option(help="where it is sold, as DE; repeat for more")] = None,
    support_until: Annotated[str, typer.Option(help="end of support, as 2031-12-31")] = "",
) -> None:
    """Add a product's environment to the draft, or change its rules.

    Production needs at least one approval by somebody who did not request, and takes hardware keys only unless
    --key-grade says software.
    """
    production = environment is Environment.PRODUCTION
    hardware = [KeyGrade.HARDWARE_CLAIMED, KeyGrade.HARDWARE_ATTESTED]
    grades = key_grade or (hardware if production else list(KeyGrade))
    groups = (QuorumGroup(roles=tuple(approver or ["approver"]), approvals=approvals, recomputed=recomputed),)
    scope = Scope(
        type="scope",
        format=1,
        salt="0" * 32,
        id=f"{name}/{environment}",
        product=name,
        environment=environment,
        requesters=tuple(requester or ["developer"]),
        quorum=groups if approvals else (),
        gates=(),
        modes=(Mode.UPLOAD,),
        key_grades=tuple(grades),
        member_states=tuple(member_state or ()),
        support_until=_date(support_until),
    )
    with administration.editing() as desk:
        desk.draft.put(records.load(Scope, records.dump(scope)))
        desk.save()
    note(f"{scope.id} is in the draft; `sealwright policy propose` when it is complete")


@product.command()
def remove(name: Annotated[str, typer.Argument(metavar="PRODUCT/ENVIRONMENT")]) -> None:
    """Take a product's environment out of the draft."""
    with administration.editing() as desk:
        desk.draft.remove("scope", name)
        desk.save()
    note(f"{name} is not in the draft any more")


def _spell(group: QuorumGroup) -> str:
    recomputed = f", {group.recomputed} of them recomputed" if group.recomputed else ""
    return f"{group.approvals} by {' or '.join(group.roles)}{recomputed}"


def _date(text: str) -> int | None:
    if not text:
        return None
    try:
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise ConfigurationError(
            f"{text!r} is no date", setting="--support-until", hint="write it as 2031-12-31"
        ) from None
