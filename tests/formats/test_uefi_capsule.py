"""FMP capsules: OpenSSL judges the signature over payload and count, mkeficapsule the layout."""

import random
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats.efi_capsules import IMAGE_TYPE, MAKER, PAYLOAD, STRANGER, capsule, openssl_verify
from tests.formats.efi_images import RSA, put
from tests.formats.flips import flipped
from tests.formats.throwaway import Signer, signer
from tests.verifiers import mkeficapsule

from sealwright.core import records
from sealwright.core.errors import Code, FormatError, SealwrightError, VerificationError
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm
from sealwright.core.patches import Patch
from sealwright.formats import capsule_layout, detect, targets, uefi_capsule
from sealwright.formats.interface import Trust, Verified

SIGNED = capsule(fw_version=7, lowest_supported_version=5, monotonic_count=3)
PAYLOAD_AT = len(SIGNED) - len(PAYLOAD)
BODY_AT = capsule_layout.BODY_AT
SIZES = (24, 68)
"""Where CapsuleImageSize and UpdateImageSize stand."""


def check(data: bytes, who: Signer = MAKER) -> Verified:
    return uefi_capsule.verify(MemorySource(data), who.trust, {})


def resized(data: bytes) -> bytes:
    """Put right the two sizes that firmware looks at."""
    data = put(data, SIZES[0], struct.pack("<I", len(data)))
    return put(data, SIZES[1], struct.pack("<I", len(data) - BODY_AT))


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
@pytest.mark.parametrize("options", [{}, {"fw_version": 7, "lowest_supported_version": 5}], ids=["plain", "versioned"])
def test_openssl_accepts_what_we_sign(tmp_path: Path, bits: int, options: dict[str, int]) -> None:
    who = signer(RSA, "maker", bits)
    signed = capsule(who=who, **options)
    judged = openssl_verify(signed, who.anchor(tmp_path), tmp_path)
    assert (judged.returncode, "Verification successful" in judged.stderr) == (0, True)
    assert check(signed, who).keys == (who.public_key,)


def test_fifty_random_capsules_have_the_layout_of_mkeficapsule(tmp_path: Path) -> None:
    dice = random.Random(9)  # noqa: S311  (a repeatable choice)
    key, anchor = MAKER.private_file(tmp_path), MAKER.anchor(tmp_path)
    for _ in range(50):
        payload = dice.randbytes(dice.randrange(1, 3_000))
        index, instance, count = dice.randint(1, 255), dice.getrandbits(40), dice.getrandbits(50)
        ours = capsule(payload, image_index=index, hardware_instance=instance, monotonic_count=count)
        build = {"image_type": IMAGE_TYPE, "index": index, "instance": instance}
        unsigned = mkeficapsule.build(payload, tmp_path, **build)  # type: ignore[arg-type]
        assert capsule(unsigned, monotonic_count=count) == ours
        theirs = mkeficapsule.build(
            payload,
            tmp_path,
            **build,
            count=count,
            key=key,
            certificate=anchor,  # type: ignore[arg-type]
        )
        head = put(put(theirs[: BODY_AT + 8], 24, ours[24:28]), 68, ours[68:72])  # their PKCS #7 has another length
        assert ours[: BODY_AT + 8] == head
        assert ours[BODY_AT + 12 : BODY_AT + 32] == theirs[BODY_AT + 12 : BODY_AT + 32]
        assert ours.endswith(payload)
        assert theirs.endswith(payload)


def test_we_verify_what_mkeficapsule_signs_and_refuse_its_flips(tmp_path: Path) -> None:
    key, anchor = MAKER.private_file(tmp_path), MAKER.anchor(tmp_path)
    theirs = mkeficapsule.build(PAYLOAD, tmp_path, image_type=IMAGE_TYPE, count=5, key=key, certificate=anchor)
    assert openssl_verify(theirs, anchor, tmp_path).returncode == 0
    assert check(theirs).keys == (MAKER.public_key,)
    for at in (BODY_AT, len(theirs) - 1):
        assert "Verification failure" in openssl_verify(flipped(theirs, at), anchor, tmp_path).stderr
        with pytest.raises(VerificationError, match="not what was signed"):
            check(flipped(theirs, at))
    with pytest.raises(VerificationError, match="not trusted"):
        check(theirs, STRANGER)
    for at in range(BODY_AT + 8, len(theirs) - len(PAYLOAD)):
        try:
            assert check(flipped(theirs, at)).keys == (MAKER.public_key,)
        except (FormatError, VerificationError):
            continue


def test_a_flip_in_each_part_is_refused_by_openssl_and_by_us(tmp_path: Path) -> None:
    anchor = MAKER.anchor(tmp_path)
    assert openssl_verify(SIGNED, anchor, tmp_path).returncode == 0
    for at in (BODY_AT, BODY_AT + 7, PAYLOAD_AT - 8, PAYLOAD_AT - 4, PAYLOAD_AT, len(SIGNED) - 1):
        judged = openssl_verify(flipped(SIGNED, at), anchor, tmp_path)
        assert (judged.returncode != 0, "Verification failure" in judged.stderr) == (True, True), hex(at)
        with pytest.raises(VerificationError, match="not what was signed") as e:
            check(flipped(SIGNED, at))
        assert e.value.code is Code.IMAGE_MISMATCH
    in_signature = flipped(SIGNED, PAYLOAD_AT - 17)
    assert openssl_verify(in_signature, anchor, tmp_path).returncode != 0
    with pytest.raises(VerificationError, match="not what was signed"):
        check(in_signature)


def test_another_payload_with_its_sizes_put_right_is_refused(tmp_path: Path) -> None:
    for forged in (resized(SIGNED + b"tail"), resized(SIGNED[:-1])):
        assert "Verification failure" in openssl_verify(forged, MAKER.anchor(tmp_path), tmp_path).stderr
        with pytest.raises(VerificationError, match="not what was signed"):
            check(forged)


def test_a_stranger_is_refused_under_the_same_name(tmp_path: Path) -> None:
    namesake = signer(RSA, "maker", 3072)
    signed = capsule(who=namesake)
    judged = openssl_verify(signed, MAKER.anchor(tmp_path), tmp_path)
    assert (judged.returncode != 0, "certificate verify error" in judged.stderr) == (True, True)
    with pytest.raises(VerificationError, match="certificate in the file says CN=TEST ONLY maker") as e:
        check(signed)
    assert e.value.code is Code.NOT_TRUSTED
    assert check(signed, namesake)


def test_a_stripped_signature_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match="carries no signature"):
        check(mkeficapsule.build(PAYLOAD, tmp_path, image_type=IMAGE_TYPE))
    stripped = SIGNED[: BODY_AT + 8] + SIGNED[PAYLOAD_AT - 16 :]
    with pytest.raises(FormatError, match="only PKCS #7 is read"):
        check(resized(stripped))


def test_without_an_anchor_nothing_is_accepted(tmp_path: Path) -> None:
    assert openssl_verify(SIGNED, None, tmp_path).returncode != 0
    with pytest.raises(VerificationError, match="not trusted"):
        uefi_capsule.verify(MemorySource(SIGNED), Trust(keys=()), {})


def test_a_flip_anywhere_is_refused_or_lies_where_inspect_says() -> None:
    """The headers are not covered: who changes type, index, instance or flags sends firmware to another device."""
    uncovered = uefi_capsule.inspect(MemorySource(SIGNED)).uncovered
    assert [(part.start, part.stop) for part, _ in uncovered] == [(0, BODY_AT), (BODY_AT + 8, PAYLOAD_AT - 16)]
    accepted = set()
    for at in range(PAYLOAD_AT + 16):
        try:
            assert check(flipped(SIGNED, at)).keys == (MAKER.public_key,)
        except (FormatError, VerificationError):
            continue
        accepted.add(at)
    flags, image_type, instance = range(20, 24), range(48, 65), range(76, 84)
    assert {at for at in accepted if at < BODY_AT} == {*flags, *image_type, *instance}
    assert not {at for at in accepted if at >= PAYLOAD_AT - 16}


def test_a_capsule_cut_anywhere_is_refused_and_never_crashes() -> None:
    for at in [*range(PAYLOAD_AT + 32), *range(PAYLOAD_AT + 32, len(SIGNED), 97), len(SIGNED) - 1]:
        with pytest.raises((FormatError, VerificationError)):
            check(SIGNED[:at])
        if at > BODY_AT:
            with pytest.raises((FormatError, VerificationError)):
                check(resized(SIGNED[:at]))


def test_bytes_behind_the_payload_are_refused() -> None:
    with pytest.raises(FormatError, match=r"says \d+ bytes"):
        check(SIGNED + b"\0")


def test_firmware_without_a_capsule_is_refused() -> None:
    with pytest.raises(FormatError, match="not an FMP capsule"):
        check(PAYLOAD)


def test_signing_twice_is_refused_and_says_why() -> None:
    with pytest.raises(FormatError, match="certificate in the file says CN=TEST ONLY maker") as e:
        capsule(SIGNED)
    assert e.value.code is Code.ALREADY_SIGNED


def test_the_payload_stays_as_it_was_and_the_inverse_restores_the_image(tmp_path: Path) -> None:
    unsigned = mkeficapsule.build(PAYLOAD, tmp_path, image_type=IMAGE_TYPE, index=9, instance=4)
    for data, options in ((PAYLOAD, {"image_type": IMAGE_TYPE}), (unsigned, {})):
        prepared = uefi_capsule.prepare(MemorySource(data), [MAKER.signing_key()], options, targets.ANY)
        made = prepared.assemble(MAKER.sign_all(prepared))
        signed = b"".join(made.apply(MemorySource(data)))
        assert signed.endswith(PAYLOAD)
        assert b"".join(made.inverse().apply(MemorySource(signed))) == data
        assert records.parse(Patch, records.serialise(made)) == made
    found = capsule_layout.read(MemorySource(capsule(unsigned)))
    assert (found.image_type, found.image_index, found.hardware_instance) == (IMAGE_TYPE, 9, 4)


def test_frozen_options_give_the_same_slots_and_signing_is_deterministic() -> None:
    chosen = {"image_type": IMAGE_TYPE, "fw_version": 7, "lowest_supported_version": 5}
    target = targets.TARGETS["u-boot-capsule"]
    first = uefi_capsule.prepare(MemorySource(PAYLOAD), [MAKER.signing_key()], chosen, target)
    again = uefi_capsule.prepare(MemorySource(PAYLOAD), [MAKER.signing_key()], first.options, target)
    assert first.options == {**chosen, "monotonic_count": 0}
    assert first.slots == again.slots
    assert first.assemble(MAKER.sign_all(first)) == again.assemble(MAKER.sign_all(again))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_type": None}, "option image_type is missing"),
        ({"image_type": "not a GUID"}, "image_type: 'not a GUID' does not match"),
        ({"image_index": 0}, "image_index: 0 is outside 1..255"),
        ({"fw_version": 1 << 32, "lowest_supported_version": 0}, "fw_version: 4294967296 is outside"),
        ({"fw_version": 3}, "belong together"),
        ({"lowest_supported_version": 3}, "belong together"),
        ({"fw_version": 3, "lowest_supported_version": 4}, "not above the first"),
        ({"driver": 1}, "unknown members"),
    ],
)
def test_wrong_options_are_refused_by_name(options: dict[str, object], message: str) -> None:
    chosen = {"image_type": IMAGE_TYPE, **options}
    with pytest.raises(FormatError, match=message) as e:
        uefi_capsule.prepare(
            MemorySource(PAYLOAD),
            [MAKER.signing_key()],
            {name: value for name, value in chosen.items() if value is not None},
            targets.ANY,
        )
    assert e.value.code is Code.INVALID_DOCUMENT


def test_what_a_capsule_says_of_itself_stays(tmp_path: Path) -> None:
    unsigned = mkeficapsule.build(PAYLOAD, tmp_path, image_type=IMAGE_TYPE)
    with pytest.raises(FormatError, match="stay what they are"):
        capsule(unsigned, image_index=2)
    versioned = capsule_layout.Versions(fw_version=7, lowest_supported_version=5).pack() + PAYLOAD
    with pytest.raises(FormatError, match="has a payload header already"):
        capsule(versioned, fw_version=8, lowest_supported_version=5)
    assert capsule(versioned, monotonic_count=3) == SIGNED
    with pytest.raises(FormatError, match="capsule flags 0x50000"):
        capsule(put(unsigned, 20, b"\0\0\5\0"))


@pytest.mark.parametrize("algorithm", [Algorithm.ECDSA_P256_SHA256, Algorithm.RSA_PSS_SHA256, Algorithm.ED25519])
def test_other_algorithms_are_refused_with_what_would_work(algorithm: Algorithm) -> None:
    with pytest.raises(FormatError, match=f"cannot verify {algorithm}") as e:
        capsule(who=signer(algorithm))
    assert (e.value.code, e.value.hint) == (Code.TARGET_CANNOT_VERIFY, "it accepts: rsa-pkcs1-sha256")


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (16, b"\0", "capsule header of 0 bytes"),
        (24, b"\xff\xff\xff\xff", "says 4294967295 bytes"),
        (28, b"\2", "version 2"),
        (32, b"\1", "with 1 drivers"),
        (34, b"\xff\xff", "65535 payloads"),
        (36, b"\xff" * 8, "payloads at 0xffffffffffffffff"),
        (36, b"\0", "payloads at 0x0"),
        (44, b"\2", "image header of version 2"),
        (65, b"\1", "image of"),
        (68, b"\xff", "image of"),
        (72, b"\xff\xff\xff\xff", "vendor code of 4294967295|image of"),
        (84, b"\2", "capsule support 0x2"),
        (BODY_AT + 8, b"\0\0\0\0", "WIN_CERTIFICATE_UEFI_GUID of 0 bytes"),
        (BODY_AT + 8, b"\xff\xff\xff\xff", "WIN_CERTIFICATE_UEFI_GUID of 4294967295 bytes"),
        (BODY_AT + 8, b"\x19\0\0\0", "DER|PKCS"),
        (BODY_AT + 14, b"\0", "only PKCS #7 is read"),
        (PAYLOAD_AT - 12, b"\0", "payload header of 0 bytes"),
        (PAYLOAD_AT - 4, b"\xff", "version 7 but lowest supported 255"),
    ],
)
def test_a_header_that_lies_is_refused_by_name(at: int, value: bytes, message: str) -> None:
    for read in (uefi_capsule.inspect, lambda source: uefi_capsule.verify(source, MAKER.trust, {})):
        with pytest.raises(FormatError, match=message):
            read(MemorySource(put(SIGNED, at, value)))


class Sparse:
    """An image of zeros that nobody stores."""

    size = 0xFFFFFFF0

    def read(self, offset: int, length: int) -> bytes:
        return bytes(min(length, self.size - offset))


def test_an_image_that_leaves_no_room_is_refused_before_it_is_read() -> None:
    with pytest.raises(FormatError, match="sizes in a capsule end at 4294967295"):
        uefi_capsule.prepare(Sparse(), [MAKER.signing_key()], {"image_type": IMAGE_TYPE}, targets.ANY)


def test_inspect_tells_an_approver_what_it_is() -> None:
    found = uefi_capsule.inspect(MemorySource(SIGNED))
    assert found.facts["Kind"] == "FMP capsule, signed"
    assert found.facts["Image type"] == IMAGE_TYPE
    assert found.facts["Firmware version"] == "7"
    assert found.facts["Lowest supported version"] == "5"
    assert found.facts["Monotonic count"] == "3"
    assert found.facts["Signature"] == "by the key in it, over this payload and count"
    changed = uefi_capsule.inspect(MemorySource(flipped(SIGNED, len(SIGNED) - 1)))
    assert changed.facts["Signature"] == "does not match this file"
    assert [(s.algorithm, s.signer) for s in found.signatures] == [("rsa-pkcs1-sha256", MAKER.claim)]
    parts = sorted([*found.covered, *(part for part, _ in found.uncovered)], key=lambda part: part.start)
    assert [p.start for p in parts] == [0, *(p.stop for p in parts[:-1])]
    assert parts[-1].stop == len(SIGNED)
    plain = uefi_capsule.inspect(MemorySource(PAYLOAD))
    assert plain.facts["Kind"] == "firmware, not yet in a capsule"
    assert plain.facts["Firmware version"].startswith("none")


def test_capsules_are_recognised_and_others_are_not(tmp_path: Path) -> None:
    assert detect(MemorySource(SIGNED)) is uefi_capsule
    assert detect(MemorySource(mkeficapsule.build(PAYLOAD, tmp_path, image_type=IMAGE_TYPE))) is uefi_capsule
    for other in (b"", SIGNED[:15], PAYLOAD, bytes(100)):
        assert not uefi_capsule.matches(MemorySource(other))


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_never_crash(data: bytes) -> None:
    for start in (0, 16, 28, 44, BODY_AT, BODY_AT + 32):
        for source in (MemorySource(SIGNED[:start] + data), MemorySource(put(SIGNED, start, data))):
            uefi_capsule.matches(source)
            try:
                uefi_capsule.inspect(source)
                uefi_capsule.verify(source, MAKER.trust, {})
            except SealwrightError:
                continue
            assert source.data[BODY_AT : BODY_AT + 8] == SIGNED[BODY_AT : BODY_AT + 8]
            assert source.data[PAYLOAD_AT - 16 :] == SIGNED[PAYLOAD_AT - 16 :]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(SIGNED) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_mutated_capsules_never_crash_nor_change_what_was_signed(changes: list[tuple[int, int]]) -> None:
    data = bytearray(SIGNED)
    for at, value in changes:
        data[at] = value
    try:
        check(bytes(data))
    except SealwrightError:
        return
    assert (
        data[BODY_AT : BODY_AT + 8] + data[PAYLOAD_AT - 16 :]
        == SIGNED[BODY_AT : BODY_AT + 8] + SIGNED[PAYLOAD_AT - 16 :]
    )


def test_a_strangers_capsule_around_our_payload_is_refused() -> None:
    with pytest.raises(VerificationError, match="not trusted"):
        check(capsule(who=STRANGER))
