"""S-records: OpenSSL judges the signature over what bincopy, srec_cat and the program of the page read out of it."""

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
    by_page,
    canonical,
    hex_text,
    judge,
    s_record,
    sign,
    stream,
    verify,
)
from tests.formats.throwaway import signer
from tests.verifiers import openssl, srecord

from sealwright.core.errors import FormatError, SealwrightError, VerificationError
from sealwright.core.images import MemorySource, Range
from sealwright.core.keys import Algorithm
from sealwright.formats import detect, hex_lines, ihex, srec, targets
from sealwright.formats.memory_image import MemoryImage
from sealwright.formats.srec_records import read

WHO = Algorithm.ECDSA_P256_SHA256
MEMORY = [(0x0800_0000, bytes(range(256)) * 20), (0x2000_0000, b"calibration")]
ENTRY = 0x0800_0141


def s_text(
    memory: files.Memory,
    kind: int = 3,
    step: int = 16,
    entry: int = 0,
    *,
    header: bytes = b"name",
    counted: bool = True,
) -> bytes:
    """S-records of one type, as most tools write them."""
    lines = [s_record(0, 0, header)]
    for address, data in memory:
        lines += [s_record(kind, address + i, data[i : i + step]) for i in range(0, len(data), step)]
    count = len(lines) - 1
    if counted:
        lines.append(s_record(5 if count < 1 << 16 else 6, count))
    return "\n".join([*lines, s_record(10 - kind, entry), ""]).encode()


IMAGE = s_text(MEMORY, entry=ENTRY)


def memory(text: bytes) -> MemoryImage:
    return read(MemorySource(text)).memory


def changed(at: int) -> bytes:
    """One bit of the data turned, and the checksum of the record made good: only the signature can tell."""
    return s_text([(a, flipped(d, at) if i == 0 else d) for i, (a, d) in enumerate(MEMORY)], entry=ENTRY)


# Judged by others


def test_openssl_accepts_the_segments_that_others_read_and_refuses_a_flip(tmp_path: Path) -> None:
    who, path = signer(WHO), tmp_path / "f.srec"
    signature = sign(srec, IMAGE, who)
    path.write_bytes(IMAGE)
    assert judge(tmp_path, signature, by_bincopy(IMAGE), who).strip() == ACCEPTED
    assert judge(tmp_path, signature, by_page(path), who).strip() == ACCEPTED
    for image in (changed(0), changed(5000), s_text(MEMORY, entry=ENTRY ^ 1), s_text(MEMORY[:1], entry=ENTRY)):
        assert CHANGED in judge(tmp_path, signature, by_bincopy(image), who)
        with pytest.raises(VerificationError, match="not the one that was signed"):
            verify(srec, image, signature, who)


def test_openssl_accepts_the_window_that_srec_cat_writes_and_refuses_a_flip(tmp_path: Path) -> None:
    who, path, text = signer(WHO), tmp_path / "f.srec", s_text(MEMORY[:1])
    signature = sign(srec, text, who, profile="flat", base=0x07FF_FF00, size=0x2000, fill=0)
    path.write_bytes(text)
    window = srecord.flat(path, "motorola", 0x07FF_FF00, 0x2000, 0)
    assert judge(tmp_path, signature, window, who).strip() == ACCEPTED
    assert CHANGED in judge(tmp_path, signature, flipped(window, 0x100), who)


def test_one_signature_serves_the_intel_hex_that_srec_cat_makes_of_it(tmp_path: Path) -> None:
    who, path = signer(WHO), tmp_path / "f.srec"
    signature = sign(srec, IMAGE, who)
    path.write_bytes(IMAGE)
    converted = srecord.convert(path, "motorola", tmp_path / "f.hex", "intel")
    assert verify(ihex, converted, signature, who).keys == (who.public_key,)
    with pytest.raises(VerificationError, match="not the one that was signed"):
        verify(ihex, hex_text(MEMORY), signature, who)


def test_a_stranger_is_refused_by_openssl_and_us(tmp_path: Path) -> None:
    maker, signature = signer(WHO), sign(srec, IMAGE, signer(WHO, "stranger"))
    assert UNKNOWN_SIGNER in judge(tmp_path, signature, by_bincopy(IMAGE), maker)
    with pytest.raises(VerificationError, match="certificate in the file says CN=TEST ONLY stranger"):
        verify(srec, IMAGE, signature, maker)


def test_openssl_without_a_path_check_is_known_to_take_anybody(tmp_path: Path) -> None:
    (tmp_path / "s.p7s").write_bytes(sign(srec, IMAGE, signer(WHO, "stranger")))
    (tmp_path / "content").write_bytes(by_bincopy(IMAGE))
    found = openssl.cms_verify_without_path(tmp_path / "s.p7s", tmp_path / "content")
    assert found.returncode == 0  # known fail-open, no success of ours


def test_a_stripped_signature_is_refused(tmp_path: Path) -> None:
    assert "Error reading" in judge(tmp_path, b"", by_bincopy(IMAGE), signer(WHO))
    with pytest.raises(VerificationError, match=r"no \.p7s file"):
        srec.verify(MemorySource(IMAGE), signer(WHO).trust, {})


# One firmware, many spellings


@pytest.mark.parametrize("seed", range(60))
def test_random_files_are_read_as_bincopy_and_srec_cat_do(tmp_path: Path, seed: int) -> None:
    random = Random(seed)  # noqa: S311 - the same files at each run
    pieces = files.random_memory(random)
    top = max(address + len(data) for address, data in pieces)
    kind = random.choice([k for k in (1, 2, 3) if top <= 1 << 8 * (k + 1)])
    entry = random.choice([0, random.randrange(1, 1 << 16)])
    text = s_text(pieces, kind, random.choice([1, 8, 16, 32, 250]), entry, counted=random.random() < 0.5)
    wanted = canonical(pieces, entry or None)
    assert stream(memory(text)) == wanted == by_bincopy(text)
    (tmp_path / "f.srec").write_bytes(text)
    for name in ("motorola", "intel") if entry else ("motorola",):  # in Intel HEX srec_cat writes an entry of zero
        respelled = srecord.convert(tmp_path / "f.srec", "motorola", tmp_path / "g", name)
        source = MemorySource(respelled)
        assert stream(read(source).memory if name == "motorola" else ihex.read(source)) == wanted


@pytest.mark.parametrize("kind", [2, 3])
def test_blocks_and_single_lines_give_the_same(monkeypatch: pytest.MonkeyPatch, kind: int) -> None:
    text = s_text([(0x8_0000, bytes(range(256)) * 30)], kind)
    fast = stream(memory(text))
    monkeypatch.setattr(hex_lines.Lines, "rows", lambda _, __: None)
    assert stream(memory(text)) == fast == by_bincopy(text)


# Refused by name

END = s_record(9, 0)
WRONG = {
    "data after the last record": [END, s_record(1, 0x10, b"more")],
    "line 2: checksum is 0x00, the record adds up to 0x..": [s_record(1, 0x10, b"x")[:-2] + "00", END],
    "line 2: the record has not the length it says": ["S10500AA41", END],
    "line 2: not a record": ["hello", END],
    "line 2: unknown record type S4": ["S4" + s_record(1, 0x10, b"x")[2:], END],
    "line 2: header record that is not first": [s_record(0, 0, b"late"), END],
    "line 2: count of data records is 3, there are 1": [s_record(5, 3), END],
    "line 3: second count": [s_record(5, 1), s_record(5, 1), END],
    "line 3: data record behind the count": [s_record(5, 1), s_record(1, 0x10, b"x"), END],
    "line 2: data record without data": [s_record(1, 0x10), END],
    "line 2: data at 0xfffffffe goes beyond the last address": [s_record(3, 0xFFFFFFFE, b"xyz"), END],
    "line 2: termination record with data": [s_record(9, 0, b"x")],
    "data overlaps at address 0x2": [s_record(2, 2, b"again"), s_record(8, 0)],
    "no termination record: the file is cut": [s_record(5, 1)],
    "line 2 is longer than any record": ["S1" + "0" * 700, END],
}


@pytest.mark.parametrize("message", WRONG)
def test_what_two_loaders_could_read_in_two_ways_is_refused_by_name(message: str) -> None:
    text = "\n".join([s_record(1, 0, b"data"), *WRONG[message], ""]).encode()
    with pytest.raises(FormatError, match=message) as e:
        memory(text)
    assert e.value.at is not None


def test_srec_cat_refuses_a_wrong_count_too(tmp_path: Path) -> None:
    (tmp_path / "f.srec").write_text("\n".join([s_record(1, 0, b"data"), s_record(5, 3), END, ""]))
    assert "data record count mismatch (file 3, read 1)" in srecord.says(tmp_path / "f.srec", "motorola")


def test_a_file_without_data_is_refused() -> None:
    with pytest.raises(FormatError, match="no data records"):
        memory(END.encode())


def test_a_file_cut_anywhere_is_refused() -> None:
    who, text = signer(WHO), s_text([(0x0800_0000, bytes(60))], entry=ENTRY)
    signature = sign(srec, text, who)
    for cut in range(len(text) - 1):
        with pytest.raises((FormatError, VerificationError)):
            verify(srec, text[:cut], signature, who)
    verify(srec, text[:-1], signature, who)  # without its last line feed


def test_a_flip_of_any_character_is_refused_or_is_only_another_spelling() -> None:
    who, text = signer(WHO), s_text([(0x0800_0000, bytes(range(200, 230)))], entry=ENTRY)
    signature, header = sign(srec, text, who), text.index(b"\n")
    for at in range(len(text)):
        image = flipped(text, at, 0x20)
        with contextlib.suppress(FormatError, VerificationError):
            verify(srec, image, signature, who)
            assert image.upper().replace(b"*", b"\n") == text or at <= header


# Options and inspection


@pytest.mark.parametrize("options", [{}, {"profile": "file"}])
def test_frozen_options_give_the_same_slots_and_signing_twice_the_same_patch(options: dict[str, Any]) -> None:
    who, source = signer(Algorithm.RSA_PKCS1_SHA256), MemorySource(IMAGE)
    first = srec.prepare(source, [who.signing_key()], OPTIONS | options, targets.ANY)
    again = srec.prepare(source, [who.signing_key()], first.options, targets.ANY)
    assert first.slots == again.slots
    assert first.assemble(who.sign_all(first)) == again.assemble(who.sign_all(again))


def test_inspect_shows_header_ranges_and_entry_and_what_is_uncovered() -> None:
    found, stop = srec.inspect(MemorySource(IMAGE)), IMAGE.index(b"\n") + 1
    assert found.facts["Header"] == "name"
    assert found.facts["Segment 0x20000000"] == "0x20000000-0x2000000b, 11 bytes"
    assert found.facts["Entry"] == "0x08000141"
    assert found.covered == (Range(stop, len(IMAGE)),)
    assert found.uncovered == ((Range(0, stop), "header record: profile file alone covers it"),)
    assert detect(MemorySource(IMAGE)) is srec


# Hypothesis

RECORDS = st.lists(
    st.one_of(
        st.builds(s_record, st.sampled_from([0, 1, 1, 1, 5, 9]), st.integers(0, 0xFFFF), st.binary(max_size=20)),
        st.text("0123456789abcdefABCDEF:\r S", max_size=30),
    ),
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(RECORDS)
def test_any_text_is_read_or_refused_and_what_is_read_others_read_alike(lines: list[str]) -> None:
    text = "\n".join([*lines, END]).encode()
    with contextlib.suppress(FormatError):
        assert stream(memory(text)) == by_bincopy(text)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for image in (data, IMAGE[:500] + data, b"S" + data):
        with contextlib.suppress(SealwrightError):
            srec.inspect(MemorySource(image))
        srec.matches(MemorySource(image))


def test_what_srec_cat_leaves_out_and_how_it_writes_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "f.bin").write_bytes(b"firmware")
    told = ["-execution-start-address=0x0"]
    for more in ([], told):
        command = [require_tool("srec_cat"), "f.bin", "-binary", "-o", "f.srec", "-motorola", *more]
        subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
        image = MemorySource((tmp_path / "f.srec").read_bytes())
        if more:
            assert srec.inspect(image).facts["Data"] == "8 bytes in 1 segment"
            continue
        with pytest.raises(FormatError, match="no termination record") as caught:
            srec.inspect(image)
        assert told[0] in caught.value.hint
