"""``sealwright impact``: which products and releases a key signed, for whom, and who approved."""

from pathlib import Path
from typing import Annotated, Any

import typer

from sealwright.cli.drafting import spell_taken, taken_json
from sealwright.cli.output import counted, iso, note, show, show_columns, show_json, show_table, utc
from sealwright.cli.times import moment
from sealwright.client import settings
from sealwright.client.impact import Asked, of_image, of_key
from sealwright.core import records


def impact(
    key: Annotated[
        str, typer.Option(metavar="ID", help="key profile, or fingerprint of its public key or its first digits")
    ],
    since: Annotated[
        str, typer.Option(metavar="TIME", help="only what was signed from then on: 2026-01-31, or 3h or 2d ago")
    ] = "",
    image: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="only this file: unsigned, or signed with its evidence beside it"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="print the result as JSON")] = False,
) -> None:
    """Say what a key signed: products, releases, images, who asked, who approved, where it is logged.

    Images are named by their SHA-256 before signing, which the request and the log stand on; --image finds the row of
    a signed file.  A key that signed nothing is an answer, with exit code 0; an unknown one is refused with 77.
    """
    start = moment(since) if since else 0
    chosen = settings.load()
    with chosen.api() as api:
        asked = of_key(chosen, api, key, start)
    if image is not None:
        asked = of_image(asked, image)
    if json:
        show_json(_as_json(asked))
        return
    _warn(asked)
    found = asked.impact
    if not found.images:
        _show_nothing(asked, image)
        return
    products = sorted({f"{i.product} {i.release} ({i.environment})" for i in found.images})
    counts = f"{counted(len(found.images), 'signature')}, {counted(len(products), 'release')}"
    show(f"key {found.key}: {counts}{_since(asked)}")
    show_table([*_rows_of_state(asked), *(("release", product) for product in products)])
    header = (
        "PRODUCT", "RELEASE", "IMAGE", "SHA-256 BEFORE SIGNING", "KEY", "SIGNED", "REQUESTED BY", "APPROVED BY", "LOG",
        "REQUEST",
    )  # fmt: skip
    show_columns([header, *_rows(asked)])


def _warn(asked: Asked) -> None:
    if len(asked.keys) > 1:
        note(
            f"warning: {len(asked.keys)} different keys have had the name {asked.impact.key}: the column KEY tells "
            "them apart, and `--key FINGERPRINT` asks for one"
        )


def _show_nothing(asked: Asked, image: Path | None) -> None:
    of = f" of {image.name}, as it is or as its evidence says it was," if image else ""
    earlier = ", but there are earlier ones" if asked.has_earlier else ""
    show(f"key {asked.impact.key}: 0 signatures{of}{_since(asked)}{earlier}")
    show_table(_rows_of_state(asked))


def _since(asked: Asked) -> str:
    return f" signed since {utc(asked.impact.since)}" if asked.impact.since else ""


def _rows_of_state(asked: Asked) -> list[tuple[str, str]]:
    head = asked.head.checkpoint
    return [
        *(("fingerprint", own) for own in asked.keys),
        *(("revoked", f"{taken.subject}, {spell_taken(taken)}") for taken in asked.taken),
        ("as of", f"log size {asked.impact.log_size}, root {asked.impact.log_root}"),
        ("log", f"{head.origin}, now {head.size} entries, signature verified"),
    ]


def _rows(asked: Asked) -> list[tuple[str, ...]]:
    return [
        (
            f"{image.product} ({image.environment})",
            image.release,
            image.artifact,
            image.sha256[:16],
            image.key[:16],
            utc(image.time),
            asked.spell(image.requester),
            ", ".join(map(asked.spell, image.approvers)) or "none (none needed)",
            f"{image.intent_index}, {image.outcome_index}",
            image.request,
        )
        for image in asked.impact.images
    ]


def _as_json(asked: Asked) -> dict[str, Any]:
    value: dict[str, Any] = records.dump(asked.impact)
    value["since"] = iso(asked.impact.since)
    value["since_counts"] = "signing"
    value["images"] = [
        {**image, "time": iso(image["time"]), "requested": iso(image["requested"])} for image in value["images"]
    ]
    value["keys"] = list(asked.keys)
    people = {person for i in asked.impact.images for person in (i.requester, *i.approvers)}
    value["names"] = {person: asked.names[person] for person in sorted(people) if person in asked.names}
    value["revoked"] = [{"key_profile": taken.subject, **(taken_json(taken) or {})} for taken in asked.taken]
    value["signed_before"] = asked.has_earlier
    value["releases"] = sorted({f"{i.product} {i.release}" for i in asked.impact.images})
    return value
