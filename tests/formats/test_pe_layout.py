"""PE headers that lie are refused by name, with the offset; nothing makes the parser crash."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import IN_CI
from tests.formats.efi_images import MEMTEST, RSA, field, image, put, sign
from tests.formats.throwaway import signer

from sealwright.core.errors import Code, FormatError, SealwrightError
from sealwright.core.images import MemorySource
from sealwright.formats import pe, pe_layout

if not MEMTEST.is_file() and not IN_CI:
    pytest.skip(f"{MEMTEST.name} is missing (Debian package memtest86+)", allow_module_level=True)

PE_AT = field(image(), 0x3C, "<I")
OPTIONAL_AT = PE_AT + 24
SECTIONS_AT = OPTIONAL_AT + 160  # PE32+ with six directories
ENTRY_AT = OPTIONAL_AT + 112 + 32
SIZE = len(image())
TEXT, RELOC, SBAT = SECTIONS_AT, SECTIONS_AT + 40, SECTIONS_AT + 80


def u16(value: int) -> bytes:
    return struct.pack("<H", value)


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (0, b"ZM", "no MZ header"),
        (0x3C, u32(0x20), "PE header at 0x20 overlaps the DOS header"),
        (0x3C, u32(0x60), "no PE signature"),
        (0x3C, u32(SIZE - 8), "the image ends at"),
        (0x3C, u32(0xFFFFFFFF), "the image ends at"),
        (PE_AT, b"NE", "no PE signature"),
        (PE_AT + 6, u16(0), "0 sections"),
        (PE_AT + 6, u16(97), "97 sections"),
        (PE_AT + 6, u16(0xFFFF), "65535 sections"),
        (PE_AT + 6, u16(50), "SizeOfHeaders is 0x600; section table ends at"),
        (PE_AT + 20, u16(0), "SizeOfOptionalHeader is 0, its parts take 160"),
        (PE_AT + 20, u16(0xFFFF), "SizeOfOptionalHeader is 65535"),
        (OPTIONAL_AT, u16(0x107), "neither PE32 nor PE32\\+"),
        (OPTIONAL_AT, u16(0x10B), "data directories|SizeOfOptionalHeader"),
        (OPTIONAL_AT + 60, u32(0), "SizeOfHeaders is 0x0"),
        (OPTIONAL_AT + 60, u32(SIZE + 1), "SizeOfHeaders is"),
        (OPTIONAL_AT + 60, u32(0x400), "leaves a gap"),
        (OPTIONAL_AT + 60, u32(0x800), "overlaps what stands before it"),
        (OPTIONAL_AT + 68, u16(3), "subsystem 3 is not one of UEFI"),
        (OPTIONAL_AT + 108, u32(4), "4 data directories, a signature needs 5 to 16"),
        (OPTIONAL_AT + 108, u32(0xFFFFFFFF), "4294967295 data directories"),
        (TEXT + 20, u32(0x100), r"section \.text starts at 0x100, expected 0x600: it overlaps"),
        (RELOC + 20, u32(0x600), r"overlaps what stands before it"),
        (SBAT + 20, u32(0xFFFFFFFF), "leaves a gap"),
        (SBAT + 16, u32(0xFFFFFFFF), "sections end at"),
        (SBAT + 16, u32(0x201), "sections end at"),
        (TEXT + 16, u32(0), "leaves a gap"),
        (ENTRY_AT, u32(0x1000), "certificate table at 0x1000, 0 bytes"),
        (ENTRY_AT + 4, u32(16), "it must stand at the end"),
        (ENTRY_AT, struct.pack("<II", SIZE - 16, 8), "it must stand at the end"),
        (ENTRY_AT, struct.pack("<II", SIZE, 0xFFFFFFF8), "it must stand at the end"),
        (ENTRY_AT, struct.pack("<II", SIZE - 15, 15), "not aligned or too small"),
        (ENTRY_AT, struct.pack("<II", SIZE - 4, 4), "not aligned or too small"),
        (ENTRY_AT, struct.pack("<II", SIZE - 16, 16), "sections end at"),
        (ENTRY_AT, struct.pack("<II", 0, SIZE), "sections end at"),
        (ENTRY_AT, struct.pack("<II", 0x600, SIZE - 0x600), "sections end at"),
    ],
)
def test_a_header_that_lies_is_refused_by_name(at: int, value: bytes, message: str) -> None:
    for read in (pe_layout.read, pe.inspect):
        with pytest.raises(FormatError, match=message) as e:
            read(MemorySource(put(image(), at, value)))
        assert e.value.at is not None


def test_the_subsystem_of_a_windows_program_is_unsupported_not_invalid() -> None:
    with pytest.raises(FormatError) as e:
        pe_layout.read(MemorySource(put(image(), OPTIONAL_AT + 68, u16(2))))
    assert e.value.code is Code.UNSUPPORTED_IMAGE
    assert "format raw" in e.value.hint


def with_table(table: bytes) -> bytes:
    return put(image(), ENTRY_AT, struct.pack("<II", SIZE, len(table))) + table


DER = bytes.fromhex("30020500")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (struct.pack("<IHH", 0, 0x200, 2), "WIN_CERTIFICATE of 0 bytes"),
        (struct.pack("<IHH", 8, 0x200, 2), "WIN_CERTIFICATE of 8 bytes"),
        (struct.pack("<IHH", 17, 0x200, 2) + bytes(8), "WIN_CERTIFICATE of 17 bytes, 16 are left"),
        (struct.pack("<IHH", 0xFFFFFFFF, 0x200, 2) + bytes(8), "WIN_CERTIFICATE of 4294967295 bytes"),
        (struct.pack("<IHH", 12, 0x100, 2) + DER + bytes(4), "revision 0x100, type 2"),
        (struct.pack("<IHH", 12, 0x200, 0xEF1) + DER + bytes(4), "revision 0x200, type 3825"),
        (struct.pack("<IHH", 12, 0x200, 2) + DER + b"\0\0\0\1", "bytes behind the PKCS#7"),
        (struct.pack("<IHH", 24, 0x200, 2) + DER + bytes(12), "bytes behind the PKCS#7"),
        (struct.pack("<IHH", 11, 0x200, 2) + DER + bytes(4), "DER element ends at"),
        (struct.pack("<IHH", 16, 0x200, 2) + bytes(8), "not a CMS|DER"),
        (struct.pack("<IHH", 12, 0x200, 2) + DER + bytes(4), "not a CMS"),
        ((struct.pack("<IHH", 12, 0x200, 2) + DER + bytes(4)) * 17, "more than 16 signatures"),
    ],
)
def test_a_certificate_table_that_lies_is_refused_by_name(table: bytes, message: str) -> None:
    for read in (pe.inspect, lambda source: pe.verify(source, signer(RSA).trust, {})):
        with pytest.raises(FormatError, match=message):
            read(MemorySource(with_table(table)))


def test_a_table_beyond_its_bound_is_refused_unread() -> None:
    with pytest.raises(FormatError, match="at most 1048576 are accepted"):
        pe_layout.read(MemorySource(with_table(bytes((1 << 20) + 8))))


@settings(deadline=None)
@given(st.binary(max_size=600))
def test_random_bytes_never_crash(data: bytes) -> None:
    for source in (MemorySource(data), MemorySource(b"MZ" + data), MemorySource(image()[:PE_AT] + data)):
        pe.matches(source)
        with pytest.raises(FormatError):
            pe.inspect(source)


SIGNED = sign(image())


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 0x5FF), st.integers(0, 255)), min_size=1, max_size=6))
def test_mutated_headers_never_crash_nor_verify(changes: list[tuple[int, int]]) -> None:
    data = bytearray(SIGNED[:0x600])
    for at, value in changes:
        data[at] = value
    source = MemorySource(bytes(data) + SIGNED[0x600:])
    covered = any(
        part.start <= at < part.stop and SIGNED[at] != data[at]
        for part in pe_layout.read(MemorySource(SIGNED)).covered
        for at, _ in changes
    )
    try:
        pe.inspect(source)
        pe.verify(source, signer(RSA).trust, {})
    except SealwrightError:
        return
    assert not covered


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(SIZE, len(SIGNED) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_mutated_tables_never_crash_nor_change_who_signed(changes: list[tuple[int, int]]) -> None:
    data = bytearray(SIGNED)
    for at, value in changes:
        data[at] = value
    try:
        verified = pe.verify(MemorySource(bytes(data)), signer(RSA).trust, {})
    except SealwrightError:
        return
    assert verified.keys == (signer(RSA).public_key,)
