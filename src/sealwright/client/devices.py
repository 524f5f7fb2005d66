"""Whether one U-Boot device takes an image: its control devicetree holds the keys, and says which must have signed.

This stands beside evidence and never in its place: a device knows no approvals, and a rollback not at all.
"""

from dataclasses import dataclass
from pathlib import Path

from sealwright.client.files import read_small
from sealwright.core.errors import ConfigurationError, FormatError
from sealwright.core.images import ByteSource
from sealwright.formats import fit
from sealwright.formats.fit_control import Anchor, Anchors, RequiredMode, anchors_of, verify_for_device
from sealwright.formats.interface import Verified

MAX_CONTROL_BYTES = 16 << 20
"""QEMU writes its own padded to 1 MiB; real ones are below that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCheck:
    """A control devicetree, and what a device with it found in every configuration."""

    control_dtb: Path
    anchors: Anchors
    verified: Verified

    @property
    def required(self) -> tuple[tuple[Anchor, bool], ...]:
        """Each required key, and whether it signed every configuration; with ``any``, not all need have."""
        return tuple((anchor, anchor.key in self.verified.keys) for anchor in self.anchors.required)

    @property
    def summary(self) -> str:
        """Say it in one line."""
        names = ", ".join(f"{anchor.name} ({anchor.algo})" for anchor in self.anchors.required)
        which = "all" if self.anchors.mode is RequiredMode.ALL else "one"
        return f"takes every configuration: each is signed by {which} of {names}"


def check_device(image: ByteSource, image_format: str, control_dtb: Path) -> DeviceCheck:
    """Verify an image as the device with this control devicetree would; ``VerificationError`` where it would not."""
    if image_format != fit.name:
        raise ConfigurationError(
            f"a control devicetree judges {fit.name} images, this is {image_format}",
            setting="control-dtb",
            hint="leave out --control-dtb",
        )
    data = read_small(control_dtb, max_bytes=MAX_CONTROL_BYTES, what="control devicetree")
    try:
        anchors = anchors_of(data)
    except FormatError as e:
        raise FormatError(f"control devicetree {control_dtb}: {e.message}", code=e.code, hint=e.hint) from None
    return DeviceCheck(control_dtb=control_dtb, anchors=anchors, verified=verify_for_device(image, anchors))
