"""``sealwright key``: make and import keys beside the signer; list, show and revoke them anywhere."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sealwright.cli.drafting import confirm, keep, say_stale, spell_taken, taken_json
from sealwright.cli.minutes import minutes, read_attestation, read_script, show_finished
from sealwright.cli.output import note, show, show_columns, show_json, show_table, utc
from sealwright.cli.typed import noun
from sealwright.client import administration, earlier, log_view, stateful
from sealwright.client.files import read_small
from sealwright.client.ids import check_id
from sealwright.client.new_keys import WantedKey, check_new, check_public_key
from sealwright.client.review import after_revocation
from sealwright.client.revocations import Taken
from sealwright.client.short_forms import whole
from sealwright.core import records
from sealwright.core.certificates import UNREADABLE
from sealwright.core.errors import Code, ConfigurationError, FormatError, RefusedError
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.formats import FORMATS, esp32, esp32_blocks
from sealwright.policy.documents import Environment, KeyGrade, KeyProfile, Purpose, RestrictionKind, Scope
from sealwright.policy.minutes import parse_script

if TYPE_CHECKING:
    from sealwright.wiring.ceremony import KeyOrder
    from sealwright.wiring.configuration import Configuration

key = noun("signing keys")
key.add_typer(minutes, name="minutes")
Json = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask before revoking")]
Profile = Annotated[
    str,
    typer.Argument(
        metavar="PROFILE", help="PRODUCT/ENVIRONMENT/NAME, as router/production/2026; development, test or production"
    ),
]
InstanceFolder = Annotated[Path, typer.Option("--instance", help="the instance's folder: this runs beside the signer")]
FormatName = Annotated[
    str,
    typer.Option("--format", help=f"the one image format the key signs, needed in production: {', '.join(FORMATS)}"),
]
ExactAlgorithm = Annotated[Algorithm, typer.Option("--algorithm", help="one exact algorithm")]
ForPurpose = Annotated[Purpose, typer.Option("--purpose", help="what the key is for")]
MAX_KEY_FILE_BYTES = 1 << 20
RSA_BITS = 3072


@key.command()
def create(
    profile: Profile,
    instance: InstanceFolder,
    algorithm: ExactAlgorithm,
    image_format: FormatName = "",
    size: Annotated[int, typer.Option(help=f"RSA modulus in bits: 2048, 3072 or 4096; {RSA_BITS} unless said")] = 0,
    purpose: ForPurpose = Purpose.FIRMWARE,
    parameters: Annotated[
        str, typer.Option(help="of an hss-lms key: hash, its bytes, height and width, as sha256-n24-h10-w8")
    ] = "",
    keystore: Annotated[str, typer.Option(help="URI of a token for a new partition; else as the instance says")] = "",
    secret: Annotated[str, typer.Option(help="where the token's PIN comes from: file:PATH, credential:NAME")] = "",
    existing: Annotated[
        str,
        typer.Option(metavar="FINGERPRINT", help="make none: take up this key of the partition again, first digits do"),
    ] = "",
    json: Json = False,
) -> None:
    """Make a key in its partition and put its profile into the policy draft.

    With --existing a key that was removed from the policy, or whose draft was discarded, comes back as it was.
    What the policy, the signer or every verifier of the format would refuse later is refused before the key is made.
    """
    from sealwright.wiring import ceremony, configuration  # noqa: PLC0415 - the base install has no keystores

    _check_format(image_format)
    check_id(profile, "PROFILE", "router/production/2026", slashes=True)
    order = ceremony.KeyOrder(
        profile=profile,
        algorithm=algorithm,
        size_bits=0 if algorithm.is_stateful else size or algorithm.key_size_bits or RSA_BITS,
        image_format=image_format or None,
        purpose=purpose,
        parameters=parameters,
    )
    ceremony.check_order(order)
    settings = configuration.load(instance)
    grade = ceremony.grade_of_new_keys(settings, profile, uri=keystore)
    with administration.editing() as desk:
        check_new(_wanted(order, grade), desk.draft, desk.in_force.revocations)
        if existing:
            _add(desk, _existing(desk, settings, order, existing), json=json)
            return
        earlier.fetch(desk).check_name(profile)
        settings = ceremony.ensure_partition(settings, ceremony.partition_name(profile), uri=keystore, secret=secret)
        _add(desk, ceremony.create_key(settings, order), json=json)


@key.command()
def ceremony(
    script: Annotated[Path, typer.Argument(help="TOML file: who is present, what is made, where")],
    instance: InstanceFolder,
    attestation: Annotated[
        list[str] | None,
        typer.Option(metavar="PROFILE=FILE", help="the vendor's certificates of a key, PEM: key, device, authorities"),
    ] = None,
    keystore: Annotated[str, typer.Option(help="URI of a token for a new partition; else as the instance says")] = "",
    secret: Annotated[str, typer.Option(help="where the token's PIN comes from: file:PATH, credential:NAME")] = "",
    discard_unfinished: Annotated[
        bool, typer.Option("--discard-unfinished", help="delete half a key that an interruption left in the token")
    ] = False,
    json: Json = False,
) -> None:
    """Make keys as a written script says, and minutes that those present sign.

    An interrupted ceremony resumes with the same command.  Its keys come into the policy draft by `key minutes adopt`.
    """
    from sealwright.wiring import configuration, key_ceremony  # noqa: PLC0415 - the base install has no keystores
    from sealwright.wiring.ceremony import ensure_partition  # noqa: PLC0415

    data = read_script(script)
    plan, settings = parse_script(data), configuration.load(instance)
    orders, made = key_ceremony.orders(plan), key_ceremony.made_already(settings, data)
    with administration.reading() as desk:
        known = earlier.fetch(desk)
        for order in orders:
            _check_format(order.image_format or "")
            if order.profile not in made:
                known.check_name(order.profile)
                check_new(_wanted(order, plan.grade), desk.draft, desk.in_force.revocations)
    chains = dict(read_attestation(text) for text in attestation or [])
    settings = ensure_partition(settings, plan.partition, uri=keystore, secret=secret)
    done = key_ceremony.run(settings, data, chains, discard_unfinished=discard_unfinished, say=note)
    show_finished(done.path, done.checked, json=json)


@key.command("import")
def import_key(
    profile: Profile,
    file: Annotated[Path, typer.Argument(help="PEM or PKCS#12 file with the private key")],
    instance: InstanceFolder,
    algorithm: ExactAlgorithm,
    image_format: FormatName = "",
    passphrase: Annotated[str, typer.Option(help="where the file's passphrase comes from: file:PATH, fd:N")] = "",
    certificate: Annotated[list[Path] | None, typer.Option(help="certificate of the key first, then its chain")] = None,
    purpose: ForPurpose = Purpose.FIRMWARE,
    json: Json = False,
) -> None:
    """Take in an existing key, such as the one burnt into fielded devices; it stays graded software."""
    from sealwright.keystores import private_keys, secrets  # noqa: PLC0415 - the base install has no keystores
    from sealwright.wiring import ceremony, configuration  # noqa: PLC0415

    _check_format(image_format)
    check_id(profile, "PROFILE", "router/production/2026", slashes=True)
    ceremony.split_profile(profile)
    phrase = secrets.read_secret(passphrase).reveal() if passphrase else None
    data = read_small(file, max_bytes=MAX_KEY_FILE_BYTES, what="private key")
    private, certificates = private_keys.load_private_key(data, phrase)
    given = [
        c.public_bytes(Encoding.DER)
        for path in certificate or []
        for c in x509.load_pem_x509_certificates(read_small(path, max_bytes=MAX_KEY_FILE_BYTES, what="certificate"))
    ]
    public, chain = private_keys.check_importable(private, tuple(given) or certificates)
    order = ceremony.KeyOrder(
        profile=profile,
        algorithm=algorithm,
        size_bits=public.size_bits,
        image_format=image_format or None,
        purpose=purpose,
    )
    settings = configuration.load(instance)
    with administration.editing() as desk:
        check_public_key(public, algorithm, desk.draft.all(KeyProfile))
        check_new(_wanted(order, KeyGrade.SOFTWARE), desk.draft, desk.in_force.revocations)
        earlier.fetch(desk).check_name(profile, public.fingerprint)
        settings = ceremony.ensure_partition(settings, ceremony.partition_name(profile))
        _add(desk, ceremony.import_key(settings, order, private, chain), json=json)


@key.command()
def remove(profile: Profile, json: Json = False) -> None:
    """Take a key out of the policy draft; it stays in its keystore, and what it signed stays signed.

    This is of the policy to come; use revoke for a key that may be in wrong hands.
    """
    with administration.editing() as desk:
        _find(desk, profile)
        desk.draft.remove("key-profile", profile)
        keep(desk, ("key-profile", profile), json=json)


@key.command("list")
def list_keys(product: Annotated[str, typer.Option(help="only this product's")] = "", json: Json = False) -> None:
    """List keys: of the draft if there is one, else of the policy in force; and which are revoked."""
    with administration.reading() as desk:
        say_stale(desk)
        keys = [k for k in desk.draft.all(KeyProfile) if product in ("", k.product)]
        numbers = _numbers(desk, keys)
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
        state = f"revoked, {spell_taken(taken)}" if taken else str(profile.state)
        left = f", {numbers[profile.id].left:,} signatures left" if profile.id in numbers else ""
        own = earlier.fingerprint_of(profile)[:16]
        rows.append((profile.id, _kind(profile), profile.image_format or "any", profile.grade, own, f"{state}{left}"))
    show_columns(rows)
    _warn(keys, numbers)


@key.command("show")
def show_key(
    profile: Profile,
    public_key: Annotated[bool, typer.Option("--public-key", help="print the public key as PEM alone")] = False,
    certificate: Annotated[bool, typer.Option("--certificate", help="print the certificates as PEM alone")] = False,
    json: Json = False,
) -> None:
    """Show one key; its public key or certificates go to devices and outside verifiers."""
    with administration.reading() as desk:
        found = _find(desk, profile)
        numbers = {} if public_key or certificate else _numbers(desk, [found])
        others = earlier.fetch(desk).others(found)
    public, taken = PublicKey(found.public_key), desk.in_force.revocations.key(profile)
    if taken and (public_key or certificate):
        note(f"key {profile} is revoked, {spell_taken(taken)}")
    if others:
        note(
            f"warning: earlier policies had another key of the name {profile}: {', '.join(others)}; "
            f"this is {public.fingerprint}"
        )
    if public_key:
        show_pem(public.pem)
    elif certificate:
        for der in found.certificates:
            show_pem(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM))
    elif json:
        show_json(_as_json(desk, found, numbers.get(profile)))
    else:
        show(found.id)
        show_table(_rows(found, taken, numbers.get(profile)))
        _warn([found], numbers)


@key.command()
def revoke(
    profile: Profile,
    reason: Annotated[str, typer.Option(help="why; kept with the signed document, and shown to everybody")],
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Revoke a key at once and for ever: by a log entry, not by the next policy."""
    with administration.reading() as desk:
        known = _in_force(desk, profile)
        if known is not None:
            note(f"{profile} is {PublicKey(known.public_key).fingerprint}, {known.algorithm}, for {known.product}")
        for text in after_revocation(desk.in_force, RestrictionKind.REVOKE_KEY_PROFILE, profile):
            note(f"warning: {text}")
        confirm(f"revoke key {profile} for ever?", yes=yes, otherwise="nothing was revoked")
        logged = administration.restrict(desk.settings, desk.api, RestrictionKind.REVOKE_KEY_PROFILE, profile, reason)
    if json:
        show_json({"kind": str(RestrictionKind.REVOKE_KEY_PROFILE), "subject": profile, "index": logged.index})
        return
    show(f"done: key {profile} is revoked at log index {logged.index}, inclusion proven")
    note(f"what it signed: `sealwright impact --key {profile}`")


def _in_force(desk: administration.Desk, profile: str) -> KeyProfile | None:
    standing = desk.in_force.standing
    return standing.sections.get(KeyProfile, profile) if standing else None


def show_pem(pem: bytes) -> None:
    """Print PEM, line by line."""
    for line in pem.decode().splitlines():
        show(line)


def _add(desk: administration.Desk, profile: KeyProfile, *, json: bool) -> None:
    if not json:
        show(f"{profile.id}  {PublicKey(profile.public_key).fingerprint}")
        note(f"graded {profile.grade}")
        if label := stateful.label_of(profile):
            note(label)
    desk.draft.put(profile)
    keep(desk, ("key-profile", profile.id), json=json)


def _existing(desk: administration.Desk, settings: "Configuration", order: "KeyOrder", given: str) -> KeyProfile:
    """Return the profile as an earlier policy had it, else of a key that was made for a draft."""
    from sealwright.wiring import ceremony  # noqa: PLC0415 - the base install has no keystores

    there = ceremony.fingerprints(settings, order.profile)
    fingerprint = whole(given, there, "key")
    if fingerprint not in there:
        partition = ceremony.partition_name(order.profile)
        hint = f"it has {', '.join(print_[:16] for print_ in there) or 'none'}"
        raise RefusedError(f"partition {partition} has no key {given[:64]}", code=Code.NOT_FOUND, hint=hint)
    known = earlier.fetch(desk)
    known.check_name(order.profile, fingerprint)
    found = known.find(order.profile, fingerprint) or ceremony.take_up_key(settings, order, fingerprint)
    check_public_key(PublicKey(found.public_key), order.algorithm, desk.draft.all(KeyProfile))
    if (found.algorithm, found.image_format or "") != (order.algorithm, order.image_format or ""):
        raise RefusedError(
            f"key {found.id} is for {found.algorithm} and {found.image_format or 'any format'}",
            code=Code.CONFLICT,
            hint=f"--algorithm {found.algorithm}" + (f" --format {found.image_format}" if found.image_format else ""),
        )
    return found


def _kind(profile: KeyProfile) -> str:
    """Spell the algorithm, with the size where it does not say it."""
    if profile.algorithm.key_size_bits is None and not profile.algorithm.is_stateful:
        return f"{profile.algorithm}, {PublicKey(profile.public_key).size_bits} bits"
    return f"{profile.algorithm} {stateful.parameters_of(profile)}".rstrip()


def _find(desk: administration.Desk, profile: str) -> KeyProfile:
    found = desk.draft.get(KeyProfile, profile)
    if found is None:
        close = get_close_matches(profile, [k.id for k in desk.draft.all(KeyProfile)], 1)
        hint = f"did you mean {close[0]}?" if close else "`sealwright key list`"
        raise RefusedError(f"there is no key {profile[:96]}", code=Code.NOT_FOUND, hint=hint)
    return found


def _numbers(desk: administration.Desk, keys: Sequence[KeyProfile]) -> dict[str, stateful.Numbers]:
    """Follow the log for the marks of stateful keys; without one there is nothing to follow it for."""
    if not stateful.any_stateful(keys):
        return {}
    marks = log_view.verify(desk.api, desk.settings.trust, lambda _done, _size: None).state.marks
    found = {k.id: stateful.numbers_of(k, lambda fingerprint: marks.get(fingerprint, 0)) for k in keys}
    return {name: numbers for name, numbers in found.items() if numbers is not None}


def _warn(keys: Sequence[KeyProfile], numbers: Mapping[str, stateful.Numbers]) -> None:
    for profile in keys:
        if profile.id in numbers and numbers[profile.id].is_few:
            note(f"warning: {stateful.few_left(profile, numbers[profile.id])}")


def _wanted(order: "KeyOrder", grade: KeyGrade) -> WantedKey:
    from sealwright.wiring import ceremony  # noqa: PLC0415 - the base install has no keystores

    product, environment, _ = ceremony.split_profile(order.profile)
    return WantedKey(
        profile=order.profile,
        product=product,
        environment=Environment(environment),
        algorithm=order.algorithm,
        size_bits=order.size_bits,
        image_format=order.image_format,
        grade=grade,
    )


def _check_format(name: str) -> None:
    if name and name not in FORMATS:
        raise ConfigurationError(
            f"there is no format {name}", setting="--format", hint=f"formats: {', '.join(sorted(FORMATS))}"
        )


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
        ("state", f"revoked, {spell_taken(taken)}" if taken else str(found.state)),
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
        state = {"parameters": stateful.parameters_of(profile), "numbers": counts}
    if label := stateful.label_of(profile):
        state["note"] = label
    return {
        **records.dump(profile),
        **state,
        "fingerprint": PublicKey(profile.public_key).fingerprint,
        "revoked": taken_json(desk.in_force.revocations.key(profile.id)),
    }
