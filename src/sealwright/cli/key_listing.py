"""``sealwright key list`` and ``key show``: keys of the draft or of what is in force, and what became of them."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Annotated

import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sealwright.cli.drafting import say_stale, spell_taken, taken_json
from sealwright.cli.key_arguments import Json, Profile
from sealwright.cli.output import note, show, show_columns, show_json, show_table, utc
from sealwright.client import administration, earlier, stateful
from sealwright.client.keys import find, numbers_of_all
from sealwright.client.revocations import Taken
from sealwright.core import records
from sealwright.core.certificates import UNREADABLE
from sealwright.core.errors import Code, FormatError, RefusedError
from sealwright.core.keys import PublicKey
from sealwright.formats import esp32, esp32_blocks, raw_minisign
from sealwright.policy.documents import KeyProfile, Scope


def list_keys(product: Annotated[str, typer.Option(help="only this product's")] = "", json: Json = False) -> None:
    """List keys: of the draft if there is one, else of the policy in force; and which are revoked."""
    with administration.reading() as desk:
        say_stale(desk)
        keys = [k for k in desk.draft.all(KeyProfile) if product in ("", k.product)]
        numbers = numbers_of_all(desk, keys)
    revoked = desk.in_force.revocations
    if product and not any(scope.product == product for scope in desk.draft.all(Scope)):
        known = sorted({scope.product for scope in desk.draft.all(Scope)})
        raise RefusedError(
            f"there is no product {product[:96]}", code=Code.NOT_FOUND, hint=f"there is {', '.join(known) or 'none'}"
        )
    if json:
        show_json([_as_json(desk, k, numbers.get(k.id)) for k in keys])
        return
    rows: list[tuple[str, ...]] = [("KEY", "ALGORITHM", "FORMAT", "GRADE", "FINGERPRINT", "STATE")]
    for profile in keys:
        taken = revoked.key(profile.id)
        state = _state(profile, taken, numbers.get(profile.id))
        left = f", {numbers[profile.id].left:,} signatures left" if profile.id in numbers else ""
        own = earlier.fingerprint_of(profile)[:16]
        rows.append((profile.id, _kind(profile), profile.image_format or "any", profile.grade, own, f"{state}{left}"))
    show_columns(rows)
    _warn(keys, numbers)


def show_key(
    profile: Profile,
    public_key: Annotated[bool, typer.Option("--public-key", help="print the public key as PEM alone")] = False,
    certificate: Annotated[bool, typer.Option("--certificate", help="print the certificates as PEM alone")] = False,
    minisign: Annotated[bool, typer.Option("--minisign", help="print minisign's public key file alone")] = False,
    json: Json = False,
) -> None:
    """Show one key; its public key or certificates go to devices and outside verifiers."""
    with administration.reading() as desk:
        found = find(desk.draft, profile)
        alone = public_key or certificate or minisign
        numbers = {} if alone else numbers_of_all(desk, [found])
        others = earlier.fetch(desk).others(found)
    public, taken = PublicKey(found.public_key), desk.in_force.revocations.key(profile)
    if taken and alone:
        note(f"key {profile} is revoked, {spell_taken(taken)}")
    if others:
        note(
            f"warning: earlier policies had another key of the name {profile}: {', '.join(others)}; "
            f"this is {public.fingerprint}"
        )
    if public_key:
        show_lines(public.pem.decode())
    elif certificate:
        for der in found.certificates:
            show_lines(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode())
    elif minisign:
        show_lines(raw_minisign.public_key_file(public))
    elif json:
        show_json(_as_json(desk, found, numbers.get(profile)))
    else:
        show(found.id)
        show_table(_rows(found, taken, numbers.get(profile)))
        _warn([found], numbers)


def show_lines(text: str) -> None:
    """Print a file line by line."""
    for line in text.splitlines():
        show(line)


def _kind(profile: KeyProfile) -> str:
    """Spell the algorithm, with the size where it does not say it."""
    if profile.algorithm.key_size_bits is None and not profile.algorithm.is_stateful:
        return f"{profile.algorithm}, {PublicKey(profile.public_key).size_bits} bits"
    return f"{profile.algorithm} {stateful.parameters_of(profile)}".rstrip()


def _state(profile: KeyProfile, taken: Taken | None, numbers: stateful.Numbers | None) -> str:
    if taken:
        return f"revoked, {spell_taken(taken)}"
    return f"{profile.state}, used up" if numbers and numbers.is_used_up else str(profile.state)


def _warn(keys: Sequence[KeyProfile], numbers: Mapping[str, stateful.Numbers]) -> None:
    for profile in keys:
        if profile.id in numbers and numbers[profile.id].is_few:
            note(f"warning: {stateful.few_left(profile, numbers[profile.id])}")


def _rows(found: KeyProfile, taken: Taken | None, numbers: stateful.Numbers | None) -> list[tuple[str, str]]:
    public = PublicKey(found.public_key)
    rows = [
        ("product", f"{found.product} {found.environment}"),
        ("algorithm", f"{found.algorithm}, {stateful.parameters_of(found) or f'{public.size_bits} bits'}"),
        ("format", found.image_format or "any"),
        ("purpose", found.purpose),
        ("partition", found.partition),
        ("grade", f"{found.grade}, {found.origin}"),
        ("minutes", found.minutes or "none: it was made without a ceremony"),
        ("state", _state(found, taken, numbers)),
        ("fingerprint", public.fingerprint),
    ]
    if numbers:
        rows.append(("signature numbers", str(numbers)))
    if label := stateful.label_of(found):
        rows.append(("note", label))
    if found.image_format == esp32.name:
        with suppress(FormatError):  # a key that no chip knows is refused when it shall sign
            rows.append(("key digest for eFuse", esp32_blocks.key_digest(public, found.algorithm)))
    return [*rows, *(("certificate", _spell_certificate(der)) for der in found.certificates)]


def _spell_certificate(der: bytes) -> str:
    try:
        parsed = x509.load_der_x509_certificate(der)
        return f"{parsed.subject.rfc4514_string()}, until {utc(int(parsed.not_valid_after_utc.timestamp()))}"
    except UNREADABLE:
        return f"unreadable, {len(der)} bytes"


def _as_json(desk: administration.Desk, profile: KeyProfile, numbers: stateful.Numbers | None) -> dict[str, object]:
    state: dict[str, object] = {}
    if numbers:
        counts = {"marked": numbers.marked, "capacity": numbers.capacity, "left": numbers.left, "few": numbers.is_few}
        counts["used_up"] = numbers.is_used_up
        state = {"parameters": stateful.parameters_of(profile), "numbers": counts}
    if label := stateful.label_of(profile):
        state["note"] = label
    return {
        **records.dump(profile),
        **state,
        "fingerprint": PublicKey(profile.public_key).fingerprint,
        "revoked": taken_json(desk.in_force.revocations.key(profile.id)),
    }
