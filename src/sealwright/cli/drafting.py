"""What the commands that change or show the policy have in common: differences, revocations, and their JSON."""

import sys

import typer

from sealwright.cli.output import iso, note, show, show_json, utc
from sealwright.client.administration import Desk
from sealwright.client.differences import Difference, as_json
from sealwright.client.revocations import Taken

NEXT = "`sealwright policy check` shows the whole draft, `sealwright policy propose` signs it"


def keep(desk: Desk, *sections: tuple[str, str], json: bool) -> None:
    """Keep the draft, and say what it now changes about these sections (kind, id)."""
    desk.save()
    found = [d for section in sections if (d := desk.change_of(*section)) is not None]
    if json:
        show_json({"draft": [as_json(d) for d in found]})
        return
    show_differences(found)
    if not found:
        gone = [f"{kind} {name}" for kind, name in sections if not desk.has(kind, name)]
        note(
            f"{', '.join(gone)} is taken out of the draft, and was never in force"
            if gone
            else "the draft says the same as the policy in force"
        )
    note(NEXT)


def confirm(question: str, *, yes: bool, otherwise: str = "nothing was signed") -> None:
    """Ask where there is somebody to ask."""
    if yes or sys.stdin is None or not sys.stdin.isatty():
        return
    if not typer.confirm(question, err=True):
        note(otherwise)
        raise typer.Abort


def show_differences(differences: list[Difference] | tuple[Difference, ...]) -> None:
    """Print differences, a headline and its lines each."""
    for difference in differences:
        for line in difference.lines():
            show(line)


def spell_taken(taken: Taken) -> str:
    """Spell a revocation: since when, by whom, why, and whether the document behind it was checked."""
    when = f" ({utc(taken.time)})" if taken.time is not None else ""
    reason = f": {taken.reason}" if taken.reason else ""
    doubt = {"signed": "", "unchecked": " [signature not checked]", "missing": " [no document]"}[taken.document]
    return f"log index {taken.index}{when} by {taken.person}{reason}{doubt}"


def taken_json(taken: Taken | None) -> dict[str, object] | None:
    """Return a revocation for programs; None where there is none."""
    if taken is None:
        return None
    value: dict[str, object] = {"index": taken.index, "person": taken.person, "document": taken.document}
    if taken.time is not None:
        value["time"] = iso(taken.time)
    return value | ({"reason": taken.reason} if taken.reason else {})


def say_stale(desk: Desk) -> None:
    """Say that a draft was left out, where one was."""
    if desk.stale:
        note(f"{desk.stale}; shown is what is in force: `sealwright policy discard` puts the draft aside")
