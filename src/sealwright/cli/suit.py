"""``sealwright suit``: SUIT envelopes, built from a template on this machine alone."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from sealwright.cli.output import show
from sealwright.cli.typed import noun
from sealwright.client.files import FileSource, read_small
from sealwright.client.outputs import Outputs
from sealwright.formats import suit_building, suit_template

MAX_TEMPLATE_BYTES = 1 << 20

suit = noun("SUIT envelopes: build one from a template and its images")


@suit.callback()
def group() -> None:
    """SUIT envelopes: build one from a template and its images."""
    # With a callback, Typer asks for the word `build` although it is the only one.


@suit.command()
def build(
    template: Annotated[Path, typer.Argument(metavar="TEMPLATE", help="what the envelope is made from, in JSON")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="where to write the envelope")],
    folder: Annotated[
        Path | None, typer.Option("--folder", metavar="DIR", help="where the images are; default: beside the template")
    ] = None,
    replace: Annotated[bool, typer.Option("--force", help="write over an existing file")] = False,
) -> None:
    """Build an unsigned envelope; digests and sizes are filled in, `sealwright sign` signs it as suit."""
    chosen = suit_template.parse(read_small(template, max_bytes=MAX_TEMPLATE_BYTES, what="template"))
    place = folder or template.parent
    with ExitStack() as stack:
        names = suit_template.file_names(chosen)
        files = {name: stack.enter_context(FileSource(place / name)) for name in names}
        outputs = stack.enter_context(Outputs(replace=replace))
        outputs.write(output, suit_building.build(chosen, files))
        outputs.publish()
    show(f"built: {output}")
