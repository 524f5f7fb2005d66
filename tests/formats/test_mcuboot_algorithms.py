"""MCUboot with each of its algorithms: imgtool and OpenSSL accept, and refuse every forgery with the same key."""

import hashlib
import struct
import subprocess
from pathlib import Path

import pytest
from tests.conftest import require_tool
from tests.formats.flips import flipped
from tests.formats.test_mcuboot_differential import KEYS, SIGNATURES, key_of, sign, verify
from tests.formats.throwaway import Signer
from tests.verifiers import imgtool

from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.images import MemorySource, Range, uncovered
from sealwright.formats import mcuboot
from sealwright.formats.mcuboot_layout import Kind, parse

APPLICATION = bytes(range(256)) * 4
OPTIONS = {"version": "1.2.3", "header_size": 64, "security_counter": 5, "boot_record": "SPE"}
HASHES = {Kind.SHA256: "sha256", Kind.SHA384: "sha384", Kind.SHA512: "sha512"}
PUBLIC_KEYS = ["hash", "full"]


def signed(by: Signer, public_key: str = "hash", **more: object) -> bytes:
    return sign(APPLICATION, by, **OPTIONS, public_key=public_key, **more)


def with_right_hash(image: bytes) -> bytes:
    """Recompute the hash in an image, as an attacker would."""
    found = parse(MemorySource(image))
    entry = found.entries[0]
    digest = hashlib.new(HASHES[Kind(entry.kind)], image[: found.signed_end]).digest()
    return image[: entry.at + 4] + digest + image[entry.end :]


@pytest.mark.parametrize("public_key", PUBLIC_KEYS)
@pytest.mark.parametrize("name", KEYS)
def test_imgtool_accepts_each_algorithm_and_refuses_a_stranger(tmp_path: Path, name: str, public_key: str) -> None:
    by, stranger = key_of(name), key_of(name, "stranger")
    image = signed(by, public_key)
    assert imgtool.verify(tmp_path, image, by.public_key) == imgtool.ACCEPTED
    verify(image, stranger, by)
    assert imgtool.verify(tmp_path, image, stranger.public_key) == imgtool.NO_SIGNATURE
    with pytest.raises(VerificationError, match="signed by a key that is not trusted") as caught:
        verify(image, stranger)
    assert caught.value.code is Code.NOT_TRUSTED


@pytest.mark.parametrize("name", [name for name in KEYS if name != "ed25519"])
def test_openssl_accepts_the_signature_over_the_covered_bytes_and_refuses_a_flip(tmp_path: Path, name: str) -> None:
    by = key_of(name)
    image = signed(by)
    found = parse(MemorySource(image))
    (tmp_path / "signature").write_bytes(found.entries[-1].value)
    command = [require_tool("openssl"), "dgst", "-" + by.algorithm.hash_name, "-prverify", by.private_file(tmp_path)]
    if name.startswith("rsa"):
        command += ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"]
    command += ["-signature", tmp_path / "signature", tmp_path / "covered"]
    covered = image[: found.signed_end]
    for content, answer in [(covered, "Verified OK"), (flipped(covered, 100), "Verification failure")]:
        (tmp_path / "covered").write_bytes(content)
        assert answer in subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout


@pytest.mark.parametrize("name", KEYS)
def test_a_flip_is_an_invalid_hash_and_with_the_hash_recomputed_an_invalid_signature(tmp_path: Path, name: str) -> None:
    by = key_of(name)
    image = signed(by)
    bad = flipped(image, 64 + 500)
    assert imgtool.verify(tmp_path, bad, by.public_key) == imgtool.WRONG_HASH
    with pytest.raises(VerificationError, match="image hash differs"):
        verify(bad, by)
    bad = with_right_hash(bad)
    assert imgtool.verify(tmp_path, bad, by.public_key) == imgtool.NO_SIGNATURE
    with pytest.raises(VerificationError, match=f"{by.algorithm} signature does not verify"):
        verify(bad, by)
    bad = flipped(image, len(image) - 9)
    assert imgtool.verify(tmp_path, bad, by.public_key) == imgtool.NO_SIGNATURE
    with pytest.raises(VerificationError, match=f"{by.algorithm} signature does not verify"):
        verify(bad, by)


@pytest.mark.parametrize("name", KEYS)
def test_a_stripped_signature_is_refused_with_each_algorithm(tmp_path: Path, name: str) -> None:
    by = key_of(name)
    image = signed(by)
    found = parse(MemorySource(image))
    kept = image[found.signed_end + 4 : found.entries[0].end]
    stripped = image[: found.signed_end] + struct.pack("<HH", 0x6907, 4 + len(kept)) + kept
    assert imgtool.verify(tmp_path, stripped, by.public_key) == imgtool.NO_SIGNATURE
    with pytest.raises(VerificationError, match="not signed"):
        verify(stripped, by)


@pytest.mark.parametrize("public_key", PUBLIC_KEYS)
@pytest.mark.parametrize("name", KEYS)
def test_every_flipped_byte_and_every_cut_is_refused(name: str, public_key: str) -> None:
    by = key_of(name)
    image = sign(b"\x01" * 40, by, version="1", header_size=32, public_key=public_key)
    verify(image, by)
    for at in range(len(image)):
        with pytest.raises((FormatError, VerificationError)):
            verify(flipped(image, at), by)
        with pytest.raises((FormatError, VerificationError)):
            verify(image[:at], by)


@pytest.mark.parametrize("name", KEYS)
def test_inspect_names_the_algorithm_and_leaves_no_byte_unexplained(name: str) -> None:
    by = key_of(name)
    image = signed(by, "full", vendor="example.com", image_class="gateway", rom_fixed=0x8000, non_bootable=True)
    shown = mcuboot.inspect(MemorySource(image))
    assert [s.algorithm for s in shown.signatures] == [str(by.algorithm)]
    assert shown.signatures[0].signer.startswith("key in the image, SHA-256 ")
    assert shown.facts["Flags"] == "NON_BOOTABLE, ROM_FIXED"
    assert shown.facts["Load address"] == "0x8000"
    assert shown.facts["Vendor identifier"] == "cfbff0d1-9375-5685-968c-48ce8b15ae17"
    assert "Protected TLV 2, BOOT_RECORD" in shown.facts
    reasons = [reason for _, reason in shown.uncovered]
    assert reasons[2:] == ["the public key: must be a trusted one", "the signature itself"]
    assert uncovered(len(image), [*shown.covered, *(part for part, _ in shown.uncovered)]) == ()
    assert shown.covered == (Range(0, parse(MemorySource(image)).signed_end),)


def test_a_signature_of_another_kind_than_the_named_key_is_refused() -> None:
    """The TLV says ECDSA, the key hash names the trusted RSA key: the bootloader has one algorithm for each key."""
    rsa, ecdsa = key_of("rsa-2048"), key_of("ecdsa-p256")
    image = signed(ecdsa)
    named = parse(MemorySource(image)).entries[1]
    of_rsa = parse(MemorySource(signed(rsa))).entries[1].value
    bad = image[: named.at + 4] + of_rsa + image[named.end :]
    with pytest.raises(VerificationError, match="ECDSA_SIG over SHA256 is no signature of the key"):
        verify(bad, rsa, ecdsa)
    assert parse(MemorySource(image)).entries[-1].kind in SIGNATURES


def test_an_image_for_ram_and_for_a_fixed_place_at_once_is_refused() -> None:
    by = key_of("ed25519")
    image = bytearray(signed(by, load_address=0x2000_0000))
    struct.pack_into("<I", image, 16, 0x120)
    with pytest.raises(FormatError, match="to be loaded to RAM and to stay at a fixed place"):
        verify(bytes(image), by)
