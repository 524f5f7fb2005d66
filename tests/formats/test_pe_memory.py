"""What a loader makes of sections in memory is what people are shown, or the image is refused."""

import struct
from pathlib import Path

import pytest
from tests.formats import ukis
from tests.formats.efi_images import PATHS, RSA, image, put, sign
from tests.formats.throwaway import signer
from tests.verifiers import sbverify

from sealwright.core.errors import FormatError
from sealwright.core.images import MemorySource
from sealwright.formats import pe, pe_layout, uki
from sealwright.formats.pe_layout import Layout, Section

SMALL = {".linux": b"kernel" * 1000, ".initrd": b"initrd", ".cmdline": ukis.CMDLINE, ".osrel": ukis.OS_RELEASE}
ADDRESS = 12  # in a section header


def layout(data: bytes) -> Layout:
    return pe_layout.read(MemorySource(data))


def part(data: bytes, name: str) -> Section:
    return next(section for section in layout(data).sections if section.name == name)


def header_at(data: bytes, name: str) -> int:
    found = layout(data)
    return found.sections_table_at + 40 * [section.name for section in found.sections].index(name)


def moved(data: bytes, name: str, address: int) -> bytes:
    return put(data, header_at(data, name) + ADDRESS, struct.pack("<I", address))


@pytest.mark.parametrize("over", [".cmdline", ".initrd", ".linux", ".osrel", ".text"])
def test_a_section_that_would_be_loaded_over_another_is_refused_and_behind_all_others_it_is_not(over: str) -> None:
    """Whichever of the two stands first in the table, the last one loaded hides what people were shown."""
    data = ukis.build(SMALL)
    beside = ukis.with_section(data, b".rodata", b"x" * 600)
    assert layout(beside).sections[-1].name == ".rodata"
    for address in (part(data, over).virtual_address, part(data, over).virtual_address + 1):
        with pytest.raises(FormatError, match=r"is loaded to 0x[0-9a-f]+, over section") as e:
            layout(ukis.with_section(data, b".rodata", b"x" * 600, address))
        assert e.value.at is not None
    near = part(data, over).virtual_address + part(data, over).virtual_size
    assert layout(ukis.with_section(data, b".rodata", b"x", near))


def test_sbsign_signs_an_overlap_that_sbverify_then_accepts_and_we_refuse(tmp_path: Path) -> None:
    maker = signer(RSA)
    key, anchor = maker.private_file(tmp_path), maker.anchor(tmp_path)
    data = ukis.build(SMALL)
    plain, out = tmp_path / "plain.efi", tmp_path / "signed.efi"
    for address in (None, part(data, ".cmdline").virtual_address):
        plain.write_bytes(ukis.with_section(data, b".rodata", b"init=/bin/sh", address))
        sbverify.sign(plain, key, anchor, out)
        assert sbverify.verify(out, anchor).returncode == 0
        if address is None:
            assert pe.verify(MemorySource(out.read_bytes()), maker.trust, {})
        else:
            with pytest.raises(FormatError, match=r"over section \.cmdline"):
                pe.verify(MemorySource(out.read_bytes()), maker.trust, {})
    with pytest.raises(FormatError, match=r"over section \.cmdline"):
        sign(plain.read_bytes(), maker)


def test_a_section_over_the_headers_is_refused() -> None:
    data = ukis.build(SMALL)
    start = layout(data).sections_start
    first = layout(data).sections[0]
    assert layout(moved(data, first.name, start)).sections[0].virtual_address == start
    for address in (0, start - 1):
        with pytest.raises(FormatError, match=f"over the headers up to {start:#x}"):
            layout(moved(data, first.name, address))


def test_a_section_without_a_size_in_memory_is_loaded_as_long_as_it_is_in_the_file() -> None:
    """So edk2 does it; shim would load nothing."""
    data = ukis.build(SMALL)
    osrel, following = part(data, ".osrel"), part(data, ".cmdline")
    unsized = put(data, header_at(data, ".osrel") + 8, bytes(4))
    assert layout(unsized)
    near = moved(data, ".osrel", following.virtual_address - osrel.virtual_size)
    assert osrel.virtual_size < osrel.size
    assert layout(near)
    with pytest.raises(FormatError, match=r"over section \.osrel"):
        layout(put(near, header_at(data, ".osrel") + 8, bytes(4)))


def test_zeros_behind_a_section_may_reach_into_the_next_and_other_bytes_may_not() -> None:
    """Debian's stub has such sections; a loader that copies all of the file would put the bytes over the next."""
    stub = ukis.stub()
    sbat, following = part(stub, ".sbat"), part(stub, ".sdmagic")
    end = sbat.start + following.virtual_address - sbat.virtual_address
    assert sbat.virtual_address + sbat.size > following.virtual_address
    assert layout(put(stub, end - 1, b"x"))
    with pytest.raises(FormatError, match=r"section \.sbat has bytes behind its \d+ that some loaders would put over"):
        layout(put(stub, end, b"x"))


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_debians_programs_have_no_such_sections(path: Path) -> None:
    assert layout(image(path)).sections


def test_debians_stub_boot_manager_and_kernel_have_no_such_sections() -> None:
    for data in (ukis.stub(), ukis.kernel(), ukis.STUB.with_name("systemd-bootx64.efi").read_bytes()):
        assert layout(data).sections


@pytest.mark.parametrize(
    ("name", "taken_for"),
    [
        (b".initrd2", ".initrd"),
        (b".initrd\0", ".initrd"),  # NUL, then nothing: the name itself, a second time
        (b".linuxX", ".linux"),
        (b".linux\0x", ".linux"),
        (b".cmdline", ".cmdline"),
        (b".osrelX", ".osrel"),
        (b".dtbauto", ".dtb"),
        (b".pcrsigX", ".pcrsig"),
        (b".splash\x01", ".splash"),
    ],
)
def test_a_section_that_the_stub_would_take_for_another_is_said_and_nothing_is_measured(
    name: bytes, taken_for: str
) -> None:
    data = ukis.build(SMALL)
    other = ukis.with_section(data, b".inidata", b"evil")
    assert uki.pcr11(MemorySource(other)) == uki.pcr11(MemorySource(data))
    forged = ukis.with_section(data, name, b"evil")
    is_same = name.rstrip(b"\0").decode("latin-1") == taken_for
    message = f"{taken_for} is there twice" if is_same else rf"section \S+ would be taken for {taken_for}"
    with pytest.raises(FormatError, match=message):
        uki.pcr11(MemorySource(forged))
    facts = pe.inspect(MemorySource(forged)).facts
    assert facts["Unified kernel image"].startswith("not read: section ")
    assert not [label for label in facts if label.startswith("PCR 11")]
    assert sign(other)
    with pytest.raises(FormatError, match=message):
        sign(forged)


def test_a_newer_stub_may_have_such_sections_and_people_are_told() -> None:
    """It compares whole names, and images of several profiles repeat sections."""
    for name in (b".dtbauto", b".cmdline"):
        forged = ukis.with_section(ukis.build(SMALL), name, b"other")
        newer = forged.replace(b"systemd-stub 252.", b"systemd-stub 257.")
        assert pe.verify(MemorySource(sign(newer)), signer(RSA).trust, {})
        assert pe.inspect(MemorySource(newer)).facts["Unified kernel image"].startswith("not read: section ")


def test_a_kernel_under_a_longer_name_alone_is_not_passed_over() -> None:
    forged = ukis.with_section(ukis.stub(), b".linuxX", b"evil")
    said = pe.inspect(MemorySource(forged)).facts["Unified kernel image"]
    assert said.startswith("not read: section .linuxX would be taken for .linux")


def test_a_stub_with_such_a_section_is_not_built_upon() -> None:
    with pytest.raises(FormatError, match=r"stub holds \.initrd2 already"):
        ukis.build(SMALL, ukis.with_section(ukis.stub(), b".initrd2", b"evil"))
