"""``sealwright policy``: show what is in force, check and propose the draft, sign and log proposals."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from sealwright.cli.drafting import say_stale, show_differences
from sealwright.cli.output import note, plain, show, show_json, show_table, utc
from sealwright.cli.typed import noun
from sealwright.client import administration, drafts
from sealwright.client import settings as connection
from sealwright.client.administration import Desk
from sealwright.client.differences import Difference, as_json, between
from sealwright.core import records
from sealwright.core.errors import SealwrightError
from sealwright.policy.documents import Policy, Root
from sealwright.policy.sections import parse_section
from sealwright.service.messages import ProposalAnswer

policy = noun("the policy: what is in force, the draft, proposals")
Json = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
Digest = Annotated[str, typer.Argument(metavar="PROPOSAL", help="digest; the newest open proposal if left out")]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask before signing")]


@policy.command("show")
def show_policy(
    proposal: Annotated[str, typer.Argument(metavar="PROPOSAL", help="digest: show what this proposal changes")] = "",
    json: Json = False,
) -> None:
    """Show root and policy in force, what the draft changes, and open proposals; or one proposal."""
    with administration.reading() as desk:
        if proposal:
            found = administration.open_proposal(desk.settings, desk.api, desk.in_force, proposal)
            _show_proposal(desk, found, json=json)
            return
        open_ones = administration.open_proposals(desk.api, desk.in_force)
        if json:
            show_json(_as_json(desk, open_ones))
            return
        say_stale(desk)
        show_table(_in_force_rows(desk), indent="")
        if desk.changes:
            show("the draft changes:")
            show_differences(desk.changes)
        for one in open_ones:
            show(f"proposal {one.digest}: {one.kind}, {_signed(desk, one)}")


@policy.command()
def check(json: Json = False) -> None:
    """Compile the draft as signer and server will, and say what it changes and what is odd about it."""
    with administration.editing() as desk:
        odd = desk.check()
    if json:
        show_json({"differences": [as_json(d) for d in desk.changes], "notes": odd})
        return
    show_differences(desk.changes)
    for text in odd:
        note(text)
    note(f"the draft compiles, with {len(desk.changes)} changes")


@policy.command()
def propose(
    renew: Annotated[bool, typer.Option("--renew", help="the same policy again, with a later expiry")] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Show what the draft changes, sign it as the next policy and send it to the server."""
    with administration.editing() as desk:
        odd = desk.check()
        for line in (line for difference in desk.changes for line in difference.lines()):
            print(plain(line), file=sys.stderr)  # the result is the digest
        for text in odd:
            note(text)
        _confirm("sign this as the next policy?", yes=yes)
        found = administration.propose(desk, renew=renew)
        _say_signed(desk, found, desk.changes, json=json)


@policy.command()
def sign(proposal: Digest = "", yes: Yes = False, json: Json = False) -> None:
    """Show what a proposal changes, and add one's signature as an administrator."""
    with administration.reading() as desk:
        found = administration.open_proposal(desk.settings, desk.api, desk.in_force, proposal)
        changes = _changes(desk, found)
        if not json:
            _show_proposal(desk, found, json=False)
        _confirm(f"sign {found.kind} {found.digest[:16]}?", yes=yes)
        signed = administration.sign(desk.settings, desk.api, found)
        _say_signed(desk, signed, changes, json=json)


@policy.command()
def apply(
    proposal: Annotated[
        list[str] | None,
        typer.Argument(metavar="PROPOSAL...", help="digests; the newest open proposal if left out"),
    ] = None,
    json: Json = False,
) -> None:
    """Log proposals that have their signatures; a root and the policy under it go together."""
    with administration.reading() as desk:
        chosen = [
            administration.open_proposal(desk.settings, desk.api, desk.in_force, digest) for digest in proposal or [""]
        ]
        index = administration.apply(desk.settings, desk.api, desk.in_force, chosen)
    if administration.drop_applied(desk.settings, chosen):
        note("your draft is not what was applied, and stays; it stands on a policy that is in force no more")
    applied = [(found.kind, _head(found).version, index + i) for i, found in enumerate(chosen)]
    if json:
        show_json({"applied": [{"kind": kind, "version": version, "index": at} for kind, version, at in applied]})
        return
    for kind, version, at in applied:
        show(f"{kind} version {version} is in force, logged at index {at}")


@policy.command()
def discard(
    undo: Annotated[bool, typer.Option("--undo", help="take the draft that was discarded last up again")] = False,
    json: Json = False,
) -> None:
    """Put the draft aside, and say what was in it; one copy is kept, for --undo."""
    path = connection.draft_path()
    if undo:
        drafts.take_up(path)
        _say_discarded((), None, "the draft is back: `sealwright policy check` shows it", json=json)
        return
    dropped = _dropped() if path.is_file() else ()
    copy = drafts.discard(path)
    text = f"the draft is put aside, `sealwright policy discard --undo` brings it back from {copy}"
    _say_discarded(dropped, copy, text if copy else "there was no draft", json=json)


def _dropped() -> tuple[Difference, ...]:
    """What the draft changed; nothing where that cannot be found out, which must not keep a draft alive."""
    try:
        with administration.reading() as desk:
            kept = drafts.load_draft(connection.draft_path(), bytes)
            return between(desk.in_force.sections, kept.sections)
    except SealwrightError as e:
        note(f"what the draft changed cannot be said: {e.message}")
        return ()


def _say_discarded(dropped: tuple[Difference, ...], copy: Path | None, text: str, *, json: bool) -> None:
    if json:
        show_json({"dropped": [as_json(d) for d in dropped], "copy": str(copy) if copy else None})
        return
    if dropped:
        show("dropped:")
        show_differences(dropped)
    note(text)
    if any(d.kind == "key-profile" and d.change == "added" for d in dropped):
        note("keys that were made for it stay in their partitions")


def _confirm(question: str, *, yes: bool) -> None:
    """Ask where there is somebody to ask."""
    if yes or sys.stdin is None or not sys.stdin.isatty():
        return
    if not typer.confirm(question, err=True):
        note("nothing was signed")
        raise typer.Abort


def _changes(desk: Desk, proposal: ProposalAnswer) -> tuple[Difference, ...]:
    return administration.changes_of(desk.in_force, proposal)


def _show_proposal(desk: Desk, proposal: ProposalAnswer, *, json: bool) -> None:
    changes = _changes(desk, proposal)
    if json:
        show_json({**_proposal_json(desk, proposal), "differences": [as_json(d) for d in changes]})
        return
    document = _head(proposal)
    show(f"proposal {proposal.digest}")
    show_table(
        [
            (proposal.kind, f"version {document.version}, expires {utc(document.expires)}"),
            ("signed", _signed(desk, proposal)),
            ("state", proposal.state),
        ]
    )
    show_differences(changes)
    if not changes:
        show("it changes nothing but its lifetime")


def _head(proposal: ProposalAnswer) -> Root | Policy:
    if proposal.kind == "root":
        return records.parse(Root, proposal.signed.document)
    return records.parse(Policy, proposal.signed.document)


def _say_signed(desk: Desk, proposal: ProposalAnswer, changes: tuple[Difference, ...], *, json: bool) -> None:
    if json:
        show_json({**_proposal_json(desk, proposal), "differences": [as_json(d) for d in changes]})
        return
    show(proposal.digest)
    note(_signed(desk, proposal))
    note(f"next: `sealwright policy {_next(desk, proposal)}`")


def _signed(desk: Desk, proposal: ProposalAnswer) -> str:
    people = administration.signers_of(desk.in_force, proposal)
    return f"signed by {len(people)} of {desk.in_force.root.threshold} administrators ({', '.join(sorted(people))})"


def _next(desk: Desk, proposal: ProposalAnswer) -> str:
    enough = len(administration.signers_of(desk.in_force, proposal)) >= desk.in_force.root.threshold
    return f"{'apply' if enough else 'sign'} {proposal.digest}" + ("" if enough else "` by another administrator`")


def _in_force_rows(desk: Desk) -> list[tuple[str, str]]:
    root, standing = desk.in_force.root, desk.in_force.standing
    rows = [
        ("root", f"version {root.version}, {root.grade}, expires {utc(root.expires)}"),
        ("administrators", f"{root.threshold} of {', '.join(a.person for a in root.administrators)}"),
    ]
    if standing is None:
        return [*rows, ("policy", "none yet")]
    return [
        *rows,
        ("policy", f"version {standing.policy.version}, expires {utc(standing.policy.expires)}"),
        ("sections", str(standing.policy.section_count)),
    ]


def _as_json(desk: Desk, proposals: list[ProposalAnswer]) -> dict[str, object]:
    standing = desk.in_force.standing
    return {
        "root": records.dump(desk.in_force.root),
        "root_digest": desk.in_force.root_digest,
        "policy": records.dump(standing.policy) if standing else None,
        "sections": [records.dump(parse_section(data)) for data in desk.in_force.sections],
        "draft": [[d.change, d.kind, d.id] for d in desk.changes],
        "differences": [as_json(d) for d in desk.changes],
        "stale_draft": desk.stale,
        "proposals": [_proposal_json(desk, p) for p in proposals],
    }


def _proposal_json(desk: Desk, proposal: ProposalAnswer) -> dict[str, object]:
    return {
        "digest": proposal.digest,
        "kind": proposal.kind,
        "state": proposal.state,
        "signed_by": sorted(administration.signers_of(desk.in_force, proposal)),
        "needed": desk.in_force.root.threshold,
    }
