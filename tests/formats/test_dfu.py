"""DFU: dfu-suffix and fwupdtool judge suffix and CRC, OpenSSL the signature inside the body."""

import contextlib
import functools
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats.dfu_files import judge, with_new_crc, with_suffix
from tests.formats.flips import flipped
from tests.formats.throwaway import Signer, signer
from tests.verifiers import dfu_util, fwupdtool

from sealwright.core.errors import Code, FormatError, SealwrightError, VerificationError
from sealwright.core.images import MemorySource, Range, uncovered
from sealwright.core.keys import Algorithm
from sealwright.core.patches import Patch
from sealwright.formats import detect, dfu, targets
from sealwright.formats.interface import Verified

WHO = Algorithm.ECDSA_P256_SHA256
OPTIONS = {"signing_time": 1_790_000_000}
FIRMWARE = bytes(range(256)) * 10
IMAGE = with_suffix(FIRMWARE)


def patch(image: bytes, who: Signer) -> Patch:
    prepared = dfu.prepare(MemorySource(image), [who.signing_key()], OPTIONS, targets.ANY)
    return prepared.assemble(who.sign_all(prepared))


def sign(image: bytes, who: Signer) -> bytes:
    return b"".join(patch(image, who).apply(MemorySource(image)))


@functools.cache
def signed() -> bytes:
    return sign(IMAGE, signer(WHO))


def verify(image: bytes, who: Signer) -> Verified:
    return dfu.verify(MemorySource(image), who.trust, {})


# Judged by others


@pytest.mark.parametrize("algorithm", [WHO, Algorithm.RSA_PSS_SHA384, Algorithm.RSA_PKCS1_SHA256])
def test_dfu_suffix_and_openssl_accept_what_we_sign_and_refuse_a_flip(tmp_path: Path, algorithm: Algorithm) -> None:
    who = signer(algorithm)
    image = sign(IMAGE, who)
    assert "Vendor ID:\t0x1209" in dfu_util.verify_suffix(tmp_path, image)
    assert "successful" in judge(tmp_path, image, who, "dfu")
    assert verify(image, who).keys == (who.public_key,)
    for at in (0, 2559, len(image) - 16, len(image) - 12):  # firmware, device release, vendor
        bad = flipped(image, at)
        assert dfu_util.WRONG_CRC in dfu_util.verify_suffix(tmp_path, bad)
        with pytest.raises(FormatError, match="DFU suffix says CRC"):
            verify(bad, who)
        recomputed = with_new_crc(bad)
        assert dfu_util.ACCEPTED in dfu_util.verify_suffix(tmp_path, recomputed)  # the CRC is no protection
        assert "content verify error" in judge(tmp_path, recomputed, who, "dfu")
        with pytest.raises(VerificationError, match="not the one that was signed"):
            verify(recomputed, who)


def test_a_flipped_crc_is_refused_by_dfu_suffix_and_us(tmp_path: Path) -> None:
    bad = flipped(signed(), len(signed()) - 1)
    assert dfu_util.WRONG_CRC in dfu_util.verify_suffix(tmp_path, bad)
    with pytest.raises(FormatError, match="DFU suffix says CRC"):
        verify(bad, signer(WHO))


def test_fwupdtool_reads_what_we_sign_and_refuses_a_flip(tmp_path: Path) -> None:
    found = fwupdtool.read(tmp_path, signed(), "dfu")
    assert not found.refusal
    assert found.facts == {"vendor": 0x1209, "product": 1, "release": 0x0200, "dfu_version": 0x0100}
    assert "CRC failed" in fwupdtool.read(tmp_path, flipped(signed(), 0), "dfu").refusal


def test_a_stranger_is_refused_by_openssl_and_us(tmp_path: Path) -> None:
    image = sign(IMAGE, signer(WHO, "stranger"))
    assert "certificate verify error" in judge(tmp_path, image, signer(WHO), "dfu")
    with pytest.raises(VerificationError, match="certificate in the file says CN=TEST ONLY stranger"):
        verify(image, signer(WHO))


def test_a_stripped_signature_is_refused(tmp_path: Path) -> None:
    assert dfu_util.ACCEPTED in dfu_util.verify_suffix(tmp_path, IMAGE)  # which is all that dfu-suffix can say
    with pytest.raises(VerificationError, match="carries no signature block"):
        verify(IMAGE, signer(WHO))


@pytest.mark.parametrize("seed", range(50))
def test_what_dfu_suffix_makes_is_read_signed_and_accepted_by_it(tmp_path: Path, seed: int) -> None:
    random = Random(seed)  # noqa: S311 - the same files at each run
    ids = {name: random.randrange(1 << 16) for name in ("vendor", "product", "device")}
    image = dfu_util.add_suffix(tmp_path, random.randbytes(random.randint(1, 5000)), **ids)
    facts = dfu.inspect(MemorySource(image)).facts
    shown = [facts[label].split()[0] for label in ("Vendor", "Product", "Device release")]
    assert shown == [f"{value:#06x}" for value in ids.values()]
    said = dfu_util.verify_suffix(tmp_path, sign(image, signer(WHO)))
    assert dfu_util.ACCEPTED in said
    assert f"Product ID:\t0x{ids['product']:04X}" in said


# The file


def test_what_is_not_the_signature_stays_and_the_inverse_patch_gives_the_image_back() -> None:
    made = patch(IMAGE, signer(WHO))
    image = b"".join(made.apply(MemorySource(IMAGE)))
    assert image.startswith(FIRMWARE)
    assert image[-16:-4] == IMAGE[-16:-4]
    assert b"".join(made.inverse().apply(MemorySource(image))) == IMAGE


def test_signing_twice_is_refused() -> None:
    with pytest.raises(FormatError, match="image is signed already") as e:
        sign(signed(), signer(WHO))
    assert e.value.code is Code.ALREADY_SIGNED


def test_frozen_options_give_the_same_slots() -> None:
    who = signer(WHO)
    first = dfu.prepare(MemorySource(IMAGE), [who.signing_key()], OPTIONS, targets.ANY)
    assert dfu.prepare(MemorySource(IMAGE), [who.signing_key()], first.options, targets.ANY).slots == first.slots


def test_inspect_shows_the_device_and_what_is_uncovered() -> None:
    found, size = dfu.inspect(MemorySource(signed())), len(signed())
    assert found.facts["Firmware"] == "2560 bytes"
    assert (found.facts["Vendor"], found.facts["Product"]) == ("0x1209", "0x0001")
    assert found.signatures[0].signer.endswith(", certificate in the file says CN=TEST ONLY maker")
    assert found.covered == (Range(0, 2560), Range(size - 16, size - 4))
    assert [part for part, _ in found.uncovered] == [Range(2560, size - 16), Range(size - 4, size)]
    assert uncovered(size, found.covered) == tuple(part for part, _ in found.uncovered)
    assert dfu.inspect(MemorySource(IMAGE)).signatures == ()
    assert detect(MemorySource(signed())) is dfu
    assert detect(MemorySource(with_suffix(b":10" + FIRMWARE))) is dfu
    assert detect(MemorySource(with_suffix(bytes.fromhex("3db8f396") + FIRMWARE))) is dfu  # MCUboot inside


def test_every_flip_with_the_crc_made_good_is_refused_or_leaves_what_is_covered() -> None:
    who, image = signer(WHO), sign(with_suffix(b"firmware"), signer(WHO))
    covered = dfu.inspect(MemorySource(image)).covered
    for at in range(len(image) - 4):
        with contextlib.suppress(SealwrightError):
            verify(with_new_crc(flipped(image, at)), who)
            assert not any(part.start <= at < part.stop for part in covered)


def test_a_file_cut_anywhere_is_refused() -> None:
    who = signer(WHO)
    for cut in range(0, len(signed()), 3):
        with pytest.raises((FormatError, VerificationError)):
            verify(signed()[:cut], who)
        with pytest.raises((FormatError, VerificationError)):
            verify(with_suffix(signed()[: min(cut, len(signed()) - 17)]), who)


TRAILER_TOO_LONG = (99999).to_bytes(4, "little") + b"SWDFUSIG"


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (b"short", "too few for a DFU suffix"),
        (bytes(100), "no DFU suffix at the end"),
        (with_suffix(b"x", version=0x0200), "bcdDFU is 0x0200"),
        (with_suffix(b"DfuSe and more"), "body begins like DfuSe, the suffix says plain DFU"),
        (with_suffix(b""), "no firmware before the suffix"),
        (with_suffix(FIRMWARE + TRAILER_TOO_LONG), "signature block of 99999 bytes does not fit"),
        (with_suffix(FIRMWARE + bytes(4) + b"SWDFUSIG"), "signature block of 0 bytes does not fit"),
        (with_new_crc(IMAGE[:-5] + b"\x11" + IMAGE[-4:]), "DFU suffix of 17 bytes"),
    ],
)
def test_a_file_that_lies_is_refused_by_name(image: bytes, message: str) -> None:
    for call in (lambda: dfu.inspect(MemorySource(image)), lambda: verify(image, signer(WHO))):
        with pytest.raises(FormatError, match=message):
            call()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_read_or_refused(data: bytes, ends_well: bool) -> None:
    image = with_suffix(data) if ends_well else data
    for call in (dfu.inspect, dfu.matches):
        with contextlib.suppress(SealwrightError):
            call(MemorySource(image))
