"""Unified kernel images: systemd-measure judges PCR 11, objcopy reads the sections, sbverify the signature."""

import random
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import require_tool
from tests.formats import ukis
from tests.formats.efi_images import RSA, checksum_by_the_book, field, image, put, sign
from tests.formats.flips import flipped
from tests.formats.throwaway import signer
from tests.verifiers import sbverify, systemd_measure

from sealwright.core.errors import Code, FormatError, SealwrightError
from sealwright.core.images import MemorySource
from sealwright.formats import authenticode, pe, pe_layout, uki

SMALL = {".linux": b"kernel" * 1000, ".initrd": b"initrd", ".cmdline": ukis.CMDLINE, ".osrel": ukis.OS_RELEASE}
PHASES = {"enter-initrd", "leave-initrd", "sysinit", "ready"}


def ours(data: bytes, bank: str = "sha256") -> dict[str, str]:
    return {phase: value.hex() for phase, value in uki.pcr11(MemorySource(data), bank).items()}


def test_systemd_measure_expects_the_same_pcr_11(tmp_path: Path) -> None:
    expected = systemd_measure.calculate(ukis.real_parts(), tmp_path)
    assert expected.keys() == PHASES
    assert ours(ukis.build(ukis.real_parts())) == expected


def test_systemd_measure_expects_the_same_of_fifty_random_images(tmp_path: Path) -> None:
    dice = random.Random(11)  # noqa: S311  (a repeatable choice)
    for _ in range(50):
        names = [".linux", *dice.sample(sorted(set(uki.MEASURED) - {".linux"}), dice.randint(0, 6))]
        parts = {name: dice.randbytes(dice.randint(1, 5_000)) for name in names}
        bank = dice.choice(["sha1", "sha256", "sha384", "sha512"])
        assert ours(ukis.build(parts), bank) == systemd_measure.calculate(parts, tmp_path, bank)


def test_a_signature_over_pcr_policies_is_put_in_and_not_measured(tmp_path: Path) -> None:
    """It is made from the values, so it cannot be among what they measure."""
    parts = SMALL | {".pcrpkey": b"public key"}
    data = ukis.build(parts | {".pcrsig": b'{"sha256": []}'})
    assert ours(data) == systemd_measure.calculate(parts, tmp_path)
    (section,) = [s for s in pe_layout.read(MemorySource(data)).sections if s.name == ".pcrsig"]
    assert data[section.start :].startswith(b'{"sha256": []}')
    with pytest.raises(FormatError, match=r"stub holds .*\.pcrsig.* already"):
        ukis.build(SMALL, data)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_flip_in_each_part_changes_each_value(name: str) -> None:
    data = ukis.build(SMALL)
    section = uki.parts_of(pe_layout.read(MemorySource(data)))[name]
    before, after = ours(data), ours(flipped(data, section.start + section.virtual_size - 1))
    assert not set(before.values()) & set(after.values())


def test_objcopy_reads_each_section_as_it_was_given(tmp_path: Path) -> None:
    path = tmp_path / "image.efi"
    path.write_bytes(ukis.build(SMALL))
    for name, content in SMALL.items():
        out = tmp_path / "section"
        command = [require_tool("objcopy"), "--dump-section", f"{name}={out}", str(path), str(tmp_path / "copy.efi")]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        assert out.read_bytes().startswith(content)
        assert not any(out.read_bytes()[len(content) :])


def test_the_stub_stays_as_it_was_and_the_headers_add_up() -> None:
    data, stub = ukis.build(SMALL), ukis.stub()
    before, after = (pe_layout.read(MemorySource(x)) for x in (stub, data))
    assert after.sections[: len(before.sections)] == before.sections
    assert (
        data[after.sections_start : before.sections[-1].start]
        == stub[before.sections_start : before.sections[-1].start]
    )
    assert field(data, after.checksum_at, "<I") == checksum_by_the_book(data, after.checksum_at)
    ends = [0, *(s.virtual_address + s.virtual_size for s in after.sections)]
    assert all(s.virtual_address >= end for s, end in zip(after.sections, ends, strict=False))
    assert field(data, after.checksum_at - 64 + 56, "<I") >= ends[-1]
    assert ukis.build(SMALL) == data


def test_sbverify_accepts_a_signed_kernel_image_and_refuses_it_flipped(tmp_path: Path) -> None:
    maker, path = signer(RSA), tmp_path / "uki.efi"
    signed = sign(ukis.build(SMALL), maker)
    path.write_bytes(signed)
    assert sbverify.verify(path, maker.anchor(tmp_path)).returncode == 0
    for content in SMALL.values():
        path.write_bytes(flipped(signed, signed.index(content)))
        refused = sbverify.verify(path, maker.anchor(tmp_path))
        assert (refused.returncode, "Hash doesn't match image" in refused.stderr) == (1, True)
    assert ours(signed) == ours(ukis.build(SMALL))


def test_sbsign_hashes_fifty_random_programs_as_we_do_and_sbverify_accepts_both(tmp_path: Path) -> None:
    """Random sections behind the stub's, and random bytes behind the sections, of odd lengths too."""
    dice, maker = random.Random(12), signer(RSA)  # noqa: S311  (a repeatable choice)
    key, anchor = maker.private_file(tmp_path), maker.anchor(tmp_path)
    plain, out = tmp_path / "plain.efi", tmp_path / "signed.efi"
    for _ in range(50):
        names = [".linux", *dice.sample(sorted(set(uki.MEASURED) - {".linux"}), dice.randint(0, 6))]
        data = ukis.build({name: dice.randbytes(dice.randint(1, 5_000)) for name in names})
        data += dice.randbytes(dice.choice([0, 0, 1, 7, 8, 100]))
        plain.write_bytes(data)
        sbverify.sign(plain, key, anchor, out)
        assert image_digests(out.read_bytes()) == image_digests(sign(data, maker))
        assert pe.verify(MemorySource(out.read_bytes()), maker.trust, {})
        out.write_bytes(sign(data, maker))
        assert sbverify.verify(out, anchor).returncode == 0


def image_digests(signed: bytes) -> list[bytes]:
    table = pe_layout.read(MemorySource(signed)).table
    assert table is not None
    return [authenticode.parse(der).image_digest for der in pe_layout.read_certificates(MemorySource(signed), table)]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({".linux": b"k", ".text": b"x"}, r"sections \['\.text'\] are none of a unified kernel image"),
        ({".initrd": b"x"}, "there is no kernel"),
        ({".linux": b""}, r"content of section \.linux is empty"),
    ],
)
def test_wrong_parts_are_refused_by_name(parts: dict[str, bytes], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        ukis.build(parts)


def test_what_is_no_plain_stub_is_refused() -> None:
    for base, message in (
        (image(), "not an EFI stub of systemd"),
        (sign(ukis.stub()), "stub is signed already"),
        (ukis.build(SMALL), r"stub holds \.osrel, \.cmdline, \.initrd, \.linux already"),
        (b"MZ", "the image ends at"),
        (ukis.stub()[:0x11000], "sections end at"),
    ):
        with pytest.raises(FormatError, match=message):
            ukis.build(SMALL, base)
    crowded = ukis.stub()
    at = pe_layout.read(MemorySource(crowded)).sections_table_at + 8 * 40
    with pytest.raises(FormatError, match="no room for 4 sections"):
        ukis.build(SMALL, put(crowded, at, b"\1"))


def test_values_are_not_guessed_for_other_stubs() -> None:
    data = ukis.build(SMALL)
    newer = data.replace(b"systemd-stub 252.", b"systemd-stub 257.")
    with pytest.raises(FormatError, match=r"stub \(257\.\S+\) measures is known for systemd-stub 252 only") as e:
        ours(newer)
    assert e.value.code is Code.UNSUPPORTED_IMAGE
    assert pe.inspect(MemorySource(newer)).facts["PCR 11"].startswith("not computed: what the stub (257.")
    with pytest.raises(FormatError, match="not a unified kernel image"):
        ours(image())


def test_a_kernel_image_that_lies_about_its_parts_is_not_measured() -> None:
    data = ukis.build(SMALL)
    found = pe_layout.read(MemorySource(data))
    names = [section.name for section in found.sections]
    osrel, linux = (found.sections_table_at + 40 * names.index(name) for name in (".osrel", ".linux"))
    twice = put(data, osrel, b".linux\0\0")
    longer = put(data, linux + 8, struct.pack("<I", found.sections[-1].size + 1))
    for forged, message in ((twice, r"\.linux is there twice"), (longer, "longer in memory than in the file")):
        with pytest.raises(FormatError, match=message):
            uki.pcr11(MemorySource(forged))
        said = pe.inspect(MemorySource(forged)).facts["Unified kernel image"]
        assert said.startswith("not read: section .linux is ")


def test_inspect_tells_an_approver_what_would_boot() -> None:
    facts = pe.inspect(MemorySource(ukis.build(SMALL))).facts
    assert facts["Unified kernel image"] == "kernel of 6000 bytes"
    assert facts["Initrd"] == "6 bytes"
    assert facts["Kernel command line"] == "console=ttyS0 panic=-1"
    assert facts["Operating system"] == "Test Only 1.2"
    assert facts["PCR 11 after ready"] == f"sha256 {ours(ukis.build(SMALL))['ready']}"
    assert "Unified kernel image" not in pe.inspect(MemorySource(image())).facts
    assert "Unified kernel image" not in pe.inspect(MemorySource(ukis.stub())).facts


def test_inspect_shows_revocations_that_a_program_carries() -> None:
    """Shim reads section .sbatl of revocations.efi; .splash stands in for it here, being of the same length."""
    level = b"sbat,1,2024010900\nshim,4\ngrub,3\n"
    data = ukis.build({**SMALL, ".splash": level}).replace(b".splash\0", b".sbatl\0\0", 1)
    assert pe.inspect(MemorySource(data)).facts["SBAT revocations, latest"] == "sbat,1,2024010900; shim,4; grub,3"


def test_a_cut_stub_is_refused_and_never_crashes() -> None:
    stub = ukis.stub()
    for at in [*range(1024), *range(1024, 0x11400, 499)]:
        with pytest.raises(FormatError):
            ukis.build(SMALL, stub[:at])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 0x3FF), st.integers(0, 255)), min_size=1, max_size=6))
def test_mutated_stubs_never_crash(changes: list[tuple[int, int]]) -> None:
    data = bytearray(ukis.stub())
    for at, value in changes:
        data[at] = value
    try:
        built = ukis.build(SMALL, bytes(data))
        pe.inspect(MemorySource(built))
    except SealwrightError:
        return
    assert {
        name: built[s.start : s.start + s.virtual_size]
        for name, s in uki.parts_of(pe_layout.read(MemorySource(built))).items()
    } == SMALL


def test_a_stub_that_leaves_no_addresses_is_refused() -> None:
    """Found by fuzzing."""
    stub = ukis.stub()
    layout = pe_layout.read(MemorySource(stub))
    high = put(stub, layout.sections_table_at + 12, struct.pack("<I", 0xFFFF_F000))
    with pytest.raises(FormatError, match="addresses in PE end at 4 GiB"):
        ukis.build(SMALL, high)
