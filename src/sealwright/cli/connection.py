"""``sealwright connect``: say where the server is, what to trust and who one is; kept only if it works."""

import os
import re
from pathlib import Path
from typing import Annotated

import typer

from sealwright.cli.log import progress
from sealwright.cli.output import UsageError, counted, note, show, show_json, show_table
from sealwright.client import connecting, settings, trust_refresh


def connect(
    url: Annotated[
        str | None, typer.Argument(metavar="URL", help="where the server is, as https://sign.example")
    ] = None,
    trust: Annotated[Path | None, typer.Option(metavar="FILE", help="the trust file, got by a way you trust")] = None,
    identity: Annotated[
        Path | None, typer.Option(metavar="KEY", help="your SSH key; a .pub file if ssh-agent holds it")
    ] = None,
    authorities: Annotated[
        Path | None,
        typer.Option(
            "--ca", metavar="FILE", help="PEM file with the authority of the server's certificate, if your own"
        ),
    ] = None,
    wait: Annotated[
        int, typer.Option(metavar="[DURATION]", help="wait for a server that is just starting: 30, 30s, 2m")
    ] = 0,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="bring the trust file that is held up to date, and nothing else")
    ] = False,
    distrust: Annotated[
        list[str] | None,
        typer.Option(metavar="FINGERPRINT", help="with --refresh: no signature of this key counts any more; repeat"),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="with --refresh: write it there instead")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="print the result as JSON")] = False,
) -> None:
    """Log in once to see that it works, and remember the connection; or bring its trust file up to date."""
    if refresh:
        if url or trust or identity or authorities:
            raise UsageError("--refresh uses the connection that is kept", hint="sealwright connect --refresh")
        _refresh(distrust or [], output, json=json)
        return
    if distrust or output:
        raise UsageError("--distrust and --output belong to --refresh", hint="sealwright connect --refresh")
    if url is None or trust is None or identity is None:
        raise UsageError("URL, --trust or --identity is missing", hint="see `sealwright connect --help`")
    authorities = authorities or (Path(named) if (named := os.environ.get(settings.AUTHORITIES)) else None)
    found = connecting.connect(url, trust, identity, authorities=authorities, wait_seconds=wait)
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
    for variable in (settings.URL, settings.TRUST, settings.IDENTITY, settings.AUTHORITIES):
        if os.environ.get(variable):
            note(f"{variable} is set and wins over what was kept")


def _refresh(distrust: list[str], output: Path | None, *, json: bool) -> None:
    """Write the trust file anew, verified from the one that is held."""
    for fingerprint in distrust:
        if not re.fullmatch("[0-9a-f]{64}", fingerprint):
            raise UsageError(
                f"{fingerprint[:80]!r} is no fingerprint of a key",
                hint="64 digits, as `sealwright key show KEY` prints",
            )
    kept = settings.load()
    with kept.api() as api:
        newer = trust_refresh.refresh(api, kept.trust, progress, distrust=distrust)
    path = output or kept.trust_path
    settings.save_trust(path, newer)
    if json:
        show_json({"trust": str(path), "roots": len(newer.roots), "size": newer.as_of.size,
                   "root_hash": newer.as_of.root_hash, "policy_version": newer.as_of.policy_version,
                   "distrusted": list(newer.distrusted)})  # fmt: skip
        return
    show(f"trust file {path} is of now")
    show_table(
        [
            ("roots", f"{len(newer.roots)}, {len(newer.roots) - len(kept.trust.roots)} of them new"),
            ("log", f"{newer.as_of.size} entries, verified; held before: {kept.trust.as_of.size}"),
            ("policy", f"version {newer.as_of.policy_version}"),
            ("distrusted", counted(len(newer.distrusted), "key")),
        ]
    )
