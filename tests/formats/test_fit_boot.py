"""Stock Debian U-Boot boots what we sign and refuses everything else, with the same key in its control devicetree."""

import random
from pathlib import Path

import pytest
from tests.formats.fits import (
    DEV,
    STRANGER,
    Part,
    Recipe,
    anchor,
    devicetree,
    inserted,
    kernel,
    node_of,
    sign,
    template,
    with_other_kernel,
)
from tests.formats.flips import flipped
from tests.formats.random_fits import random_recipe
from tests.formats.throwaway import Signer, signer
from tests.verifiers import uboot

from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm
from sealwright.formats import fdt, fit
from sealwright.formats.fit_contents import load
from sealwright.formats.fit_key_node import with_key_node
from sealwright.formats.targets import UBOOT_QEMU_ARM64

BOOT_CONF_1 = f"bootm {uboot.LOAD_ADDRESS:#x}#conf-1"
REQUIRED = "Failed to verify required signature 'key-dev'"


@pytest.fixture(scope="module")
def unsigned(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return Recipe().build(tmp_path_factory.mktemp("fit"))


@pytest.fixture(scope="module")
def signed(unsigned: bytes) -> bytes:
    return sign(unsigned, timestamp=1_700_000_000)


def test_uboot_boots_what_we_sign(signed: bytes) -> None:
    boot = uboot.boot(signed, anchor())
    assert "sha256,rsa2048:dev+ OK" in boot.console
    assert boot.kernel_ran


def test_uboot_refuses_the_unsigned_image(unsigned: bytes) -> None:
    boot = uboot.boot(unsigned, anchor())
    assert "No 'signature' subnode found" in boot.console
    assert REQUIRED in boot.console
    assert not boot.kernel_ran


def test_uboot_refuses_a_stranger_who_uses_the_same_key_name(unsigned: bytes) -> None:
    boot = uboot.boot(sign(unsigned, STRANGER), anchor())
    assert "sha256,rsa2048:dev-" in boot.console
    assert "Verification failed for '<NULL>' hash node in 'conf-1' config node" in boot.console
    assert REQUIRED in boot.console
    assert not boot.kernel_ran


def test_uboot_refuses_a_stripped_signature(signed: bytes, tmp_path: Path) -> None:
    boot = uboot.boot(uboot.fdtput(signed, tmp_path, "-r", "/configurations/conf-1/signature-1"), anchor())
    assert "No 'signature' subnode found" in boot.console
    assert REQUIRED in boot.console
    assert not boot.kernel_ran


def test_uboot_refuses_a_flipped_payload(signed: bytes) -> None:
    at = load(MemorySource(signed)).images["kernel-1"].data.start + 0x800
    boot = uboot.boot(flipped(signed, at), anchor())
    assert "sha256,rsa2048:dev+ OK" in boot.console
    assert "Bad hash value for 'hash-1' hash node in 'kernel-1' image node" in boot.console
    assert "Bad Data Hash" in boot.console
    assert not boot.kernel_ran


def test_uboot_refuses_a_flipped_payload_whose_hash_was_recomputed(signed: bytes) -> None:
    boot = uboot.boot(with_other_kernel(signed), anchor())
    assert "Verification failed for '<NULL>' hash node in 'conf-1' config node" in boot.console
    assert REQUIRED in boot.console
    assert not boot.kernel_ran


def test_uboot_refuses_a_flipped_signature(signed: bytes) -> None:
    at = node_of(signed, "/configurations/conf-1/signature-1").properties["value"].value.start + 100
    boot = uboot.boot(flipped(signed, at), anchor())
    assert REQUIRED in boot.console
    assert not boot.kernel_ran


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "description"),
        ("/images/kernel-1", "load"),
        ("/images/kernel-1", "entry"),
        ("/images/kernel-1/hash-1", "value"),
        ("/images/fdt-1", "description"),
        ("/configurations/conf-1", "fdt"),
    ],
)
def test_uboot_refuses_flipped_metadata(signed: bytes, path: str, name: str) -> None:
    node = node_of(signed, path) if path != "/" else load(MemorySource(signed)).tree.root
    item = node.properties[name]
    boot = uboot.boot(flipped(signed, item.value.start), anchor(), BOOT_CONF_1)
    assert REQUIRED in boot.console
    assert not boot.kernel_ran


def test_uboot_refuses_a_flip_in_the_middle_of_each_covered_range(signed: bytes) -> None:
    for part in fit.inspect(MemorySource(signed)).covered:
        boot = uboot.boot(flipped(signed, (part.start + part.stop) // 2), anchor(), BOOT_CONF_1)
        assert not boot.kernel_ran, f"{part} flipped and booted"
        said = (REQUIRED, "Bad hash value", "Bad FIT kernel image format", "Could not find configuration node")
        assert any(message in boot.console for message in said), boot.console


def test_without_an_anchor_uboot_boots_anything(unsigned: bytes) -> None:
    """The known fail-open: a control devicetree without a required key verifies nothing."""
    assert uboot.boot(unsigned, uboot.control_dtb()).kernel_ran
    assert uboot.boot(sign(unsigned, STRANGER), uboot.control_dtb()).kernel_ran


@pytest.mark.parametrize(
    ("algorithm", "bits"),
    [
        (Algorithm.RSA_PKCS1_SHA256, 3072),
        (Algorithm.RSA_PKCS1_SHA384, 4096),
        (Algorithm.RSA_PKCS1_SHA512, 2048),
        (Algorithm.RSA_PKCS1_SHA512, 4096),
    ],
)
def test_uboot_boots_with_other_key_sizes_and_hashes(unsigned: bytes, algorithm: Algorithm, bits: int) -> None:
    by = signer(algorithm, "dev", bits)
    boot = uboot.boot(sign(unsigned, by), anchor(by))
    assert f"{algorithm.hash_name},rsa{bits}:dev+ OK" in boot.console
    assert boot.kernel_ran
    assert REQUIRED in uboot.boot(sign(unsigned, by), anchor(DEV)).console


def test_uboot_boots_around_a_real_binary_and_refuses_it_flipped(tmp_path: Path) -> None:
    """U-Boot's own binary from its Debian package rides along as a loadable that a template's subset leaves out."""
    recipe = Recipe(
        parts=(kernel(), devicetree(), Part(name="u-boot", kind="loadables", data=uboot.UBOOT.read_bytes())),
        configurations={"conf-1": {"kernel": ["kernel-1"], "fdt": ["fdt-1"], "loadables": ["u-boot"]}},
        template=template(images=["kernel"]),
    )
    signed = sign(recipe.build(tmp_path))
    boot = uboot.boot(signed, anchor())
    assert "Trying 'u-boot' loadables subimage" in boot.console
    assert boot.kernel_ran
    at = load(MemorySource(signed)).images["u-boot"].data.stop - 1
    refused = uboot.boot(flipped(signed, at), anchor())
    assert "Bad hash value for 'hash-1' hash node in 'u-boot' image node" in refused.console
    assert not refused.kernel_ran
    changed = flipped(signed, node_of(signed, "/images/u-boot").properties["load"].value.start)
    assert REQUIRED in uboot.boot(changed, anchor()).console


def test_uboot_boots_external_data_at_offsets_and_at_fixed_positions(tmp_path: Path) -> None:
    for options in (("-E",), ("-E", "-B", "0x1000"), ("-E", "-p", "0x4000")):
        signed = sign(Recipe(mkimage=options).build(tmp_path))
        boot = uboot.boot(signed, anchor())
        assert boot.kernel_ran, f"{options}: {boot.console}"
        at = load(MemorySource(signed)).images["kernel-1"].data.start + 0x800
        assert "Bad hash value for 'hash-1'" in uboot.boot(flipped(signed, at), anchor()).console


def test_uboot_counts_nop_tags_as_we_do(unsigned: bytes) -> None:
    """Covered inside listed nodes, not covered elsewhere; U-Boot finds the same bytes or refuses."""
    nop = fdt.TAG.pack(fdt.Tag.NOP)
    paths = ("/images/kernel-1", "/images/kernel-1/hash-1", "/configurations/conf-1", "/configurations", "/images")
    places = sorted(
        {at for path in paths for node in [node_of(unsigned, path)] for at in (node.properties_stop, node.end)}
    )
    signed = sign(inserted(unsigned, *((at, nop) for at in places)))
    fit.verify(MemorySource(signed), DEV.trust, {})
    assert uboot.boot(signed, anchor()).kernel_ran


def test_uboot_demands_both_signatures_where_two_keys_are_required(unsigned: bytes) -> None:
    other = signer(Algorithm.RSA_PKCS1_SHA384, "release", 3072)
    both = fit.prepare(
        MemorySource(unsigned),
        [DEV.signing_key(), other.signing_key()],
        {"key_names": ["dev", "release"]},
        UBOOT_QEMU_ARM64,
    )
    values = {slot.name: by.sign(slot) for slot, by in zip(both.slots, (DEV, other), strict=True)}
    signed = b"".join(both.assemble(values).apply(MemorySource(unsigned)))
    control = two_anchors(other)
    assert uboot.boot(signed, control).kernel_ran
    assert "Failed to verify required signature 'key-release'" in uboot.boot(sign(unsigned), control).console


@pytest.mark.slow
def test_uboot_boots_random_fits(tmp_path: Path) -> None:
    """20 images of random shape: kinds, hashes, configurations, external data."""
    dice = random.Random(20)  # noqa: S311  (a repeatable choice)
    for _ in range(20):
        recipe = random_recipe(dice)
        signed = sign(recipe.build(tmp_path))
        fit.verify(MemorySource(signed), DEV.trust, {})
        assert "hashed-nodes" in uboot.dtc(signed, tmp_path)
        assert uboot.fdtget(signed, tmp_path, "/configurations", "default")
        boot = uboot.boot(signed, anchor(), f"bootm {uboot.LOAD_ADDRESS:#x}#{dice.choice([*recipe.configurations])}")
        assert boot.kernel_ran, boot.console


def two_anchors(other: Signer) -> bytes:
    return with_key_node(anchor(), other.public_key, other.algorithm, "release")
