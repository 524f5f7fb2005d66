"""How proposals and roots are shown: what they change, who signed, what comes next; and their JSON."""

import sys
from collections.abc import Sequence

from sealwright.cli.drafting import show_differences
from sealwright.cli.output import counted, note, plain, show, show_json, show_table, utc
from sealwright.client import proposing
from sealwright.client.administration import Desk
from sealwright.client.differences import Difference, as_json, spell_administrator, spell_log, spell_signer
from sealwright.core import records
from sealwright.policy.documents import Policy, Root
from sealwright.service.messages import ProposalAnswer

SHORT = 16
"""Digits of a digest that are shown where any first digits are taken."""


def head_of(proposal: ProposalAnswer) -> Root | Policy:
    """Return the document that is proposed."""
    if proposal.kind == "root":
        return records.parse(Root, proposal.signed.document)
    return records.parse(Policy, proposal.signed.document)


def show_proposals(desk: Desk, found: Sequence[ProposalAnswer], *, json: bool) -> None:
    """Show a proposal and what goes with it: signatures and differences."""
    changes = changes_of(desk, found)
    if json:
        show_json({**proposals_json(desk, found), "differences": [as_json(d) for d in changes]})
        return
    for proposal in found:
        document = head_of(proposal)
        show(f"proposal {proposal.digest}")
        show_table(
            [
                (proposal.kind, f"version {document.version}, expires {utc(document.expires)}"),
                ("signed", spell_signed(desk, proposal)),
                ("state", proposal.state),
            ]
        )
    show_differences(changes)
    if not changes:
        show("it changes nothing but its lifetime")


def say_differences(changes: Sequence[Difference]) -> None:
    """Print what is about to be signed or logged; the result of the command is something else."""
    for line in (line for difference in changes for line in difference.lines()):
        print(plain(line), file=sys.stderr)


def show_proposed(desk: Desk, found: Sequence[ProposalAnswer], *, json: bool) -> None:
    """Print the digest of what was proposed or signed, who signed, and what comes next."""
    changes = changes_of(desk, found)
    if json:
        show_json({**proposals_json(desk, found), "differences": [as_json(d) for d in changes]})
        return
    show(found[0].digest)
    for proposal in found:
        note(f"{proposal.kind} {proposal.digest[:SHORT]} is {spell_signed(desk, proposal)}")
    command = f"`sealwright policy {{}} {found[0].digest[:SHORT]}`"
    if all(proposing.has_enough(desk, proposal) for proposal in found):
        note(f"next: {command.format('apply')}")
    else:
        note(f"next: {command.format('sign')} by another administrator")


def changes_of(desk: Desk, found: Sequence[ProposalAnswer]) -> tuple[Difference, ...]:
    """Return what proposals that go together change."""
    return tuple(d for proposal in found for d in proposing.changes_of(desk.in_force, proposal))


def spell_signed(desk: Desk, proposal: ProposalAnswer) -> str:
    """Spell who signed a proposal, and how many must."""
    first, *rest = proposing.tallies(desk, proposal)
    text = f"signed by {_of(first)}"
    if any(t.root.threshold != first.root.threshold or t.people != first.people for t in rest):
        text += "".join(f", and of the next root by {_of(tally)}" for tally in rest)
    return text


def _of(tally: proposing.Tally) -> str:
    by = f" ({', '.join(sorted(tally.people))})" if tally.people else ""
    return f"{len(tally.people)} of {counted(tally.root.threshold, 'administrator')}{by}"


def root_rows(root: Root) -> list[tuple[str, str]]:
    """Return the rows that show a root."""
    return [
        ("root", f"version {root.version}, {root.grade}, expires {utc(root.expires)}"),
        ("threshold", f"{root.threshold} of {counted(len(root.administrators), 'administrator')} must sign"),
        *(("administrator", spell_administrator(a)) for a in root.administrators),
        *(("signer", spell_signer(signer)) for signer in root.signers),
        *(("log", spell_log(log)) for log in root.logs),
        *(("witness", witness.name) for witness in root.witnesses),
    ]


def proposals_json(desk: Desk, found: Sequence[ProposalAnswer]) -> dict[str, object]:
    """Return a proposal for programs, with those that go with it."""
    value = proposal_json(desk, found[0])
    return {**value, "with": [proposal_json(desk, p) for p in found[1:]]} if found[1:] else value


def proposal_json(desk: Desk, proposal: ProposalAnswer) -> dict[str, object]:
    """Return one proposal for programs."""
    return {
        "digest": proposal.digest,
        "kind": proposal.kind,
        "state": proposal.state,
        "signed_by": sorted(proposing.signers_of(desk, proposal)),
        "needed": max(tally.root.threshold for tally in proposing.tallies(desk, proposal)),
    }
