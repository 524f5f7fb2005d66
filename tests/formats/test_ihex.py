"""Intel HEX: OpenSSL judges the signature over what intelhex, bincopy, srec_cat and objcopy read out of the file."""

import contextlib
import subprocess
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import require_tool
from tests.formats import memory_files as files
from tests.formats.flips import flipped
from tests.formats.memory_files import (
    ACCEPTED,
    CHANGED,
    OPTIONS,
    UNKNOWN_SIGNER,
    by_bincopy,
    by_intelhex,
    by_page,
    canonical,
    hex_record,
    hex_text,
    judge,
    sign,
    stream,
    verify,
)
from tests.formats.throwaway import signer
from tests.verifiers import openssl, srecord

from sealwright.core.errors import Code, FormatError, SealwrightError, VerificationError
from sealwright.core.images import MemorySource, Range
from sealwright.core.keys import Algorithm
from sealwright.formats import detect, hex_lines, ihex, targets
from sealwright.formats.ihex_records import read

WHO = Algorithm.ECDSA_P256_SHA256
MEMORY = [(0x0800_0000, bytes(range(256)) * 40), (0x0800_FFF0, b"\xa5" * 100), (0x2000_0000, b"calibration")]
ENTRY = 0x0800_0141
IMAGE = hex_text(MEMORY, entry=ENTRY)
WINDOW = {"profile": "flat", "base": 0x0800_0000, "size": 0x2_0000, "fill": 0xFF}
FLASH = hex_text(MEMORY[:2], entry=ENTRY)
SPARSE = [(0x0800_0000, b"a" * 200), (0x0800_4000, b"b" * 200), (0x1FFF_7800, b"opts")]


def changed(at: int = 4) -> bytes:
    """One bit of the data turned, and the checksum of the record made good: only the signature can tell."""
    return hex_text([(a, flipped(d, at) if i == 0 else d) for i, (a, d) in enumerate(MEMORY)], entry=ENTRY)


# Judged by others


@pytest.mark.parametrize("outside", [by_intelhex, by_bincopy])
def test_openssl_accepts_the_segments_that_others_read_and_refuses_a_flip(tmp_path: Path, outside: Any) -> None:
    who = signer(WHO)
    signature = sign(ihex, IMAGE, who)
    assert judge(tmp_path, signature, outside(IMAGE), who).strip() == ACCEPTED
    for image in (changed(0), changed(5000), hex_text(MEMORY, entry=ENTRY ^ 1), hex_text(MEMORY), FLASH):
        assert CHANGED in judge(tmp_path, signature, outside(image), who)
        with pytest.raises(VerificationError, match=r"not the one that was signed \(memory image: segments\)") as e:
            verify(ihex, image, signature, who)
        assert e.value.code is Code.IMAGE_MISMATCH


def test_openssl_accepts_what_the_program_of_the_page_writes_and_refuses_a_flip(tmp_path: Path) -> None:
    who, path = signer(WHO), tmp_path / "f.hex"
    signature = sign(ihex, IMAGE, who)
    path.write_bytes(IMAGE)
    assert judge(tmp_path, signature, by_page(path), who).strip() == ACCEPTED
    path.write_bytes(changed())
    assert CHANGED in judge(tmp_path, signature, by_page(path), who)


def test_openssl_accepts_the_window_that_srec_cat_writes_and_refuses_a_flip(tmp_path: Path) -> None:
    who, path = signer(WHO), tmp_path / "f.hex"
    signature = sign(ihex, FLASH, who, **WINDOW)
    path.write_bytes(FLASH)
    window = srecord.flat(path, "intel", 0x0800_0000, 0x2_0000, 0xFF)
    assert len(window) == 0x2_0000
    assert judge(tmp_path, signature, window, who).strip() == ACCEPTED
    verify(ihex, FLASH, signature, who)
    for at in (0, 10_239, 10_240, 0x1_0000):
        assert CHANGED in judge(tmp_path, signature, flipped(window, at), who)
    with pytest.raises(VerificationError, match="flat base=0x8000000 size=0x20000 fill=0xff"):
        verify(ihex, hex_text([(a, flipped(d, 3)) for a, d in MEMORY[:2]]), signature, who)


def test_openssl_accepts_the_window_that_objcopy_writes(tmp_path: Path) -> None:
    who, path, out = signer(WHO), tmp_path / "f.hex", tmp_path / "f.bin"
    path.write_bytes(FLASH)
    size = 0xFFF0 + 100
    command = [require_tool("objcopy"), "-I", "ihex", "-O", "binary", "--gap-fill", "0xff", str(path), str(out)]
    subprocess.run(command, check=True, timeout=60)
    signature = sign(ihex, FLASH, who, **(WINDOW | {"size": size}))
    assert judge(tmp_path, signature, out.read_bytes(), who).strip() == ACCEPTED


def test_openssl_accepts_the_file_itself_with_profile_file(tmp_path: Path) -> None:
    who = signer(WHO)
    signature = sign(ihex, IMAGE, who, profile="file")
    assert judge(tmp_path, signature, IMAGE, who).strip() == ACCEPTED
    verify(ihex, IMAGE, signature, who)
    with pytest.raises(VerificationError, match="the whole file"):
        verify(ihex, IMAGE.lower(), signature, who)


def test_a_stranger_is_refused_by_openssl_and_us(tmp_path: Path) -> None:
    maker, signature = signer(WHO), sign(ihex, IMAGE, signer(WHO, "stranger"))
    assert UNKNOWN_SIGNER in judge(tmp_path, signature, by_intelhex(IMAGE), maker)
    with pytest.raises(VerificationError, match="certificate in the file says CN=TEST ONLY stranger"):
        verify(ihex, IMAGE, signature, maker)


def test_openssl_without_a_path_check_is_known_to_take_anybody(tmp_path: Path) -> None:
    (tmp_path / "s.p7s").write_bytes(sign(ihex, IMAGE, signer(WHO, "stranger")))
    (tmp_path / "content").write_bytes(by_intelhex(IMAGE))
    found = openssl.cms_verify_without_path(tmp_path / "s.p7s", tmp_path / "content")
    assert found.returncode == 0  # known fail-open, no success of ours


def test_a_stripped_signature_is_refused(tmp_path: Path) -> None:
    assert "Error reading" in judge(tmp_path, b"", by_intelhex(IMAGE), signer(WHO))
    with pytest.raises(VerificationError, match=r"no \.p7s file"):
        ihex.verify(MemorySource(IMAGE), signer(WHO).trust, {})


def test_another_profile_cannot_be_written_into_a_signature(tmp_path: Path) -> None:
    who = signer(WHO)
    signature = sign(ihex, FLASH, who, **WINDOW)
    forged = signature.replace(b"fill=0xff", b"fill=0x00")
    assert forged != signature
    assert "verification failure" in judge(tmp_path, forged, by_intelhex(FLASH), who)
    with pytest.raises(VerificationError, match="signature does not verify"):
        verify(ihex, FLASH, forged, who)


# One firmware, many spellings


@pytest.mark.parametrize("seed", range(60))
def test_random_files_are_read_as_intelhex_bincopy_and_srec_cat_do(tmp_path: Path, seed: int) -> None:
    random = Random(seed)  # noqa: S311 - the same files at each run
    memory = files.random_memory(random)
    entry = random.choice([None, random.randrange(1, 1 << 32)])
    text = hex_text(memory, random.choice([1, 8, 16, 32, 255]), entry, random.choice(["\n", "\r\n"]))
    wanted = canonical(memory, entry)
    assert stream(read(MemorySource(text))) == wanted == by_intelhex(text) == by_bincopy(text)
    (tmp_path / "f.hex").write_bytes(text)
    respelled = srecord.convert(tmp_path / "f.hex", "intel", tmp_path / "g.hex", "intel", "-obs=20")
    assert stream(read(MemorySource(respelled))) == wanted
    lines = text.splitlines(keepends=True)
    mixed = b"".join(lines[:-1]).lower() + lines[-1] + b" \r\n\t"
    assert stream(read(MemorySource(mixed))) == wanted


def test_the_order_of_records_does_not_matter() -> None:
    low, high = hex_record(0, 0, b"low"), hex_record(0, 3, b"high")
    first, second = ("\n".join([*both, hex_record(1, 0)]).encode() for both in ((low, high), (high, low)))
    assert stream(read(MemorySource(first))) == stream(read(MemorySource(second))) == canonical([(0, b"lowhigh")])


def test_segment_addresses_and_real_mode_entries_are_read_as_intelhex_does() -> None:
    lines = [hex_record(2, 0, b"\x12\x34"), hex_record(0, 0x10, b"real mode"), hex_record(3, 0, b"\x12\x34\x00\x10")]
    text = "\n".join([*lines, hex_record(1, 0), ""]).encode()
    assert stream(read(MemorySource(text))) == by_intelhex(text)
    assert ihex.inspect(MemorySource(text)).facts["Entry"] == "CS:IP 1234:0010"


def test_an_entry_of_zero_is_not_the_same_as_none() -> None:
    assert stream(read(MemorySource(hex_text(MEMORY, entry=0)))) != stream(read(MemorySource(hex_text(MEMORY))))


@pytest.mark.parametrize("step", [1, 16, 255])
def test_blocks_and_single_lines_give_the_same(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    text = hex_text(MEMORY, step, ENTRY)
    fast = stream(read(MemorySource(text)))
    monkeypatch.setattr(hex_lines.Lines, "rows", lambda _, __: None)
    assert stream(read(MemorySource(text))) == fast == canonical(MEMORY, ENTRY)


# Refused by name

END = hex_record(1, 0)
WRONG = {
    "data after the last record": [END, hex_record(0, 0x10, b"loaded by bincopy")],
    "line 2: checksum is 0x.., the record adds up to 0x..": [hex_record(0, 0x10, b"x")[:-2] + "00", END],
    "line 2: the record has not the length it says": [":05001000AA41", END],
    "line 2: not a record": ["hello", END],
    "line 2: not a record: a colon": [":0G", END],
    "line 2: unknown record type 0x06": [hex_record(6, 0, b"x"), END],
    "line 3: second start address": [hex_record(5, 0, b"1234"), hex_record(3, 0, b"1234"), END],
    "line 3: extended segment and extended linear addresses are mixed": [
        hex_record(4, 0, b"\0\1"), hex_record(2, 0, b"\0\1"), END,
    ],
    "line 3: data record at 0xfff8 crosses the end of its segment": [
        hex_record(2, 0, b"\x10\0"), hex_record(0, 0xFFF8, b"123456789"), END,
    ],
    "line 3: data at 0xfffffff8 goes beyond the last address": [
        hex_record(4, 0, b"\xff\xff"), hex_record(0, 0xFFF8, b"123456789"), END,
    ],
    "line 2: data record without data": [hex_record(0, 0, b""), END],
    "line 2: EXTENDED_LINEAR_ADDRESS record with address 0x0000 and 1 bytes": [hex_record(4, 0, b"1"), END],
    "line 2: END_OF_FILE record with address 0x0001": [hex_record(1, 1)],
    "data overlaps at address 0x2": [hex_record(0, 2, b"again"), END],
    "no end-of-file record: the file is cut": [hex_record(0, 0x20, b"x")],
    "line 2 is longer than any record": [":" + "0" * 700, END],
}  # fmt: skip


@pytest.mark.parametrize("message", WRONG)
def test_what_two_loaders_could_read_in_two_ways_is_refused_by_name(message: str) -> None:
    text = "\n".join([hex_record(0, 0, b"data"), *WRONG[message], ""]).encode()
    with pytest.raises(FormatError, match=message) as e:
        read(MemorySource(text))
    assert e.value.at is not None


def test_data_after_the_end_is_loaded_by_bincopy_only_which_is_why_we_refuse_it() -> None:
    text = "\n".join([hex_record(0, 0, b"data"), END, hex_record(0, 0x10, b"evil"), ""]).encode()
    assert by_bincopy(text) != by_intelhex(text) == canonical([(0, b"data")])


def test_segments_that_wrap_are_read_differently_which_is_why_we_refuse_them(tmp_path: Path) -> None:
    lines = [hex_record(2, 0, b"\x10\0"), hex_record(0, 0xFFF8, bytes(16)), END, ""]
    (tmp_path / "f.hex").write_text("\n".join(lines))
    assert "01FFF8 - 01FFFF" in srecord.says(tmp_path / "f.hex", "intel")
    assert by_intelhex("\n".join(lines).encode()) == canonical([(0x1_FFF8, bytes(16))])


def test_a_file_without_data_and_an_empty_one_are_refused() -> None:
    with pytest.raises(FormatError, match="no data records"):
        read(MemorySource(END.encode()))
    with pytest.raises(FormatError, match="the file is cut"):
        read(MemorySource(b""))


def test_a_file_cut_anywhere_is_refused_or_says_the_same() -> None:
    who, text = signer(WHO), hex_text([(0x0800_0000, bytes(100))], entry=ENTRY)
    signature = sign(ihex, text, who)
    for cut in range(len(text) - 1):
        with pytest.raises((FormatError, VerificationError)):
            verify(ihex, text[:cut], signature, who)
    verify(ihex, text[:-1], signature, who)  # without its last line feed
    for cut in range(0, len(signature), 7):
        with pytest.raises((FormatError, VerificationError)):
            verify(ihex, text, signature[:cut], who)


def test_a_flip_of_any_character_is_refused_or_is_only_another_spelling() -> None:
    who, text = signer(WHO), hex_text([(0x0800_0000, bytes(range(200, 248)))], entry=ENTRY)
    signature, same = sign(ihex, text, who), []
    for at in range(len(text)):
        for bit in (1, 0x20):
            with contextlib.suppress(FormatError, VerificationError):
                verify(ihex, flipped(text, at, bit), signature, who)
                same.append(flipped(text, at, bit))
    assert same
    assert all(text.upper() == image.upper().replace(b"*", b"\n").ljust(len(text)) for image in same)


# Bounds


def test_sparse_addresses_cost_neither_memory_nor_disk() -> None:
    text = hex_text(SPARSE)
    assert len(stream(read(MemorySource(text)))) < 600
    with pytest.raises(FormatError, match=r"data at 0x1fff7800-0x1fff7804 is outside the window"):
        sign(ihex, text, signer(WHO), **WINDOW)


def test_too_much_data_and_too_many_jumps_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sealwright.formats.memory_image.MAX_PIECES", 3)
    with pytest.raises(FormatError, match="jumps more than 3 times"):
        read(MemorySource(hex_text([(at * 100, b"x") for at in range(5)])))
    monkeypatch.setattr("sealwright.formats.memory_image.MAX_DATA_BYTES", 1000)
    with pytest.raises(FormatError, match="more than 1000 bytes of data") as e:
        read(MemorySource(IMAGE))
    assert e.value.code is Code.UNSUPPORTED_IMAGE


# Options


@pytest.mark.parametrize("options", [{}, {"profile": "file"}, WINDOW])
def test_frozen_options_give_the_same_slots_and_signing_twice_the_same_patch(options: dict[str, Any]) -> None:
    who, source = signer(Algorithm.RSA_PKCS1_SHA256), MemorySource(FLASH)
    first = ihex.prepare(source, [who.signing_key()], OPTIONS | options, targets.ANY)
    again = ihex.prepare(source, [who.signing_key()], first.options, targets.ANY)
    assert first.slots == again.slots
    assert first.options["profile"] == options.get("profile", "segments")
    assert first.assemble(who.sign_all(first)) == again.assemble(who.sign_all(again))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"profile": "flat"}, "profile flat, which needs all three"),
        ({"profile": "flat", "base": 0, "size": 10}, "base, size and fill belong together"),
        ({"base": 0, "size": 10, "fill": 0}, "belong to profile flat"),
        ({"profile": "flat", "base": 0xFFFF_FFF0, "size": 17, "fill": 0}, "too high"),
        ({"profile": "flat", "base": 0, "size": 1 << 31, "fill": 0}, "size: .* outside"),
        ({"profile": "whole"}, "profile: expected one of"),
        ({"surprise": 1}, "unknown members"),
    ],
)
def test_wrong_options_are_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        sign(ihex, IMAGE, signer(WHO), **options)


def test_inspect_shows_ranges_gaps_and_entry_and_what_is_uncovered() -> None:
    found = ihex.inspect(MemorySource(IMAGE))
    assert found.facts["Data"] == f"{256 * 40 + 111} bytes in 3 segments"
    assert found.facts["Segment 0x20000000"] == "0x20000000-0x2000000b, 11 bytes"
    assert found.facts["Gap 0x08002800"] == "0x08002800-0x0800fff0, 55280 bytes"
    assert found.facts["Entry"] == "0x08000141"
    assert found.covered == (Range(0, len(IMAGE)),)
    assert found.uncovered == ()
    assert "order of records" in found.facts["Not covered by profile segments"]
    assert detect(MemorySource(IMAGE)) is ihex


# Hypothesis

RECORDS = st.lists(
    st.one_of(
        st.builds(hex_record, st.integers(0, 6), st.integers(0, 0xFFFF), st.binary(max_size=20)),
        st.text("0123456789abcdefABCDEF:\r S", max_size=30),
    ),
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(RECORDS, st.sampled_from(["\n", "\r\n"]))
def test_any_text_is_read_or_refused_and_what_is_read_others_read_alike(lines: list[str], end: str) -> None:
    text = end.join([*lines, END]).encode()
    with contextlib.suppress(FormatError):
        assert stream(read(MemorySource(text))) == by_intelhex(text)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for image in (data, IMAGE[:500] + data, b":" + data):
        with contextlib.suppress(SealwrightError):
            ihex.inspect(MemorySource(image))
        ihex.matches(MemorySource(image))
