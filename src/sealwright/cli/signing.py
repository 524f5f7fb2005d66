"""``sealwright sign``: ask for signatures, and with ``--wait`` bring the signed images home."""

import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from sealwright.cli.deliveries import OUTPUT_HELP, delivered_json, ending, resume_command, show_delivered
from sealwright.cli.output import UsageError, iso, note, show, show_json, show_table, utc
from sealwright.cli.request_text import slot_json
from sealwright.cli.times import duration
from sealwright.client import delivery, settings, signing
from sealwright.client.compose import PreparedArtifact
from sealwright.client.files import FileSource
from sealwright.client.options import option_names
from sealwright.formats import FORMATS
from sealwright.formats.targets import ANY, TARGETS
from sealwright.policy.documents import MAX_REQUEST_SECONDS, Environment
from sealwright.service.ports import RequestState

DEFAULT_LIFETIME = "7d"
RELEASE = r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,79}"


def sign(
    image: Annotated[list[Path], typer.Argument(metavar="IMAGE", help="what is to be signed")],
    product: Annotated[str, typer.Option(metavar="NAME", help="the product")],
    release: Annotated[str, typer.Option(metavar="VERSION", help="its release, as 1.2.0")],
    environment: Annotated[Environment, typer.Option(help="which keys and rules")] = Environment.PRODUCTION,
    key_profile: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="the key, if the format does not tell; repeat: all of them sign"),
    ] = None,
    image_format: Annotated[
        str | None, typer.Option("--format", metavar="NAME", help=f"{', '.join(FORMATS)}; detected by default")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="for the format, as version=1.2.3; repeat for more; " + option_names()),
    ] = None,
    target: Annotated[
        str,
        typer.Option(metavar="NAME", help=f"refuse what this verifier would not accept: {', '.join(sorted(TARGETS))}"),
    ] = ANY.name,
    expires: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="how long it may be approved: 12h, 7d by default, 30d at most"),
    ] = None,
    wait: Annotated[
        int | None,
        typer.Option(metavar="[DURATION]", help="wait until it is signed and fetch it: 90s, 10m, an hour by default"),
    ] = None,
    output: Annotated[str | None, typer.Option("--output", "-o", metavar="PATH", help=OUTPUT_HELP)] = None,
    force: Annotated[bool, typer.Option("--force", help="replace files that exist")] = False,
    new: Annotated[bool, typer.Option("--new", help="ask anew, even if you asked for the very same before")] = False,
    json: Annotated[bool, typer.Option("--json", help="print the result as JSON")] = False,
) -> None:
    """Ask for signatures on images.

    Your own request for the same images, product, release, environment, keys and options is taken up again while it is
    open or signed, so that a job may simply run again.

    Exit codes with --wait: 0 signed and fetched, 77 rejected or refused, 75 still waiting; with --json the request's id
    and the command that resumes are printed in each case.
    """
    _check_release(release)
    order = signing.Order(
        product=product,
        release=release,
        environment=environment,
        lifetime_seconds=_lifetime(expires or DEFAULT_LIFETIME),
        key_profiles=tuple(key_profile or ()),
        image_format=image_format,
        options=tuple(option or ()),
        target=target,
        is_new=new,
    )
    place = delivery.place_of(output, len(image))
    delivery.check_place(place, len(image), replace=True)

    def check(artifacts: Sequence[PreparedArtifact]) -> None:
        delivery.check_place(place, len(image), replace=force)
        if wait is not None:
            named = [made.artifact for made in artifacts]
            delivery.check_names(place, zip(image, named, strict=True), replace=force)

    chosen = settings.load()
    with chosen.api() as api, ExitStack() as files:
        sources = [files.enter_context(FileSource(path)) for path in image]
        submitted = signing.submit(chosen, api, order, sources, note, check)
        resume = resume_command(submitted.request.id, image, place, replace=force)
        value = {**_as_json(submitted), "resume": resume}
        if submitted.is_resumed:
            note(f"you asked for this before: going on with {submitted.request.id}; --new asks anew")
            if expires and order.lifetime_seconds != submitted.request.expires - submitted.request.created:
                note(f"--expires {expires} changes nothing: it expires at {utc(submitted.request.expires)}")
        if wait is None:
            _show_submitted(submitted, resume, value, json=json)
            return
        is_signed = submitted.status.state == RequestState.SIGNED
        if not is_signed:
            note(f"request {submitted.request.id} waits; if this ends first: `{resume}`")
        with ending(value):
            if submitted.is_resumed and not is_signed:  # what is signed may have been fetched by an earlier run
                check(submitted.artifacts)
            status = signing.watch(chosen, api, submitted.digest, wait, note)
            value |= {"state": status.state, "detail": status.detail}
            signing.check_signed(status, resume)
            artifacts = {a.artifact.name: a for a in submitted.artifacts}
            dossier = delivery.fetch_dossier(chosen, api, submitted.digest)
            named = dict(zip(artifacts, sources, strict=True))
            delivered = delivery.deliver_all(chosen, dossier, named, place, replace=force, prepared=artifacts)
    if json:
        show_json({**value, "outputs": delivered_json(delivered, chosen.trust_path)})
    else:
        show_delivered(delivered, chosen.trust_path)


def _check_release(release: str) -> None:
    if not re.fullmatch(RELEASE, release):
        raise UsageError(
            f"{release[:80]!r} is no release: letters, digits and . _ + ~ - without spaces, a letter or digit first",
            hint="as --release 1.4.0",
        )


def _lifetime(text: str) -> int:
    seconds = duration(text)
    if seconds > MAX_REQUEST_SECONDS:
        raise UsageError(f"--expires {text} is longer than a request may wait", hint="30d at most")
    return seconds


def _show_submitted(submitted: signing.Submitted, resume: str, value: dict[str, Any], *, json: bool) -> None:
    request, status = submitted.request, submitted.status
    if json:
        show_json(value)
        return
    show(request.id)
    rows = [("for", f"{request.product} {request.release}, {request.environment}")]
    rows += [
        ("image", f"{a.artifact.name}, {a.artifact.image_format}, by {', '.join({s.key_profile: 1 for s in a.slots})}")
        for a in submitted.artifacts
    ]
    rows += [("state", f"{status.state}: {status.detail}" if status.detail else status.state)]
    rows += [("expires", utc(request.expires))]
    show_table(rows)
    if status.state == "waiting":
        names = " ".join(a.artifact.name for a in submitted.artifacts)
        note(f"approvers run `sealwright request approve {request.id} {names}` with their own copy of the image")
    note(f"then `{resume}`")


def _as_json(submitted: signing.Submitted) -> dict[str, Any]:
    request = submitted.request
    return {
        "id": request.id,
        "digest": submitted.digest,
        "resumed": submitted.is_resumed,
        "state": submitted.status.state,
        "detail": submitted.status.detail,
        "product": request.product,
        "release": request.release,
        "environment": request.environment,
        "requester": request.requester,
        "expires": iso(request.expires),
        "artifacts": [
            {
                "name": a.artifact.name,
                "sha256": a.artifact.sha256,
                "size": a.artifact.size,
                "format": a.artifact.image_format,
                "options": a.artifact.options,
                "slots": [slot_json(s) for s in a.slots],
            }
            for a in submitted.artifacts
        ],
    }
