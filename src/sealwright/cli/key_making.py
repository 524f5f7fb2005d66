"""``sealwright key create`` and ``key import``: keys come into their partitions, and their profiles into the draft."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sealwright.cli.drafting import keep
from sealwright.cli.key_arguments import ANY_SOURCE, InstanceFolder, Json, NewKeystore, NewSecret, Profile
from sealwright.cli.output import note, show
from sealwright.client import administration, earlier, stateful
from sealwright.client.files import read_small
from sealwright.client.ids import check_id
from sealwright.client.new_keys import apart, check_format, check_new, check_public_key
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.formats import FORMATS
from sealwright.policy.documents import KeyGrade, KeyProfile, Purpose

FormatName = Annotated[
    str,
    typer.Option("--format", help=f"the one image format the key signs, needed in production: {', '.join(FORMATS)}"),
]
ExactAlgorithm = Annotated[Algorithm, typer.Option("--algorithm", help="one exact algorithm")]
Partition = Annotated[
    str,
    typer.Option(help="of a second provider, as router-production-second; else the one of its product and environment"),
]
ForPurpose = Annotated[Purpose, typer.Option("--purpose", help="what the key is for")]
MAX_KEY_FILE_BYTES = 1 << 20
RSA_BITS = 3072


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
    partition: Partition = "",
    keystore: NewKeystore = "",
    secret: NewSecret = "",
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
    # The base install has no keystores.
    from sealwright.keystores.dumps import forbid_dumps  # noqa: PLC0415
    from sealwright.wiring import ceremony, configuration, existing_keys, partitions  # noqa: PLC0415

    forbid_dumps()
    check_format(image_format)
    check_id(profile, "PROFILE", "router/production/2026", slashes=True)
    order = ceremony.KeyOrder(
        profile=profile,
        algorithm=algorithm,
        size_bits=0 if algorithm.is_stateful else size or algorithm.key_size_bits or RSA_BITS,
        image_format=image_format or None,
        purpose=purpose,
        parameters=parameters,
        named_partition=partition,
    )
    ceremony.check_order(order)
    settings = configuration.load(instance)
    partitions.place_of(settings, order.partition, uri=keystore, secret=secret)  # refused before anybody is asked
    grade = ceremony.grade_of_new_keys(settings, order.partition, uri=keystore)
    with administration.editing() as desk:
        check_new(ceremony.wanted(order, grade), desk.draft, desk.in_force.revocations)
        if not existing:
            earlier.fetch(desk).check_name(profile)
        with partitions.partition_for(
            settings, order.partition, uri=keystore, secret=secret, makes=not existing
        ) as settled:
            made = (
                existing_keys.find(desk, settled, order, existing) if existing else ceremony.create_key(settled, order)
            )
        _add(desk, made, json=json)


def import_key(
    profile: Profile,
    file: Annotated[Path, typer.Argument(help="PEM or PKCS#12 file with the private key")],
    instance: InstanceFolder,
    algorithm: ExactAlgorithm,
    image_format: FormatName = "",
    passphrase: Annotated[str, typer.Option(help=f"where the file's passphrase comes from: {ANY_SOURCE}")] = "",
    certificate: Annotated[list[Path] | None, typer.Option(help="certificate of the key first, then its chain")] = None,
    purpose: ForPurpose = Purpose.FIRMWARE,
    partition: Partition = "",
    json: Json = False,
) -> None:
    """Take in an existing key, such as the one burnt into fielded devices; it stays graded software."""
    # The base install has no keystores.
    from sealwright.keystores import private_keys, secrets  # noqa: PLC0415
    from sealwright.keystores.dumps import forbid_dumps  # noqa: PLC0415
    from sealwright.wiring import ceremony, configuration, partitions  # noqa: PLC0415

    forbid_dumps()
    check_format(image_format)
    check_id(profile, "PROFILE", "router/production/2026", slashes=True)
    partitions.split_profile(profile)
    phrase = secrets.read_secret(passphrase, option="--passphrase").reveal() if passphrase else None
    data = read_small(file, max_bytes=MAX_KEY_FILE_BYTES, what="private key")
    private, certificates = private_keys.load_private_key(data, phrase)
    public, chain = private_keys.check_importable(private, _read_certificates(certificate or ()) or certificates)
    order = ceremony.KeyOrder(
        profile=profile,
        algorithm=algorithm,
        size_bits=public.size_bits,
        image_format=image_format or None,
        purpose=purpose,
        named_partition=partition,
    )
    partitions.check_partition(order.partition, profile)
    settings = configuration.load(instance)
    with administration.editing() as desk:
        check_public_key(public, algorithm, desk.draft.all(KeyProfile))
        check_new(ceremony.wanted(order, KeyGrade.SOFTWARE), desk.draft, desk.in_force.revocations)
        earlier.fetch(desk).check_name(profile, public.fingerprint)
        with partitions.partition_for(settings, order.partition) as settled:
            made = ceremony.import_key(settled, order, private, chain)
        _add(desk, made, json=json)


def _read_certificates(paths: Iterable[Path]) -> tuple[bytes, ...]:
    return tuple(
        found.public_bytes(Encoding.DER)
        for path in paths
        for found in x509.load_pem_x509_certificates(read_small(path, max_bytes=MAX_KEY_FILE_BYTES, what="certificate"))
    )


def _add(desk: administration.Desk, profile: KeyProfile, *, json: bool) -> None:
    desk.draft.put(profile)
    desk.save()  # before anything is said: whoever listens may be gone, and the key is made
    if not json:
        show(f"{profile.id}  {PublicKey(profile.public_key).fingerprint}")
        note(f"graded {profile.grade}")
        if label := stateful.label_of(profile):
            note(label)
    if (still := apart(profile, desk.draft)) and not json:
        note(still)
    keep(desk, ("key-profile", profile.id), json=json)
