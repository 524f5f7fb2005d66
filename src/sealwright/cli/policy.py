"""``sealwright policy``: show what is in force, check and propose the draft, sign and log proposals."""

import time
from typing import Annotated

import typer

from sealwright.cli.output import note, show, show_json, show_table, utc
from sealwright.cli.typed import noun
from sealwright.client import administration
from sealwright.client.administration import Desk
from sealwright.core import records
from sealwright.policy.documents import Policy
from sealwright.policy.sections import parse_section
from sealwright.service.messages import ProposalAnswer

policy = noun("the policy: what is in force, the draft, proposals")
Json = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
Digest = Annotated[str, typer.Argument(metavar="PROPOSAL", help="digest; the newest open proposal if left out")]


@policy.command("show")
def show_policy(json: Json = False) -> None:
    """Show root and policy in force, the draft's changes and open proposals."""
    with administration.editing() as desk:
        open_ones = [p for p in administration.proposals(desk.api) if p.state == "open"]
        if json:
            show_json(_as_json(desk, open_ones))
            return
        root = desk.in_force.root
        admins = ", ".join(a.person for a in root.administrators)
        rows = [("root", f"version {root.version}, {root.grade}, expires {utc(root.expires)}")]
        rows += [("administrators", f"{root.threshold} of {admins}")]
        standing = desk.in_force.standing
        if standing:
            rows += [
                ("policy", f"version {standing.policy.version}, expires {utc(standing.policy.expires)}"),
                ("sections", str(standing.policy.section_count)),
            ]
        else:
            rows += [("policy", "none yet")]
        show_table(rows, indent="")
        for change in desk.changes:
            show(f"draft: {' '.join(change)}")
        for proposal in open_ones:
            show(f"proposal {proposal.digest}: {proposal.kind}, {_signed(desk, proposal)}")


@policy.command()
def check() -> None:
    """Compile the draft as signer and server will, and say what it changes."""
    with administration.editing() as desk:
        desk.draft.check(desk.in_force.root, desk.in_force.root_digest, now=int(time.time()))
        for change in desk.changes:
            show(" ".join(change))
        note(f"the draft compiles, with {len(desk.changes)} changes")


@policy.command()
def propose(
    renew: Annotated[bool, typer.Option("--renew", help="the same policy again, with a later expiry")] = False,
) -> None:
    """Sign the draft as the next policy and send it to the server."""
    with administration.editing() as desk:
        proposal = administration.propose(desk, renew=renew)
        show(proposal.digest)
        note(_signed(desk, proposal))
        note(f"next: `sealwright policy {_next(desk, proposal)}`")


@policy.command()
def sign(proposal: Digest = "") -> None:
    """Show what a proposal changes, and add one's signature as an administrator."""
    with administration.editing() as desk:
        found = administration.open_proposal(desk.settings, desk.api, desk.in_force, proposal)
        _show_changes(desk, found)
        signed = administration.sign(desk.settings, desk.api, found)
        note(_signed(desk, signed))
        note(f"next: `sealwright policy {_next(desk, signed)}`")


@policy.command()
def apply(proposal: Annotated[list[str] | None, typer.Argument(metavar="PROPOSAL...")] = None) -> None:
    """Log proposals that have their signatures; a root and the policy under it go together."""
    with administration.editing() as desk:
        chosen = [
            administration.open_proposal(desk.settings, desk.api, desk.in_force, digest) for digest in proposal or [""]
        ]
        index = administration.apply(desk.settings, desk.api, desk.in_force, chosen)
    administration.discard()
    for found in chosen:
        what = records.parse(Policy, found.signed.document).version if found.kind == "policy" else "next"
        show(f"{found.kind} version {what} is in force, logged at index {index + chosen.index(found)}")


@policy.command()
def discard() -> None:
    """Throw the draft away."""
    note("the draft is gone" if administration.discard() else "there was no draft")


def _show_changes(desk: Desk, proposal: ProposalAnswer) -> None:
    if proposal.kind == "policy":
        own = {(s.type, s.id): data for data in desk.in_force.sections for s in [parse_section(data)]}
        new = {(s.type, s.id): data for data in proposal.sections for s in [parse_section(data)]}
        for key in sorted(own.keys() | new.keys()):
            if own.get(key) != new.get(key):
                what = "added" if key not in own else "removed" if key not in new else "changed"
                show(f"{what} {key[0]} {key[1]}")
                if key in new:
                    show(f"  {new[key].decode()}")
    else:
        show(proposal.signed.document.decode())


def _signed(desk: Desk, proposal: ProposalAnswer) -> str:
    people = administration.signers_of(desk.in_force, proposal)
    return f"signed by {len(people)} of {desk.in_force.root.threshold} administrators ({', '.join(sorted(people))})"


def _next(desk: Desk, proposal: ProposalAnswer) -> str:
    enough = len(administration.signers_of(desk.in_force, proposal)) >= desk.in_force.root.threshold
    return f"{'apply' if enough else 'sign'} {proposal.digest}" + ("" if enough else "` by another administrator`")


def _as_json(desk: Desk, proposals: list[ProposalAnswer]) -> dict[str, object]:
    standing = desk.in_force.standing
    return {
        "root": records.dump(desk.in_force.root),
        "root_digest": desk.in_force.root_digest,
        "policy": records.dump(standing.policy) if standing else None,
        "sections": [records.dump(parse_section(data)) for data in desk.in_force.sections],
        "draft": [list(change) for change in desk.changes],
        "proposals": [
            {
                "digest": p.digest,
                "kind": p.kind,
                "signed_by": sorted(administration.signers_of(desk.in_force, p)),
            }
            for p in proposals
        ],
    }
