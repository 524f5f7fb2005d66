"""UEFI programs: sbverify and osslsigncode judge what we sign, with the same anchor for yes and no."""

import dataclasses
import itertools
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import require_tool
from tests.formats.efi_images import (
    MEMTEST,
    PATHS,
    RSA,
    checksum_by_the_book,
    field,
    image,
    patch,
    put,
    sign,
    signed_by_all,
    sum_by_the_book,
)
from tests.formats.flips import flipped
from tests.formats.throwaway import Signer, signer
from tests.verifiers import osslsigncode, sbverify

from sealwright.core import records
from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.images import MemorySource, Range
from sealwright.core.keys import Algorithm
from sealwright.core.patches import Patch
from sealwright.formats import authenticode, detect, pe, pe_layout, targets
from sealwright.formats.cms import Draft
from sealwright.formats.cms_shapes import DATA
from sealwright.formats.interface import Trust
from sealwright.formats.pe_checksum import WordSum

NOT_SIGNED_BYTES = "not the one that was signed"


def layout(data: bytes) -> pe_layout.Layout:
    return pe_layout.read(MemorySource(data))


def check(data: bytes, who: Signer | None = None) -> object:
    return pe.verify(MemorySource(data), (who or signer(RSA)).trust, {})


def covered_offsets(data: bytes) -> list[int]:
    """One offset in each covered range and part of it, away from fields without which it is no PE any more."""
    found = layout(data)
    at, entry, end = found.checksum_at, found.table_entry_at, found.end
    coff = at - 64 - 20
    return [
        2,  # DOS header behind the magic
        coff + 4,  # TimeDateStamp
        at - 20,  # before CheckSum, version fields
        at + 4 + 8,  # behind CheckSum: SizeOfStackReserve
        entry + 8 + 4,  # behind the directory entry: base relocations, size
        found.sections[0].start,
        (at + end) // 2,
        end - 1,
    ]


def judged(folder: Path, data: bytes, anchor: Path | None) -> tuple[int, str, int, str]:
    """Return exit code and words of sbverify, then of osslsigncode."""
    path = folder / "image.efi"
    path.write_bytes(data)
    first, second = sbverify.verify(path, anchor), osslsigncode.verify(path, anchor)
    return first.returncode, first.stdout + first.stderr, second.returncode, second.stdout + second.stderr


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
def test_sbverify_and_osslsigncode_accept_what_we_sign(tmp_path: Path, path: Path) -> None:
    who = signer(RSA)
    code, said, other_code, other_said = judged(tmp_path, sign(image(path)), who.anchor(tmp_path))
    assert (code, said.strip()) == (0, "Signature verification OK")
    assert other_code == 0
    assert "Signature verification: ok" in other_said
    assert not osslsigncode.says_digest_differs(other_said)
    assert not osslsigncode.says_checksum_differs(other_said)


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
@pytest.mark.parametrize("options", [{}, {"signing_time": 1_790_000_000}], ids=["untimed", "timed"])
def test_both_accept_each_key_size_with_and_without_signing_time(
    tmp_path: Path, bits: int, options: dict[str, int]
) -> None:
    who = signer(RSA, "maker", bits)
    code, _, other_code, _ = judged(tmp_path, sign(image(), who, **options), who.anchor(tmp_path))
    assert (code, other_code) == (0, 0)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
def test_a_flip_in_each_covered_part_is_refused_by_both_and_by_us(tmp_path: Path, path: Path) -> None:
    signed, anchor = sign(image(path)), signer(RSA).anchor(tmp_path)
    assert judged(tmp_path, signed, anchor)[::2] == (0, 0)
    for at in covered_offsets(signed):
        code, said, other_code, other_said = judged(tmp_path, flipped(signed, at), anchor)
        assert (code, other_code) == (1, 1), hex(at)
        assert "Hash doesn't match image" in said, hex(at)
        assert osslsigncode.says_digest_differs(other_said), hex(at)
        with pytest.raises(VerificationError, match=NOT_SIGNED_BYTES) as e:
            check(flipped(signed, at))
        assert e.value.code is Code.IMAGE_MISMATCH


def test_a_flipped_payload_with_its_checksum_recomputed_is_refused(tmp_path: Path) -> None:
    signed, anchor = sign(image()), signer(RSA).anchor(tmp_path)
    at = layout(signed).checksum_at
    forged = flipped(signed, 0x8000)
    forged = put(forged, at, checksum_by_the_book(forged, at).to_bytes(4, "little"))
    code, said, other_code, other_said = judged(tmp_path, forged, anchor)
    assert (code, other_code) == (1, 1)
    assert "Hash doesn't match image" in said
    assert osslsigncode.says_digest_differs(other_said)
    assert not osslsigncode.says_checksum_differs(other_said)  # so it was the signature that refused
    with pytest.raises(VerificationError, match=NOT_SIGNED_BYTES):
        check(forged)


def test_a_digest_put_right_inside_the_signature_is_refused(tmp_path: Path) -> None:
    signed, anchor = sign(image()), signer(RSA).anchor(tmp_path)
    with pytest.raises(VerificationError) as e:
        check(flipped(signed, 0x8000))
    forged = flipped(signed, 0x8000).replace(bytes.fromhex(e.value.expected), bytes.fromhex(e.value.got))
    code, said, other_code, other_said = judged(tmp_path, forged, anchor)
    assert (code, other_code) == (1, 1)
    assert "Signature verification failed" in said
    assert "Signature verification: failed" in other_said
    with pytest.raises(VerificationError, match="SpcIndirectDataContent is not what was signed"):
        check(forged)


def test_a_stranger_is_refused_under_the_same_name(tmp_path: Path) -> None:
    maker, stranger = signer(RSA), signer(RSA, "stranger")
    anchor, signed = maker.anchor(tmp_path), sign(image(), stranger)
    code, said, other_code, other_said = judged(tmp_path, signed, anchor)
    assert (code, other_code) == (1, 1)
    assert "Signature verification failed" in said
    assert "Signature verification: failed" in other_said
    with pytest.raises(VerificationError, match="certificate in the file says CN=TEST ONLY stranger") as e:
        check(signed, maker)
    assert e.value.code is Code.NOT_TRUSTED
    assert check(signed, stranger)


def test_a_stripped_signature_is_refused(tmp_path: Path) -> None:
    who = signer(RSA)
    code, said, other_code, other_said = judged(tmp_path, image(), who.anchor(tmp_path))
    assert (code, other_code) == (1, 1)
    assert "No signature table present" in said
    assert "No signature found" in other_said
    with pytest.raises(VerificationError, match="no signature"):
        check(image())


def test_without_an_anchor_neither_verifier_opens(tmp_path: Path) -> None:
    code, said, other_code, other_said = judged(tmp_path, sign(image()), None)
    assert (code, other_code) == (1, 1)
    assert "Signature verification failed" in said
    assert "Signature verification: failed" in other_said
    with pytest.raises(VerificationError, match="not trusted"):
        pe.verify(MemorySource(sign(image())), Trust(keys=()), {})


def test_the_uncovered_parts_are_checksum_directory_entry_and_table(tmp_path: Path) -> None:
    signed = sign(image())
    found, anchor = pe.inspect(MemorySource(signed)), signer(RSA).anchor(tmp_path)
    assert [(r.stop - r.start, why.split(":")[0]) for r, why in found.uncovered] == [
        (4, "CheckSum field"),
        (8, "Certificate Table directory entry"),
        (len(signed) - len(image()), "certificate table"),
    ]
    parts = sorted([*found.covered, *(r for r, _ in found.uncovered)], key=lambda r: r.start)
    assert [p.start for p in parts] == [0, *(p.stop for p in parts[:-1])]
    assert parts[-1].stop == len(signed)
    for at in range(found.uncovered[0][0].start, found.uncovered[0][0].stop):
        code, _, other_code, other_said = judged(tmp_path, flipped(signed, at), anchor)
        assert (code, other_code) == (0, 0)  # not covered: nobody minds
        assert osslsigncode.says_checksum_differs(other_said)
        assert check(flipped(signed, at))
    for at in range(found.uncovered[1][0].start, found.uncovered[1][0].stop):
        with pytest.raises(FormatError, match="certificate table"):
            check(flipped(signed, at))  # not covered, but it can only be right or wrong


def test_an_unsigned_image_says_what_a_signature_will_cover() -> None:
    found = pe.inspect(MemorySource(image()))
    assert found.covered == layout(image()).covered
    assert found.covered[-1].stop == len(image())
    assert len(found.uncovered) == 2
    assert found.signatures == ()


def test_a_flip_anywhere_in_the_table_is_refused_or_leaves_the_proof_as_it_was() -> None:
    signed, accepted = sign(image()), 0
    for at in range(len(image()), len(signed)):
        try:
            verified = pe.verify(MemorySource(flipped(signed, at)), signer(RSA).trust, {})
        except (FormatError, VerificationError):
            continue
        accepted += 1
        assert verified.keys == (signer(RSA).public_key,)
    assert accepted < len(signer(RSA).certificate_der)  # the certificate's times, extensions and own signature


def test_a_signed_image_cut_anywhere_is_refused_and_never_crashes() -> None:
    signed, found = sign(image()), layout(sign(image()))
    edges = {0, 64, found.checksum_at, found.table_entry_at, found.end, len(signed)}
    edges |= {s.start for s in found.sections} | {s.start + s.size for s in found.sections}
    cuts = {e + d for e in edges for d in range(-16, 17)} | set(range(1024)) | set(range(0, len(signed), 997))
    cuts |= set(range(found.end, len(signed)))
    for at in sorted(c for c in cuts if 0 <= c < len(signed)):
        with pytest.raises((FormatError, VerificationError)):
            check(signed[:at])


def test_bytes_behind_the_signature_are_refused() -> None:
    for tail in (b"\0", bytes(8), b"junkjunk"):
        with pytest.raises(FormatError, match="must stand at the end"):
            check(sign(image()) + tail)


def test_signing_twice_is_refused_by_default_and_says_how() -> None:
    with pytest.raises(FormatError, match="certificate in the file says CN=TEST ONLY maker") as e:
        patch(sign(image()), signer(RSA, "stranger"))
    assert e.value.code is Code.ALREADY_SIGNED
    assert "existing=append" in e.value.hint


def alone(signed: bytes, n: int) -> bytes:
    """Keep the n-th WIN_CERTIFICATE only: the image digest does not cover the table."""
    found = layout(signed)
    assert found.table is not None
    at = found.table.start
    for _ in range(n):
        at += pe_layout.aligned(field(signed, at, "<I"))
    entry = signed[at : at + pe_layout.aligned(field(signed, at, "<I"))]
    return put(signed[: found.end], found.table_entry_at, struct.pack("<II", found.end, len(entry))) + entry


def test_an_appended_signature_and_the_first_one_both_verify(tmp_path: Path) -> None:
    first, second = signer(RSA), signer(RSA, "second", 3072)
    both = sign(sign(image(), first), second, existing="append")
    path = tmp_path / "both.efi"
    path.write_bytes(both)
    assert sbverify.subjects(path) == ["/CN=TEST ONLY maker", "/CN=TEST ONLY second"]
    for n, who in enumerate((first, second)):
        anchor = who.anchor(tmp_path)
        assert sbverify.verify(path, anchor).returncode == 0
        assert judged(tmp_path, alone(both, n), anchor)[::2] == (0, 0)
        assert pe.verify(MemorySource(both), who.trust, {}).signatures[0].name == f"certificate-{n + 1}"
    trust = Trust(keys=(*first.trust.keys, *second.trust.keys))
    assert len(pe.verify(MemorySource(both), trust, {}).keys) == 2
    bad = sbverify.verify(path, signer(RSA, "stranger").anchor(tmp_path))
    assert (bad.returncode, bad.stdout.strip()) == (1, "Signature verification failed")
    path.write_bytes(flipped(both, 0x8000))
    bad = sbverify.verify(path, first.anchor(tmp_path))
    assert (bad.returncode, "Hash doesn't match image" in bad.stderr) == (1, True)
    with pytest.raises(VerificationError, match=NOT_SIGNED_BYTES):
        pe.verify(MemorySource(flipped(both, 0x8000)), trust, {})


def with_table_of(data: bytes, signed: bytes) -> bytes:
    """Put the certificate table of one image behind another of the same size."""
    found = layout(signed)
    assert found.table
    assert layout(data).size == found.end
    entry = pe_layout.DIRECTORY.pack(found.end, len(signed) - found.end)
    return put(data, found.table_entry_at, entry) + signed[found.end :]


def test_a_key_that_signed_the_image_already_does_not_sign_it_again_and_another_key_does() -> None:
    first, second = signer(RSA), signer(RSA, "second", 3072)
    signed = sign(image(), first)
    assert pe.verify(MemorySource(sign(signed, second, existing="append")), first.trust, {})
    for by in ([first], [second, first]):
        with pytest.raises(FormatError, match="certificate-1 is a signature of this image by key profile test") as e:
            signed_by_all(signed, *by, existing="append")
        assert (e.value.code, "leave out" in e.value.hint) == (Code.ALREADY_SIGNED, True)


def test_a_signature_of_our_key_from_another_image_is_found_before_anybody_approves(tmp_path: Path) -> None:
    """Firmware takes the image by its second signature, and our own ``verify`` would refuse it afterwards."""
    first, second = signer(RSA), signer(RSA, "second", 3072)
    other = flipped(image(), len(image()) - 1)
    stale = with_table_of(other, sign(image(), first))
    for spoilt in (stale, flipped(sign(image(), first), len(sign(image(), first)) - 20)):
        with pytest.raises(FormatError, match="certificate-1 is by the key of key profile test") as e:
            sign(spoilt, first, existing="append")
        assert (e.value.code, "sbattach --remove" in e.value.hint) == (Code.ALREADY_SIGNED, True)
    appended = sign(stale, second, existing="append")  # a stale one of a stranger counts for nothing
    assert pe.verify(MemorySource(appended), second.trust, {}).keys == (second.public_key,)
    path = tmp_path / "stale.efi"
    path.write_bytes(stale)
    subprocess.run([require_tool("sbattach"), "--remove", str(path)], check=True, capture_output=True, timeout=60)
    assert pe.verify(MemorySource(sign(path.read_bytes(), first)), first.trust, {}).keys == (first.public_key,)


def test_several_keys_sign_at_once_what_they_would_sign_one_after_the_other(tmp_path: Path) -> None:
    first, second = signer(RSA), signer(RSA, "second", 3072)
    both, path = signed_by_all(image(), first, second), tmp_path / "both.efi"
    assert both == sign(sign(image(), first), second, existing="append")
    path.write_bytes(both)
    assert sbverify.subjects(path) == ["/CN=TEST ONLY maker", "/CN=TEST ONLY second"]
    assert [s.signer for s in pe.inspect(MemorySource(both)).signatures] == [
        first.claim,
        second.claim,
    ]
    for who in (first, second):
        assert sbverify.verify(path, who.anchor(tmp_path)).returncode == 0
    prepared = pe.prepare(MemorySource(image()), [first.signing_key(), second.signing_key()], {}, targets.ANY)
    assert [slot.name for slot in prepared.slots] == ["signature-1", "signature-2"]
    swapped = {slot.name: who.sign(slot) for slot, who in zip(prepared.slots, (second, first), strict=True)}
    with pytest.raises(VerificationError):
        prepared.assemble(swapped)
    with pytest.raises(FormatError, match="expected exactly"):
        prepared.assemble({"signature": b""})


def test_one_key_twice_and_more_keys_than_a_target_reads_are_refused() -> None:
    keys = [signer(RSA).signing_key(), signer(RSA, "second", 3072).signing_key()]
    with pytest.raises(FormatError, match="several different ones, 2 were given"):
        pe.prepare(MemorySource(image()), keys[:1] * 2, {}, targets.ANY)
    with pytest.raises(FormatError, match=r"would have 2 signatures, target osslsigncode-2\.9 reads no more than 1"):
        pe.prepare(MemorySource(image()), keys, {}, targets.TARGETS["osslsigncode-2.9"])


def test_osslsigncode_2_9_takes_several_signatures_for_corruption_which_its_target_says(tmp_path: Path) -> None:
    both = sign(sign(image()), signer(RSA, "second", 3072), existing="append")
    _, _, code, said = judged(tmp_path, both, signer(RSA).anchor(tmp_path))
    # 2.9 names the table, 2.5 calls the signature invalid; a version that takes it would be no proof either.
    assert code == 0 or "Corrupted attribute certificate table" in said or "Invalid signature" in said
    with pytest.raises(FormatError, match=r"target osslsigncode-2\.9 reads no more than 1") as e:
        pe.prepare(
            MemorySource(sign(image())),
            [signer(RSA).signing_key()],
            {"existing": "append"},
            targets.TARGETS["osslsigncode-2.9"],
        )
    assert e.value.code is Code.TARGET_CANNOT_VERIFY


def test_an_image_of_odd_size_with_bytes_behind_its_sections_is_padded_and_accepted(tmp_path: Path) -> None:
    anchor = signer(RSA).anchor(tmp_path)
    for tail in (b"x", b"symbols", bytes(range(9))):
        signed = sign(image() + tail)
        code, _, other_code, other_said = judged(tmp_path, signed, anchor)
        assert (code, other_code) == (0, 0)
        assert not osslsigncode.says_checksum_differs(other_said)
        assert check(signed)
        for at in (len(image()), layout(signed).end - 1):  # the tail and the padding are covered
            assert judged(tmp_path, flipped(signed, at), anchor)[::2] == (1, 1)
            with pytest.raises(VerificationError, match=NOT_SIGNED_BYTES):
                check(flipped(signed, at))


def test_a_gap_between_sections_is_refused_because_sbverify_lets_it_be_changed(tmp_path: Path) -> None:
    at = layout(image()).sections[1].start
    gapped = image()[:at] + bytes(512) + image()[at:]
    headers = layout(image()).table_entry_at - 144 + 160  # where the section table of PE32+ with 6 directories starts
    for n in (1, 2):
        pointer = headers + 40 * n + 20
        gapped = put(gapped, pointer, struct.pack("<I", field(gapped, pointer, "<I") + 512))
    who, path, out = signer(RSA), tmp_path / "gapped.efi", tmp_path / "signed.efi"
    path.write_bytes(gapped)
    sbverify.sign(path, who.private_file(tmp_path), who.anchor(tmp_path), out)
    code, _, other_code, other_said = judged(tmp_path, flipped(out.read_bytes(), at), who.anchor(tmp_path))
    assert code == 0  # known fail-open: the flipped byte lies in the gap
    assert other_code == 1
    assert osslsigncode.says_digest_differs(other_said)
    for refused in (lambda: sign(gapped), lambda: check(out.read_bytes())):
        with pytest.raises(FormatError, match=r"section \.reloc starts at .* leaves a gap"):
            refused()


@pytest.mark.parametrize("by", [sbverify, osslsigncode], ids=["sbsign", "osslsigncode"])
def test_we_verify_what_others_sign_and_refuse_their_flips(tmp_path: Path, by: object) -> None:
    who, out = signer(RSA), tmp_path / "out.efi"
    image()
    by.sign(MEMTEST, who.private_file(tmp_path), who.anchor(tmp_path), out)  # type: ignore[attr-defined]
    assert check(out.read_bytes())
    with pytest.raises(VerificationError, match=NOT_SIGNED_BYTES):
        check(flipped(out.read_bytes(), 0x8000))


def test_the_patch_changes_three_places_and_its_inverse_restores_the_image() -> None:
    made = patch(image(), signer(RSA))
    signed, found = b"".join(made.apply(MemorySource(image()))), layout(image())
    changed = {n for n, (a, b) in enumerate(zip(image(), signed, strict=False)) if a != b}
    assert changed <= {
        *range(found.checksum_at, found.checksum_at + 4),
        *range(found.table_entry_at, found.table_entry_at + 8),
    }
    assert b"".join(made.inverse().apply(MemorySource(signed))) == image()
    assert records.parse(Patch, records.serialise(made)) == made


def test_frozen_options_give_the_same_slots_and_signing_is_deterministic() -> None:
    who = signer(RSA)
    first = pe.prepare(MemorySource(image()), [who.signing_key()], {"signing_time": 5}, targets.ANY)
    again = pe.prepare(MemorySource(image()), [who.signing_key()], first.options, targets.ANY)
    assert first.options == {"existing": "refuse", "signing_time": 5}
    assert first.slots == again.slots
    signatures = who.sign_all(first)
    assert first.assemble(signatures) == first.assemble(signatures) == again.assemble(signatures)


def test_the_signature_has_the_shape_that_edk2_looks_for() -> None:
    signed = sign(image())
    der = signed[len(image()) + 8 :]
    assert der[1] == 0x82  # a length of two bytes, the only one edk2 reads
    assert der[32:41] == bytes.fromhex("608648016503040201")  # SHA-256, at the offset where edk2 reads the hash
    assert field(signed, len(image()) + 4, "<I") == 0x0002_0200  # revision 2.0, PKCS#7


@pytest.mark.parametrize(
    "algorithm",
    [
        Algorithm.ECDSA_P256_SHA256,
        Algorithm.ED25519,
        Algorithm.RSA_PSS_SHA256,
        Algorithm.RSA_PKCS1_SHA384,
    ],
)
def test_other_algorithms_are_refused_with_what_would_work(algorithm: Algorithm) -> None:
    with pytest.raises(FormatError, match=f"cannot verify {algorithm}") as e:
        patch(image(), signer(algorithm))
    assert e.value.code is Code.TARGET_CANNOT_VERIFY
    assert e.value.hint == "it accepts: rsa-pkcs1-sha256"


def test_other_key_sizes_are_refused_with_what_would_work() -> None:
    with pytest.raises(FormatError, match="cannot verify keys of 2304 bits") as e:
        patch(image(), signer(RSA, "maker", 2304))
    assert e.value.hint == "it accepts: 2048, 3072, 4096"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"existing": "replace"}, "existing: expected one of"),
        ({"signing_time": "now"}, "signing_time: expected int"),
        ({"hash": "sha1"}, "unknown members"),
    ],
)
def test_wrong_options_are_refused_by_name(options: dict[str, object], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        patch(image(), signer(RSA), **options)


def test_too_many_certificates_are_refused() -> None:
    who = signer(RSA)
    with pytest.raises(FormatError, match="certificates of more than 30000 bytes") as e:
        pe.prepare(MemorySource(image()), [who.signing_key(*[who.certificate_der] * 80)], {}, targets.ANY)
    assert e.value.code is Code.TARGET_CANNOT_VERIFY


class Sparse:
    """An image with zeros behind it that nobody stores."""

    def __init__(self, data: bytes, size: int) -> None:
        self.data, self.size = data, size

    def read(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length].ljust(length, b"\0")


def test_an_image_that_leaves_no_room_for_a_signature_is_refused_before_it_is_read() -> None:
    with pytest.raises(FormatError, match="offsets in PE end at 4294967295"):
        pe.prepare(Sparse(image(), 0xFFFF0000), [signer(RSA).signing_key()], {}, targets.ANY)


def test_a_table_without_room_for_another_signature_is_refused() -> None:
    full = dataclasses.replace(layout(image()), table=Range(len(image()) - 1_000_000, len(image())), size=2_000_000)
    with pytest.raises(FormatError, match="has no room for another"):
        pe._check_room(full)


def test_a_pkcs7_that_speaks_of_something_else_is_refused() -> None:
    who = signer(RSA)
    for content_type, content, message in (
        (DATA, None, "expected SpcIndirectDataContent"),
        (authenticode.SPC_INDIRECT_DATA, None, "expected SpcIndirectDataContent"),
        (authenticode.SPC_INDIRECT_DATA, bytes.fromhex("3000"), "not an SpcIndirectDataContent"),
        (authenticode.SPC_INDIRECT_DATA, bytes.fromhex("040100"), "not an SpcIndirectDataContent"),
    ):
        made = Draft(key=who.signing_key(), content_type=content_type, message_digest=bytes(32), content=content)
        der = made.assemble({"signature": who.sign(made.slot())})
        with pytest.raises(FormatError, match=message):
            authenticode.parse(der)
    good = authenticode.draft(who.signing_key(), bytes(32), None)
    assert good.content
    other = dataclasses.replace(
        good, content=good.content.replace(bytes.fromhex("8237 02010f"), bytes.fromhex("8237 02010e"))
    )
    with pytest.raises(FormatError, match="not of a PE image"):
        authenticode.parse(other.assemble({"signature": who.sign(other.slot())}))


def test_a_trusted_key_with_another_algorithm_is_refused() -> None:
    who = signer(Algorithm.RSA_PKCS1_SHA384)
    made = authenticode.draft(who.signing_key(), bytes(32), None)
    signature = authenticode.parse(made.assemble({"signature": who.sign(made.slot())}))
    with pytest.raises(VerificationError, match="UEFI signature with another algorithm"):
        signature.verify(who.trust)


def test_a_key_that_signed_twice_is_named_once(tmp_path: Path) -> None:
    """sbsign has nothing against it."""
    once, both, who = tmp_path / "once.efi", tmp_path / "both.efi", signer(RSA)
    once.write_bytes(sign(image()))
    sbverify.sign(once, who.private_file(tmp_path), who.anchor(tmp_path), both)
    verified = pe.verify(MemorySource(both.read_bytes()), who.trust, {})
    assert len(verified.signatures) == 2
    assert verified.keys == (signer(RSA).public_key,)


def test_inspect_tells_an_approver_what_it_is() -> None:
    found = pe.inspect(MemorySource(sign(image(), signing_time=1_790_000_000)))
    assert found.facts["Kind"] == "PE32+"
    assert found.facts["Machine"] == "x86-64"
    assert found.facts["Subsystem"] == "EFI application"
    assert found.facts["Entry point"].startswith("0x")
    assert ".text" in found.facts["Sections"]
    assert found.facts["SBAT"].startswith("sbat,1,SBAT Version")
    assert [(s.name, s.algorithm, s.signer) for s in found.signatures] == [
        ("certificate-1", "rsa-pkcs1-sha256", signer(RSA).claim)
    ]


def test_inspect_says_when_a_signature_is_from_and_whether_it_is_of_this_image() -> None:
    data = sign(image(), signing_time=1_790_000_000)
    facts = pe.inspect(MemorySource(data)).facts
    assert facts["Authenticode SHA-256"] == pe.inspect(MemorySource(image())).facts["Authenticode SHA-256"]
    assert facts["Signing time of certificate-1"] == "2026-09-21 14:13:20 UTC"
    assert facts["Digest in certificate-1"] == "right"
    other = pe.inspect(MemorySource(flipped(data, len(image()) // 2))).facts
    signed_digest = facts["Authenticode SHA-256"]
    assert other["Digest in certificate-1"] == f"WRONG, does not match this file: {signed_digest}"
    assert other["Authenticode SHA-256"] != signed_digest
    assert "Signing time of certificate-1" not in pe.inspect(MemorySource(sign(image()))).facts


def test_pe_images_are_recognised_and_others_are_not() -> None:
    assert detect(MemorySource(image())) is pe
    for other in (b"", b"M", b"MZ", b"MZ" + bytes(70), b"MZ" + b"\xff" * 62, b"\x7fELF" + bytes(100)):
        assert not pe.matches(MemorySource(other))


@settings(deadline=None)
@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=4))
def test_the_checksum_is_that_of_the_book_however_the_file_is_cut(data: bytes, cuts: list[int]) -> None:
    words, edges = WordSum(), sorted({0, len(data), *(c for c in cuts if c < len(data))})
    for start, stop in reversed(list(itertools.pairwise(edges))):
        words.add(start, data[start:stop])
    assert int.from_bytes(words.checksum(len(data)), "little") == sum_by_the_book(data)


@pytest.mark.parametrize(
    "data", [b"", bytes(10), b"\xff\xff", b"\xff\xff" * 70_000, b"\xfe\xff\x01", bytes(range(256)) * 300]
)
def test_the_checksum_is_that_of_the_book_at_the_ends_of_its_arithmetic(data: bytes) -> None:
    words = WordSum()
    words.add(0, data)
    assert int.from_bytes(words.checksum(len(data)), "little") == sum_by_the_book(data)
