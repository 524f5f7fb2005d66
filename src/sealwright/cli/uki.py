"""``sealwright uki``: unified kernel images, built from their parts and measured, on this machine alone."""

from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sealwright.cli.output import show, show_json, show_table
from sealwright.cli.typed import noun
from sealwright.client.files import FileSource
from sealwright.client.outputs import Outputs
from sealwright.core.errors import FormatError
from sealwright.formats import pe
from sealwright.formats import uki as images

uki = noun("unified kernel images: build one from its parts, say what a TPM will measure")
Json = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
Stub = Annotated[Path, typer.Option("--stub", metavar="FILE", help="systemd's EFI stub, linuxx64.efi.stub")]
Linux = Annotated[Path, typer.Option("--linux", metavar="FILE", help="the kernel")]
Part = Annotated[Path | None, typer.Option(metavar="FILE")]
Output = Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="where to write the image")]


class Bank(StrEnum):
    """The banks of PCRs that a TPM may have."""

    SHA1 = "sha1"
    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"


@uki.command()
def build(
    stub: Stub,
    linux: Linux,
    output: Output,
    initrd: Part = None,
    cmdline: Part = None,
    osrel: Part = None,
    splash: Part = None,
    dtb: Part = None,
    pcrpkey: Part = None,
    pcrsig: Part = None,
    replace: Annotated[bool, typer.Option("--force", help="write over an existing file")] = False,
) -> None:
    """Build an unsigned image: the stub, and each part as a section; `sealwright sign` signs it as uefi-pe."""
    chosen = {
        ".linux": linux,
        ".initrd": initrd,
        ".cmdline": cmdline,
        ".osrel": osrel,
        ".splash": splash,
        ".dtb": dtb,
        ".pcrpkey": pcrpkey,
        ".pcrsig": pcrsig,
    }
    with ExitStack() as stack:
        parts = {name: stack.enter_context(FileSource(path)) for name, path in chosen.items() if path}
        source = stack.enter_context(FileSource(stub))
        if not pe.matches(parts[".linux"]):
            raise FormatError(
                f"{linux} is no kernel with an EFI stub: it does not begin as a PE program",
                hint="name the compressed kernel image as it is installed in /boot, built with CONFIG_EFI_STUB",
            )
        outputs = stack.enter_context(Outputs(replace=replace))
        outputs.write(output, images.build(source, parts))
        outputs.publish()
    show(f"built: {output}")


@uki.command()
def measure(
    image: Annotated[Path, typer.Argument(metavar="IMAGE")],
    bank: Annotated[Bank, typer.Option("--bank", help="the hash of the PCR bank")] = Bank.SHA256,
    json: Json = False,
) -> None:
    """Say what PCR 11 holds after each phase of booting the image."""
    with FileSource(image) as source:
        values = {phase: value.hex() for phase, value in images.pcr11(source, bank).items()}
    if json:
        show_json({"image": str(image), "pcr": 11, "bank": bank, "phases": values})
    else:
        show(f"{image}: PCR 11, {bank}")
        show_table(values.items())
