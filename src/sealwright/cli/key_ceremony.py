"""``sealwright key ceremony``: keys as a written script says; what comes of its minutes is ``key minutes``."""

from pathlib import Path
from typing import Annotated

import typer

from sealwright.cli.key_arguments import InstanceFolder, Json, NewKeystore, NewSecret
from sealwright.cli.minutes import read_attestation, read_script, show_finished
from sealwright.cli.output import note
from sealwright.client import administration, earlier
from sealwright.client.new_keys import check_format, check_new
from sealwright.policy.minutes import parse_script


def ceremony(
    script: Annotated[Path, typer.Argument(help="TOML file: who is present, what is made, where")],
    instance: InstanceFolder,
    attestation: Annotated[
        list[str] | None,
        typer.Option(metavar="PROFILE=FILE", help="the vendor's certificates of a key, PEM: key, device, authorities"),
    ] = None,
    keystore: NewKeystore = "",
    secret: NewSecret = "",
    discard_unfinished: Annotated[
        bool, typer.Option("--discard-unfinished", help="delete half a key that an interruption left in the token")
    ] = False,
    json: Json = False,
) -> None:
    """Make keys as a written script says, and minutes that those present sign.

    An interrupted ceremony resumes with the same command.  Its keys come into the policy draft by `key minutes adopt`.
    """
    # The base install has no keystores.
    from sealwright.keystores.dumps import forbid_dumps  # noqa: PLC0415
    from sealwright.wiring import configuration, key_ceremony  # noqa: PLC0415
    from sealwright.wiring.ceremony import wanted  # noqa: PLC0415
    from sealwright.wiring.partitions import check_kind, ensure_partition, place_of  # noqa: PLC0415

    forbid_dumps()
    data = read_script(script)
    plan, settings = parse_script(data), configuration.load(instance)
    check_kind(plan, place_of(settings, plan.partition, uri=keystore, secret=secret))  # before anybody is asked
    orders, made = key_ceremony.orders(plan), key_ceremony.made_already(settings, data)
    with administration.reading() as desk:
        known = earlier.fetch(desk)
        for order in orders:
            check_format(order.image_format or "")
            if order.profile not in made:
                known.check_name(order.profile)
                check_new(wanted(order, plan.grade), desk.draft, desk.in_force.revocations)
    chains = dict(read_attestation(text) for text in attestation or [])
    settings = ensure_partition(settings, plan.partition, uri=keystore, secret=secret)
    done = key_ceremony.run(settings, data, chains, discard_unfinished=discard_unfinished, say=note)
    show_finished(done.path, done.checked, json=json)
