"""``sealwright request``: list, show, check, approve, reject, cancel and fetch requests."""

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from sealwright.cli.deliveries import OUTPUT_HELP, delivered_json, ending, resume_command, show_delivered
from sealwright.cli.option_text import option_rows
from sealwright.cli.output import (
    DeclinedError,
    UsageError,
    counted,
    iso,
    note,
    show,
    show_columns,
    show_json,
    show_table,
    utc,
)
from sealwright.cli.request_text import request_json, show_request, slot_json, spell_digest, vote_rows
from sealwright.cli.typed import noun
from sealwright.client import approving, delivery, request_view, settings, signing
from sealwright.client.api import Api
from sealwright.client.files import FileSource
from sealwright.client.request_view import RequestView
from sealwright.client.settings import Settings
from sealwright.core import records
from sealwright.policy.documents import Decision, Vote
from sealwright.service.messages import Listed, StatusList
from sealwright.service.ports import RequestState
from sealwright.service.restrictions import Logged

request = noun("requests for signatures: look, check, approve, reject, fetch")
Json = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask; where there is no terminal nobody is asked anyway")]
Id = Annotated[str, typer.Argument(metavar="ID", help="the request's ID or digest, or how it begins")]
Words = Annotated[
    list[str],
    typer.Argument(
        metavar="ID|IMAGE", help="the request's ID or how it begins, your own copies of its images, or both"
    ),
]
HEADING = ("ID", "STATE", "FOR", "ENVIRONMENT", "IMAGES", "ASKED BY", "VOTED", "ASKED AT")
_ID = re.compile("r-[0-9a-f]{16}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A connection, a request on it, and the files that were named."""

    settings: Settings
    api: Api
    view: RequestView
    sources: tuple[FileSource, ...]


@request.command("list")
def list_requests(
    state: Annotated[list[RequestState] | None, typer.Option(help="only in this state; repeat for more")] = None,
    product: Annotated[str, typer.Option(help="only of this product")] = "",
    json: Json = False,
) -> None:
    """List requests as the server has them, the newest first.

    `request show` checks one.
    """
    with settings.load().api() as api:
        states = list(map(str, state or ()))
        query = StatusList, "/v1/requests"
        found = api.get(*query, state=states, product=product, limit=request_view.MAX_LISTED).listed
        me = api.who()
    if json:
        show_json([_listed_json(one, me) for one in found])
        return
    rows = [_listed_row(one, me) for one in found]
    show_columns([HEADING, *rows]) if rows else note("there is no such request")
    if len(found) == request_view.MAX_LISTED:
        note(f"these are the newest {request_view.MAX_LISTED}; ask for fewer with --state and --product")


def _listed_row(one: Listed, me: str) -> tuple[str, ...]:
    status, first, others = one.status, one.images[0] if one.images else "", len(one.images) - 1
    return (
        status.id,
        status.state,
        f"{status.product} {status.release}",
        status.environment,
        f"{first} and {counted(others, 'other')}" if others > 0 else first,
        status.requester,
        _spell_voters(one, me),
        utc(status.created),
    )


def _spell_voters(one: Listed, me: str) -> str:
    approved = [person for person in one.voters if person not in one.vetoed_by]
    said = [(person, "") for person in approved] + [(person, " (veto)") for person in one.vetoed_by]
    return ", ".join(("you" if person == me else person) + how for person, how in said) or "nobody"


def _listed_json(one: Listed, me: str) -> dict[str, Any]:
    status = one.status
    return {
        **records.dump(status),
        "created": iso(status.created),
        "expires": iso(status.expires),
        "images": list(one.images),
        "voters": list(one.voters),
        "vetoed_by": list(one.vetoed_by),
        "you_voted": me in (*one.voters, *one.vetoed_by),
    }


@request.command("show")
def show_one(name: Id, json: Json = False) -> None:
    """Show what would be signed, for whom, and who voted.

    Everything is checked here from the signed documents, but the state, which is the server's word.
    """
    with _table([name]) as table:
        if json:
            show_json(request_json(table.view))
        else:
            show_request(table.view)
    if table.view.checked is None:
        note("the requester's signature could not be verified with the policy in force")


@request.command()
def check(words: Words, json: Json = False) -> None:
    """Rebuild every slot of a request from your own copy of its images, and say what is in them.

    Without ID the open request for these images is looked for. Fails on any difference.
    """
    with _table(words) as table:
        if not table.sources:
            raise UsageError("no image to compare with", hint="sealwright request check [ID] IMAGE...")
        checkup = approving.check(table.view, table.sources)
        if json:
            show_json({"id": table.view.request.id, "matches": True, "artifacts": _checkup_json(checkup)})
        else:
            _show_checkup(table.view, checkup)


@request.command()
def approve(
    words: Words,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Vote for a request with your own key.

    With images every slot is rebuilt from them first, and the vote says recomputed; else it says displayed. At a
    terminal you are asked before you sign; without one, as in a script, the command itself is the answer.
    """
    with _table(words) as table:
        checkup = approving.check(table.view, table.sources) if table.sources else None
        person = table.api.who()
        vote = approving.compose_vote(table.settings, table.view, person, Decision.APPROVE, checkup)
        _confirm(table.view, checkup, vote, yes=yes, json=json)
        status = approving.approve(table.settings, table.api, table.view, vote)
        progress = "" if json else request_view.look(table.settings, table.api, table.view.digest).progress
    if json:
        show_json({"id": status.id, "vote": records.dump(vote), "state": status.state, "detail": status.detail})
    else:
        show(f"approved: {status.id} ({vote.checked})")
        note(f"{progress}; the server says {status.state}" if progress else f"the server says {status.state}")


@request.command()
def reject(
    name: Id,
    reason: Annotated[str, typer.Option(help="why; part of the signed vote, and shown to everybody")],
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Veto a request with your own key: it can never be signed.

    Done once the log proves it.
    At a terminal you are asked before you sign; without one, as in a script, the command itself is the answer.
    """
    _check_reason(reason)
    with _table([name]) as table:
        vote = approving.compose_vote(table.settings, table.view, table.api.who(), Decision.REJECT, reason=reason)
        _confirm(table.view, None, vote, yes=yes, json=json)
        logged = approving.reject(table.settings, table.api, table.view, vote)
    _show_logged("rejected", table.view, logged, json=json)


@request.command()
def cancel(
    name: Id, reason: Annotated[str, typer.Option(help="why; kept with the signed document")], json: Json = False
) -> None:
    """Withdraw one's own request; done once the log proves it."""
    _check_reason(reason)
    with _table([name]) as table:
        logged = approving.cancel(table.settings, table.api, table.view, reason)
    _show_logged("cancelled", table.view, logged, json=json)


@request.command()
def fetch(
    words: Words,
    wait: Annotated[
        int | None,
        typer.Option(metavar="[DURATION]", help="wait until it is signed: 90s, 10m, an hour by default"),
    ] = None,
    output: Annotated[str | None, typer.Option("--output", "-o", metavar="PATH", help=OUTPUT_HELP)] = None,
    force: Annotated[bool, typer.Option("--force", help="replace files that exist")] = False,
    json: Json = False,
) -> None:
    """Bring signed images home, verified before they get names.

    They are made from your own copies of the images.
    Exit codes: 77 rejected or refused, 75 still waiting.
    """
    with _table(words, (*request_view.OPEN, RequestState.SIGNED)) as table:
        if not table.sources:
            raise UsageError("no image to sign", hint="sealwright request fetch [ID] IMAGE... [-o OUT]")
        view, paths = table.view, [source.path for source in table.sources]
        place = delivery.place_of(output, len(paths))
        resume = resume_command(view.request.id, paths, place, replace=force)
        value = {"id": view.request.id, "digest": view.digest, "state": view.status.state, "resume": resume}
        with ending(value):
            is_signed = view.status.state == RequestState.SIGNED  # an earlier run may have fetched it
            delivery.check_place(place, len(paths), replace=force or is_signed)
            files = delivery.match_files(view.request, table.sources)
            artifacts = {artifact.name: artifact for artifact in view.request.artifacts}
            named = ((source.path, artifacts[name]) for name, source in files.items())
            delivery.check_names(place, named, replace=force or is_signed)
            status = signing.watch(table.settings, table.api, view.digest, wait or 0, note)
            value |= {"state": status.state, "detail": status.detail}
            signing.check_signed(status, resume)
            dossier = delivery.fetch_dossier(table.settings, table.api, view.digest)
            delivered = delivery.deliver_all(table.settings, dossier, files, place, replace=force)
    trust = table.settings.trust_path
    if json:
        show_json({**value, "outputs": delivered_json(delivered, trust)})
    else:
        show_delivered(delivered, trust)


@contextmanager
def _table(words: Sequence[str], states: Sequence[RequestState] = request_view.OPEN) -> Iterator[Table]:
    """Connect, open the files, find the request and check it."""
    name, paths = _split(words)
    chosen = settings.load()
    with chosen.api() as api, ExitStack() as files:
        sources = tuple(files.enter_context(FileSource(path)) for path in paths)
        digest = request_view.full_name(api, name) if name else request_view.find_by_image(api, sources, states)
        yield Table(settings=chosen, api=api, view=request_view.look(chosen, api, digest), sources=sources)


def _split(words: Sequence[str]) -> tuple[str, list[Path]]:
    """Tell an ID from images: by its looks, or because no such file could be meant."""
    first, others = words[0], [Path(word) for word in words[1:]]
    if not first:
        raise UsageError("the ID of a request is empty", hint="`sealwright request list` shows them")
    if _ID.fullmatch(first) or not (set("./\\") & set(first) or Path(first).exists()):
        return first, others
    return "", [Path(first), *others]


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise UsageError("the reason is empty", hint="--reason says why: others read it in the log")


def _confirm(view: RequestView, checkup: approving.Checkup | None, vote: Vote, *, yes: bool, json: bool) -> None:
    """Show what will be signed, and ask where there is somebody to ask."""
    if not json:
        show_request(view)
        if checkup is not None:
            _show_checkup(view, checkup)
        show("the vote, every member as it is signed:")
        show_table(vote_rows(vote))
    if yes or sys.stdin is None or not sys.stdin.isatty():
        return
    if not typer.confirm(f"{vote.decision} request {view.request.id}?", err=True):
        note("nothing was signed")
        raise DeclinedError


def _show_checkup(view: RequestView, checkup: approving.Checkup) -> None:
    for made in checkup.recomputed.artifacts:
        path = checkup.files[made.artifact.name].path
        show(f"{path} is artifact {made.artifact.name} of {view.request.id}")
        rows = [("compared", f"{made.artifact.size} bytes, SHA-256, SHA-512, format, options: all the same")]
        rows += option_rows(made.artifact)
        rows += [(f"slot {slot.slot}", f"rebuilt: {spell_digest(slot)} for {slot.key_profile}") for slot in made.slots]
        rows += checkup.inspections[made.artifact.name].facts.items()
        show_table(rows)


def _checkup_json(checkup: approving.Checkup) -> list[dict[str, Any]]:
    return [
        {
            "name": made.artifact.name,
            "file": str(checkup.files[made.artifact.name].path),
            "sha256": made.artifact.sha256,
            "options": dict(made.artifact.options),
            "facts": dict(checkup.inspections[made.artifact.name].facts),
            "slots": [slot_json(s) for s in made.slots],
        }
        for made in checkup.recomputed.artifacts
    ]


def _show_logged(done: str, view: RequestView, logged: Logged, *, json: bool) -> None:
    if json:
        show_json({"id": view.request.id, "state": done, "log_index": logged.index, "proven": True})
    else:
        show(f"done: request {view.request.id} is {done} at log index {logged.index}, inclusion proven")
