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
