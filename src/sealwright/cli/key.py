"""``sealwright key``: make and import keys beside the signer; list, show and revoke them anywhere."""

from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sealwright.cli.output import note, show, show_json, show_table, utc
from sealwright.cli.typed import noun
from sealwright.client import administration
from sealwright.client.files import read_small
from sealwright.core import records
from sealwright.core.errors import Code, ConfigurationError, RefusedError
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.formats import FORMATS
from sealwright.policy.documents import KeyProfile, Purpose, RestrictionKind

key = noun("signing keys")
Json = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
Profile = Annotated[str, typer.Argument(metavar="PROFILE", help="PRODUCT/ENVIRONMENT/NAME, as router/production/2026")]
InstanceFolder = Annotated[Path, typer.Option("--instance", help="the instance's folder: this runs beside the signer")]
FormatName = Annotated[str, typer.Option("--format", help="the one image format the key signs")]
MAX_KEY_FILE_BYTES = 1 << 20


@key.command()
def create(
    profile: Profile,
    instance: InstanceFolder,
    algorithm: Annotated[Algorithm, typer.Option(help="one exact algorithm")],
    image_format: FormatName = "",
    size: Annotated[int, typer.Option(help="RSA modulus in bits")] = 3072,
    purpose: Annotated[Purpose, typer.Option()] = Purpose.FIRMWARE,
    keystore: Annotated[str, typer.Option(help="URI of a token for a new partition; else as the instance says")] = "",
    secret: Annotated[str, typer.Option(help="where the token's PIN comes from: file:PATH, credential:NAME")] = "",
) -> None:
    """Make a key in its partition and put its profile into the policy draft."""
    from sealwright.wiring import ceremony, configuration  # noqa: PLC0415 - the base install has no keystores

    _check_format(image_format)
    settings = configuration.load(instance)
    partition = ceremony.partition_name(profile)
    settings = ceremony.ensure_partition(settings, partition, uri=keystore, secret=secret)
    order = ceremony.KeyOrder(
        profile=profile,
        algorithm=algorithm,
        size_bits=algorithm.key_size_bits or size,
        image_format=image_format or None,
        purpose=purpose,
    )
    with administration.editing() as desk:
        _refuse_known(desk, profile)
        _add(desk, ceremony.create_key(settings, order))


@key.command("import")
def import_key(
    profile: Profile,
    file: Annotated[Path, typer.Argument(help="PEM or PKCS#12 file with the private key")],
    instance: InstanceFolder,
    algorithm: Annotated[Algorithm, typer.Option(help="one exact algorithm")],
    image_format: FormatName = "",
    passphrase: Annotated[str, typer.Option(help="where the file's passphrase comes from: file:PATH, fd:N")] = "",
    certificate: Annotated[list[Path] | None, typer.Option(help="certificate of the key first, then its chain")] = None,
    purpose: Annotated[Purpose, typer.Option()] = Purpose.FIRMWARE,
) -> None:
    """Take in an existing key, such as the one burnt into fielded devices; it stays graded software."""
    from sealwright.keystores import private_keys, secrets  # noqa: PLC0415 - the base install has no keystores
    from sealwright.wiring import ceremony, configuration  # noqa: PLC0415

    _check_format(image_format)
    phrase = secrets.read_secret(passphrase).reveal() if passphrase else None
    data = read_small(file, max_bytes=MAX_KEY_FILE_BYTES, what="private key")
    private, certificates = private_keys.load_private_key(data, phrase)
    given = [
        c.public_bytes(Encoding.DER)
        for path in certificate or []
        for c in x509.load_pem_x509_certificates(read_small(path, max_bytes=MAX_KEY_FILE_BYTES, what="certificate"))
    ]
    settings = ceremony.ensure_partition(configuration.load(instance), ceremony.partition_name(profile))
    order = ceremony.KeyOrder(
        profile=profile,
        algorithm=algorithm,
        size_bits=PublicKey(private_keys.public_half(private).spki_der).size_bits,
        image_format=image_format or None,
        purpose=purpose,
    )
    with administration.editing() as desk:
        _refuse_known(desk, profile)
        _add(desk, ceremony.import_key(settings, order, private, tuple(given) or certificates))


@key.command("list")
def list_keys(product: Annotated[str, typer.Option(help="only this product's")] = "", json: Json = False) -> None:
    """List keys: of the draft if there is one, else of the policy in force."""
    with administration.editing() as desk:
        keys = [k for k in desk.draft.all(KeyProfile) if product in ("", k.product)]
    if json:
        show_json([_as_json(k) for k in keys])
        return
    for profile in keys:
        show(f"{profile.id}  {profile.algorithm}  {profile.image_format or 'any format'}  {profile.grade}")


@key.command("show")
def show_key(
    profile: Profile,
    public_key: Annotated[bool, typer.Option("--public-key", help="print the public key as PEM alone")] = False,
    certificate: Annotated[bool, typer.Option("--certificate", help="print the certificates as PEM alone")] = False,
    json: Json = False,
) -> None:
    """Show one key; its public key or certificates go to devices and outside verifiers."""
    with administration.editing() as desk:
        found = desk.draft.get(KeyProfile, profile)
    if found is None:
        raise RefusedError(f"there is no key {profile}", code=Code.NOT_FOUND, hint="`sealwright key list`")
    public = PublicKey(found.public_key)
    if public_key:
        show_pem(public.pem)
    elif certificate:
        for der in found.certificates:
            show_pem(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM))
    elif json:
        show_json(_as_json(found))
    else:
        show(found.id)
        rows = [
            ("product", f"{found.product} {found.environment}"),
            ("algorithm", f"{found.algorithm}, {public.size_bits} bits"),
            ("format", found.image_format or "any"),
            ("purpose", found.purpose),
            ("partition", found.partition),
            ("grade", f"{found.grade}, {found.origin}"),
            ("state", found.state),
            ("fingerprint", public.fingerprint),
        ]
        for der in found.certificates:
            parsed = x509.load_der_x509_certificate(der)
            until = int(parsed.not_valid_after_utc.timestamp())
            rows.append(("certificate", f"{parsed.subject.rfc4514_string()}, until {utc(until)}"))
        show_table(rows)


@key.command()
def revoke(profile: Profile, reason: Annotated[str, typer.Option(help="why; kept with the signed document")]) -> None:
    """Revoke a key at once: by a log entry, not by the next policy."""
    with administration.editing() as desk:
        logged = administration.restrict(desk.settings, desk.api, RestrictionKind.REVOKE_KEY_PROFILE, profile, reason)
    show(f"done: key {profile} is revoked at log index {logged.index}, inclusion proven")
    note(f"what it signed: `sealwright impact --key {profile}`")


def show_pem(pem: bytes) -> None:
    """Print PEM, line by line."""
    for line in pem.decode().splitlines():
        show(line)


def _add(desk: administration.Desk, profile: KeyProfile) -> None:
    desk.draft.put(profile)
    desk.save()
    show(f"{profile.id}  {PublicKey(profile.public_key).fingerprint}")
    note(f"graded {profile.grade}; in the draft: `sealwright policy propose` when it is complete")


def _refuse_known(desk: administration.Desk, profile: str) -> None:
    if desk.draft.get(KeyProfile, profile) is not None:
        raise RefusedError(
            f"there is a key {profile} already", code=Code.CONFLICT, hint="choose another name; keys are never replaced"
        )


def _check_format(name: str) -> None:
    if name and name not in FORMATS:
        raise ConfigurationError(
            f"there is no format {name}", setting="--format", hint=f"formats: {', '.join(sorted(FORMATS))}"
        )


def _as_json(profile: KeyProfile) -> dict[str, object]:
    return {**records.dump(profile), "fingerprint": PublicKey(profile.public_key).fingerprint}
