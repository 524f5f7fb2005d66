"""What the commands of ``sealwright key`` are told in the same words."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
Profile = Annotated[
    str,
    typer.Argument(
        metavar="PROFILE", help="PRODUCT/ENVIRONMENT/NAME, as router/production/2026; development, test or production"
    ),
]
InstanceFolder = Annotated[Path, typer.Option("--instance", help="the instance's folder: this runs beside the signer")]
ANY_SOURCE = "file:PATH (mode 0600), credential:NAME (systemd) or fd:NUMBER"
LASTING_SOURCE = "file:PATH (mode 0600) or credential:NAME (systemd)"
"""A descriptor is gone when the signer starts."""
NewKeystore = Annotated[
    str,
    typer.Option(
        "--keystore", help="URI of a token or folder of files for a new partition; else as the instance's settings say"
    ),
]
NewSecret = Annotated[
    str, typer.Option("--secret", help=f"where its PIN or passphrase comes from: {LASTING_SOURCE}; never itself")
]
