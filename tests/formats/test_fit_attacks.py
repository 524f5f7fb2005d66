"""Attacks on signed FIT images, by name: each changes bytes that no signature covers, or moves those it covers.

Seeds: CVE-2026-46728, CVE-2020-10648, and the generators vboot_evil and vboot_forge of U-Boot's own test tree.
"""

import hashlib
import struct
from pathlib import Path

import pytest
from tests.formats.fits import (
    DEV,
    STRANGER,
    Recipe,
    anchor,
    devicetree,
    inserted,
    kernel,
    node_of,
    property_of,
    replaced,
    sign,
    with_other_kernel,
)
from tests.formats.throwaway import Signer
from tests.verifiers import uboot

from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm
from sealwright.formats import fdt, fit
from sealwright.formats.fdt_splice import StringTable, encode_node, encode_property
from sealwright.formats.interface import Trust, Verified

NOT_SIGNED_BY_A_TRUSTED_KEY = "no trusted key made a signature over configuration 'conf-1'"
TWO_CONFIGURATIONS = {
    "conf-1": {"kernel": ["kernel-1"], "fdt": ["fdt-1"]},
    "conf-2": {"kernel": ["kernel-1"], "fdt": ["fdt-2"]},
}


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return sign(Recipe().build(tmp_path_factory.mktemp("fit")))


@pytest.fixture(scope="module")
def signed_twice(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Two configurations, both signed."""
    recipe = Recipe(parts=(kernel(), devicetree(), devicetree("fdt-2")), configurations=TWO_CONFIGURATIONS)
    return sign(recipe.build(tmp_path_factory.mktemp("fit")))


@pytest.fixture(scope="module")
def external(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return sign(Recipe(mkimage=("-E",)).build(tmp_path_factory.mktemp("fit")))


def verify(image: bytes) -> Verified:
    return fit.verify(MemorySource(image), DEV.trust, {})


def strings_of(image: bytes) -> StringTable:
    return StringTable(fdt.parse(MemorySource(image)).strings)


def test_what_the_attacks_start_from_verifies(signed: bytes, signed_twice: bytes, external: bytes) -> None:
    assert verify(signed).keys == verify(external).keys == (DEV.public_key,)
    assert [s.name for s in verify(signed_twice).signatures] == ["conf-1/signature-1", "conf-2/signature-1"]


def test_cve_2026_46728_the_genuine_image_hidden_and_hashed_nodes_rewritten(signed: bytes) -> None:
    """The genuine kernel node moves where nothing boots it, so that the *listed* bytes hash to what was signed."""
    forged = with_hidden_genuine_kernel(signed)
    assert trusting_hashed_nodes_accepts(signed)
    assert trusting_hashed_nodes_accepts(forged), "the attack must work on a verifier that trusts the list"
    with pytest.raises(VerificationError, match=NOT_SIGNED_BY_A_TRUSTED_KEY):
        verify(forged)
    boot = uboot.boot(forged, anchor())
    assert "Failed to verify required signature 'key-dev'" in boot.console
    assert not boot.kernel_ran


def test_cve_2026_46728_hashed_nodes_shortened_and_the_image_swapped(signed: bytes) -> None:
    swapped = with_other_kernel(signed)
    nodes = property_of(swapped, "/configurations/conf-1/signature-1", "hashed-nodes")
    shortened = b"/\0/configurations/conf-1\0".ljust(len(nodes), b"\0")
    with pytest.raises(VerificationError, match=NOT_SIGNED_BY_A_TRUSTED_KEY):
        verify(replaced(swapped, "/configurations/conf-1/signature-1", "hashed-nodes", shortened))


def test_hashed_nodes_alone_are_never_trusted(signed: bytes) -> None:
    path = "/configurations/conf-1/signature-1"
    assert verify(replaced(signed, path, "hashed-nodes", b"x" * len(property_of(signed, path, "hashed-nodes"))))


def test_cve_2020_10648_the_default_points_to_an_added_configuration(signed: bytes, tmp_path: Path) -> None:
    evil = uboot.fdtput(signed, tmp_path, "-c", "/configurations/conf-2")
    evil = uboot.fdtput(evil, tmp_path, "-t", "s", "/configurations/conf-2", "kernel", "kernel-1")
    evil = uboot.fdtput(evil, tmp_path, "-t", "s", "/configurations", "default", "conf-2")
    with pytest.raises(VerificationError, match="configuration 'conf-2' carries no signature") as refused:
        verify(evil)
    assert refused.value.code is Code.NOT_TRUSTED


def test_the_default_points_nowhere(signed: bytes) -> None:
    with pytest.raises(FormatError, match="the default configuration 'conf-9' does not exist"):
        verify(replaced(signed, "/configurations", "default", b"conf-9\0"))


def test_the_default_among_signed_configurations_is_not_protected_and_inspect_says_so(signed_twice: bytes) -> None:
    """What the format cannot do: the default is under no signature.  Evidence notices, it knows every byte."""
    swapped = replaced(signed_twice, "/configurations", "default", b"conf-2\0")
    assert verify(swapped)
    reasons = [reason for _, reason in fit.inspect(MemorySource(signed_twice)).uncovered]
    assert "/configurations: property default is under no signature" in reasons


def test_an_unsigned_configuration_is_added(signed: bytes, tmp_path: Path) -> None:
    added = uboot.fdtput(signed, tmp_path, "-c", "/configurations/extra")
    added = uboot.fdtput(added, tmp_path, "-t", "s", "/configurations/extra", "kernel", "kernel-1")
    with pytest.raises(VerificationError, match="configuration 'extra' carries no signature"):
        verify(added)


def test_an_image_under_no_configuration_is_added(signed: bytes) -> None:
    """``bootm addr:evil-1`` boots a single image, configurations or not."""
    strings, other = strings_of(signed), b"evil"
    content = encode_property(strings, "data", other) + encode_node(
        "hash-1",
        encode_property(strings, "algo", b"sha256\0")
        + encode_property(strings, "value", hashlib.sha256(other).digest()),
    )
    added = inserted(signed, (node_of(signed, "/images").end, encode_node("evil-1", content)))
    with pytest.raises(FormatError, match="no configuration refers to image 'evil-1'"):
        verify(added)


def test_the_signature_is_moved_to_another_configuration(signed_twice: bytes) -> None:
    first = property_of(signed_twice, "/configurations/conf-1/signature-1", "value")
    moved = replaced(signed_twice, "/configurations/conf-2/signature-1", "value", first)
    with pytest.raises(VerificationError, match="no trusted key made a signature over configuration 'conf-2'"):
        verify(moved)


def test_two_configurations_exchange_their_names(signed_twice: bytes) -> None:
    one, two = (node_of(signed_twice, f"/configurations/conf-{n}").start + 4 for n in (1, 2))
    image = bytearray(signed_twice)
    image[one : one + 6], image[two : two + 6] = b"conf-2", b"conf-1"
    with pytest.raises(VerificationError, match="no trusted key made a signature over configuration 'conf-2'"):
        verify(bytes(image))


def test_the_configuration_refers_to_another_image(signed_twice: bytes) -> None:
    with pytest.raises((VerificationError, FormatError), match=r"no trusted key|no configuration refers"):
        verify(replaced(signed_twice, "/configurations/conf-1", "fdt", b"fdt-2\0"))


def test_the_configuration_gets_another_reference(signed: bytes, tmp_path: Path) -> None:
    for name in ("firmware", "x-any-name"):
        with pytest.raises(VerificationError, match=NOT_SIGNED_BY_A_TRUSTED_KEY):
            verify(uboot.fdtput(signed, tmp_path, "-t", "s", "/configurations/conf-1", name, "kernel-1"))


def test_the_payload_is_swapped(signed: bytes) -> None:
    data = property_of(signed, "/images/kernel-1", "data").replace(b"RUNNING", b"HIJACKD")
    with pytest.raises(VerificationError, match="/images/kernel-1/hash-1 is not the hash of the data") as refused:
        verify(replaced(signed, "/images/kernel-1", "data", data))
    assert refused.value.code is Code.IMAGE_MISMATCH


def test_the_payload_is_swapped_and_its_hash_recomputed(signed: bytes) -> None:
    with pytest.raises(VerificationError, match=NOT_SIGNED_BY_A_TRUSTED_KEY):
        verify(with_other_kernel(signed))


def test_a_hash_node_is_told_to_be_ignored(signed: bytes, tmp_path: Path) -> None:
    path = "/images/kernel-1/hash-1"
    with pytest.raises(FormatError, match="no hash node that protects its data"):
        verify(uboot.fdtput(signed, tmp_path, "-t", "i", path, "uboot-ignore", "1"))


def test_the_hash_algorithm_is_weakened(signed: bytes, tmp_path: Path) -> None:
    weak = uboot.fdtput(signed, tmp_path, "-t", "s", "/images/kernel-1/hash-1", "algo", "crc32")
    weak = uboot.fdtput(weak, tmp_path, "-t", "bx", "/images/kernel-1/hash-1", "value", "0", "0", "0", "0")
    with pytest.raises(FormatError, match=r"no hash node that protects its data \(found: crc32\)"):
        verify(weak)


def test_the_signature_algorithm_is_weakened(signed: bytes, tmp_path: Path) -> None:
    for algo in ("sha1,rsa2048", "sha256,rsa4096", "sha512,rsa2048", "sha256,ecdsa256"):
        weak = uboot.fdtput(signed, tmp_path, "-t", "s", "/configurations/conf-1/signature-1", "algo", algo)
        with pytest.raises(VerificationError, match=NOT_SIGNED_BY_A_TRUSTED_KEY):
            verify(weak)


def test_the_signature_is_stripped(signed: bytes, tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match="configuration 'conf-1' carries no signature"):
        verify(uboot.fdtput(signed, tmp_path, "-r", "/configurations/conf-1/signature-1"))


def test_one_of_two_signatures_is_stripped_from_one_configuration(signed_twice: bytes, tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match="configuration 'conf-2' carries no signature"):
        verify(uboot.fdtput(signed_twice, tmp_path, "-r", "/configurations/conf-2/signature-1"))


def test_each_configuration_is_signed_by_a_key_of_its_own(tmp_path: Path) -> None:
    recipe = Recipe(parts=(kernel(), devicetree(), devicetree("fdt-2")), configurations=TWO_CONFIGURATIONS)
    first = sign(recipe.build(tmp_path), DEV, configurations=["conf-1"])
    both = sign(first, STRANGER, configurations=["conf-2"])
    trust = fit_trust(DEV, STRANGER)
    with pytest.raises(VerificationError, match="no one trusted key signed every configuration"):
        fit.verify(MemorySource(both), trust, {})
    with pytest.raises(VerificationError, match="over configuration 'conf-2'"):
        verify(both)


def test_a_stranger_signed(signed: bytes) -> None:
    with pytest.raises(VerificationError, match=NOT_SIGNED_BY_A_TRUSTED_KEY):
        fit.verify(MemorySource(signed), STRANGER.trust, {})
    with pytest.raises(VerificationError, match=NOT_SIGNED_BY_A_TRUSTED_KEY):
        fit.verify(MemorySource(signed), fit_trust(), {})


def test_two_nodes_have_one_name(signed: bytes) -> None:
    start, stop = extent(signed, "/images/kernel-1")
    with pytest.raises(FormatError, match="/images has two nodes named kernel-1"):
        verify(inserted(signed, (start, signed[start:stop])))


def test_there_are_two_configurations_nodes(signed: bytes) -> None:
    start, stop = extent(signed, "/configurations")
    with pytest.raises(FormatError, match="/ has two nodes named configurations"):
        verify(inserted(signed, (start, signed[start:stop])))


def test_a_property_is_given_twice(signed: bytes) -> None:
    item = node_of(signed, "/configurations/conf-1").properties["kernel"]
    with pytest.raises(FormatError, match="two properties named kernel"):
        verify(inserted(signed, (item.start, signed[item.start : item.stop])))


@pytest.mark.parametrize("path", ["/images/kernel-1", "/configurations/conf-1", "/configurations"])
def test_a_name_with_unit_address_shadows_another(signed: bytes, path: str) -> None:
    """libfdt finds ``kernel-1@x`` when asked for ``kernel-1``."""
    start, stop = extent(signed, path)
    name = node_of(signed, path).name.encode()
    shadow = signed[start:stop]
    padded = len(name) + 1 + (-len(name) - 1) % 4
    renamed = name + b"@1\0"
    shadow = shadow[:4] + renamed + bytes(-len(renamed) % 4) + shadow[4 + padded :]
    with pytest.raises(FormatError, match="holds '@', which U-Boot refuses"):
        verify(inserted(signed, (start, shadow)))


@pytest.mark.parametrize(
    ("name", "refusal"),
    [("f@keroot", "holds '@', which U-Boot refuses"), ("fakeroot", NOT_SIGNED_BY_A_TRUSTED_KEY)],
)
def test_the_genuine_tree_moves_below_a_fake_root(signed: bytes, name: str, refusal: str) -> None:
    """vboot_evil: whoever matches paths loosely verifies the genuine nodes and boots the others."""
    evil = with_other_kernel(signed)
    parts = [signed[start:stop] for start, stop in (extent(signed, path) for path in ("/images", "/configurations"))]
    fake = inserted(evil, (node_of(evil, "/images").start, encode_node(name, b"".join(parts))))
    with pytest.raises((FormatError, VerificationError), match=refusal):
        verify(fake)
    assert not uboot.boot(fake, anchor()).kernel_ran


def test_the_configuration_gets_a_genuine_twin_below_it(signed: bytes) -> None:
    """vboot_forge: the signed nodes stay in the file, at a path that only the file's own list of nodes names."""
    start, stop = extent(signed, "/images/kernel-1")
    swapped = with_other_kernel(signed)
    twin = inserted(swapped, (node_of(swapped, "/images/kernel-1").end, encode_node("twin", signed[start:stop])))
    with pytest.raises(VerificationError, match=NOT_SIGNED_BY_A_TRUSTED_KEY):
        verify(twin)
    boot = uboot.boot(twin, anchor())
    assert "Failed to verify required signature 'key-dev'" in boot.console
    assert not boot.kernel_ran


@pytest.mark.parametrize(
    "reference", [b"/configurations/conf-1\0", b"../images/kernel-1\0", b"\0", b"kernel-1", b"kernel-1\0\xff"]
)
def test_a_reference_leaves_the_images(tmp_path: Path, reference: bytes) -> None:
    image = Recipe().build(tmp_path)
    evil = uboot.fdtput(
        image, tmp_path, "-t", "bx", "/configurations/conf-1", "kernel", *(f"{byte:x}" for byte in reference)
    )
    with pytest.raises(FormatError, match=r"refers to .*, no node of /images|is no list of strings"):
        sign(evil)


def test_a_list_without_end_hides_a_reference(tmp_path: Path) -> None:
    """U-Boot counts no strings in it, yet finds the first one."""
    evil = uboot.fdtput(
        Recipe().build(tmp_path),
        tmp_path,
        "-t",
        "bx",
        "/configurations/conf-1",
        "x-hidden",
        *b"kernel-1\0x".hex(" ").split(),
    )
    with pytest.raises(FormatError, match="x-hidden is no list of strings"):
        sign(evil)


@pytest.mark.parametrize("strings_size", [0, 0x10, 0xFFFFFFFF, 0x7FFFFFFF])
def test_hashed_strings_lies(signed: bytes, strings_size: int) -> None:
    value = struct.pack(">2I", 0, strings_size)
    with pytest.raises((VerificationError, FormatError), match=r"no trusted key made|hashed-strings"):
        verify(replaced(signed, "/configurations/conf-1/signature-1", "hashed-strings", value))


def test_data_size_lies(external: bytes) -> None:
    real = int.from_bytes(property_of(external, "/images/kernel-1", "data-size"), "big")
    for size in (real - 1, 0, real + 1):
        with pytest.raises((VerificationError, FormatError), match=r"is not the hash of|overlap"):
            verify(replaced(external, "/images/kernel-1", "data-size", size.to_bytes(4, "big")))
    for size in (0x7FFFFFFF, 0xFFFFFFFF):
        with pytest.raises(FormatError, match=r"the file at|is negative"):
            verify(replaced(external, "/images/kernel-1", "data-size", size.to_bytes(4, "big")))


def test_external_data_overlap_the_devicetree(external: bytes, tmp_path: Path) -> None:
    evil = uboot.fdtput(external, tmp_path, "-d", "/images/kernel-1", "data-offset")
    evil = uboot.fdtput(evil, tmp_path, "-t", "i", "/images/kernel-1", "data-position", "64")
    with pytest.raises(FormatError, match="overlap the devicetree"):
        verify(evil)


def test_external_data_are_given_two_places(external: bytes, tmp_path: Path) -> None:
    """Of both, U-Boot takes the position."""
    with pytest.raises(FormatError, match="data in data-offset and data-position; one place is needed"):
        verify(uboot.fdtput(external, tmp_path, "-t", "i", "/images/kernel-1", "data-position", "60000"))


def test_external_data_of_two_images_overlap(external: bytes) -> None:
    with pytest.raises(FormatError, match="overlap"):
        verify(replaced(external, "/images/fdt-1", "data-offset", (16).to_bytes(4, "big")))


def test_a_property_is_spliced_into_a_covered_node(signed: bytes) -> None:
    node = node_of(signed, "/images/kernel-1")
    evil = encode_property(strings_of(signed), "compression", b"gzip\0")
    with pytest.raises(FormatError, match="two properties named compression"):
        verify(inserted(signed, (node.properties_stop, evil)))
    evil = encode_property(strings_of(signed), "key-name-hint", b"x\0")
    with pytest.raises(VerificationError, match=NOT_SIGNED_BY_A_TRUSTED_KEY):
        verify(inserted(signed, (node.properties_stop, evil)))


def fit_trust(*signers: Signer) -> Trust:
    return Trust(keys=tuple(signer.public_key for signer in signers))


def extent(image: bytes, path: str) -> tuple[int, int]:
    node = node_of(image, path)
    return node.start, node.end + fdt.TAG.size


def with_hidden_genuine_kernel(signed: bytes) -> bytes:
    """Put an own kernel in the place of the genuine one, and the genuine node untouched inside it."""
    strings, evil = strings_of(signed), property_of(with_other_kernel(signed), "/images/kernel-1", "data")
    start, stop = extent(signed, "/images/kernel-1")
    genuine = node_of(signed, "/images/kernel-1")
    texts = {name: property_of(signed, "/images/kernel-1", name) for name in genuine.properties if name != "data"}
    content = b"".join(encode_property(strings, name, value) for name, value in (texts | {"data": evil}).items())
    digest = encode_property(strings, "value", hashlib.sha256(evil).digest())
    content += encode_node("hash-1", encode_property(strings, "algo", b"sha256\0") + digest)
    content += encode_node("kept", signed[start:stop])
    assert not strings.appended
    path = "/configurations/conf-1/signature-1"
    item = node_of(signed, path).properties["hashed-nodes"]
    nodes = property_of(signed, path, "hashed-nodes").replace(b"/images/kernel-1", b"/images/kernel-1/kept/kernel-1")
    return inserted(
        signed,
        (start, encode_node("kernel-1", content)),
        (item.start, encode_property(strings, "hashed-nodes", nodes)),
        cut=[(start, stop), (item.start, item.stop)],
    )


def trusting_hashed_nodes_accepts(image: bytes) -> bool:
    """Verify as U-Boot did before the fix: hash the nodes that the file lists."""
    tree = fdt.parse(MemorySource(image))
    path = "/configurations/conf-1/signature-1"
    listed = {name.decode() for name in property_of(image, path, "hashed-nodes").split(b"\0")}
    (_, strings_size) = struct.unpack(">2I", property_of(image, path, "hashed-strings"))
    message, want, stack = b"", 0, []
    for token in tree.tokens:
        if token.tag is fdt.Tag.BEGIN_NODE:
            stack.append(want)
            want = 2 if token.node.path in listed else max(want - 1, 0)
        is_data = token.property is not None and token.property.name == "data"
        is_tag = token.tag in {fdt.Tag.BEGIN_NODE, fdt.Tag.END_NODE}
        if token.tag is fdt.Tag.END or (want == 2 and not is_data) or (want == 1 and is_tag):
            message += image[token.start : token.stop]
        if token.tag is fdt.Tag.END_NODE:
            want = stack.pop()
    message += tree.strings[:strings_size]
    try:
        DEV.public_key.verify(
            Algorithm.RSA_PKCS1_SHA256, hashlib.sha256(message).digest(), property_of(image, path, "value")
        )
    except VerificationError:
        return False
    return True
