"""MCUboot: imgtool and OpenSSL judge what we sign, and refuse it with the same key once a covered bit is turned."""

import contextlib
import functools
import hashlib
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import PROJECT, missing, require_tool
from tests.formats.flips import flipped
from tests.formats.throwaway import Signer, signer
from tests.verifiers import imgtool

from sealwright.core.errors import Code, FormatError, SealwrightError, VerificationError
from sealwright.core.images import MemorySource, Range, uncovered
from sealwright.core.keys import Algorithm
from sealwright.core.patches import Patch
from sealwright.formats import mcuboot, targets
from sealwright.formats.interface import Prepared, Trust
from sealwright.formats.mcuboot_layout import MAX_IMAGE_BYTES, Kind, parse

BOTH = [Algorithm.ECDSA_P256_SHA256, Algorithm.ED25519]

OPTIONS: dict[str, Any] = {
    "version": "1.2.3+4",
    "security_counter": 5,
    "dependencies": [{"image": 1, "version": "2.0.1"}],
    "slot_size": 0x100000,
    "align": 4,
}
IMGTOOL_OPTIONS = [
    *("--version", "1.2.3+4", "--security-counter", "5", "--dependencies", "(1,2.0.1+0)"),
    *("--header-size", "0x200", "--slot-size", "0x100000", "--align", "4"),
]
SMALL = bytes(range(1, 201))
"""An application small enough to try every offset."""


@functools.cache
def application() -> bytes:
    """A real program for a device: U-Boot for QEMU's 32-bit ARM machine, from Debian."""
    path = Path("/usr/lib/u-boot/qemu_arm/u-boot.bin")
    if not path.is_file():
        missing("package u-boot-qemu")
    return path.read_bytes()


def prepare(image: bytes, by: Signer, **options: Any) -> Prepared:
    return mcuboot.prepare(MemorySource(image), [by.signing_key()], options, targets.MCUBOOT)


def apply(patch: Patch, image: bytes) -> bytes:
    return b"".join(patch.apply(MemorySource(image)))


@functools.cache
def signed(algorithm: Algorithm, *, small: bool = False) -> bytes:
    image, by = (SMALL if small else application()), signer(algorithm)
    prepared = prepare(image, by, **OPTIONS)
    return apply(prepared.assemble(by.sign_all(prepared)), image)


def verify(image: bytes, *by: Signer) -> object:
    return mcuboot.verify(MemorySource(image), Trust(keys=tuple(s.public_key for s in by)), {})


def tlv(image: bytes, kind: Kind) -> tuple[int, bytes]:
    """Return where the value of an unprotected TLV stands, and the value."""
    entry = next(e for e in parse(MemorySource(image)).entries if e.kind == kind)
    return entry.at + 4, entry.value


# Accepted by others


@pytest.mark.parametrize("algorithm", BOTH)
def test_imgtool_accepts_what_we_sign_and_refuses_it_for_a_strangers_key(tmp_path: Path, algorithm: Algorithm) -> None:
    image = signed(algorithm)
    assert imgtool.verify(tmp_path, image, signer(algorithm).public_key) == imgtool.ACCEPTED
    assert imgtool.verify(tmp_path, image, signer(algorithm, "stranger").public_key) == imgtool.NO_SIGNATURE
    verify(image, signer(algorithm, "stranger"), signer(algorithm))
    with pytest.raises(VerificationError, match="signed by a key that is not trusted") as caught:
        verify(image, signer(algorithm, "stranger"))
    assert caught.value.code is Code.NOT_TRUSTED


def test_openssl_accepts_the_ecdsa_signature_over_the_covered_bytes_only(tmp_path: Path) -> None:
    by = signer(Algorithm.ECDSA_P256_SHA256)
    image = signed(by.algorithm)
    end = parse(MemorySource(image)).signed_end
    (tmp_path / "s.der").write_bytes(tlv(image, Kind.ECDSA_SIG)[1])
    command = [require_tool("openssl"), "dgst", "-sha256", "-prverify", by.private_file(tmp_path)]
    command += ["-signature", tmp_path / "s.der", tmp_path / "covered"]
    for content, answer in [(image[:end], "Verified OK"), (image[: end + 1], "Verification failure")]:
        (tmp_path / "covered").write_bytes(content)
        assert answer in subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout


def test_openssl_accepts_the_ed25519_signature_over_the_hash_as_message(tmp_path: Path) -> None:
    by = signer(Algorithm.ED25519)
    image = signed(by.algorithm)
    end = parse(MemorySource(image)).signed_end
    (tmp_path / "s").write_bytes(tlv(image, Kind.ED25519)[1])
    command = [require_tool("openssl"), "pkeyutl", "-verify", "-inkey", by.private_file(tmp_path), "-rawin"]
    command += ["-in", tmp_path / "hash", "-sigfile", tmp_path / "s"]
    for content, answer in [(image[:end], "Signature Verified Successfully"), (image[1:end], "Verification Failure")]:
        (tmp_path / "hash").write_bytes(hashlib.sha256(content).digest())
        assert answer in subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout


# Equal to imgtool's own


@pytest.mark.parametrize("algorithm", BOTH)
@pytest.mark.parametrize(
    ("image", "options", "for_imgtool"),
    [
        (application, OPTIONS, [*IMGTOOL_OPTIONS, "--pad-header"]),
        (lambda: bytes(0x200) + application(), OPTIONS, IMGTOOL_OPTIONS),
        (
            lambda: SMALL,
            {"version": "255.255.65535+4294967295", "header_size": 32, "load_address": 0x2000_0000, "erased_value": 0},
            [
                "-v",
                "255.255.65535+4294967295",
                "-H",
                "32",
                "-L",
                "0x20000000",
                "-R",
                "0",
                "-S",
                "0x10000",
                "--pad-header",
            ],
        ),
        (
            lambda: SMALL,
            {"version": "1", "header_size": 0x400, "erased_value": 0, "security_counter": 0},
            ["-v", "1", "-H", "0x400", "-R", "0", "-s", "0", "-S", "0x10000", "--pad-header"],
        ),
    ],
    ids=["inserted header", "room left by the linker", "load address", "counter zero"],
)
def test_our_image_is_that_of_imgtool_byte_for_byte(
    tmp_path: Path, algorithm: Algorithm, image: Any, options: dict[str, Any], for_imgtool: list[str]
) -> None:
    by = signer(algorithm)
    prepared = prepare(image(), by, **options)
    ours = apply(prepared.assemble(by.sign_all(prepared)), image())
    theirs = imgtool.sign(tmp_path, image(), *for_imgtool, key=by.private_file(tmp_path))
    if algorithm is Algorithm.ED25519:
        assert ours == theirs
    else:  # ECDSA signatures are random; all before them is not
        end = tlv(ours, Kind.ECDSA_SIG)[0] - 4
        start = parse(MemorySource(ours)).signed_end
        assert ours[:start] == theirs[:start]
        assert ours[start + 4 : end] == theirs[start + 4 : end]
    verify(theirs, by)


@pytest.mark.parametrize("algorithm", BOTH)
def test_an_image_that_imgtool_built_without_a_key_gets_only_the_signature(
    tmp_path: Path, algorithm: Algorithm
) -> None:
    by = signer(algorithm)
    built = imgtool.sign(tmp_path, application(), *IMGTOOL_OPTIONS, "--pad-header", key=None)
    with pytest.raises(VerificationError, match="not signed"):
        verify(built, by)
    assert imgtool.verify(tmp_path, built, by.public_key) == imgtool.NO_SIGNATURE
    prepared = prepare(built, by)
    assert prepared.options["version"] == "1.2.3+4"
    assert prepared.options["security_counter"] == 5
    image = apply(prepared.assemble(by.sign_all(prepared)), built)
    assert imgtool.verify(tmp_path, image, by.public_key) == imgtool.ACCEPTED
    end = parse(MemorySource(built)).signed_end
    assert image[:end] == built[:end]
    if algorithm is Algorithm.ED25519:
        assert image == signed(algorithm)


# Refused with the same trust anchor


COVERED = {
    "load address": lambda _: 4,
    "flags": lambda _: 16,
    "version": lambda _: 20,
    "padding of the header": lambda _: 0x1FF,
    "first payload byte": lambda _: 0x200,
    "middle of the payload": lambda _: 0x60000,
    "last payload byte": lambda protected: protected - 1,
    "security counter": lambda protected: protected + 8,
    "dependency": lambda protected: protected + 4 + 8 + 4 + 5,
}


@pytest.mark.parametrize("what", COVERED)
def test_a_flip_in_any_covered_range_is_an_invalid_hash_for_imgtool_and_refused_by_us(
    tmp_path: Path, what: str
) -> None:
    by = signer(Algorithm.ECDSA_P256_SHA256)
    image = signed(by.algorithm)
    offset = COVERED[what](0x200 + len(application()))
    assert any(part.start <= offset < part.stop for part in mcuboot.inspect(MemorySource(image)).covered)
    image = flipped(image, offset)
    assert imgtool.verify(tmp_path, image, by.public_key) == imgtool.WRONG_HASH
    with pytest.raises(VerificationError, match="image hash differs"):
        verify(image, by)


@pytest.mark.parametrize("algorithm", BOTH)
def test_a_flipped_payload_with_its_hash_recomputed_is_refused_by_the_signature(
    tmp_path: Path, algorithm: Algorithm
) -> None:
    by, image = signer(algorithm), flipped(signed(algorithm), 0x60000)
    at, _ = tlv(image, Kind.SHA256)
    end = parse(MemorySource(image)).signed_end
    image = image[:at] + hashlib.sha256(image[:end]).digest() + image[at + 32 :]
    assert imgtool.verify(tmp_path, image, by.public_key) == imgtool.NO_SIGNATURE
    with pytest.raises(VerificationError, match=f"{algorithm} signature does not verify"):
        verify(image, by)


@pytest.mark.parametrize("algorithm", BOTH)
def test_a_stripped_or_damaged_signature_is_refused_and_passes_only_where_no_key_is_asked_for(
    tmp_path: Path, algorithm: Algorithm
) -> None:
    by, image = signer(algorithm), signed(algorithm)
    start = parse(MemorySource(image)).signed_end
    stripped = image[:start] + struct.pack("<HH", 0x6907, 40) + image[start + 4 : start + 40]
    damaged = flipped(image, len(image) - 5)
    for bad, reason in [(stripped, "not signed"), (damaged, "does not verify")]:
        assert imgtool.verify(tmp_path, bad, by.public_key) == imgtool.NO_SIGNATURE
        with pytest.raises(VerificationError, match=reason):
            verify(bad, by)
        # Without a key imgtool looks at the hash alone: its known fail-open, no success of anybody.
        assert imgtool.verify(tmp_path, bad, None) == imgtool.ACCEPTED


def test_a_key_hash_that_names_another_key_is_refused() -> None:
    by, other = signer(Algorithm.ED25519), signer(Algorithm.ED25519, "stranger")
    image = signed(by.algorithm)
    at, _ = tlv(image, Kind.KEYHASH)
    swapped = image[:at] + bytes.fromhex(other.public_key.fingerprint) + image[at + 32 :]
    with pytest.raises(VerificationError, match="does not verify"):
        verify(swapped, by, other)


# The structure


def test_inspect_shows_what_an_approver_must_know_and_lists_all_that_is_not_covered() -> None:
    by = signer(Algorithm.ED25519)
    image = signed(by.algorithm)
    shown = mcuboot.inspect(MemorySource(image))
    start = 0x200 + len(application()) + 28
    assert dict(shown.facts) == {
        "Kind": "MCUboot image",
        "Version": "1.2.3+4",
        "Load address": "none",
        "Flags": "none",
        "Security counter": "5",
        "Header": "512 bytes",
        "Payload": f"{len(application())} bytes",
        "Dependency 1": "image 1 in version 2.0.1+0 or newer",
        "Hash in the image": f"{hashlib.sha256(image[:start]).hexdigest()} (right)",
    }
    assert shown.covered == (Range(0, start),)
    assert shown.uncovered == (
        (Range(start, start + 4), "length of the TLVs that follow: they must fill the rest of the file"),
        (Range(start + 4, start + 40), "hash of all covered bytes: recomputed and compared when verifying"),
        (Range(start + 40, start + 76), "hash of the public key: must be that of a trusted key"),
        (Range(start + 76, start + 144), "the signature itself"),
    )
    assert uncovered(len(image), [*shown.covered, *(part for part, _ in shown.uncovered)]) == ()
    assert [(s.name, s.algorithm, s.signer) for s in shown.signatures] == [
        ("signature", "ed25519", f"key {by.public_key.fingerprint}")
    ]


def test_inspect_says_that_the_hash_in_the_image_is_wrong_and_what_is_right() -> None:
    image = signed(Algorithm.ED25519, small=True)
    start = 0x200 + len(SMALL) + 28
    assert mcuboot.inspect(MemorySource(image)).facts["Hash in the image"].endswith("(right)")
    for at in (0x200, 0x200 + len(SMALL) - 1):
        changed = flipped(image, at)
        computed = hashlib.sha256(changed[:start]).hexdigest()
        said = mcuboot.inspect(MemorySource(changed)).facts["Hash in the image"]
        assert said.endswith(f"(WRONG, computed {computed})")


def test_inspect_says_how_much_of_a_long_tlv_it_does_not_show() -> None:
    value = bytes(64) + b"what an approver does not see"
    odd = rebuilt(signed(Algorithm.ED25519, small=True), [HASH, KEYHASH, SIGNATURE], protected=[(0x00A1, value)])
    said = mcuboot.inspect(MemorySource(odd)).facts["Protected TLV 1, 0x00a1"]
    assert said == f"{bytes(64).hex()}... 29 bytes more; SHA-256 of all {hashlib.sha256(value).hexdigest()}"
    whole = rebuilt(signed(Algorithm.ED25519, small=True), [HASH, KEYHASH, SIGNATURE], protected=[(0x00A1, bytes(64))])
    assert mcuboot.inspect(MemorySource(whole)).facts["Protected TLV 1, 0x00a1"] == bytes(64).hex()


def test_inspect_reads_the_boot_record_to_an_approver() -> None:
    by = signer(Algorithm.ECDSA_P256_SHA256)
    prepared = prepare(SMALL, by, version="1.2.3", boot_record="SPE")
    facts = mcuboot.inspect(MemorySource(apply(prepared.assemble(by.sign_all(prepared)), SMALL))).facts
    assert {label: value for label, value in facts.items() if label.startswith("Boot record")} == {
        "Boot record, role": "SPE",
        "Boot record, version": "1.2.3",
        "Boot record, signer": by.public_key.fingerprint,
        "Boot record, hash": "SHA256",
        "Boot record, measurement": bytes(32).hex(),
    }
    assert "Protected TLV 1, BOOT_RECORD" in facts


@pytest.mark.parametrize(
    "record", [b"", b"record", b"\xa1", b"\xa1\x01\x7f", b"\xa2\x01\x60\x01\x60", b"\xa0\0", b"\xb8\xff"]
)
def test_a_boot_record_that_is_none_is_said_to_be_none(record: bytes) -> None:
    odd = rebuilt(
        signed(Algorithm.ED25519, small=True), [HASH, KEYHASH, SIGNATURE], protected=[(Kind.BOOT_RECORD, record)]
    )
    assert mcuboot.inspect(MemorySource(odd)).facts["Boot record"].startswith("cannot be read: ")


def test_a_bare_application_is_described_as_one_and_is_not_claimed() -> None:
    image = MemorySource(application())
    assert not mcuboot.matches(image)
    assert mcuboot.matches(MemorySource(signed(Algorithm.ED25519)))
    shown = mcuboot.inspect(image)
    assert shown.facts["Kind"] == "application without MCUboot header"
    assert shown.covered == (Range(0, image.size),)
    with pytest.raises(FormatError, match="no MCUboot header"):
        mcuboot.verify(image, Trust(keys=()), {})


def rebuilt(
    image: bytes, entries: list[tuple[int, bytes]], *, protected: list[tuple[int, bytes]] | None = None
) -> bytes:
    """Put other TLVs behind header and payload of an image, with a right hash, so that only their kinds offend."""
    found = parse(MemorySource(image))
    payload_end = found.header.header_size + found.header.image_size
    inner = [(e.kind, e.value) for e in found.protected] if protected is None else protected

    def area(magic: int, tlvs: list[tuple[int, bytes]]) -> bytes:
        body = b"".join(struct.pack("<HH", kind, len(value)) + value for kind, value in tlvs)
        return struct.pack("<HH", magic, 4 + len(body)) + body if tlvs else b""

    middle = area(0x6908, inner)
    head = image[:10] + struct.pack("<H", len(middle)) + image[12:payload_end] + middle
    digest = hashlib.sha256(head).digest()
    return head + area(0x6907, [(kind, digest if kind == Kind.SHA256 else value) for kind, value in entries])


KEYHASH, HASH, SIGNATURE = (Kind.KEYHASH, bytes(32)), (Kind.SHA256, b""), (Kind.ED25519, bytes(64))


@pytest.mark.parametrize(
    ("entries", "protected", "reason"),
    [
        ([HASH, KEYHASH, SIGNATURE, (Kind.SEC_CNT, bytes(4))], None, "SHA256, KEYHASH, ED25519, SEC_CNT; accepted"),
        (
            [HASH, KEYHASH, SIGNATURE, KEYHASH, SIGNATURE],
            None,
            "accepted are one hash, KEYHASH or PUBKEY, and one signature",
        ),
        ([KEYHASH, HASH, SIGNATURE], None, "accepted are one hash, KEYHASH or PUBKEY, and one signature"),
        ([HASH, KEYHASH, (0x00A0, b"vendor"), SIGNATURE], None, "0x00a0"),
        ([HASH, KEYHASH, (Kind.ECDSA224, bytes(56))], None, "ECDSA224"),
        ([HASH, KEYHASH, (Kind.RSA2048_PSS, bytes(255))], None, "RSA2048_PSS has 255 bytes, not 256"),
        ([HASH, KEYHASH, SIGNATURE], [(Kind.BOOT_RECORD, b"x")] * 2, "more than one boot record"),
        ([HASH, KEYHASH, SIGNATURE], [KEYHASH], "TLV KEYHASH inside the protected area"),
        ([HASH, KEYHASH, SIGNATURE], [(Kind.SEC_CNT, bytes(4))] * 2, "more than one security counter"),
        ([HASH, KEYHASH, SIGNATURE], [(Kind.SEC_CNT, bytes(3))], "SEC_CNT has 3 bytes, not 4"),
        ([HASH, KEYHASH, (Kind.ED25519, bytes(63))], None, "ED25519 has 63 bytes, not 64"),
    ],
)
def test_tlvs_beyond_what_the_bootloader_needs_are_refused(
    entries: list[tuple[int, bytes]], protected: list[tuple[int, bytes]] | None, reason: str
) -> None:
    by = signer(Algorithm.ED25519)
    image = signed(by.algorithm, small=True)
    with pytest.raises(VerificationError, match="not trusted"):  # the same without the offence
        verify(rebuilt(image, [HASH, KEYHASH, SIGNATURE]), by)
    with pytest.raises(FormatError, match=reason):
        verify(rebuilt(image, entries, protected=protected), by)


def test_inspect_lists_tlvs_it_does_not_know_and_says_which_of_them_nobody_signed() -> None:
    odd = rebuilt(
        signed(Algorithm.ED25519, small=True),
        [HASH, KEYHASH, (Kind.RSA3072_PSS, bytes(384)), (0x00A0, b"loose")],
        protected=[(Kind.BOOT_RECORD, b"record"), (0x00A1, b"")],
    )
    shown = mcuboot.inspect(MemorySource(odd))
    assert shown.facts["Protected TLV 1, BOOT_RECORD"] == b"record".hex()
    assert shown.facts["Protected TLV 2, 0x00a1"] == "empty"
    assert shown.facts["Security counter"] == "none"
    assert [reason for _, reason in shown.uncovered][3:] == [
        "the signature itself",
        "TLV 0x00a0 outside the protected area: refused when verifying",
    ]
    assert [s.algorithm for s in shown.signatures] == ["rsa-pss-sha256"]


def test_a_protected_area_that_the_header_denies_is_refused_although_imgtool_takes_it(tmp_path: Path) -> None:
    by = signer(Algorithm.ED25519)
    assert isinstance(by.key, ed25519.Ed25519PrivateKey)
    start = parse(MemorySource(signed(by.algorithm, small=True))).signed_end
    covered = bytearray(signed(by.algorithm, small=True)[:start])
    covered[10:12] = b"\0\0"
    image_hash = hashlib.sha256(covered).digest()
    key_hash = bytes.fromhex(by.public_key.fingerprint)
    tlvs = struct.pack("<HH", 0x10, 32) + image_hash + struct.pack("<HH", 0x01, 32) + key_hash
    tlvs += struct.pack("<HH", 0x24, 64) + by.key.sign(image_hash)
    image = bytes(covered) + struct.pack("<HH", 0x6907, 4 + len(tlvs)) + tlvs
    assert imgtool.verify(tmp_path, image, by.public_key) == imgtool.ACCEPTED
    with pytest.raises(FormatError, match="TLV area begins with 0x6908, not 0x6907"):
        verify(image, by)


@pytest.mark.parametrize(
    ("offset", "value", "reason"),
    [
        (0, b"\x00", "no MCUboot header"),
        (8, b"\x1f\x00", "states its own size as 31 bytes"),
        (10, b"\x00\x00", "TLV area begins with 0x6908, not 0x6907"),
        (10, b"\x1d\x00", "protected TLVs of 28 bytes, the header says 29"),
        (12, b"\xff\xff\xff\xff", "header and payload end at 0x1000001ff, the image at"),
        (0x200 + 200 + 2, b"\x03\x00", "TLV area states its size as 3 bytes"),
        (0x200 + 200 + 6, b"\x05\x00", "SEC_CNT has 5 bytes"),
        (0x200 + 200 + 14, b"\x0d\x00", "TLV DEPENDENCY of 13 bytes leaves its area"),
        (16, b"\x04", "image flags not supported: ENCRYPTED_AES128"),
        (16, b"\x00\x06\x00\x80", "not supported: COMPRESSED_LZMA1, COMPRESSED_LZMA2, 0x80000000"),
    ],
)
def test_a_structure_that_contradicts_itself_is_refused_with_the_place(offset: int, value: bytes, reason: str) -> None:
    by = signer(Algorithm.ED25519)
    image = bytearray(signed(by.algorithm, small=True))
    image[offset : offset + len(value)] = value
    with pytest.raises(FormatError, match=reason):
        verify(bytes(image), by)


@pytest.mark.parametrize("algorithm", BOTH)
def test_a_signed_image_cut_anywhere_or_with_bytes_behind_it_is_refused(algorithm: Algorithm) -> None:
    by, image = signer(algorithm), signed(algorithm, small=True)
    for cut in range(len(image)):
        with pytest.raises((FormatError, VerificationError)):
            verify(image[:cut], by)
        try:
            mcuboot.inspect(MemorySource(image[:cut]))
        except FormatError:
            continue
        assert cut < 4  # without its magic it is any file
    for more in (b"\x00", b"\xff" * 1000):
        with pytest.raises(FormatError, match="bytes follow the TLVs, which no signature covers"):
            verify(image + more, by)


def test_every_flipped_byte_of_a_signed_image_is_refused() -> None:
    by = signer(Algorithm.ED25519)
    image = signed(by.algorithm, small=True)
    for at in range(len(image)):
        with pytest.raises((FormatError, VerificationError)):
            verify(flipped(image, at), by)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_mutated_images_are_refused_and_never_crash(data: st.DataObject) -> None:
    by = signer(Algorithm.ED25519)
    original = signed(by.algorithm, small=True)
    image = bytearray(original)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.one_of(st.integers(0, 40), st.integers(700, len(image))))
        image[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    if bytes(image) == original:
        return
    source = MemorySource(bytes(image))
    with pytest.raises((FormatError, VerificationError)):
        verify(source.data, by)
    for call in (mcuboot.inspect, lambda s: prepare(s.data, by, version="1.0.0")):
        with contextlib.suppress(FormatError):
            call(source)


# Preparing


@pytest.mark.parametrize("algorithm", BOTH)
@pytest.mark.parametrize("room", [False, True])
def test_frozen_options_prepare_the_same_again_and_the_patch_leads_back(algorithm: Algorithm, room: bool) -> None:
    by, image = signer(algorithm), (bytes(0x200) if room else b"") + application()
    first = prepare(image, by, **OPTIONS)
    assert first.options["pad_header"] is not room
    again = prepare(image, by, **first.options)
    assert again.slots == first.slots
    assert again.options == first.options
    patch = first.assemble(by.sign_all(again))
    result = apply(patch, image)
    verify(result, by)
    assert apply(patch.inverse(), result) == image
    built = prepare(image, by, version="9")
    assert built.slots[0].digest != first.slots[0].digest


def test_the_slot_names_the_exact_bytes_that_are_signed() -> None:
    for algorithm in BOTH:
        by = signer(algorithm)
        prepared = prepare(application(), by, **OPTIONS)
        (slot,) = prepared.slots
        assert (slot.name, slot.key_profile, slot.algorithm) == ("signature", "test/firmware", algorithm)
        assert slot.message.digest(MemorySource(application()), "sha256") == slot.digest
        image = signed(algorithm)
        image_hash = hashlib.sha256(image[: parse(MemorySource(image)).signed_end]).digest()
        if algorithm is Algorithm.ED25519:
            assert slot.whole_message == image_hash
        else:
            assert (slot.whole_message, slot.digest) == (None, image_hash)


def test_frozen_options_of_a_built_image_may_be_given_again_but_not_changed(tmp_path: Path) -> None:
    by = signer(Algorithm.ED25519)
    built = imgtool.sign(tmp_path, SMALL, *IMGTOOL_OPTIONS, "--pad-header", key=None)
    first = prepare(built, by, version="1.2.3+4", slot_size=0x2000)
    assert prepare(built, by, **first.options).slots == first.slots
    for change in (
        {"version": "1.2.3+5"},
        {"header_size": 0x400},
        {"load_address": 1},
        {"security_counter": 6},
        {"dependencies": [{"image": 2, "version": "2.0.1+0"}]},
        {"pad_header": True},
        {"erased_value": 255},
    ):
        with pytest.raises(FormatError, match=f"option {next(iter(change))} says .* the image is built already"):
            prepare(built, by, **change)


def test_signing_twice_is_refused() -> None:
    for algorithm in BOTH:
        with pytest.raises(FormatError, match="signed already") as caught:
            prepare(signed(algorithm), signer(Algorithm.ED25519))
        assert caught.value.code is Code.ALREADY_SIGNED


def test_a_built_image_whose_hash_is_wrong_or_that_has_other_tlvs_is_refused(tmp_path: Path) -> None:
    by = signer(Algorithm.ED25519)
    built = imgtool.sign(tmp_path, SMALL, *IMGTOOL_OPTIONS, "--pad-header", key=None)
    prepare(built, by)
    padded = imgtool.sign(tmp_path, SMALL, *IMGTOOL_OPTIONS, "--pad-header", "--pad", key=None)
    sha512 = imgtool.sign(tmp_path, SMALL, *IMGTOOL_OPTIONS, "--pad-header", "--sha", "512", key=None)
    for image, reason in [
        (flipped(built, 0x210), "not the hash of the image"),
        (padded, "bytes follow the TLVs"),
        (sha512, "are SHA512; an image to be signed with ed25519 has SHA256 alone"),
        (rebuilt(built, [HASH, KEYHASH]), "are SHA256, KEYHASH; an image to be signed"),
        (rebuilt(built, []), "bytes wanted, the image ends at"),
    ]:
        with pytest.raises(FormatError, match=reason):
            prepare(image, by)


@pytest.mark.parametrize(
    ("image", "options", "reason"),
    [
        (SMALL, {}, "needs a version"),
        (SMALL, {"version": "1.2.3.4"}, "'1.2.3.4' is not a version"),
        (SMALL, {"version": "256.0.0+0"}, "is not a version"),
        (SMALL, {"version": "1", "header_size": 16}, "header_size: 16 is outside 32..65535"),
        (SMALL, {"version": "1", "align": 3}, "align: expected one of"),
        (SMALL, {"version": "1", "colour": "red"}, "unknown members"),
        (SMALL, {"version": "1", "pad_header": False}, "the first 0x200 bytes are not zeros"),
        (bytes(0x200), {"version": "1", "pad_header": False}, "are not zeros before a payload"),
        (SMALL, {"version": "1", "slot_size": 1200}, "and trailer of 432 do not fit the slot of 1200"),
        (SMALL, {"version": "1", "dependencies": [{"image": 0, "version": "x"}]}, "is not a version"),
        (b"\x96\xf3\xb8\x3d" + SMALL, {"version": "1"}, "big-endian"),
        (b"", {"version": "1"}, "image is empty"),
        (b"\x3d\xb8\xf3\x96", {"version": "1"}, "32 bytes wanted, the image ends at 0x4"),
    ],
)
def test_what_cannot_become_an_image_is_refused_with_the_reason(
    image: bytes, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(FormatError, match=reason):
        prepare(image, signer(Algorithm.ED25519), **options)


@pytest.mark.parametrize("overwrite_only", [False, True])
@pytest.mark.parametrize("align", [1, 8, 32])
def test_the_smallest_slot_is_that_of_imgtool(tmp_path: Path, align: int, overwrite_only: bool) -> None:
    by = signer(Algorithm.ED25519)  # its signatures all have one length
    options = {"version": "1", "align": align, "overwrite_only": overwrite_only}
    image_size = 0x200 + len(SMALL) + 4 + 36 + 36 + 68
    boot_align = max(8, align)
    trailer = (2 if overwrite_only else 4) * boot_align + max(16, boot_align)
    smallest = image_size + trailer + (0 if overwrite_only else 128 * 3 * align)
    prepare(SMALL, by, **options, slot_size=smallest)
    with pytest.raises(FormatError, match="do not fit the slot"):
        prepare(SMALL, by, **options, slot_size=smallest - 1)
    arguments = ["-v", "1", "-H", "0x200", "--pad-header", "--align", str(align)]
    arguments += ["--overwrite-only"] if overwrite_only else []
    key = by.private_file(tmp_path)
    imgtool.sign(tmp_path, SMALL, *arguments, "-S", str(smallest), key=key)
    done = imgtool.imgtool(
        "sign", *arguments, "-S", str(smallest - 1), "-k", key, tmp_path / "application.bin", tmp_path / "out.bin"
    )
    assert "exceeds requested size" in done.stderr


class Enormous:
    """A source that says it is large; reading it would be the mistake."""

    size = MAX_IMAGE_BYTES + 1

    def read(self, offset: int, length: int) -> bytes:
        assert length <= 4, "a large image is refused unread"
        return b"\x3d\xb8\xf3\x96"[offset : offset + length]


def test_an_image_that_no_slot_holds_is_refused_unread() -> None:
    by = signer(Algorithm.ED25519)
    for call in (
        lambda: mcuboot.inspect(Enormous()),
        lambda: mcuboot.verify(Enormous(), by.trust, {}),
        lambda: mcuboot.prepare(Enormous(), [by.signing_key()], {"version": "1"}, targets.ANY),
    ):
        with pytest.raises(FormatError, match="at most 1073741824 are accepted"):
            call()


def test_keys_and_targets_that_cannot_verify_are_refused_before_anything_is_signed() -> None:
    image = MemorySource(SMALL)
    ecdsa, edwards = signer(Algorithm.ECDSA_P256_SHA256), signer(Algorithm.ED25519)
    rsa, p384 = signer(Algorithm.RSA_PSS_SHA256), signer(Algorithm.ECDSA_P384_SHA384)
    rsa_4096, pkcs1 = signer(Algorithm.RSA_PSS_SHA256, bits=4096), signer(Algorithm.RSA_PKCS1_SHA256)
    builds = targets.MCUBOOT_BUILDS
    for by, target in [
        (rsa_4096, targets.ANY),
        (rsa_4096, targets.MCUBOOT),
        (pkcs1, targets.ANY),
        (signer(Algorithm.ECDSA_P521_SHA512), targets.ANY),
        (rsa, builds["rsa-3072"]),
        (ecdsa, builds["ecdsa-p384"]),
        (p384, builds["ecdsa-p256"]),
        (ecdsa, builds["ed25519"]),
        (edwards, builds["ecdsa-p256"]),
        (edwards, targets.UBOOT_QEMU_ARM64),
    ]:
        with pytest.raises(FormatError) as caught:
            mcuboot.prepare(image, [by.signing_key()], {"version": "1"}, target)
        assert caught.value.code is Code.TARGET_CANNOT_VERIFY
    for keys in ([], [ecdsa.signing_key(), edwards.signing_key()]):
        with pytest.raises(FormatError, match=f"one key, {len(keys)} were given"):
            mcuboot.prepare(image, keys, {"version": "1"}, targets.MCUBOOT)


def test_a_signature_that_does_not_verify_is_never_put_into_an_image() -> None:
    """imgtool embeds whatever --fix-sig holds and says nothing."""
    for algorithm in BOTH:
        by = signer(algorithm)
        prepared = prepare(SMALL, by, version="1")
        good = by.sign_all(prepared)["signature"]
        for bad in (flipped(good, 20), good + b"\x00", good[:-1], b""):
            with pytest.raises(SealwrightError, match="does not verify"):
                prepared.assemble({"signature": bad})


def test_the_recipe_of_the_documentation_verifies_without_us(tmp_path: Path) -> None:
    """Runs the shell lines of docs/formats/mcuboot.md as they stand there."""
    by = signer(Algorithm.ECDSA_P256_SHA256)
    page = (PROJECT / "docs" / "formats" / "mcuboot.md").read_text()
    recipe = page.split("Without any tool of theirs")[1].split("```")[1]
    image = signed(by.algorithm)
    pem, encoding = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.Encoding.PEM
    (tmp_path / "maker.pub.pem").write_bytes(by.public_key.key.public_bytes(encoding, pem))
    for content, answer in [(image, "Verified OK"), (flipped(image, 0x60000), "Verification failure")]:
        (tmp_path / "app.signed.bin").write_bytes(content)
        done = subprocess.run(["sh", "-c", recipe], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert answer in done.stdout
