"""``sealwright impact``: which products and releases a key signed, for whom, and who approved."""

from typing import Annotated, Any

import typer

from sealwright.cli.drafting import spell_taken, taken_json
from sealwright.cli.output import iso, show, show_columns, show_json, show_table, utc
from sealwright.cli.times import moment
from sealwright.client import settings
from sealwright.client.impact import Asked, of_key
from sealwright.core import records


def impact(
    key: Annotated[str, typer.Option(metavar="ID", help="key profile, or fingerprint of its public key")],
    since: Annotated[
        str, typer.Option(metavar="TIME", help="only what was requested from then on, as 2026-01-31")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="print the result as JSON")] = False,
) -> None:
    """Say what a key signed: products, releases, images, who asked, who approved, where it is logged.

    A key that signed nothing is an answer, with exit code 0; a key that there is not is refused with 77.
    """
    start = moment(since) if since else 0
    chosen = settings.load()
    with chosen.api() as api:
        asked = of_key(chosen, api, key, start)
    if json:
        show_json(_as_json(asked))
        return
    found = asked.impact
    if not found.images:
        _show_nothing(asked)
        return
    products = sorted({f"{i.product} {i.release} ({i.environment})" for i in found.images})
    since_text = f" since {utc(found.since)}" if found.since else ""
    counts = f"{_count(len(found.images), 'signature')}, {_count(len(products), 'release')}"
    show(f"key {found.key}: {counts}{since_text}")
    show_table(
        [
            *_rows_of_state(asked),
            *(("release", product) for product in products),
        ]
    )
    header = ("PRODUCT", "RELEASE", "IMAGE", "SHA-256", "SIGNED", "REQUESTED BY", "APPROVED BY", "LOG", "REQUEST")
    show_columns([header, *_rows(asked)])


def _show_nothing(asked: Asked) -> None:
    found = asked.impact
    since = f" since {utc(found.since)}" if found.since else ""
    show(f"key {found.key}: 0 signatures{since}{', but there are earlier ones' if asked.has_earlier else ''}")
    show_table(_rows_of_state(asked))


def _rows_of_state(asked: Asked) -> list[tuple[str, str]]:
    head = asked.head.checkpoint
    return [
        *(("revoked", f"{taken.subject}, {spell_taken(taken)}") for taken in asked.taken),
        ("as of", f"log size {asked.impact.log_size}, root {asked.impact.log_root}"),
        ("log", f"{head.origin}, now {head.size} entries, signature verified"),
    ]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _rows(asked: Asked) -> list[tuple[str, ...]]:
    return [
        (
            f"{image.product} ({image.environment})",
            image.release,
            image.artifact,
            image.sha256[:16],
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
    value["images"] = [{**image, "time": iso(image["time"])} for image in value["images"]]
    people = {person for i in asked.impact.images for person in (i.requester, *i.approvers)}
    value["names"] = {person: asked.names[person] for person in sorted(people) if person in asked.names}
    value["revoked"] = [{"key_profile": taken.subject, **(taken_json(taken) or {})} for taken in asked.taken]
    value["signed_before"] = asked.has_earlier
    value["releases"] = sorted({f"{i.product} {i.release}" for i in asked.impact.images})
    return value
