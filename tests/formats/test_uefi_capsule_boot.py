"""U-Boot, built to authenticate capsules, writes the firmware of ours into its flash and refuses the others."""

import functools
import subprocess
import tempfile
from pathlib import Path

import pytest
from tests.conftest import require_tool
from tests.formats import attribute_sets
from tests.formats.efi_capsules import IMAGE_TYPE, MAKER, PAYLOAD, STRANGER, capsule
from tests.formats.efi_variables import certificates
from tests.formats.flips import flipped
from tests.verifiers import mkeficapsule, uboot

from sealwright.core.errors import FormatError

pytestmark = pytest.mark.slow

# Partitions in the size of the flash that U-Boot finds, then the update, then what stands at the flash's beginning.
UPDATE = (
    "setenv mtdids nor0=nor0,nor1=nor1; setenv mtdparts 'mtdparts=nor0:32m(u-boot);nor1:32m(u-boot-env)'; "
    f"efidebug capsule update -v {uboot.LOAD_ADDRESS:x}; md.b 0 10"
)
REFUSED = "Capsule authentication check failed. Aborting update"


def is_in_flash(said: str, firmware: bytes = PAYLOAD) -> bool:
    """Whether the firmware's first bytes were written; U-Boot 2023.01 then gives up waiting for QEMU's flash."""
    return f"00000000: {firmware[:16].hex(' ')}" in said


@functools.cache
def anchor() -> bytes:
    """Return the control devicetree with the maker's certificate as the key for capsules."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "control.dtb"
        path.write_bytes(uboot.control_dtb(uboot.PSS_ARM64))
        octets = [f"{octet:02x}" for octet in certificates(MAKER)]
        for arguments in (
            ["-c", str(path), "/signature"],
            ["-t", "bx", str(path), "/signature", "capsule-key", *octets],
        ):
            subprocess.run([require_tool("fdtput"), *arguments], check=True, timeout=60)
        return path.read_bytes()


def console(data: bytes) -> str:
    return uboot.boot(data, anchor(), UPDATE, uboot.PSS_ARM64).console


@pytest.mark.parametrize("options", [{}, {"fw_version": 7, "lowest_supported_version": 5}], ids=["plain", "versioned"])
def test_uboot_accepts_our_capsules(options: dict[str, int]) -> None:
    said = console(capsule(**options))
    assert is_in_flash(said)
    assert REFUSED not in said


def test_uboot_accepts_an_unsigned_capsule_that_we_signed(tmp_path: Path) -> None:
    unsigned = mkeficapsule.build(PAYLOAD, tmp_path, image_type=IMAGE_TYPE)
    assert is_in_flash(console(capsule(unsigned)))
    said = console(unsigned)
    assert not is_in_flash(said)
    assert "Cannot handle a capsule" in said


@pytest.mark.parametrize("part", ["payload", "count", "signature"])
def test_uboot_refuses_a_flipped_capsule(part: str) -> None:
    signed = capsule(monotonic_count=9)
    at = {"payload": len(signed) - 1, "count": 92, "signature": len(signed) - len(PAYLOAD) - 1}[part]
    said = console(flipped(signed, at))
    assert REFUSED in said
    assert not is_in_flash(said)


def test_uboot_refuses_a_capsule_of_a_stranger() -> None:
    said = console(capsule(who=STRANGER))
    assert REFUSED in said
    assert not is_in_flash(said)


def test_uboot_takes_a_signature_over_attributes_for_the_firmware_they_name_so_we_sign_none() -> None:
    plain, count, evil = attribute_sets.firmware_that_is_attributes()
    attributes = plain + attribute_sets.COUNT.pack(count)
    der = attribute_sets.bare(attributes)
    assert is_in_flash(console(attribute_sets.around(evil, 0, attribute_sets.with_attributes(der, attributes))), evil)
    assert REFUSED in console(attribute_sets.around(evil, 0, der))
    with pytest.raises(FormatError, match="as signed attributes it would be a signature over other content"):
        capsule(plain, monotonic_count=count)


def test_uboot_without_a_key_accepts_no_capsule() -> None:
    said = uboot.boot(capsule(), uboot.control_dtb(uboot.PSS_ARM64), UPDATE, uboot.PSS_ARM64).console
    assert not is_in_flash(said)
