"""``sealwright policy root``: who stands above everything, and the proposals of the next root."""

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from sealwright.cli.drafting import confirm
from sealwright.cli.output import show_json, show_table
from sealwright.cli.proposal_text import root_rows, say_differences, show_proposed
from sealwright.cli.times import duration
from sealwright.cli.typed import noun
from sealwright.client import administration, log_view, next_root, proposing
from sealwright.client.differences import of_roots
from sealwright.client.ids import check_id
from sealwright.core import records
from sealwright.core.errors import Code, ConfigurationError, RefusedError
from sealwright.policy.documents import MAX_ROOT_SECONDS, Grade

root = noun("the root: administrators, threshold, signers, log keys")
Json = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask before signing")]
Person = Annotated[str, typer.Argument(metavar="PERSON", help="id of the administrator")]
Threshold = Annotated[
    int | None,
    typer.Option("--threshold", min=1, max=64, help="how many must sign from then on; unchanged unless said"),
]
Signer = Annotated[str, typer.Argument(metavar="SIGNER", help="name of the signer, as its settings say")]


@root.command("show")
def show_in_force(json: Json = False) -> None:
    """Show the root in force: administrators and their keys, threshold, signers, logs, until when."""
    with administration.reading() as desk:
        if json:
            show_json({**records.dump(desk.in_force.root), "digest": desk.in_force.root_digest})
            return
        show_table([*root_rows(desk.in_force.root), ("digest", desk.in_force.root_digest)], indent="")


@root.command("add-administrator")
def add_administrator(
    person: Person,
    key: Annotated[list[Path], typer.Option(help="public key file (.pub); repeat for more")],
    threshold: Threshold = None,
    user_verification: Annotated[
        bool, typer.Option("--user-verification", help="demand the PIN of a FIDO key with each signature")
    ] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Propose a root with one more administrator, or with more keys of one."""
    check_id(person, "PERSON", "dave.smith")
    with administration.reading() as desk:
        lines = [administration.read_public_key(path) for path in key]
        old = desk.in_force.root
        changed = next_root.with_administrator(old, person, lines, verified=user_verification)
        _propose(desk, yes=yes, json=json, administrators=changed, threshold=threshold or old.threshold)


@root.command("remove-administrator")
def remove_administrator(person: Person, threshold: Threshold = None, yes: Yes = False, json: Json = False) -> None:
    """Propose a root without an administrator; whoever stays signs it."""
    with administration.reading() as desk:
        old = desk.in_force.root
        if threshold is not None:
            old = replace(old, threshold=threshold)
        changed = next_root.without_administrator(old, person)
        _propose(desk, yes=yes, json=json, administrators=changed, threshold=old.threshold)


@root.command("threshold")
def change_threshold(
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=1, max=64, help="how many administrators must sign")],
    grade: Annotated[Grade | None, typer.Option(help="evaluation, or production, which needs two")] = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Propose a root under which so many administrators must sign a policy or the next root."""
    with administration.reading() as desk:
        chosen = next_root.check_grade(desk.in_force.root, grade, number)
        _propose(desk, yes=yes, json=json, threshold=number, grade=chosen)


@root.command()
def renew(
    lifetime: Annotated[
        str, typer.Option("--for", metavar="DURATION", help="how long from now on, as 1095d")
    ] = "1095d",
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Propose the same root for longer, also after it has expired."""
    seconds = duration(lifetime)
    if not 0 < seconds <= MAX_ROOT_SECONDS:
        raise ConfigurationError(
            f"a root cannot live for {lifetime}", setting="--for", hint=f"at most {MAX_ROOT_SECONDS // 86400}d"
        )
    with administration.reading() as desk:
        _propose(desk, yes=yes, json=json, expires=int(time.time()) + seconds)


@root.command("add-signer")
def add_signer(
    signer: Signer,
    key: Annotated[str, typer.Option(metavar="HEX", help="its identity's public key: 64 hex digits, as doctor shows")],
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Propose a root that lists one more signer, valid from the log's present size on."""
    check_id(signer, "SIGNER", "signer-2")
    try:
        public = bytes.fromhex(key)
    except ValueError:
        public = b""
    if len(public) != 32:
        raise ConfigurationError(f"{key[:80]!r} is no identity key", setting="--key", hint="64 hex digits")
    with administration.reading() as desk:
        size = log_view.head(desk.api, desk.settings.trust).checkpoint.size
        _propose(desk, yes=yes, json=json, signers=next_root.with_signer(desk.in_force.root, signer, public, size))


@root.command("remove-signer")
def remove_signer(signer: Signer, yes: Yes = False, json: Json = False) -> None:
    """Propose a root without a signer; what it signed before stays signed."""
    with administration.reading() as desk:
        _propose(desk, yes=yes, json=json, signers=next_root.without_signer(desk.in_force.root, signer))


@root.command("log-key")
def log_key(
    key: Annotated[str, typer.Argument(metavar="KEY", help="the log's ML-DSA-44 verifier key, as doctor shows it")],
    first_size: Annotated[
        int, typer.Option("--from", min=0, help="first log size that it must sign; one above the present one")
    ] = 0,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Propose a root that names the log's second key; the server must sign with it already."""
    with administration.reading() as desk:
        size = first_size or log_view.head(desk.api, desk.settings.trust).checkpoint.size + 1
        change = next_root.with_log_key(desk.in_force.root, desk.settings.trust.log, key, size)
        _propose(desk, yes=yes, json=json, **change)


def _propose(desk: administration.Desk, *, yes: bool, json: bool, **changes: Any) -> None:
    """Show what the next root changes, sign it and the policy under it, and send both."""
    old = desk.in_force.root
    if all(getattr(old, name) == value for name, value in changes.items()):
        raise RefusedError("the root says that already", code=Code.CONFLICT, hint="`sealwright policy root show`")
    new = next_root.follow(
        old, desk.in_force.root_digest, now=int(time.time()), entropy=os.urandom, **changes
    )  # fmt: skip
    say_differences([of_roots(old, new)])
    confirm("sign this as the next root, and the policy in force under it?", yes=yes)
    show_proposed(desk, proposing.propose_root(desk, new), json=json)
