"""``sealwright connect``: say where the server is, what to trust and who one is; kept only if it works."""

import os
from pathlib import Path
from typing import Annotated

import typer

from sealwright.cli.output import note, show, show_json, show_table
from sealwright.client import connecting, settings


def connect(
    url: Annotated[str, typer.Argument(metavar="URL", help="where the server is, as https://sign.example")],
    trust: Annotated[Path, typer.Option(metavar="FILE", help="the trust file, got by a way you trust")],
    identity: Annotated[Path, typer.Option(metavar="KEY", help="your SSH key; a .pub file if ssh-agent holds it")],
    json: Annotated[bool, typer.Option("--json", help="print the result as JSON")] = False,
) -> None:
    """Log in once to see that it works, and remember the connection."""
    found = connecting.connect(url, trust, identity)
    if json:
        show_json(
            {
                "person": found.person,
                "roles": list(found.roles),
                "is_administrator": found.is_administrator,
                "instance": found.instance,
                "log": found.log,
                "policy_version": found.policy_version,
                "kept_in": str(found.kept_in),
            }
        )
    else:
        roles = [*found.roles, *(["administrator"] if found.is_administrator else [])]
        show(f"connected to {url} as {found.person}")
        show_table(
            [
                ("roles", ", ".join(roles) or "none"),
                ("installation", f"{found.log} ({found.instance[:16]})"),
                ("policy", f"version {found.policy_version}" if found.policy_version else "none yet"),
                ("kept in", str(found.kept_in)),
            ]
        )
    if not found.is_private:
        note("this is not https: whoever is in between can read along and use the session")
    for variable in (settings.URL, settings.TRUST, settings.IDENTITY):
        if os.environ.get(variable):
            note(f"{variable} is set and wins over what was kept")
