"""Digests come from one reading, in little memory; formats are found or named."""

import hashlib
import tracemalloc
from dataclasses import dataclass

import pytest
from tests.formats import dfu_files, efi_images

from sealwright.client.images import READ_BYTES, SMALL_BYTES, also_claimed, choose_format, digests
from sealwright.core.errors import ArgumentError, Code, FormatError
from sealwright.core.images import MemorySource
from sealwright.formats import FORMATS, claimed_by


@pytest.mark.parametrize("size", [0, 1, SMALL_BYTES, SMALL_BYTES + 1, 3 * READ_BYTES, 3 * READ_BYTES + 7])
def test_digests_are_those_of_the_whole_image(size):
    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    expected = hashlib.sha256(data).hexdigest(), hashlib.sha512(data).hexdigest(), size
    assert digests(MemorySource(data)) == expected


@dataclass
class Zeros:
    """An image of zeros that is nowhere."""

    size: int
    breaks_at: int = 1 << 60

    def read(self, offset: int, length: int) -> bytes:
        if offset >= self.breaks_at:
            raise FormatError("image became shorter", at=offset)
        return bytes(length)


def test_a_large_image_is_hashed_in_little_memory():
    tracemalloc.start()
    try:
        digests(Zeros(256 << 20))
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_an_image_that_breaks_off_is_an_error_and_no_hanging_thread():
    with pytest.raises(FormatError, match="became shorter"):
        digests(Zeros(64 << 20, breaks_at=32 << 20))


def test_raw_is_what_no_other_format_claims():
    assert choose_format(MemorySource(b"plain")).name == "raw"
    assert choose_format(MemorySource(b"\x3d\xb8\xf3\x96" + bytes(100))).name == "mcuboot"


def test_a_named_format_is_taken_whatever_the_image_says():
    for name in FORMATS:
        assert choose_format(MemorySource(b"plain"), name).name == name


def test_an_unknown_format_is_refused_with_those_that_are_known():
    with pytest.raises(ArgumentError, match="format 'elf' is unknown") as caught:
        choose_format(MemorySource(b"plain"), "elf")
    assert caught.value.code is Code.USAGE
    assert all(name in caught.value.hint for name in FORMATS)


@pytest.mark.parametrize("other", ["uefi-pe", "u-boot-fit"])
def test_a_file_that_several_formats_claim_is_said_to_be_claimed_by_them(other):
    inner = efi_images.image() if other == "uefi-pe" else b"\xd0\x0d\xfe\xed" + bytes(64)
    both = MemorySource(dfu_files.with_suffix(inner))
    assert [known.name for known in claimed_by(both)] == ["dfu", other]
    said = also_claimed(both, choose_format(both))
    assert said == f"also claimed by {other}: taken as dfu, or name its --format"
    assert also_claimed(MemorySource(inner), FORMATS[other]) is None
