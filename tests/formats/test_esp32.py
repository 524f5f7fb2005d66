"""ESP32 Secure Boot v2: espsecure accepts what we sign, and refuses every forgery with the same key."""

import functools
import hashlib
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats import esp32_images
from tests.formats.flips import flipped
from tests.formats.throwaway import Signer, signer
from tests.verifiers import espsecure

from sealwright.core.errors import Code, FormatError, SealwrightError, VerificationError
from sealwright.core.images import MemorySource, Range, uncovered
from sealwright.core.keys import Algorithm
from sealwright.core.patches import Patch
from sealwright.formats import detect, esp32, esp32_blocks, targets
from sealwright.formats.interface import Prepared, TargetProfile, Trust

RSA, P256, P384 = Algorithm.RSA_PSS_SHA256, Algorithm.ECDSA_P256_SHA256, Algorithm.ECDSA_P384_SHA384
ALGORITHMS = [RSA, P256, P384]
SECTOR, BLOCK = 4096, 1216


def key_of(algorithm: Algorithm, who: str = "maker") -> Signer:
    return signer(algorithm, who, bits=3072)


def prepare(image: bytes, *by: Signer, target: TargetProfile = targets.ANY, **options: Any) -> Prepared:
    return esp32.prepare(MemorySource(image), [s.signing_key() for s in by], options, target)


def patch_of(prepared: Prepared, *by: Signer) -> Patch:
    return prepared.assemble({slot.name: s.sign(slot) for slot, s in zip(prepared.slots, by, strict=True)})


def sign(image: bytes, *by: Signer, **options: Any) -> bytes:
    return b"".join(patch_of(prepare(image, *by, **options), *by).apply(MemorySource(image)))


@functools.cache
def application() -> bytes:
    return esp32_images.application()


@functools.cache
def signed(algorithm: Algorithm) -> bytes:
    return sign(application(), key_of(algorithm))


def verify(image: bytes, *by: Signer) -> Any:
    return esp32.verify(MemorySource(image), Trust(keys=tuple(s.public_key for s in by)), {})


def with_right_crc(image: bytes, at: int) -> bytes:
    """Recompute the CRC of the block at ``at``."""
    crc = zlib.crc32(image[at : at + 1196]).to_bytes(4, "little")
    return image[: at + 1196] + crc + image[at + 1200 :]


# Accepted by others


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_espsecure_accepts_what_we_sign_and_refuses_it_for_a_strangers_key(
    tmp_path: Path, algorithm: Algorithm
) -> None:
    image, by, stranger = signed(algorithm), key_of(algorithm), key_of(algorithm, "stranger")
    assert f"Signature block 0 {espsecure.ACCEPTED}" in espsecure.verify(tmp_path, image, by.public_key)
    said = espsecure.verify(tmp_path, image, stranger.public_key)
    assert espsecure.FOREIGN in said
    assert "Signature block 0 is valid" in said, "its known trap: no success of anybody"
    assert verify(image, stranger, by).keys == (by.public_key,)
    with pytest.raises(VerificationError, match="no signature block is by a trusted key") as caught:
        verify(image, stranger)
    assert caught.value.code is Code.NOT_TRUSTED


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_key_digest_for_the_efuse_is_that_of_espsecure(tmp_path: Path, algorithm: Algorithm) -> None:
    by = key_of(algorithm)
    digest = espsecure.key_digest(tmp_path, by.public_key)
    assert esp32_blocks.key_digest(by.public_key, algorithm) == digest
    assert esp32.inspect(MemorySource(signed(algorithm))).facts["Key digest for eFuse, block 0"] == digest
    told = espsecure.signature_info(tmp_path, signed(algorithm)).replace(" ", "")
    assert digest in told


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_three_keys_in_one_request_or_one_after_another_are_accepted(tmp_path: Path, algorithm: Algorithm) -> None:
    makers = [key_of(algorithm, who) for who in ("maker", "second", "third")]
    at_once = sign(application(), *makers)
    one_by_one = sign(application(), makers[0])
    for more in makers[1:]:
        one_by_one = sign(one_by_one, more, existing="append")
    for image in (at_once, one_by_one):
        assert len(image) == 2 * SECTOR
        for i, by in enumerate(makers):
            said = espsecure.verify(tmp_path, image, by.public_key)
            assert f"Signature block {i} {espsecure.ACCEPTED}" in said
        assert verify(image, *makers).keys == tuple(by.public_key for by in makers)
        assert [s.name for s in esp32.inspect(MemorySource(image)).signatures] == ["block-0", "block-1", "block-2"]
    with pytest.raises(FormatError, match="4 signature blocks, a signature sector holds 3"):
        sign(at_once, key_of(algorithm, "fourth"), existing="append")


def test_bootloaders_and_images_without_a_hash_are_signed_and_accepted_too(tmp_path: Path) -> None:
    by = key_of(RSA)
    for image in (
        esp32_images.bootloader(),
        esp32_images.application(with_hash=False),
        esp32_images.application(chip=esp32_images.S3),
    ):
        result = sign(image, by)
        assert result[: len(image)] == image
        assert espsecure.ACCEPTED in espsecure.verify(tmp_path, result, by.public_key)
        verify(result, by)


# Refused with the same trust anchor


def test_a_flip_anywhere_in_the_image_or_its_padding_is_a_wrong_digest_for_espsecure_and_refused_by_us(
    tmp_path: Path,
) -> None:
    by, image = key_of(P256), signed(P256)
    end = len(application())
    for at, reason in [
        (6, "image digest in a signature block differs"),  # entry address, hash recomputed
        (17, "image digest in a signature block differs"),  # most chip revision
        (24 + 8 + 4, "image digest in a signature block differs"),  # secure version
        (24, "image digest in a signature block differs"),  # load address
        (800, "image digest in a signature block differs"),
        (end, "something other than 0xff lies between the image and the next 4 KiB"),
        (SECTOR - 1, "something other than 0xff"),
    ]:
        bad = flipped(image, at)
        if at < end:
            with pytest.raises(FormatError, match=r"checksum in the image is|SHA-256 in the image is"):
                verify(bad, by)
            bad = esp32_images.with_right_sums(bad)
        assert any(part.start <= at < part.stop for part in esp32.inspect(MemorySource(image)).covered)
        assert espsecure.WRONG_DIGEST in espsecure.verify(tmp_path, bad, by.public_key)
        with pytest.raises((VerificationError, FormatError), match=reason):
            verify(bad, by)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_flipped_image_with_every_inner_sum_recomputed_is_refused_by_the_signature(
    tmp_path: Path, algorithm: Algorithm
) -> None:
    """Checksum, SHA-256, the block's digest and its CRC are right again; only the signature is left to say no."""
    by = key_of(algorithm)
    bad = esp32_images.with_right_sums(flipped(signed(algorithm), 800))
    digest = hash_of(algorithm, bad[:SECTOR])
    bad = with_right_crc(bad[: SECTOR + 4] + digest + bad[SECTOR + 4 + len(digest) :], SECTOR)
    assert espsecure.ACCEPTED not in espsecure.verify(tmp_path, bad, by.public_key)
    with pytest.raises(VerificationError, match=f"{algorithm} signature does not verify"):
        verify(bad, by)


def hash_of(algorithm: Algorithm, data: bytes) -> bytes:
    return hashlib.new(algorithm.hash_name, data).digest()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_damaged_signature_with_its_crc_recomputed_is_refused(tmp_path: Path, algorithm: Algorithm) -> None:
    by = key_of(algorithm)
    place = SECTOR + (900 if algorithm is RSA else 4 + 48 + 1 + 96 + 20 if algorithm is P384 else 4 + 32 + 1 + 64 + 20)
    torn = flipped(signed(algorithm), place)
    assert espsecure.NO_BLOCK in espsecure.verify(tmp_path, torn, by.public_key)
    with pytest.raises(FormatError, match="CRC of a signature block is wrong"):
        verify(torn, by)
    bad = with_right_crc(torn, SECTOR)
    assert espsecure.ACCEPTED not in espsecure.verify(tmp_path, bad, by.public_key)
    with pytest.raises(VerificationError, match=f"{algorithm} signature does not verify"):
        verify(bad, by)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_stripped_signature_is_refused(tmp_path: Path, algorithm: Algorithm) -> None:
    by = key_of(algorithm)
    for stripped in (application(), signed(algorithm)[:SECTOR]):
        assert espsecure.ACCEPTED not in espsecure.verify(tmp_path, stripped, by.public_key)
        with pytest.raises(VerificationError, match="image is not signed: it has no signature block"):
            verify(stripped, by)
    erased = signed(algorithm)[:SECTOR] + b"\xff" * SECTOR
    assert espsecure.NO_BLOCK in espsecure.verify(tmp_path, erased, by.public_key)
    with pytest.raises(FormatError, match="image is padded beyond its last 4 KiB"):
        verify(erased, by)


def test_one_wrong_block_spoils_the_image_although_espsecure_is_content_with_the_right_one(tmp_path: Path) -> None:
    """So is the chip; who put the other one there is to be asked."""
    by, second = key_of(P256), key_of(P256, "second")
    image = sign(application(), by, second)
    at = SECTOR + BLOCK
    bad = with_right_crc(flipped(image, at + 120), at)
    assert espsecure.ACCEPTED in espsecure.verify(tmp_path, bad, by.public_key)
    with pytest.raises(VerificationError, match="signature does not verify"):
        verify(bad, by)
    with pytest.raises(VerificationError, match="image digest in a signature block differs"):
        verify(with_right_crc(flipped(image, at + 10), at), by)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_signed_image_cut_anywhere_is_refused_and_never_crashes(algorithm: Algorithm) -> None:
    by, image = key_of(algorithm), signed(algorithm)
    for cut in range(len(image)):
        with pytest.raises((FormatError, VerificationError)):
            verify(image[:cut], by)
    for more in (b"\x00", b"\xff" * SECTOR):
        with pytest.raises(FormatError, match="bytes follow the signature sector, which no signature covers"):
            verify(image + more, by)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_flipped_byte_of_image_block_and_rest_is_refused(algorithm: Algorithm) -> None:
    by, image = key_of(algorithm), signed(algorithm)
    places = {*range(60), *range(60, SECTOR, 61), *range(SECTOR, SECTOR + 220), *range(SECTOR + 220, len(image), 61)}
    for at in sorted(places):
        with pytest.raises((FormatError, VerificationError)):
            verify(flipped(image, at), by)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_mutated_images_are_refused_and_never_crash(data: st.DataObject) -> None:
    algorithm = data.draw(st.sampled_from(ALGORITHMS))
    by, original = key_of(algorithm), signed(algorithm)
    image = bytearray(original)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.one_of(st.integers(0, 40), st.integers(SECTOR, SECTOR + 1220), st.integers(0, len(image))))
        image[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    repaired = with_right_crc(bytes(image), SECTOR) if data.draw(st.booleans()) else bytes(image)
    if repaired == original:
        return
    with pytest.raises((FormatError, VerificationError)):
        verify(repaired, by)
    for call in (esp32.inspect, esp32.matches, lambda s: prepare(s.data, by, existing="append")):
        try:
            call(MemorySource(repaired))
        except (FormatError, VerificationError):
            continue


@given(st.binary(min_size=BLOCK, max_size=BLOCK), st.sampled_from([(2, 0), (3, 0), (3, 1)]), st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_block_with_a_right_crc_is_parsed_or_refused(body: bytes, version: tuple[int, int], odd: bool) -> None:
    head = bytes([0xE7, version[0], version[1], 0])
    block = bytearray(head + body[4:1196] + bytes(20))
    if odd:
        block[36] |= 1
        block[419] |= 0x80
    sector = with_right_crc(bytes(block), 0) + b"\xff" * (SECTOR - BLOCK)
    with pytest.raises(FormatError):
        esp32_blocks.parse_sector(sector, 0)


def test_montgomery_values_that_are_not_those_of_the_key_are_refused_although_espsecure_overlooks_them(
    tmp_path: Path,
) -> None:
    """A chip would use them for its arithmetic."""
    by, image = key_of(RSA), signed(RSA)
    for at in (SECTOR + 424, SECTOR + 810):
        bad = with_right_crc(flipped(image, at), SECTOR)
        assert espsecure.ACCEPTED in espsecure.verify(tmp_path, bad, by.public_key)
        with pytest.raises(FormatError, match="Montgomery values in a signature block are not those of its key"):
            verify(bad, by)


def test_blocks_of_two_algorithms_are_refused_although_espsecure_writes_them(tmp_path: Path) -> None:
    makers = [key_of(RSA), key_of(P256)]
    mixed = espsecure.sign(tmp_path, application(), *(by.private_file(tmp_path) for by in makers))
    assert espsecure.ACCEPTED in espsecure.verify(tmp_path, mixed, makers[0].public_key)
    assert "AssertionError" in espsecure.verify(tmp_path, mixed, makers[1].public_key), "it stumbles over its own work"
    with pytest.raises(FormatError, match="blocks of ecdsa-p256-sha256 and rsa-pss-sha256 in one image"):
        verify(mixed, *makers)


# Preparing


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_frozen_options_prepare_the_same_again_and_the_patch_leads_back(algorithm: Algorithm) -> None:
    makers = [key_of(algorithm), key_of(algorithm, "second")]
    for image, options in [(application(), {}), (sign(application(), key_of(algorithm, "x")), {"existing": "append"})]:
        first = prepare(image, *makers, **options)
        again = prepare(image, *makers, **first.options)
        assert (again.slots, again.options) == (first.slots, first.options)
        patch = patch_of(first, *makers)
        result = b"".join(patch.apply(MemorySource(image)))
        assert b"".join(patch.inverse().apply(MemorySource(result))) == image
        for slot in first.slots:
            assert slot.message.digest(MemorySource(image), algorithm.hash_name) == slot.digest
            assert slot.digest == hash_of(algorithm, result[:SECTOR])


def test_signing_twice_is_refused_unless_a_block_is_to_be_appended() -> None:
    by, second = key_of(P256), key_of(P256, "second")
    for more, options, reason in [
        (second, {}, "image is signed already, by 1 of 3 blocks"),
        (by, {"existing": "append"}, "image is signed with this key already"),
    ]:
        with pytest.raises(FormatError, match=reason) as caught:
            sign(signed(P256), more, **options)
        assert caught.value.code is Code.ALREADY_SIGNED
    with pytest.raises(FormatError, match="a chip is set up for one of them"):
        sign(signed(P256), key_of(RSA), existing="append")
    damaged = with_right_crc(flipped(signed(P256), SECTOR + 120), SECTOR)
    with pytest.raises(VerificationError, match="does not verify"):
        sign(damaged, second, existing="append")


def test_keys_that_no_chip_knows_and_wrong_sets_of_keys_are_refused() -> None:
    for by, reason in [
        ((), "signed with one to 3 keys, 0 were given"),
        ((key_of(P256), key_of(P256)), "one key is given twice"),
        ((key_of(P256), key_of(RSA)), "a chip is set up for one of them"),
        (tuple(key_of(P256, who) for who in "abcd"), "signed with one to 3 keys, 4 were given"),
        ((signer(RSA, "short", 2048),), "Secure Boot v2 knows no rsa-pss-sha256 with a key of 2048 bits"),
        ((signer(Algorithm.ED25519),), "Secure Boot v2 knows no ed25519"),
        ((signer(Algorithm.ECDSA_P521_SHA512),), "knows no ecdsa-p521-sha512"),
        ((signer(Algorithm.RSA_PKCS1_SHA256, "old", 3072),), "knows no rsa-pkcs1-sha256"),
    ]:
        with pytest.raises(FormatError, match=reason):
            prepare(application(), *by)


@pytest.mark.parametrize("name", [name for name in targets.TARGETS if name.startswith("esp32")])
def test_a_target_takes_its_own_chip_keys_and_number_of_blocks_only(name: str) -> None:
    target = targets.TARGETS[name]
    image = esp32_images.application(chip=int(target.limits["chip"]))
    other = esp32_images.application(chip=12 if target.limits["chip"] != "12" else 5)
    assert target.algorithms is not None
    short = signer(RSA, "short", 2048)
    with pytest.raises(FormatError, match="cannot verify keys of 2048 bits" if RSA in target.algorithms else "rsa-pss"):
        prepare(image, short, target=target)
    for algorithm in ALGORITHMS:
        by = [key_of(algorithm, who) for who in ("maker", "second", "third")]
        most = int(target.limits["blocks"])
        if algorithm not in target.algorithms:
            with pytest.raises(FormatError, match=f"target {name} cannot verify {algorithm}") as caught:
                prepare(image, by[0], target=target)
            assert caught.value.hint.startswith("it accepts: ")
            continue
        prepare(image, *by[:most], target=target)
        if most < 3:
            with pytest.raises(FormatError, match=f"2 signature blocks, target {name} reads 1"):
                prepare(image, *by[:2], target=target)
        with pytest.raises(FormatError, match="image is for ESP32-C"):
            prepare(other, by[0], target=target)


def test_a_signature_that_does_not_verify_is_never_put_into_an_image() -> None:
    for algorithm in ALGORITHMS:
        by = key_of(algorithm)
        prepared = prepare(application(), by)
        good = by.sign_all(prepared)["block-0"]
        for bad in (flipped(good, 20), good[:-1], b""):
            with pytest.raises(SealwrightError, match="does not verify"):
                prepared.assemble({"block-0": bad})


# What is shown


def test_inspect_shows_what_an_approver_must_know_and_lists_all_that_is_not_covered(tmp_path: Path) -> None:
    by = key_of(P256)
    shown = esp32.inspect(MemorySource(signed(P256)))
    facts = dict(shown.facts)
    image = application()
    assert list(facts.items())[:7] == [
        ("Kind", "application"),
        ("Project", "gateway"),
        ("Version", "1.4.2"),
        ("Secure version", "3 (rollback counter)"),
        ("Built", "Nov 21 2026 10:11:12"),
        ("ESP-IDF", "v6.0.1"),
        ("SHA-256 of the ELF file", facts["SHA-256 of the ELF file"]),
    ]
    assert facts["Chip"] == "ESP32-C3 (chip id 5)"
    assert facts["Chip revisions"] == "v0.3 to v1.99"
    assert facts["Entry address"] == "0x40380000"
    assert facts["Segment 1"] == "100 bytes at 0x3fc80000, in the file at 0x254"
    assert facts["Checksum"] == f"{image[-33]:#04x}, right"
    assert facts["SHA-256 in the image"] == f"{image[-32:].hex()}, right"
    assert facts["Padding"] == f"{SECTOR - len(image)} bytes of 0xff"
    assert shown.covered == (Range(0, SECTOR),)
    assert shown.uncovered == (
        (Range(SECTOR, SECTOR + BLOCK), "signature block: its key, signature and CRC"),
        (Range(SECTOR + BLOCK, 2 * SECTOR), "rest of the signature sector: must be erased (0xff)"),
    )
    assert uncovered(2 * SECTOR, [*shown.covered, *(part for part, _ in shown.uncovered)]) == ()
    assert shown.signatures[0].signer == f"key {by.public_key.fingerprint}"
    told = espsecure.image_info(tmp_path, image)
    for part in ("ESP32-C3", "Entry point: 0x40380000", "Project name: gateway", "App version: 1.4.2",
                 "Secure version: 3", "(valid)", facts["SHA-256 of the ELF file"], "0x3fc80000"):  # fmt: skip
        assert part in told
    assert told.count("(valid)") == 2


def test_a_bootloader_is_shown_as_one(tmp_path: Path) -> None:
    facts = esp32.inspect(MemorySource(esp32_images.bootloader())).facts
    assert [facts[label] for label in ("Kind", "Version", "Secure version", "ESP-IDF", "Built")] == [
        "bootloader", "7", "2 (rollback counter)", "v6.0.1", "Nov 21 2026 10:11:12",
    ]  # fmt: skip
    told = espsecure.image_info(tmp_path, esp32_images.bootloader())
    assert "Bootloader version: 7" in told
    plain = esp32_images.build([(esp32_images.CODE_ADDRESS, b"\x01\x02\x03\x04")])
    assert "without a descriptor" in esp32.inspect(MemorySource(plain)).facts["Kind"]


def test_hostile_text_in_a_descriptor_reaches_no_terminal() -> None:
    description = esp32_images.description(version="1\x1b[2J", project="\u202egateway")
    facts = esp32.inspect(MemorySource(esp32_images.build([(0x3C00_0020, description)]))).facts
    assert facts["Version"] == "1\\x1b[2J"
    assert facts["Project"] == "\\x202egateway"


def test_images_are_claimed_by_their_header_and_not_by_one_byte() -> None:
    assert detect(MemorySource(application())) is esp32
    assert detect(MemorySource(signed(RSA))) is esp32
    jump = b"\xe9\x05" + b"\x90" * 100  # x86 code may begin like that
    assert detect(MemorySource(jump)) is not esp32
    assert not esp32.matches(MemorySource(b"\xe9"))


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (0, b"\xe8", "no ESP32 image: it begins with 0xe8, not 0xe9"),
        (1, b"\x00", "image states 0 segments, 1 to 16 can be"),
        (1, b"\x11", "image states 17 segments"),
        (12, b"\xff", "image is for chip 0xff, which is not known"),
        (19, b"\x01", "reserved bytes of the header are in use"),
        (23, b"\x02", "reserved bytes of the header are in use"),
        (28, b"\x00\x00\x00\x02", "segment 0 states 33554432 bytes, at most 16777216 can be"),
        (28, b"\x00\x00\x10\x00", "segment 0 ends at 0x100020, the image at"),
        (40, b"\x55", "checksum in the image is"),
        (6, b"\x55", "SHA-256 in the image is"),
    ],
)
def test_a_structure_that_contradicts_itself_is_refused_with_the_place(at: int, value: bytes, reason: str) -> None:
    image = application()[:at] + value + application()[at + len(value) :]
    for call in (
        lambda: esp32.inspect(MemorySource(image)),
        lambda: prepare(image, key_of(P256)),
        lambda: verify(image, key_of(P256)),
    ):
        with pytest.raises(FormatError, match=reason):
            call()


def test_padding_beyond_the_sector_would_hide_the_signature_and_is_refused(tmp_path: Path) -> None:
    """espsecure signs such a file; the chip looks for the signature right behind the image."""
    by = key_of(P256)
    padded = application().ljust(2 * SECTOR, b"\xff")
    theirs = espsecure.sign(tmp_path, padded, by.private_file(tmp_path))
    assert espsecure.ACCEPTED in espsecure.verify(tmp_path, theirs, by.public_key)
    for call in (lambda: prepare(padded, by), lambda: verify(theirs, by)):
        with pytest.raises(FormatError, match="image is padded beyond its last 4 KiB"):
            call()


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (0, b"\xe6", "signature block begins with 0xe6, not 0xe7"),
        (1, b"\x04", "signature block of version 4"),
        (2, b"\x01", "signature block of version 3 with 0x01"),
        (3, b"\x01", "reserved bytes of a signature block are in use"),
        (36, b"\x01", "and curve 1 is not known"),
        (37, b"\x00\x00", "signature block holds no public key"),
        (200, b"\x01", "reserved bytes of a signature block are in use"),
        (1201, b"\x01", "reserved bytes of a signature block are in use"),
        (2000, b"\x00", "signature block begins with 0xff|holds something behind its blocks"),
        (4000, b"\x00", "signature sector holds something behind its blocks"),
    ],
)
def test_a_block_that_is_not_as_the_documentation_says_is_refused(at: int, value: bytes, reason: str) -> None:
    place = SECTOR + at
    image = signed(P256)[:place] + value + signed(P256)[place + len(value) :]
    with pytest.raises(FormatError, match=reason):
        verify(with_right_crc(image, SECTOR), key_of(P256))


class Hungry:
    """A source that says it is large, with segments as large as can be; reads in small pieces only are allowed."""

    def __init__(self) -> None:
        self.head = struct.pack("<BBBBI", 0xE9, 16, 0, 0, 0) + struct.pack("<B3sHBHH4sB", 0, b"", 5, 0, 0, 0, b"", 0)
        self.size = 1 << 40

    def read(self, offset: int, length: int) -> bytes:
        assert length <= 1 << 20, "read in pieces"
        if offset < len(self.head):
            return self.head[offset : offset + length]
        return struct.pack("<II", 0, 16 << 20) if length == 8 else bytes(length)


def test_the_largest_image_that_can_be_stated_is_read_in_pieces() -> None:
    with pytest.raises(FormatError, match="checksum in the image is 0x00, that of its segments 0xef"):
        esp32.inspect(Hungry())
