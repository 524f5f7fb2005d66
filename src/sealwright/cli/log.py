"""``sealwright log``: look at the log, follow it, copy it, prove entries."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sealwright.cli.drafting import spell_taken, taken_json
from sealwright.cli.output import note, show, show_json, show_table, utc
from sealwright.cli.typed import noun
from sealwright.client import log_mirror, log_view, revocations, settings, standing
from sealwright.client.log_view import Head, ProvenEntry
from sealwright.client.outputs import Outputs
from sealwright.core import canonical, records
from sealwright.policy.entries import Entry, GrantingEntry, RestrictionEntry

log = noun("the log: its head, its entries, proofs")
Json = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
Index = Annotated[int, typer.Argument(metavar="INDEX", min=0, help="index of the entry, the first is 0")]


@log.command("head")
def show_head(json: Json = False) -> None:
    """Show the newest checkpoint, its signature and history checked against the trust file."""
    chosen = settings.load()
    with chosen.api() as api:
        head = log_view.head(api, chosen.trust)
    if json:
        show_json({**_head_json(head), "note": head.note.decode()})
    else:
        show(head.checkpoint.origin)
        show_table(_head_rows(head))


@log.command("show")
def show_entry(index: Index, json: Json = False) -> None:
    """Show one entry, proven to be in the log, with the document in it."""
    chosen = settings.load()
    with chosen.api() as api:
        proven = log_view.entry(api, chosen.trust, index)
        entry = proven.entry
        taken = standing.restriction(api, chosen.trust, index) if isinstance(entry, RestrictionEntry) else None
    if json:
        why = {"restriction": taken_json(taken)} if taken else {}
        show_json({"index": index, "size": proven.head.checkpoint.size, **_entry_json(entry, proven.data), **why})
        return
    show(f"entry {index} of {proven.head.checkpoint.size}: {log_view.kind_of(entry) if entry else 'garbage'}")
    if entry is None:
        show(canonical.to_base64(proven.data))
        note("nobody who follows the log takes this for anything")
        return
    show_table([*_entry_rows(entry), *([("why", spell_taken(taken))] if taken else [])])


@log.command()
def verify(json: Json = False) -> None:
    """Follow the whole log as a signer does: hashes, signature, root, policy, sessions, restrictions."""
    chosen = settings.load()
    with chosen.api() as api:
        report = log_view.verify(api, chosen.trust, progress)
        revocations.check_complete(standing.fetch(api, chosen.trust).revocations, report.state)
    root, policy = report.state.root, report.state.policy
    if json:
        show_json(
            {
                "verified": True,
                **_head_json(report.head),
                "entries": report.counts,
                "ignored": list(report.ignored),
                "root_version": root.root.version if root else 0,
                "policy_version": policy.policy.version if policy else 0,
            }
        )
        return
    show(f"verified: {report.head.checkpoint.origin}")
    rows = _head_rows(report.head)
    rows += [("entries", ", ".join(f"{count} {kind}" for kind, count in report.counts.items()) or "none")]
    rows += [("ignored", ", ".join(map(str, report.ignored)) or "none")]
    rows += [("root", f"version {root.root.version}, expires {utc(root.root.expires)}" if root else "none")]
    in_force = f"version {policy.policy.version}, expires {utc(policy.policy.expires)}" if policy else "none"
    rows += [("policy", in_force)]
    show_table(rows)


@log.command()
def mirror(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="folder of the copy; made if it is not there")],
    json: Json = False,
) -> None:
    """Keep a copy of the log: follow it as `log verify` does, and write entries and checkpoint (C2SP tlog-tiles)."""
    chosen = settings.load()
    with chosen.api() as api:
        report, old_size = log_mirror.mirror(api, chosen.trust, directory, progress)
    if json:
        show_json({"verified": True, **_head_json(report.head), "directory": str(directory), "kept": old_size})
        return
    show(f"mirrored: {report.head.checkpoint.origin}")
    rows = _head_rows(report.head)
    rows += [("copy", f"{directory}: {report.head.checkpoint.size - old_size} entries more than before")]
    show_table(rows)


@log.command()
def proof(
    index: Index,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help=f"file, usually {log_view.PROOF_SUFFIX}; else it is printed")
    ] = None,
    json: Json = False,
) -> None:
    """Write the proof that an entry is in the log, in the C2SP tlog-proof form that other tools verify."""
    chosen = settings.load()
    with chosen.api() as api:
        proven = log_view.entry(api, chosen.trust, index)
    text = log_view.proof_text(proven)
    if output is not None:
        with Outputs() as outputs:
            outputs.write(output, [text])
            outputs.publish()
    if json:
        show_json(_proof_json(proven))
    elif output is None:
        sys.stdout.write(text.decode())
    else:
        show(str(output))


def progress(done: int, size: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {size} entries", end="\n" if done == size else "", file=sys.stderr)


def _head_rows(head: Head) -> list[tuple[str, str]]:
    return [
        ("size", str(head.checkpoint.size)),
        ("root hash", head.checkpoint.root.hex()),
        ("signature", "verified with the key in the trust file"),
        ("history", f"continues the {head.as_of_size} entries that the trust file knows"),
        ("witnesses", ", ".join(head.witnesses) or "none: unwitnessed"),
    ]


def _head_json(head: Head) -> dict[str, Any]:
    return {
        "origin": head.checkpoint.origin,
        "size": head.checkpoint.size,
        "root_hash": head.checkpoint.root.hex(),
        "continues_size": head.as_of_size,
        "witnesses": list(head.witnesses),
    }


def _entry_rows(entry: Entry) -> list[tuple[str, str]]:
    if isinstance(entry, GrantingEntry):
        rows = [("signed by", ", ".join(e.signer for e in entry.signed.signatures) or "nobody")]
        return rows + _rows(canonical.decode(entry.signed.document))
    return [row for row in _rows(records.dump(entry)) if row[0] not in ("entry", "format")]


def _rows(value: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for name, member in value.items():
        if isinstance(member, list | dict):
            text = canonical.encode(member).decode()
        elif name in ("time", "created", "expires") and isinstance(member, int):
            text = f"{member} ({utc(member)})"
        else:
            text = str(member)
        rows.append((name.replace("_", " "), text))
    return rows


def _entry_json(entry: Entry | None, data: bytes) -> dict[str, Any]:
    if entry is None:
        return {"kind": "garbage", "data": canonical.to_base64(data)}
    value = {"kind": log_view.kind_of(entry), "entry": records.dump(entry)}
    if (document := log_view.signed_document(entry)) is not None:
        value["document"] = canonical.decode(document)
    return value


def _proof_json(proven: ProvenEntry) -> dict[str, Any]:
    return {
        "index": proven.index,
        "entry": canonical.to_base64(proven.data),
        "hashes": [node.hex() for node in proven.proof],
        **_head_json(proven.head),
        "checkpoint": proven.head.note.decode(),
    }
