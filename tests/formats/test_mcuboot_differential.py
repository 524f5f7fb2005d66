"""MCUboot: what imgtool makes with the same parameters is what we make, for every algorithm and every option it has."""

import base64
import random
from pathlib import Path
from typing import Any

import pytest
from tests.formats.throwaway import Signer, signer
from tests.verifiers import imgtool

from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm
from sealwright.formats import mcuboot, targets
from sealwright.formats.interface import Trust
from sealwright.formats.mcuboot_layout import Kind, parse

KEYS = {
    "rsa-2048": (Algorithm.RSA_PSS_SHA256, 2048),
    "rsa-3072": (Algorithm.RSA_PSS_SHA256, 3072),
    "ecdsa-p256": (Algorithm.ECDSA_P256_SHA256, 2048),
    "ecdsa-p384": (Algorithm.ECDSA_P384_SHA384, 2048),
    "ed25519": (Algorithm.ED25519, 2048),
}
SIGNATURES = (Kind.RSA2048_PSS, Kind.RSA3072_PSS, Kind.ECDSA_SIG, Kind.ED25519)
DEVICE = "a0000000-1111-4222-8333-444444444444"


def key_of(name: str, who: str = "maker") -> Signer:
    algorithm, bits = KEYS[name]
    return signer(algorithm, who, bits)


def sign(image: bytes, by: Signer, **options: Any) -> bytes:
    prepared = mcuboot.prepare(MemorySource(image), [by.signing_key()], options, targets.MCUBOOT)
    again = mcuboot.prepare(MemorySource(image), [by.signing_key()], prepared.options, targets.MCUBOOT)
    assert (again.slots, again.options) == (prepared.slots, prepared.options)
    return b"".join(prepared.assemble(by.sign_all(prepared)).apply(MemorySource(image)))


def verify(image: bytes, *by: Signer) -> None:
    mcuboot.verify(MemorySource(image), Trust(keys=tuple(s.public_key for s in by)), {})


def without_signature(image: bytes) -> tuple[bytes, list[tuple[int, bytes]]]:
    """All that is deterministic: everything covered, and the TLVs but for the signature."""
    found = parse(MemorySource(image))
    return image[: found.signed_end], [(e.kind, e.value) for e in found.entries if e.kind not in SIGNATURES]


def case(seed: int) -> tuple[str, bytes, dict[str, Any], list[str]]:
    """Draw a key, an application, our options and the same ones for imgtool."""
    draw = random.Random(seed)  # noqa: S311  (inputs, no secrets)
    name, yes = list(KEYS)[seed % len(KEYS)], True
    application = b"\x01" + draw.randbytes(draw.choice((0, 1, 15, 16, 200, 4096, 70_000)))
    version = f"{draw.randrange(256)}.{draw.randrange(256)}.{draw.randrange(65536)}+{draw.randrange(1 << 32)}"
    header_size, align = draw.choice((32, 0x200, 0x400, 4096)), draw.choice((1, 4, 8, 16, 32))
    ours: dict[str, Any] = {"version": version, "header_size": header_size, "align": align, "slot_size": 0x40000}
    theirs = ["-v", version, "-H", str(header_size), "--align", str(align), "-S", "0x40000"]

    def both(option: str, value: Any, *arguments: str) -> None:
        if draw.random() < 0.5:
            ours[option] = value
            theirs.extend(arguments)

    if draw.random() < 0.5:
        application = bytes(header_size) + application
    else:
        theirs.append("--pad-header")
        both("erased_value", 0, "-R", "0")
    address = draw.randrange(1, 1 << 32)
    if draw.random() < 0.5:
        both("load_address", address, "-L", hex(address))
    else:
        both("rom_fixed", address, "-F", hex(address))
    counter, image = draw.randrange(1 << 32), draw.randrange(256)
    both("non_bootable", yes, "--non-bootable")
    both("security_counter", counter, "-s", str(counter))
    role = "CoprocessorFW"[: draw.randrange(1, 13)]
    both("boot_record", role, "--boot-record", role)
    both(
        "dependencies",
        [{"image": image, "version": "1.2.3+4"}, {"image": 0, "version": "9"}],
        *("-d", f"({image},1.2.3+4),(0,9.0.0+0)"),
    )
    if draw.random() < 0.5:
        ours |= {"vendor": "example.com", "image_class": draw.choice(("gateway", DEVICE))}
        theirs += ["--vid", "example.com", "--cid", ours["image_class"]]
    value = draw.randbytes(draw.randrange(1, 40))
    both("custom_tlvs", [{"kind": 0xA0, "value": value.hex()}, {"kind": 0xFFFE, "value": "61"}],
         "--custom-tlv", "0xa0", "0x" + value.hex(), "--custom-tlv", "0xfffe", "a")  # fmt: skip
    both("public_key", "full", "--public-key-format", "full")
    both("max_align", 32, "--max-align", "32")
    both("overwrite_only", yes, "--overwrite-only")
    if name == "ed25519":
        both("hash", "sha512", "--sha", "512")
    return name, application, ours, theirs


@pytest.mark.slow
@pytest.mark.parametrize("block", range(5))
def test_random_images_are_those_of_imgtool_and_each_accepts_the_other(tmp_path: Path, block: int) -> None:
    """55 images in all, eleven for each algorithm."""
    for seed in range(block * 11, block * 11 + 11):
        name, application, options, arguments = case(seed)
        by = key_of(name)
        ours = sign(application, by, **options)
        theirs = imgtool.sign(tmp_path, application, *arguments, key=by.private_file(tmp_path))
        assert without_signature(ours) == without_signature(theirs), (seed, options)
        if name == "ed25519":
            assert ours == theirs
        assert imgtool.verify(tmp_path, ours, by.public_key) == imgtool.ACCEPTED
        verify(theirs, by)
        with pytest.raises(VerificationError, match="not trusted"):
            verify(theirs, key_of(name, "stranger"))


@pytest.mark.parametrize("name", KEYS)
def test_imgtool_embeds_our_signature_to_the_same_bytes(tmp_path: Path, name: str) -> None:
    """With one signature for both, nothing is left to differ."""
    by, application = key_of(name), name.encode() * 500
    ours = sign(application, by, version="1.2.3", security_counter=7, boot_record="BL2")
    signature = parse(MemorySource(ours)).entries[-1].value
    (tmp_path / "signature").write_text(base64.b64encode(signature).decode())
    public = tmp_path / "public.pem"
    public.write_bytes(imgtool.public_pem(by.public_key))
    arguments = ["-v", "1.2.3", "-s", "7", "--boot-record", "BL2", "-H", "0x200", "--pad-header", "-S", "0x10000"]
    arguments += ["--fix-sig", str(tmp_path / "signature"), "--fix-sig-pubkey", str(public)]
    assert imgtool.sign(tmp_path, application, *arguments, key=None) == ours


@pytest.mark.parametrize("name", KEYS)
def test_an_image_that_imgtool_built_without_a_key_is_signed_with_every_algorithm(tmp_path: Path, name: str) -> None:
    by = key_of(name)
    options = ["-v", "7.8.9+1", "-s", "3", "-H", "32", "--pad-header", "-S", "0x10000", "-F", "0x8000"]
    options += ["--vid", DEVICE, "--custom-tlv", "0xa1", "0xbeef"]
    options += ["--sha", "384"] if name == "ecdsa-p384" else []
    built = imgtool.sign(tmp_path, b"application" * 9, *options, key=None)
    prepared = mcuboot.prepare(MemorySource(built), [by.signing_key()], {}, targets.MCUBOOT_BUILDS[name])
    assert prepared.options["rom_fixed"] == 0x8000
    assert prepared.options["vendor"] == DEVICE
    assert prepared.options["custom_tlvs"] == [{"kind": 0xA1, "value": "beef"}]
    assert imgtool.verify(tmp_path, sign(built, by), by.public_key) == imgtool.ACCEPTED
    with pytest.raises(FormatError, match="option rom_fixed says 4096, the image is built already and says 32768"):
        sign(built, by, rom_fixed=4096)


def test_a_boot_record_that_names_another_signer_is_refused(tmp_path: Path) -> None:
    """Without a key imgtool writes zeros for the signer; the signed image would attest nobody."""
    by = key_of("ecdsa-p256")
    options = ["-v", "1", "--boot-record", "SPE", "-H", "32", "--pad-header", "-S", "0x10000"]
    built = imgtool.sign(tmp_path, b"application", *options, key=None)
    with pytest.raises(FormatError, match="boot record in the image is not that of version"):
        sign(built, by)
    verify(sign(b"application", by, version="1", boot_record="SPE"), by)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"hash": "sha384"}, "MCUboot does not sign sha384 with ecdsa-p256-sha256"),
        ({"load_address": 1, "rom_fixed": 2}, "either loaded to load_address or stays at rom_fixed"),
        ({"image_class": "gateway"}, "a name is unique only within a vendor"),
        ({"boot_record": "thirteen-long"}, "boot_record: 'thirteen-long' does not match"),
        ({"custom_tlvs": [{"kind": 0x50, "value": ""}]}, "80 is outside 160..65534"),
        ({"custom_tlvs": [{"kind": 0xA0, "value": ""}] * 2}, "custom TLV 0x00a0 is given twice"),
        ({"custom_tlvs": [{"kind": 0xA0 + i, "value": "00" * 4096} for i in range(16)]}, "do not fit an area of 65535"),
        ({"align": 32, "max_align": 8}, "align of 32 is more than max_align of 8"),
    ],
)
def test_options_that_contradict_themselves_or_mcuboot_are_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        sign(b"application", key_of("ecdsa-p256"), version="1", **options)


def test_an_image_padded_to_its_slot_is_refused_by_that_name(tmp_path: Path) -> None:
    by, arguments = key_of("ed25519"), ["-v", "1", "-H", "32", "--pad-header", "-S", "0x2000", "--pad"]
    for more in ([], ["--confirm"], ["--max-align", "32"]):
        padded = imgtool.sign(tmp_path, b"application", *arguments, *more, key=by.private_file(tmp_path))
        with pytest.raises(FormatError, match="no signature covers: the image is padded to its slot, with a trailer"):
            verify(padded, by)


def test_what_imgtool_makes_beyond_our_reach_is_refused_by_name(tmp_path: Path) -> None:
    by, ecdsa = key_of("ed25519"), key_of("ecdsa-p256")
    (tmp_path / "encryption.pem").write_bytes(imgtool.public_pem(ecdsa.public_key))
    arguments = ["-v", "1", "-H", "32", "--pad-header", "-S", "0x10000"]
    for more, reason in [
        (["--pure"], "TLVs outside the protected area are SHA512, SIG_PURE, KEYHASH, ED25519; accepted are one hash"),
        (["-E", str(tmp_path / "encryption.pem")], "image flags not supported: ENCRYPTED_AES128"),
        (["--compression", "lzma2"], "image flags not supported: COMPRESSED_LZMA2"),
        (["-e", "big"], "no MCUboot header: magic is 0x3db8f396"),
    ]:
        image = imgtool.sign(tmp_path, b"application " * 1000, *arguments, *more, key=by.private_file(tmp_path))
        with pytest.raises(FormatError, match=reason):
            verify(image, by)


@pytest.mark.parametrize("name", KEYS)
def test_a_target_takes_its_own_algorithm_only_and_says_which(name: str) -> None:
    image = MemorySource(b"application")
    for other in KEYS:
        keys = [key_of(other).signing_key()]
        if other == name:
            mcuboot.prepare(image, keys, {"version": "1"}, targets.MCUBOOT_BUILDS[name])
            continue
        with pytest.raises(FormatError, match=f"target mcuboot-{name} cannot verify") as caught:
            mcuboot.prepare(image, keys, {"version": "1"}, targets.MCUBOOT_BUILDS[name])
        assert caught.value.code is Code.TARGET_CANNOT_VERIFY
        assert caught.value.hint.startswith("it accepts: ")
