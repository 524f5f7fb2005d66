"""DfuSe: fwupdtool judges targets and elements, dfu-suffix suffix and CRC, OpenSSL the signature in its element."""

import contextlib
import functools
import struct
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats.dfu_files import dfuse_file, judge, with_new_crc, with_suffix
from tests.formats.flips import flipped
from tests.formats.throwaway import Signer, signer
from tests.verifiers import dfu_util, fwupdtool

from sealwright.core.errors import Code, FormatError, SealwrightError, VerificationError
from sealwright.core.images import MemorySource, Range, uncovered
from sealwright.core.keys import Algorithm
from sealwright.core.patches import Patch
from sealwright.formats import detect, dfuse, targets
from sealwright.formats.interface import Verified

WHO = Algorithm.ECDSA_P256_SHA256
ADDRESS = 0x0807_F000
OPTIONS = {"signing_time": 1_790_000_000, "signature_address": ADDRESS}
FLASH = [(0x0800_0000, bytes(range(256)) * 4), (0x0801_0000, b"tables")]
TARGETS = [(1, [(0x1FFF_C000, b"option bytes")]), (0, FLASH)]
IMAGE = dfuse_file(TARGETS)
LAST = 11 + 274 + 8 + len(b"option bytes")
"""Where the prefix of the last target stands."""


def patch(image: bytes, who: Signer, address: int = ADDRESS) -> Patch:
    options = OPTIONS | {"signature_address": address}
    prepared = dfuse.prepare(MemorySource(image), [who.signing_key()], options, targets.ANY)
    return prepared.assemble(who.sign_all(prepared))


def sign(image: bytes, who: Signer) -> bytes:
    return b"".join(patch(image, who).apply(MemorySource(image)))


@functools.cache
def signed() -> bytes:
    return sign(IMAGE, signer(WHO))


def verify(image: bytes, who: Signer) -> Verified:
    return dfuse.verify(MemorySource(image), who.trust, {})


# Judged by others


def test_fwupdtool_reads_our_elements_with_the_signature_as_the_last_one(tmp_path: Path) -> None:
    image = signed()
    found = fwupdtool.read(tmp_path, image, "dfuse")
    assert not found.refusal
    assert found.facts == {"vendor": 0x0483, "product": 0xDF11, "release": 0x0200, "dfu_version": 0x011A}
    *before, (address, block) = found.targets[-1][1]
    assert [found.targets[0], (0, before)] == TARGETS
    assert address == ADDRESS
    assert block.endswith(b"SWDFUSIG")
    assert "CRC failed" in fwupdtool.read(tmp_path, flipped(image, LAST), "dfuse").refusal
    assert "FuStructDfuFtr.sig was not valid" in fwupdtool.read(tmp_path, image[:-100], "dfuse").refusal
    cut = with_suffix(image[:-100], version=0x011A)
    assert "invalid DfuSe image size" in fwupdtool.read(tmp_path, cut, "dfuse").refusal


def test_dfu_suffix_and_openssl_accept_what_we_sign_and_refuse_a_flip(tmp_path: Path) -> None:
    who, image = signer(WHO), signed()
    assert "BCD DFU:\t0x011A" in dfu_util.verify_suffix(tmp_path, image)
    assert "successful" in judge(tmp_path, image, who, "dfuse")
    assert verify(image, who).keys == (who.public_key,)
    # alternate setting, name, address and data of an element, product
    for at in (LAST + 6, LAST + 20, LAST + 274, LAST + 290, len(image) - 14):
        bad = flipped(image, at)
        assert dfu_util.WRONG_CRC in dfu_util.verify_suffix(tmp_path, bad)
        recomputed = with_new_crc(bad)
        assert dfu_util.ACCEPTED in dfu_util.verify_suffix(tmp_path, recomputed)  # the CRC is no protection
        assert "content verify error" in judge(tmp_path, recomputed, who, "dfuse")
        with pytest.raises((VerificationError, FormatError), match=r"not the one that was signed|second target"):
            verify(recomputed, who)


def test_a_stranger_is_refused_by_openssl_and_us(tmp_path: Path) -> None:
    image = sign(IMAGE, signer(WHO, "stranger"))
    assert "certificate verify error" in judge(tmp_path, image, signer(WHO), "dfuse")
    with pytest.raises(VerificationError, match="certificate in the file says CN=TEST ONLY stranger"):
        verify(image, signer(WHO))


def test_a_stripped_signature_is_refused(tmp_path: Path) -> None:
    assert dfu_util.ACCEPTED in dfu_util.verify_suffix(tmp_path, IMAGE)
    with pytest.raises(VerificationError, match="carries no signature block"):
        verify(IMAGE, signer(WHO))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(50))
def test_what_fwupdtool_makes_is_read_signed_and_read_by_it_again(tmp_path: Path, seed: int) -> None:
    random = Random(seed)  # noqa: S311 - the same files at each run
    chosen = [
        (alternate, [(0x0800_0000 + i * 0x1000, random.randbytes(random.randint(1, 999))) for i in range(count)])
        for alternate, count in enumerate(random.choices(range(1, 5), k=random.randint(1, 3)))
    ]
    image = fwupdtool.build_dfuse(tmp_path, chosen)
    assert image == dfuse_file(chosen), "what other tests begin with is what a real tool makes"
    made = sign(image, signer(WHO))
    assert dfu_util.ACCEPTED in dfu_util.verify_suffix(tmp_path, made)
    targets_read = fwupdtool.read(tmp_path, made, "dfuse").targets
    assert targets_read[-1][1].pop()[0] == ADDRESS
    assert targets_read == chosen
    facts = dfuse.inspect(MemorySource(made)).facts
    for alternate, elements in chosen:
        for address, data in elements:
            assert facts[f"Target {alternate}, {address:#010x}"].endswith(f", {len(data)} bytes")
    verify(made, signer(WHO))


# The signature element


def test_a_moved_signature_is_refused_because_its_address_is_signed() -> None:
    at = signed().rindex(struct.pack("<I", ADDRESS))
    moved = with_new_crc(signed()[:at] + struct.pack("<I", 0x0803_0000) + signed()[at + 4 :])
    with pytest.raises(VerificationError, match=r"signature at 0x08030000, got .* at 0x0807f000"):
        verify(moved, signer(WHO))


@pytest.mark.parametrize("address", [0x0800_0000, 0x0800_03FF, 0x1FFF_C000, 0x1FFF_B900])
def test_an_address_that_an_element_uses_is_refused_before_signing(address: int) -> None:
    with pytest.raises(FormatError, match="would overlap the element at"):
        dfuse.prepare(
            MemorySource(IMAGE), [signer(WHO).signing_key()], OPTIONS | {"signature_address": address}, targets.ANY
        )


def test_an_address_at_the_end_of_memory_is_refused() -> None:
    with pytest.raises(FormatError, match="does not fit"):
        patch(IMAGE, signer(WHO), 0xFFFF_FFF0)


def test_the_image_stays_but_for_the_sizes_and_the_inverse_patch_gives_it_back() -> None:
    made = patch(IMAGE, signer(WHO))
    image = b"".join(made.apply(MemorySource(IMAGE)))
    assert b"".join(made.inverse().apply(MemorySource(image))) == IMAGE
    unlike = [i for i in range(len(IMAGE) - 16) if image[i] != IMAGE[i]]
    assert all(6 <= i < 10 or LAST + 266 <= i < LAST + 274 for i in unlike)
    assert image[-16:-4] == IMAGE[-16:-4]


def test_signing_twice_is_refused() -> None:
    with pytest.raises(FormatError, match="image is signed already") as e:
        sign(signed(), signer(WHO))
    assert e.value.code is Code.ALREADY_SIGNED


def test_frozen_options_give_the_same_slots() -> None:
    who = signer(WHO)
    first = dfuse.prepare(MemorySource(IMAGE), [who.signing_key()], OPTIONS, targets.ANY)
    assert dfuse.prepare(MemorySource(IMAGE), [who.signing_key()], first.options, targets.ANY).slots == first.slots


def test_inspect_shows_targets_and_what_is_uncovered() -> None:
    found, size, start = dfuse.inspect(MemorySource(signed())), len(signed()), len(IMAGE) - 16
    assert found.facts["Target 0, 0x08000000"] == "0x08000000-0x08000400, 1024 bytes"
    assert found.facts["Target 1"] == "@Internal Flash /1, 1 elements"
    assert found.facts["Signature address"] == "0x0807f000"
    left_out = tuple(part for part, _ in found.uncovered)
    assert left_out == (Range(6, 10), Range(LAST + 266, LAST + 274), Range(start, size - 16), Range(size - 4, size))
    assert uncovered(size, found.covered) == left_out
    assert found.signatures[0].signer.endswith(", certificate in the file says CN=TEST ONLY maker")
    assert detect(MemorySource(signed())) is dfuse


def test_every_flip_with_the_crc_made_good_is_refused_or_leaves_what_is_covered() -> None:
    who, image = signer(WHO), sign(dfuse_file([(0, [(0x0800_0000, b"firmware")])]), signer(WHO))
    covered = dfuse.inspect(MemorySource(image)).covered
    for at in range(len(image) - 4):
        with contextlib.suppress(SealwrightError):
            verify(with_new_crc(flipped(image, at)), who)
            assert not any(part.start <= at < part.stop for part in covered)


def test_a_file_cut_anywhere_is_refused() -> None:
    who = signer(WHO)
    for cut in range(0, len(signed()), 3):
        for image in (signed()[:cut], with_suffix(signed()[: min(cut, len(signed()) - 17)], version=0x011A)):
            with pytest.raises((FormatError, VerificationError)):
                verify(image, who)


def put(at: int, value: int, size: int = 4) -> bytes:
    return with_new_crc(IMAGE[:at] + value.to_bytes(size, "little") + IMAGE[at + size :])


def two(*addresses: int) -> bytes:
    return dfuse_file([(0, [(address, b"12345678") for address in addresses])])


@pytest.mark.slow
def test_what_fwupdtool_refuses_we_refuse_too(tmp_path: Path) -> None:
    """It takes some more: see docs/formats/dfuse.md."""
    refused = 0
    for at in (*range(5, 18), *range(11 + 266, 11 + 282)):  # prefix, target prefix, element
        for value in (0, 0xFF):
            bad = put(at, value, 1)
            if bad != IMAGE and fwupdtool.read(tmp_path, bad, "dfuse").refusal:
                refused += 1
                with pytest.raises(FormatError):
                    dfuse.inspect(MemorySource(bad))
    assert refused > 25


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (with_suffix(b"no prefix at all", version=0x011A), "the body has no DfuSe prefix"),
        (with_suffix(b"DfuSe", version=0x011A), "too short for a DfuSe prefix"),
        (put(5, 2, 1), "no DfuSe prefix of version 1"),
        (put(6, 5), "DFUImageSize is 5, the body has"),
        (put(10, 0, 1), "no targets"),
        (put(10, 1, 1), "bytes behind the last target"),
        (put(10, 3, 1), "body ends within a target prefix"),
        (put(11, 0), "no target prefix where one is due"),
        (put(11 + 266, 1 << 31), "target of 2147483648 bytes goes beyond the body"),
        (put(11 + 270, 1 << 31), "target of 2147483648 elements"),
        (put(11 + 270, 0), "target of 0 elements"),
        (put(11 + 270, 2), "target ends within an element"),
        (put(11 + 278, 1), "bytes behind the last element of a target"),
        (put(11 + 278, 0), "element of 0 bytes"),
        (put(11 + 278, 0xFFFF_FFFF), "element of 4294967295 bytes at 0x1fffc000 does not fit"),
        (put(LAST + 6, 1, 1), "second target for alternate setting 1"),
        (two(0x100, 0x107), "elements overlap at address 0x107"),
        (two(0x100, 0xFFFF_FFFC), "element of 8 bytes at 0xfffffffc does not fit"),
        (dfuse_file([(0, [(0, b"x\0\0\0\1\0\0\0SWDFUSIG")])]), "not an element of its own behind others"),
    ],
)
def test_a_file_that_lies_is_refused_by_name(image: bytes, message: str) -> None:
    for call in (lambda: dfuse.inspect(MemorySource(image)), lambda: verify(image, signer(WHO))):
        with pytest.raises(FormatError, match=message):
            call()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(0, len(IMAGE)))
def test_any_bytes_are_read_or_refused(data: bytes, at: int) -> None:
    for body in (data, IMAGE[:-16][:at] + data + IMAGE[:-16][at + len(data) :]):
        for call in (dfuse.inspect, dfuse.matches):
            with contextlib.suppress(SealwrightError):
                call(MemorySource(with_suffix(body, version=0x011A)))


@pytest.mark.parametrize("spread", ["elements", "targets"])
def test_inspect_says_how_much_it_does_not_list_and_what_that_is(spread: str) -> None:
    elements = [(0x0800_0000 + i * 0x1000, b"firmware") for i in range(16)]
    more = {0x1FFF_C000: b"option bytes"}

    def shown(rest: dict[int, bytes]) -> dict[str, str]:
        added = list(rest.items())
        one = [(0, elements + added)]
        several = [(i, [element]) for i, element in enumerate(elements + added)]
        return dict(dfuse.inspect(MemorySource(dfuse_file(one if spread == "elements" else several))).facts)

    label = "Target 0, elements not listed" if spread == "elements" else "Targets not listed"
    assert label not in shown({})
    said, other = shown(more)[label], shown({0x1FFF_C000: b"option bytez"})[label]
    assert said.startswith(
        "1 in 0x1fffc000-0x1fffc00c, 20 bytes of the file, " if spread == "elements" else "1, 294 bytes"
    )
    assert said != other
