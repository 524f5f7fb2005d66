"""Firmware formats: one pure module each.  This list is what is supported."""

from sealwright.core.images import ByteSource
from sealwright.formats import (
    dfu,
    dfuse,
    esp32,
    fit,
    ihex,
    mcuboot,
    pe,
    raw,
    srec,
    suit,
    uefi_capsule,
    uefi_variable,
    uf2,
)
from sealwright.formats.interface import Format

FORMATS: dict[str, Format] = {
    dfu.name: dfu,  # first: its suffix stands around images of other formats
    dfuse.name: dfuse,
    fit.name: fit,
    pe.name: pe,
    uefi_capsule.name: uefi_capsule,
    uefi_variable.name: uefi_variable,
    mcuboot.name: mcuboot,
    esp32.name: esp32,
    suit.name: suit,
    ihex.name: ihex,
    srec.name: srec,
    uf2.name: uf2,
    raw.name: raw,  # last: it claims no image, it takes what is left
}


def claimed_by(image: ByteSource) -> tuple[Format, ...]:
    """Return every format that claims the image: one file can be several things, to several readers."""
    return tuple(known for known in FORMATS.values() if known.matches(image))


def detect(image: ByteSource) -> Format:
    """Return the first format that claims the image, or ``raw``."""
    return next(iter(claimed_by(image)), raw)
