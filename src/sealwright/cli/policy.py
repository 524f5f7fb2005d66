"""``sealwright policy``: show what is in force, check and propose the draft, sign, log and withdraw proposals."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from sealwright.cli.drafting import confirm, say_stale, show_differences, spell_taken
from sealwright.cli.output import counted, note, show, show_json, show_table, utc
from sealwright.cli.proposal_text import (
    SHORT,
    changes_of,
    head_of,
    proposal_json,
    proposals_json,
    say_differences,
    show_proposals,
    show_proposed,
    spell_signed,
)
from sealwright.cli.root import root
from sealwright.cli.typed import noun
from sealwright.client import administration, drafts, proposing
from sealwright.client import settings as connection
from sealwright.client.administration import Desk
from sealwright.client.differences import Difference, as_json, between
from sealwright.core import records
from sealwright.core.errors import SealwrightError
from sealwright.policy.documents import KeyProfile, Person, Pipeline
from sealwright.policy.sections import parse_section
from sealwright.service.messages import ProposalAnswer

policy = noun("the policy: what is in force, the draft, proposals")
policy.add_typer(root, name="root")
Json = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
Digest = Annotated[
    str, typer.Argument(metavar="PROPOSAL", help="digest or its first digits; the newest open proposal if left out")
]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask before signing")]


@policy.command("show")
def show_policy(
    proposal: Annotated[str, typer.Argument(metavar="PROPOSAL", help="digest: show what this proposal changes")] = "",
    json: Json = False,
) -> None:
    """Show root and policy in force, what the draft changes, and open proposals; or one proposal."""
    with administration.reading() as desk:
        if proposal:
            show_proposals(desk, proposing.together(desk, proposing.find(desk, proposal)), json=json)
            return
        open_ones = proposing.open_proposals(desk.api, desk.in_force)
        if json:
            show_json(_as_json(desk, open_ones))
            return
        say_stale(desk)
        show_table([*_in_force_rows(desk), *_revoked_rows(desk)], indent="")
        if desk.changes:
            show("the draft changes:")
            show_differences(desk.changes)
        for one in open_ones:
            show(f"proposal {one.digest}: {one.kind}, {spell_signed(desk, one)}")


@policy.command()
def check(json: Json = False) -> None:
    """Compile the draft as signer and server will, and say what it changes and what is odd about it."""
    with administration.editing() as desk:
        changes = desk.changes
        if not json:
            show_differences(changes)  # also of a draft that does not compile
        odd = desk.check()
    if json:
        show_json({"differences": [as_json(d) for d in changes], "notes": odd})
        return
    for text in odd:
        note(text)
    note(f"the draft compiles, with {counted(len(changes), 'change')}")


@policy.command()
def propose(
    renew: Annotated[bool, typer.Option("--renew", help="the same policy again, with a later expiry")] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Show what the draft changes, sign it as the next policy and send it to the server."""
    with administration.editing() as desk:
        odd = desk.check()
        say_differences(desk.changes)
        for text in odd:
            note(text)
        confirm("sign this as the next policy?", yes=yes)
        show_proposed(desk, [proposing.propose(desk, renew=renew)], json=json)


@policy.command()
def sign(proposal: Digest = "", yes: Yes = False, json: Json = False) -> None:
    """Show what a proposal changes, and add one's signature as an administrator; a root's policy is signed with it."""
    with administration.reading() as desk:
        found = proposing.together(desk, proposing.find(desk, proposal))
        if not json:
            show_proposals(desk, found, json=False)
        confirm(f"sign {found[0].kind} {found[0].digest[:SHORT]}?", yes=yes)
        mine = [p for p in found if proposing.may_sign(desk, p)] or found[:1]  # the server says why not
        signed = {p.digest: proposing.sign(desk, p) for p in mine}
        show_proposed(desk, [_with_sections(p, signed) for p in found], json=json)


@policy.command()
def apply(
    proposal: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PROPOSAL...", help="digests or their first digits; the only one with its signatures if left out"
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask before logging")] = False,
    json: Json = False,
) -> None:
    """Show and log proposals that have their signatures; a root and the policy under it go together."""
    with administration.reading() as desk:
        named = [proposing.find(desk, digest) for digest in proposal or []] or [proposing.only_signed(desk)]
        chosen = list({p.digest: p for one in named for p in proposing.together(desk, one)}.values())
        say_differences(changes_of(desk, chosen))
        if not changes_of(desk, chosen):
            note("it changes nothing but its lifetime")
        what = " and ".join(f"{p.kind} {p.digest[:SHORT]}" for p in chosen)
        confirm(f"log {what}, and have everybody obey it?", yes=yes, otherwise="nothing was logged")
        index = proposing.apply(desk, chosen)
    if proposing.drop_applied(desk.settings, chosen):
        note("your draft is not what was applied, and stays; it stands on a policy that is in force no more")
    applied = [(found.kind, head_of(found).version, index + i) for i, found in enumerate(chosen)]
    if json:
        show_json({"applied": [{"kind": kind, "version": version, "index": at} for kind, version, at in applied]})
        return
    for kind, version, at in applied:
        show(f"{kind} version {version} is in force, logged at index {at}")


@policy.command()
def withdraw(
    proposal: Annotated[str, typer.Argument(metavar="PROPOSAL", help="digest or its first digits")],
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    json: Json = False,
) -> None:
    """Take a proposal back before it is logged; any administrator may, and a root's policy goes with it."""
    with administration.reading() as desk:
        found = proposing.together(desk, proposing.find(desk, proposal))
        say_differences(changes_of(desk, found))
        confirm(f"withdraw {found[0].kind} {found[0].digest[:SHORT]}?", yes=yes, otherwise="nothing was withdrawn")
        was_signed = all(proposing.has_enough(desk, p) for p in found)
        gone = [proposing.withdraw(desk, p) for p in reversed(found)][::-1]
        if json:
            show_json(proposals_json(desk, gone))
            return
    for one in gone:
        show(f"withdrawn: {one.kind} {one.digest}")
    if was_signed:
        note(
            f"it had all its signatures, and they stay valid until {found[-1].kind} version "
            f"{head_of(found[-1]).version} or a newer one is in force: apply another one if you do not trust the server"
        )


def _with_sections(proposal: ProposalAnswer, signed: dict[str, ProposalAnswer]) -> ProposalAnswer:
    """Return a proposal as it is now; what the server sends back for a signature has no sections."""
    newer = signed.get(proposal.digest)
    return replace(newer, sections=proposal.sections) if newer else proposal


@policy.command()
def discard(
    undo: Annotated[bool, typer.Option("--undo", help="take the draft that was discarded last up again")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="for scripts, as elsewhere: this never asks")] = False,  # noqa: ARG001
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
    if copy:
        _say_open()


def _say_open() -> None:
    """A draft that is put aside takes nothing back that was proposed of it."""
    try:
        with administration.reading() as desk:
            for mine in proposing.signed_by_oneself(desk):
                note(
                    f"warning: proposal {mine.digest[:SHORT]}, which you signed, stays open and can be applied: "
                    f"`sealwright policy withdraw {mine.digest[:SHORT]}` takes it back"
                )
    except SealwrightError as e:
        note(f"whether a proposal is open cannot be said: {e.message}")


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


def _revoked_rows(desk: Desk) -> list[tuple[str, str]]:
    """What is named by the policy, and revoked all the same."""
    standing, revocations = desk.in_force.standing, desk.in_force.revocations
    if standing is None:
        return []
    keys = [revocations.key(key.id) for key in standing.sections.all(KeyProfile)]
    holders: list[Person | Pipeline] = [*standing.sections.all(Person), *standing.sections.all(Pipeline)]
    people = [revocations.person(holder.id) for holder in holders]
    return [("revoked", f"{taken.subject}, {spell_taken(taken)}") for taken in (*keys, *people) if taken]


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
        "proposals": [proposal_json(desk, p) for p in proposals],
    }
