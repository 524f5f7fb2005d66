"""``sealwright sign``: ask for signatures, and with ``--wait`` bring the signed images home."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from sealwright.cli.deliveries import delivered_json, resume_command, show_delivered
from sealwright.cli.output import iso, note, show, show_json, show_table, utc
from sealwright.cli.times import duration
from sealwright.client import delivery, settings, signing
from sealwright.client.files import FileSource
from sealwright.policy.documents import Environment


def sign(
    image: Annotated[list[Path], typer.Argument(metavar="IMAGE", help="what is to be signed")],
    product: Annotated[str, typer.Option(help="the product")],
    release: Annotated[str, typer.Option(help="its release, as 1.2.0")],
    environment: Annotated[Environment, typer.Option(help="which keys and rules")] = Environment.PRODUCTION,
    key_profile: Annotated[
        list[str] | None, typer.Option(help="key, if the format does not tell; repeat: all of them sign")
    ] = None,
    image_format: Annotated[str | None, typer.Option("--format", help="detected by default")] = None,
    option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="for the format, as version=1.2.3; repeat for more")
    ] = None,
    target: Annotated[str, typer.Option(help="refuse what this verifier would not accept")] = "any",
    expires: Annotated[str, typer.Option(help="how long it may be approved: 12h, 7d, 30d at most")] = "7d",
    wait: Annotated[
        int | None, typer.Option(metavar="[SECONDS]", help="wait until it is signed and fetch it; an hour by default")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="signed file, or folder; default: IMAGE.signed beside IMAGE")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="replace files that exist")] = False,
    json: Annotated[bool, typer.Option("--json", help="print the result as JSON")] = False,
) -> None:
    """Ask for signatures on images.

    Exit codes with --wait: 0 signed and fetched, 77 rejected or refused, 75 still waiting (it says how to resume).
    """
    order = signing.Order(
        product=product,
        release=release,
        environment=environment,
        lifetime_seconds=duration(expires),
        key_profiles=tuple(key_profile or ()),
        image_format=image_format,
        options=tuple(option or ()),
        target=target,
    )
    delivery.check_output(output, len(image), replace=force)
    chosen = settings.load()
    with chosen.api() as api, ExitStack() as files:
        sources = [files.enter_context(FileSource(path)) for path in image]
        submitted = signing.submit(chosen, api, order, sources, note)
        resume = resume_command(submitted.request.id, image, output, replace=force)
        if wait is None:
            _show_submitted(submitted, resume, json=json)
            return
        note(f"request {submitted.request.id} waits; if this ends first: `{resume}`")
        status = signing.wait(api, submitted.digest, wait)
        signing.check_signed(status, resume)
        artifacts = {a.artifact.name: a for a in submitted.artifacts}
        delivered = delivery.deliver_all(
            chosen,
            delivery.fetch_dossier(chosen, api, submitted.digest),
            dict(zip(artifacts, sources, strict=True)),
            output,
            replace=force,
            prepared=artifacts,
        )
    if json:
        show_json(
            {**_as_json(submitted), "state": status.state, "outputs": delivered_json(delivered, chosen.trust_path)}
        )
    else:
        show_delivered(delivered, chosen.trust_path)


def _show_submitted(submitted: signing.Submitted, resume: str, *, json: bool) -> None:
    request, status = submitted.request, submitted.status
    if json:
        show_json({**_as_json(submitted), "state": status.state, "detail": status.detail, "resume": resume})
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
                "slots": [{"slot": s.slot, "key_profile": s.key_profile, "digest": s.digest} for s in a.slots],
            }
            for a in submitted.artifacts
        ],
    }
