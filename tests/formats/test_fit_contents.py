"""What a FIT holds, read as U-Boot reads it: addresses, trees of other writers, and what is no FIT."""

import struct
from pathlib import Path

import pytest
from tests.formats.fits import DEV, STRANGER, Recipe, anchor, devicetree, kernel, node_of, property_of, sign
from tests.verifiers import uboot

from sealwright.core.errors import Code, FormatError
from sealwright.core.images import MemorySource
from sealwright.formats import fit
from sealwright.formats.fit_contents import load
from sealwright.formats.targets import ANY

LOAD, OTHER_LOAD = 0x44000000, 0x46000000


def with_addresses(folder: Path, cells: str) -> bytes:
    """Build a FIT whose kernel has these cells as load address and entry."""
    source = Recipe(parts=(kernel(), devicetree())).source(folder)
    changed = source.replace(f"load = <{LOAD:#x}>", f"load = <{cells}>")
    return uboot.mkimage(changed.replace(f"entry = <{LOAD:#x}>", f"entry = <{cells}>"), folder)


@pytest.mark.parametrize(("cells", "address"), [(f"{LOAD:#x}", LOAD), (f"0 {LOAD:#x}", LOAD), ("1 2", 0x1_0000_0002)])
def test_an_address_of_one_cell_or_two_is_shown_as_uboots_tools_take_it(
    tmp_path: Path, cells: str, address: int
) -> None:
    image = with_addresses(tmp_path, cells)
    facts = fit.inspect(MemorySource(image)).facts
    assert [int(facts[f"image kernel-1 {name}"], 16) for name in ("load", "entry")] == [address, address]
    assert f"Load Address: {address:#010x}" in uboot.dumpimage(image, tmp_path)


@pytest.mark.parametrize("cells", [f"0 {LOAD:#x} 0 {OTHER_LOAD:#x}", f"0 0 {LOAD:#x}", ""])
def test_an_address_of_more_cells_is_refused_since_uboot_takes_the_last_two(tmp_path: Path, cells: str) -> None:
    """An attack on approvers: the first two cells said one address, the device went to the other."""
    image = with_addresses(tmp_path, cells)
    for name in ("load", "entry"):
        size = len(property_of(image, "/images/kernel-1", name))
        assert size not in (4, 8)
    with pytest.raises(FormatError, match=r"/images/kernel-1: load of .* bytes; an address has 4 or 8"):
        fit.inspect(MemorySource(image))
    with pytest.raises(FormatError, match="an address has 4 or 8"):
        sign(image)


def test_uboot_boots_two_cells_and_goes_where_the_last_two_of_four_say(tmp_path: Path) -> None:
    signed = sign(with_addresses(tmp_path, f"0 {LOAD:#x}"))
    boot = uboot.boot(signed, anchor())
    assert boot.kernel_ran
    assert f"Load Address: {LOAD:#x}" in boot.console
    four = with_addresses(tmp_path, f"0 {LOAD:#x} 0 {OTHER_LOAD:#x}")
    boot = uboot.boot(four, uboot.control_dtb())  # without a required key it boots anything
    assert boot.kernel_ran
    assert f"Load Address: {OTHER_LOAD:#x}" in boot.console
    assert f"Load Address: {OTHER_LOAD:#x}" in uboot.dumpimage(four, tmp_path)


def test_what_mkimage_makes_without_a_source_is_read_and_its_crc32_refused(tmp_path: Path) -> None:
    """``mkimage -f auto`` writes through libfdt's sequential writer: compatible to version 2."""
    image = uboot.mkimage_auto(uboot.marker_kernel(), tmp_path, LOAD)
    assert struct.unpack_from(">2I", image, 20) == (17, 2)
    facts = fit.inspect(MemorySource(image)).facts
    assert facts["image kernel-1 load"] == f"{LOAD:#x}"
    assert facts["image kernel-1 covered"] == "no: none of its hashes protects its data"
    with pytest.raises(FormatError, match=r"image 'kernel-1' has no hash node that protects its data \(found: crc32\)"):
        sign(image)


def test_a_fit_of_libfdts_sequential_writer_is_signed_and_uboots_tool_accepts_it(tmp_path: Path) -> None:
    """The header is under no signature; what differs is what it says of older readers."""
    image = bytearray(Recipe().build(tmp_path))
    image[27] = 2
    signed = sign(bytes(image))
    assert signed[27] == 2
    assert fit.verify(MemorySource(signed), DEV.trust, {}).keys == (DEV.public_key,)
    assert uboot.fit_check_sign(signed, anchor(), tmp_path).returncode == 0
    assert uboot.fit_check_sign(signed, anchor(STRANGER), tmp_path).returncode != 0
    image[27] = 18
    with pytest.raises(FormatError, match="devicetree version 17, compatible to 18"):
        load(MemorySource(bytes(image)))


def test_a_plain_devicetree_is_called_no_fit() -> None:
    for data in (uboot.small_dtb(), uboot.control_dtb()):
        with pytest.raises(FormatError, match="no FIT: /images is missing") as refused:
            fit.inspect(MemorySource(data))
        assert "--format raw" in refused.value.hint


def test_a_fit_without_configurations_is_refused_by_that(tmp_path: Path) -> None:
    image = Recipe().build(tmp_path)
    renamed = image.replace(b"configurations\0", b"configurationx\0")
    with pytest.raises(FormatError, match="no FIT: /configurations is missing"):
        fit.inspect(MemorySource(renamed))
    assert node_of(image, "/configurations")


def test_an_image_that_names_no_key_asks_for_the_name_and_says_what_it_is(tmp_path: Path) -> None:
    image = MemorySource(Recipe().build(tmp_path))
    with pytest.raises(FormatError, match="U-Boot finds the key by its name in the control devicetree") as refused:
        fit.prepare(image, [DEV.signing_key()], {}, ANY)
    assert refused.value.code is Code.INVALID_DOCUMENT
    assert "--option key_name=NAME" in refused.value.hint
    assert "/signature/key-dev" in refused.value.hint
    with pytest.raises(FormatError, match="keys that sign: 1, different names for them: 2") as refused:
        fit.prepare(image, [DEV.signing_key()], {"key_names": ["dev", "release"]}, ANY)
    assert "--option key_names=" in refused.value.hint
    assert fit.prepare(image, [DEV.signing_key()], {"key_name": "dev"}, ANY).slots
