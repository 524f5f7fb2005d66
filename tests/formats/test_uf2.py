"""UF2: OpenSSL judges the signature over what uf2utils and the program of the page take out of the file."""

import contextlib
import struct
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats import memory_files as files
from tests.formats.flips import flipped
from tests.formats.memory_files import (
    ACCEPTED,
    CHANGED,
    OPTIONS,
    UNKNOWN_SIGNER,
    by_page,
    judge,
    sign,
    stream,
    uf2_file,
    verify,
)
from tests.formats.throwaway import signer
from tests.verifiers import openssl, uf2utils

from sealwright.core.errors import Code, FormatError, SealwrightError, VerificationError
from sealwright.core.images import MemorySource, Range
from sealwright.core.keys import Algorithm
from sealwright.formats import detect, targets, uf2
from sealwright.formats.memory_image import MemoryImage
from sealwright.formats.uf2_blocks import read

WHO = Algorithm.ECDSA_P256_SHA256
RP2040, RP2350 = 0xE48BFF56, 0xE48BFF59
MEMORY = [(0x1000_0000, bytes(range(256)) * 8)]
IMAGE = uf2_file(MEMORY)
PAGE_PROGRAM = 1


def memory(image: bytes) -> MemoryImage:
    return read(MemorySource(image)).memory


def canonical(pieces: files.Memory, family: int | None) -> bytes:
    """The stream of docs/spec/memory-image.md for one family."""
    magic, rest = files.canonical(pieces)[:26], files.canonical(pieces)[26:]
    return magic + (b"" if family is None else struct.pack(">4sQ", b"FAM ", family)) + rest


# Judged by others


def test_openssl_accepts_what_the_program_of_the_page_writes_and_refuses_a_flip(tmp_path: Path) -> None:
    who, path = signer(WHO), tmp_path / "f.uf2"
    signature = sign(uf2, IMAGE, who)
    path.write_bytes(IMAGE)
    assert judge(tmp_path, signature, by_page(path, PAGE_PROGRAM), who).strip() == ACCEPTED
    for at in (12, 28, 32, 512 + 32 + 255):  # address, family, first and last byte of a payload
        image = flipped(IMAGE, at)
        path.write_bytes(image)
        assert CHANGED in judge(tmp_path, signature, by_page(path, PAGE_PROGRAM), who)
        with pytest.raises((VerificationError, FormatError)):
            verify(uf2, image, signature, who)


def test_openssl_accepts_the_flash_that_uf2utils_extracts_and_refuses_a_flip(tmp_path: Path) -> None:
    who = signer(WHO)
    signature = sign(uf2, IMAGE, who, profile="flat", base=0x1000_0000, size=2048, fill=0xFF)
    flash = uf2utils.flash(IMAGE)
    assert judge(tmp_path, signature, flash, who).strip() == ACCEPTED
    verify(uf2, IMAGE, signature, who)
    changed = uf2_file([(a, flipped(d, 700)) for a, d in MEMORY])
    assert CHANGED in judge(tmp_path, signature, uf2utils.flash(changed), who)
    with pytest.raises(VerificationError, match="not the one that was signed"):
        verify(uf2, changed, signature, who)


def test_a_stranger_is_refused_by_openssl_and_us(tmp_path: Path) -> None:
    maker, signature = signer(WHO), sign(uf2, IMAGE, signer(WHO, "stranger"))
    assert UNKNOWN_SIGNER in judge(tmp_path, signature, stream(memory(IMAGE)), maker)
    with pytest.raises(VerificationError, match="certificate in the file says CN=TEST ONLY stranger"):
        verify(uf2, IMAGE, signature, maker)


def test_openssl_without_a_path_check_is_known_to_take_anybody(tmp_path: Path) -> None:
    (tmp_path / "s.p7s").write_bytes(sign(uf2, IMAGE, signer(WHO, "stranger")))
    (tmp_path / "content").write_bytes(stream(memory(IMAGE)))
    found = openssl.cms_verify_without_path(tmp_path / "s.p7s", tmp_path / "content")
    assert found.returncode == 0  # known fail-open, no success of ours


def test_a_stripped_signature_is_refused(tmp_path: Path) -> None:
    assert "Error reading" in judge(tmp_path, b"", stream(memory(IMAGE)), signer(WHO))
    with pytest.raises(VerificationError, match=r"no \.p7s file"):
        uf2.verify(MemorySource(IMAGE), signer(WHO).trust, {})


@pytest.mark.parametrize("seed", range(60))
def test_random_files_are_read_as_uf2utils_does(seed: int) -> None:
    random = Random(seed)  # noqa: S311 - the same files at each run
    data = random.randbytes(256 * random.randint(2, 40))
    image = uf2_file([(0x1000_0000, data)])
    assert stream(memory(image)) == canonical([(0x1000_0000, data)], RP2040)
    assert uf2utils.flash(image) == data
    assert "RP2040" in uf2.inspect(MemorySource(image)).facts["Families"]


@pytest.mark.parametrize("seed", range(10))
def test_gaps_block_sizes_and_families_make_the_stream_of_the_page(tmp_path: Path, seed: int) -> None:
    random = Random(seed)  # noqa: S311 - the same files at each run
    pieces = files.random_memory(random)
    family = random.choice([None, RP2040, RP2350])
    image = uf2_file(pieces, family, random.choice([16, 256, 476]))
    (tmp_path / "f.uf2").write_bytes(image)
    assert stream(memory(image)) == canonical(pieces, family) == by_page(tmp_path / "f.uf2", PAGE_PROGRAM)


def test_files_for_two_families_are_read_apart_and_cannot_be_flat() -> None:
    both = uf2_file(MEMORY, RP2350) + uf2_file(MEMORY, RP2040)
    assert [family for family, _ in memory(both).families] == [RP2040, RP2350]
    facts = uf2.inspect(MemorySource(both)).facts
    assert facts["Segment of family 0xe48bff59 0x10000000"] == facts["Segment of family 0xe48bff56 0x10000000"]
    assert stream(memory(both)) == stream(memory(uf2_file(MEMORY, RP2040) + uf2_file(MEMORY, RP2350)))
    with pytest.raises(FormatError, match="for 2 families, a flat window shows one"):
        sign(uf2, both, signer(WHO), profile="flat", base=0x1000_0000, size=2048, fill=0)


# Refused by name

WRONG: dict[str, dict[str, int]] = {
    "block 1 has not the magic numbers": {"magic_1": 1},
    "block 1 is not for the main flash": {"flags": 0x2001},
    "block 1 is a part of a file container": {"flags": 0x3000},
    "block 1 carries an MD5": {"flags": 0x6000},
    "block 1 carries extension tags": {"flags": 0xA000},
    "block 1 has unknown flags 0x2002": {"flags": 0x2002},
    "block 1 has 0 bytes of payload": {"size": 0},
    "block 1 has 477 bytes of payload": {"size": 477},
    "block 1 has bytes behind its payload": {"size": 100},
    "block 1 goes beyond the last address": {"address": 0xFFFFFF80},
    "block 1 is numbered 2 of 8, expected 1 of 8": {"number": 2},
    "block 1 is numbered 1 of 9, expected 1 of 8": {"total": 9},
    "block 1 names a family where others name none": {"flags": 0},
    "ends after 7 of 8 blocks": {},
    "data overlaps at address 0x10000001": {"address": 0x1000_0001},
}


@pytest.mark.parametrize("message", WRONG)
def test_what_loaders_skip_or_read_in_two_ways_is_refused_by_name(message: str) -> None:
    image = uf2_file(MEMORY, **WRONG[message])
    with pytest.raises(FormatError, match=message) as e:
        read(MemorySource(image if WRONG[message] else image[:-512]))
    assert e.value.at is not None


def test_a_file_larger_than_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sealwright.formats.uf2_blocks.MAX_FILE_BYTES", 1024)
    with pytest.raises(FormatError, match="at most 1024 are read") as e:
        read(MemorySource(IMAGE))
    assert e.value.code is Code.UNSUPPORTED_IMAGE


def test_a_file_cut_anywhere_is_refused() -> None:
    who = signer(WHO)
    signature = sign(uf2, IMAGE, who)
    for cut in [*range(0, len(IMAGE), 37), *range(0, len(IMAGE), 512)]:
        with pytest.raises((FormatError, VerificationError)):
            verify(uf2, IMAGE[:cut], signature, who)


def test_every_flip_is_refused() -> None:
    who, image = signer(WHO), uf2_file([(0x1000_0000, bytes(range(100)))])
    signature = sign(uf2, image, who)
    for at in range(len(image)):
        with pytest.raises((FormatError, VerificationError)):
            verify(uf2, flipped(image, at), signature, who)


# Options and inspection


@pytest.mark.parametrize("options", [{}, {"profile": "file"}])
def test_frozen_options_give_the_same_slots_and_signing_twice_the_same_patch(options: dict[str, Any]) -> None:
    who, source = signer(Algorithm.RSA_PKCS1_SHA256), MemorySource(IMAGE)
    first = uf2.prepare(source, [who.signing_key()], OPTIONS | options, targets.ANY)
    again = uf2.prepare(source, [who.signing_key()], first.options, targets.ANY)
    assert first.slots == again.slots
    assert first.assemble(who.sign_all(first)) == again.assemble(who.sign_all(again))


def test_inspect_shows_families_and_ranges_and_that_nothing_is_uncovered() -> None:
    found = uf2.inspect(MemorySource(IMAGE))
    assert found.facts["Blocks"] == "8"
    assert found.facts["Families"] == "0xe48bff56 (RP2040)"
    assert found.facts["Segment 0x10000000"] == "0x10000000-0x10000800, 2048 bytes"
    assert (found.covered, found.uncovered) == ((Range(0, len(IMAGE)),), ())
    assert uf2.inspect(MemorySource(uf2_file(MEMORY, None))).facts["Families"] == "none named"
    assert detect(MemorySource(IMAGE)) is uf2


# Hypothesis


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=700), st.integers(0, len(IMAGE)))
def test_any_bytes_are_read_or_refused(data: bytes, at: int) -> None:
    for image in (data, IMAGE[:at] + data + IMAGE[at + len(data) :]):
        with contextlib.suppress(SealwrightError):
            uf2.inspect(MemorySource(image))
        uf2.matches(MemorySource(image))


FIELDS = st.dictionaries(
    st.sampled_from(["flags", "address", "size", "number", "total", "family"]), st.integers(0, 0xFFFF_FFFF)
)


@settings(max_examples=200, deadline=None)
@given(FIELDS)
def test_a_block_with_any_fields_is_read_or_refused(changes: dict[str, int]) -> None:
    with contextlib.suppress(FormatError):
        assert memory(uf2_file(MEMORY, **changes)).size == 2048 - 256 + changes.get("size", 256)


def test_inspect_says_how_many_families_it_does_not_list_and_what_they_hold() -> None:
    def shown(last: bytes, families: int = 18) -> dict[str, str]:
        data = [b"first"] * (families - 1) + [last]
        image = b"".join(files.uf2_file([(0x1000, held)], family=0x1000 + i) for i, held in enumerate(data))
        return dict(uf2.inspect(MemorySource(image)).facts)

    label = "Families whose segments are not listed"
    assert label not in shown(b"last", 16)
    assert shown(b"last")[label].startswith("2, 9 bytes, SHA-256 ")
    assert shown(b"last")[label] != shown(b"lost")[label]


def test_inspect_says_how_many_segments_it_does_not_list_and_what_they_hold() -> None:
    def shown(last: bytes) -> dict[str, str]:
        pieces = [(0x1000 * i, b"data") for i in range(17)] + [(0x2000_0000, last)]
        return dict(uf2.inspect(MemorySource(files.uf2_file(pieces))).facts)

    said = shown(b"last")["Segments not listed"]
    assert said.startswith("2 in 0x00010000-0x20000004, 8 bytes, SHA-256 ")
    assert said != shown(b"lost")["Segments not listed"]
    assert shown(b"last")["Gaps not listed"] == "1"
