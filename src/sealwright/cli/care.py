"""Caring for an installation: ``doctor``, ``backup``, ``restore``."""
# ruff: noqa: PLC0415 - the base install has none of what these import

import shlex
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from sealwright.cli.instance import Folder, parse_as_of, server_parts
from sealwright.cli.output import UsageError, note, show, show_json, show_table, utc
from sealwright.core import records

Json = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
FOUND_SOMETHING = 1


def doctor(folder: Folder, json: Json = False) -> None:
    """Look at everything an instance stands on; exit code 1 when something is to be mended."""
    with server_parts():
        from sealwright.wiring import configuration, doctor_records
    findings = doctor_records.examine(configuration.load(folder))
    if json:
        show_json([records.dump(finding) for finding in findings])
    else:
        for finding in findings:
            show(f"{finding.level:<8}  {finding.subject}: {finding.found}")
            if finding.remedy:
                show(f"{'':<8}  mend it: {finding.remedy}")
        counts = Counter(finding.level for finding in findings if finding.is_bad)
        show(", ".join(f"{count} of level {level}" for level, count in counts.items()) or "all well")
    if any(finding.is_bad for finding in findings):
        raise SystemExit(FOUND_SOMETHING)


def backup(
    folder: Folder,
    destination: Annotated[Path, typer.Argument(help="a new folder for the backup")],
    keys: Annotated[bool, typer.Option("--keys", help="with the encrypted key files; never their passphrases")] = False,
    json: Json = False,
) -> None:
    """Copy an instance, running or not, into a new folder; what would let an old copy go on stays out."""
    with server_parts():
        from sealwright.wiring import backup as backups
        from sealwright.wiring import configuration
    loaded = configuration.load(folder)
    made = backups.back_up(loaded, destination, with_keys=keys)
    if json:
        show_json({name: value for name, value in records.dump(made).items() if name != "files"})
        return
    show(f"backup in {destination}")
    show_table([("log size", str(made.size)), ("root hash", made.root_hash), ("made", utc(made.time))])
    note("not in it, keep copies elsewhere: log key, signer identity, passphrases and PINs")
    if keys:
        for name in made.left_out or ():
            uri = loaded.partitions[name].uri
            how = "the vendor's way" if uri.startswith("pkcs11:") else "yourself, as a folder"
            note(f"not in it: the keys of partition {name}, {uri}; copy them {how}")
    if not keys and loaded.keys.is_dir() and any(loaded.keys.iterdir()):
        note("not in it: the encrypted key files; --keys takes them along")


def restore(
    source: Annotated[Path, typer.Argument(help="a backup")],
    folder: Folder,
    replacing: Annotated[
        Path | None, typer.Option(metavar="OLD", help="the instance it replaces, which cannot go on afterwards")
    ] = None,
    as_of: Annotated[
        str, typer.Option(metavar="SIZE:HASH", help="newest state of the log that anybody outside has seen")
    ] = "",
) -> None:
    """Go on from a backup that is the newest state; an older one is refused, since going on would fork the log."""
    if replacing is not None and as_of:
        raise UsageError(
            "--replacing and --as-of exclude each other", hint="with the old instance at hand, --replacing"
        )
    with server_parts():
        from sealwright.wiring import backup as backups
    made, missing = backups.restore(source, folder, replacing=replacing, as_of=parse_as_of(as_of) if as_of else None)
    show(f"restored into {made.folder}")
    if replacing is not None:
        show(f"{replacing} cannot go on: guard and signer memory were moved, secrets and keys copied from it")
    if keys := backups.without_counters(made) if as_of else []:
        show(f"stateful keys that sign no more: {', '.join(keys)}")
        show(
            "their counters were left out: the log may lack numbers that they used, and one used twice gives a key away"
        )
        show(
            "make the next keys with `sealwright key create`, and put no old counters.sqlite back; for a trial, nothing"
        )
    for path in missing:
        if path.endswith("/"):
            show(f"put back, folder 0700 and files 0600, the keys of that partition: {path}")
        else:
            show(f"put back, mode 0600: {path}")
    show(f"then: sealwright doctor {shlex.quote(str(made.folder))}")
