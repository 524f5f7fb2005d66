"""FIT: what prepare refuses, what inspect says, and that changed, cut and random bytes are never accepted."""

import dataclasses
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats.fits import (
    DEV,
    STRANGER,
    Part,
    Recipe,
    devicetree,
    kernel,
    key_folder,
    node_of,
    property_of,
    replaced,
    sign,
    template,
)
from tests.formats.flips import flipped
from tests.formats.random_fits import random_recipe
from tests.formats.throwaway import signer
from tests.verifiers import uboot

from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.images import MemorySource, Range
from sealwright.core.keys import Algorithm
from sealwright.core.patches import PatchedSource
from sealwright.formats import FORMATS, detect, fit
from sealwright.formats.fit_contents import load
from sealwright.formats.targets import ANY, UBOOT_QEMU_ARM64

WITH_NAME = {"key_name": "dev"}


@pytest.fixture(scope="module")
def unsigned(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return Recipe().build(tmp_path_factory.mktemp("fit"))


@pytest.fixture(scope="module")
def signed(unsigned: bytes) -> bytes:
    return sign(unsigned, timestamp=1_700_000_000)


@pytest.fixture(scope="module")
def external(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return sign(Recipe(mkimage=("-E",)).build(tmp_path_factory.mktemp("fit")))


def test_the_format_is_listed_and_claims_its_images(unsigned: bytes) -> None:
    assert FORMATS["u-boot-fit"] is fit
    assert detect(MemorySource(unsigned)) is fit
    assert not any(fit.matches(MemorySource(data)) for data in (b"", b"\xd0\r\xfe\xed", b"MZ" + bytes(60)))


def test_prepare_with_frozen_options_gives_the_same_slots(unsigned: bytes) -> None:
    source, key = MemorySource(unsigned), DEV.signing_key()
    first = fit.prepare(source, [key], {**WITH_NAME, "timestamp": 7}, ANY)
    again = fit.prepare(source, [key], first.options, UBOOT_QEMU_ARM64)
    assert first.slots == again.slots
    assert first.options == again.options == {"configurations": ["conf-1"], "key_names": ["dev"], "timestamp": 7}
    assert [slot.name for slot in first.slots] == ["conf-1/signature-1"]
    values = DEV.sign_all(first)
    assert first.assemble(values) == again.assemble(values)


def test_the_inverse_patch_restores_the_image_byte_for_byte(tmp_path: Path) -> None:
    for options in ((), ("-E",), ("-E", "-B", "0x400"), ("-E", "-p", "0x4000")):
        image = Recipe(mkimage=options).build(tmp_path)
        prepared = fit.prepare(MemorySource(image), [DEV.signing_key()], WITH_NAME, ANY)
        patch = prepared.assemble(DEV.sign_all(prepared))
        signed = b"".join(patch.apply(MemorySource(image)))
        assert b"".join(patch.inverse().apply(MemorySource(signed))) == image
        assert fit.verify(PatchedSource(MemorySource(image), patch), DEV.trust, {}).keys == (DEV.public_key,)


def test_external_data_keep_their_alignment_and_fixed_positions(tmp_path: Path) -> None:
    aligned = Recipe(mkimage=("-E", "-B", "0x400")).build(tmp_path)
    assert {image.data.start % 0x400 for image in load(MemorySource(sign(aligned))).images.values()} == {0}
    fixed = Recipe(mkimage=("-E", "-p", "0x4000")).build(tmp_path)
    starts = {name: image.data.start for name, image in load(MemorySource(fixed)).images.items()}
    assert starts["kernel-1"] == 0x4000
    assert {n: i.data.start for n, i in load(MemorySource(sign(fixed))).images.items()} == starts


def test_data_at_a_fixed_position_without_room_before_them_are_refused(tmp_path: Path) -> None:
    size = int.from_bytes(Recipe(mkimage=("-E",)).build(tmp_path)[4:8], "big")
    with pytest.raises(FormatError, match=r"signing needs .* zero bytes between") as refused:
        sign(Recipe(mkimage=("-E", "-p", f"{size + 64:#x}")).build(tmp_path))
    assert "mkimage -p" in refused.value.hint


def test_a_template_is_filled_in_and_its_subset_reduces_nothing(tmp_path: Path) -> None:
    image = Recipe(template=template(images=["kernel"])).build(tmp_path)
    prepared = fit.prepare(MemorySource(image), [DEV.signing_key()], {}, ANY)
    assert prepared.options == {"configurations": ["conf-1"], "key_names": ["dev"]}
    signed = sign(image)
    listed = property_of(signed, "/configurations/conf-1/signature-1", "hashed-nodes")
    assert b"/images/fdt-1\0/images/fdt-1/hash-1\0" in listed
    assert property_of(signed, "/configurations/conf-1/signature-1", "sign-images") == b"kernel\0"
    load_address = node_of(signed, "/images/fdt-1").properties["description"].value.start
    with pytest.raises(VerificationError, match="no trusted key"):
        fit.verify(MemorySource(flipped(signed, load_address)), DEV.trust, {})


def test_a_template_for_another_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="waits for algo 'sha256,rsa4096', this signature is 'sha256,rsa2048'"):
        sign(Recipe(template=template("sha256,rsa4096")).build(tmp_path))
    with pytest.raises(FormatError, match="waits for key-name-hint 'prod', this signature is 'dev'"):
        sign(Recipe(template=template(key_name="prod")).build(tmp_path))
    pss = template().replace("algo", 'padding = "pss"; algo')
    with pytest.raises(FormatError, match=r"waits for padding 'pss', this signature is 'pkcs-1\.5'"):
        sign(Recipe(template=pss).build(tmp_path))
    with pytest.raises(FormatError, match=r"waits for padding 'pkcs-1\.5', this signature is 'pss'"):
        sign(Recipe(template=template()).build(tmp_path), signer(Algorithm.RSA_PSS_SHA256, "dev"))


def test_signing_twice_is_refused(signed: bytes) -> None:
    with pytest.raises(FormatError, match="signature-1 is signed already") as refused:
        sign(signed)
    assert refused.value.code is Code.ALREADY_SIGNED


def test_configurations_can_be_signed_one_after_the_other(tmp_path: Path) -> None:
    names = {f"Conf-{n}": {"kernel": ["kernel-1"], "fdt": ["fdt-1"]} for n in (1, 2)}
    image = Recipe(configurations=names, default="Conf-1").build(tmp_path)
    first = sign(image, configurations=["Conf-1"])
    with pytest.raises(VerificationError, match="configuration 'Conf-2' carries no signature"):
        fit.verify(MemorySource(first), DEV.trust, {})
    assert fit.verify(MemorySource(sign(first, configurations=["Conf-2"])), DEV.trust, {}).keys == (DEV.public_key,)
    slots = fit.prepare(MemorySource(image), [DEV.signing_key()], WITH_NAME, ANY).slots
    assert [slot.name for slot in slots] == ["43onf-1/signature-1", "43onf-2/signature-1"]  # ids are lower-case


def test_two_keys_make_two_slots_a_configuration(unsigned: bytes) -> None:
    other = signer(Algorithm.RSA_PKCS1_SHA512, "second", 3072)
    keys = [DEV.signing_key(), dataclasses.replace(other.signing_key(), profile="test/second")]
    source = MemorySource(unsigned)
    prepared = fit.prepare(source, keys, {"key_names": ["dev", "second"]}, ANY)
    assert [slot.name for slot in prepared.slots] == ["conf-1/signature-1", "conf-1/signature-2"]
    values = {slot.name: by.sign(slot) for slot, by in zip(prepared.slots, (DEV, other), strict=True)}
    signed = MemorySource(b"".join(prepared.assemble(values).apply(source)))
    for by in (DEV, other):
        assert fit.verify(signed, by.trust, {}).keys == (by.public_key,)
    with pytest.raises(VerificationError):
        fit.verify(signed, STRANGER.trust, {})


def test_signatures_that_fit_no_slot_are_refused(unsigned: bytes) -> None:
    prepared = fit.prepare(MemorySource(unsigned), [DEV.signing_key()], WITH_NAME, ANY)
    for wrong in ({}, {"conf-1/signature-1": b"short"}, {"conf-1/signature-1": bytes(256), "x": bytes(256)}):
        with pytest.raises(FormatError, match="do not fit the slots"):
            prepared.assemble(wrong)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"key_name": "a b"},
        {"key_name": "dev", "key_names": ["dev"]},
        {"key_names": ["dev", "other"]},
        {"key_name": "dev", "configurations": ["conf-9"]},
        {"key_name": "dev", "configurations": []},
        {"key_name": "dev", "configurations": ["conf-1", "conf-1"]},
        {"key_name": "dev", "timestamp": 1 << 32},
        {"key_name": "dev", "unknown": 1},
    ],
)
def test_wrong_options_are_refused(unsigned: bytes, options: dict[str, object]) -> None:
    with pytest.raises(FormatError) as refused:
        fit.prepare(MemorySource(unsigned), [DEV.signing_key()], options, ANY)
    assert refused.value.code is Code.INVALID_DOCUMENT


@pytest.mark.parametrize("algorithm", [Algorithm.ECDSA_P256_SHA256, Algorithm.ED25519])
def test_algorithms_the_format_cannot_carry_are_refused(unsigned: bytes, algorithm: Algorithm) -> None:
    for target in (ANY, UBOOT_QEMU_ARM64):
        with pytest.raises(FormatError) as refused:
            fit.prepare(MemorySource(unsigned), [signer(algorithm).signing_key()], WITH_NAME, target)
        assert refused.value.code is Code.TARGET_CANNOT_VERIFY


def test_a_wrong_hash_is_found_before_signing(unsigned: bytes) -> None:
    at = load(MemorySource(unsigned)).images["kernel-1"].data.start
    with pytest.raises(FormatError, match="/images/kernel-1/hash-1 is not the hash of the data"):
        sign(flipped(unsigned, at))


@pytest.mark.parametrize("hashes", [(), ("crc32",), ("sha1", "md5")])
def test_an_image_that_no_strong_hash_protects_is_refused(tmp_path: Path, hashes: tuple[str, ...]) -> None:
    with pytest.raises(FormatError, match="image 'fdt-1' has no hash node that protects its data"):
        sign(Recipe(parts=(kernel(), devicetree(hashes=hashes))).build(tmp_path))


def test_an_image_under_no_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no configuration refers to image 'fdt-2'"):
        sign(Recipe(parts=(kernel(), devicetree(), devicetree("fdt-2"))).build(tmp_path))


def test_a_dm_verity_node_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="dm-verity") as refused:
        sign(Recipe(parts=(kernel(more='dm-verity { algo = "sha256"; };'), devicetree())).build(tmp_path))
    assert refused.value.code is Code.UNSUPPORTED_IMAGE


def test_a_configuration_of_more_nodes_than_uboot_verifies_is_refused(tmp_path: Path) -> None:
    trees = [devicetree(f"fdt-{n}") for n in range(50)]
    names = {"conf-1": {"kernel": ["kernel-1"], "fdt": [tree.name for tree in trees]}}
    with pytest.raises(FormatError, match="covers 104 nodes, U-Boot verifies 100"):
        sign(Recipe(parts=(kernel(), *trees), configurations=names).build(tmp_path))


def test_every_property_of_a_configuration_counts_as_reference(tmp_path: Path) -> None:
    parts = [Part(name=f"part-{n}", kind="firmware", data=bytes([n]) * 9) for n in range(3)]
    names = {"conf-1": {"kernel": ["kernel-1"], "fdt": ["fdt-1"], "x-vendor": ["part-0", "part-1"], "fpga": ["part-2"]}}
    signed = sign(Recipe(parts=(kernel(), devicetree(), *parts), configurations=names).build(tmp_path))
    listed = property_of(signed, "/configurations/conf-1/signature-1", "hashed-nodes")
    assert all(f"/images/part-{n}/hash-1".encode() in listed for n in range(3))


def test_inspect_tells_what_it_is(signed: bytes) -> None:
    found = fit.inspect(MemorySource(signed))
    assert found.format == "u-boot-fit"
    assert found.facts["description"] == "test"
    assert found.facts["default configuration"] == "conf-1"
    assert found.facts["configuration conf-1"] == "kernel kernel-1, fdt fdt-1"
    assert found.facts["signature conf-1/signature-1"] == "signed, sha256,rsa2048 by key dev"
    assert found.facts["keys of every configuration"] == "dev"
    image = {name: fact for name, fact in found.facts.items() if name.startswith("image kernel-1")}
    data = load(MemorySource(signed)).images["kernel-1"]
    assert image == {
        "image kernel-1 description": "kernel-1",
        "image kernel-1 type": "kernel",
        "image kernel-1 arch": "arm64",
        "image kernel-1 os": "linux",
        "image kernel-1 compression": "none",
        "image kernel-1 load": "0x44000000",
        "image kernel-1 entry": "0x44000000",
        "image kernel-1 data": f"4096 bytes at {data.data.start:#x} by data",
        "image kernel-1 hash-1": f"sha256 {data.hashes[0].value.hex()}, right",
        "image kernel-1 covered": "through the hash, by the signatures of the configurations that refer to it",
    }
    assert [(s.name, s.algorithm, s.signer) for s in found.signatures] == [
        ("conf-1/signature-1", "sha256,rsa2048", "dev")
    ]


def test_inspect_says_which_images_no_signature_can_cover(tmp_path: Path) -> None:
    parts = (kernel(hashes=("crc32",)), devicetree(), devicetree("fdt-2"))
    facts = fit.inspect(MemorySource(Recipe(parts=parts).build(tmp_path))).facts
    assert facts["image kernel-1 covered"] == "no: none of its hashes protects its data"
    assert facts["image fdt-2 covered"] == "no: no configuration refers to it"
    assert facts["image fdt-1 covered"].startswith("through the hash")


def test_inspect_names_the_keys_that_signed_every_configuration(tmp_path: Path) -> None:
    names = {f"conf-{n}": {"kernel": ["kernel-1"], "fdt": ["fdt-1"]} for n in (1, 2)}
    image = Recipe(configurations=names).build(tmp_path)
    first = sign(image, configurations=["conf-1"])
    assert fit.inspect(MemorySource(first)).facts["keys of every configuration"] == "none"
    both = fit.inspect(MemorySource(sign(first, signer(Algorithm.RSA_PSS_SHA256), configurations=["conf-2"])))
    assert both.facts["keys of every configuration"] == "dev"
    assert both.facts["signature conf-2/signature-1"] == "signed, sha256,rsa2048 (pss) by key dev"


def test_a_signature_that_lies_about_itself_hides_no_other_from_inspect(signed: bytes) -> None:
    """Found by a fuzz run: U-Boot tries the next signature, and so does verify."""
    lying = replaced(signed, "/configurations/conf-1/signature-1", "hashed-strings", bytes.fromhex("0000000000002000"))
    found = fit.inspect(MemorySource(lying))
    assert found.signatures == ()
    assert found.facts["signature conf-1/signature-1"].startswith(
        "not read: /configurations/conf-1/signature-1: hashed-"
    )
    assert found.facts["keys of every configuration"] == "none"
    with pytest.raises(FormatError, match="hashed-strings 0x0 and 0x2000"):
        fit.verify(MemorySource(lying), DEV.trust, {})


def test_inspect_pins_what_nothing_covers(signed: bytes, external: bytes) -> None:
    header = "devicetree header: where the blocks lie and how long they are"
    excluded = "U-Boot leaves it out, the hash covers the data found there"
    assert [reason for _, reason in fit.inspect(MemorySource(signed)).uncovered] == [
        header,
        "memory reservation block, not used in a FIT",
        f"/images/kernel-1: data says where the data are; {excluded}",
        f"/images/fdt-1: data says where the data are; {excluded}",
        f"/images/fdt-1: data says where the data are; {excluded}",  # padding behind the value
        "/configurations: property default is under no signature",
        "/configurations/conf-1/signature-1: the signature and what is noted beside it",
        "slack of the devicetree",
    ]
    reasons = [reason for _, reason in fit.inspect(MemorySource(external)).uncovered]
    assert f"/images/kernel-1: data-offset says where the data are; {excluded}" in reasons
    assert f"/images/kernel-1: data-size says where the data are; {excluded}" in reasons


def test_inspect_accounts_for_every_byte_once(signed: bytes, unsigned: bytes, external: bytes) -> None:
    for image in (signed, unsigned, external):
        found = fit.inspect(MemorySource(image))
        parts = sorted([*found.covered, *(part for part, _ in found.uncovered)], key=lambda part: part.start)
        assert [parts[0].start, *(part.stop for part in parts)] == [*(part.start for part in parts), len(image)]


def test_signing_replaces_nothing_but_the_header(unsigned: bytes, signed: bytes) -> None:
    prepared = fit.prepare(MemorySource(unsigned), [DEV.signing_key()], WITH_NAME, ANY)
    header, *others = prepared.assemble(DEV.sign_all(prepared)).edits
    assert (header.offset, len(header.old), len(header.new)) == (0, 40, 40)
    assert all(edit.old == b"" for edit in others)
    before, after = (fit.inspect(MemorySource(image)).facts for image in (unsigned, signed))
    signatures = ("signature ", "keys of ")
    rest = [
        {name: fact for name, fact in facts.items() if not name.startswith(signatures)} for facts in (before, after)
    ]
    assert rest[0] == rest[1]
    assert (before["signature conf-1"], before["keys of every configuration"]) == ("none", "none")


def test_a_flip_is_refused_wherever_inspect_says_covered(signed: bytes, external: bytes) -> None:
    dice = random.Random(1)  # noqa: S311  (a repeatable choice)
    for image in (signed, external):
        for part in fit.inspect(MemorySource(image)).covered:
            edges = {part.start, part.stop - 1, *(dice.randrange(part.start, part.stop) for _ in range(30))}
            for at in edges:
                with pytest.raises((FormatError, VerificationError)):
                    fit.verify(MemorySource(flipped(image, at)), DEV.trust, {})


@pytest.mark.parametrize("kind", ["signed", "external"])
def test_a_cut_signed_image_is_refused_and_never_crashes(kind: str, request: pytest.FixtureRequest) -> None:
    image: bytes = request.getfixturevalue(kind)
    needed = max(part.stop for part in fit.inspect(MemorySource(image)).covered)
    for cut in (*range(200), *range(200, len(image), 13), needed - 1, len(image) - 1):
        if kind == "external" and cut >= needed:
            continue  # bytes behind the last image are under no signature
        source = MemorySource(image[:cut])
        with pytest.raises((FormatError, VerificationError)):
            fit.verify(source, DEV.trust, {})
        with pytest.raises(FormatError):
            fit.inspect(source)
        with pytest.raises(FormatError):
            fit.prepare(source, [DEV.signing_key()], WITH_NAME, ANY)


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_mutated_images_are_accepted_only_where_nothing_covers(signed: bytes, data: st.DataObject) -> None:
    payload = [image.data for image in load(MemorySource(signed)).images.values()]
    metadata = [at for at in range(len(signed)) if not any(part.start <= at < part.stop for part in payload)]
    changes = data.draw(st.dictionaries(st.sampled_from(metadata), st.integers(0, 255), min_size=1, max_size=4))
    image = bytearray(signed)
    for at, value in changes.items():
        image[at] = value
    try:
        fit.verify(MemorySource(bytes(image)), DEV.trust, {})
    except (FormatError, VerificationError):
        return
    real = [at for at in changes if image[at] != signed[at]]
    assert not any(part.start <= at < part.stop for at in real for part in covered(signed))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_mutated_unsigned_images_never_crash_prepare_and_inspect(unsigned: bytes, data: st.DataObject) -> None:
    """What prepare takes, it signs so that verify accepts it."""
    start = node_of(unsigned, "/configurations").start
    changes = data.draw(st.dictionaries(st.integers(start, len(unsigned) - 1), st.integers(0, 255), min_size=1))
    image = bytearray(unsigned)
    for at, value in changes.items():
        image[at] = value
    try:
        fit.inspect(MemorySource(bytes(image)))
        signed = sign(bytes(image))
    except FormatError:
        return
    assert fit.verify(MemorySource(signed), DEV.trust, {}).keys == (DEV.public_key,)


def covered(image: bytes) -> tuple[Range, ...]:
    return fit.inspect(MemorySource(image)).covered


def test_what_mkimage_signs_is_accepted_and_refused_when_flipped(tmp_path: Path) -> None:
    keys = key_folder(tmp_path)
    dice = random.Random(8)  # noqa: S311  (a repeatable choice)
    for _ in range(8):
        recipe = dataclasses.replace(random_recipe(dice, templates=True), mkimage=())
        signed, _ = uboot.mkimage_sign(recipe.build(tmp_path), tmp_path, keys, uboot.small_dtb())
        verified = fit.verify(MemorySource(signed), DEV.trust, {})
        assert verified.keys == (DEV.public_key,)
        assert len(verified.signatures) == len(recipe.configurations)
        at = dice.choice([part.start for part in covered(signed)])
        with pytest.raises((FormatError, VerificationError)):
            fit.verify(MemorySource(flipped(signed, at)), DEV.trust, {})


def test_what_mkimage_signs_in_part_is_refused(tmp_path: Path) -> None:
    """mkimage signs the subset a template names; fixed U-Boot refuses that, and so do we."""
    image = Recipe(template=template(images=["kernel"])).build(tmp_path)
    signed, control = uboot.mkimage_sign(image, tmp_path, key_folder(tmp_path), uboot.control_dtb())
    with pytest.raises(VerificationError, match="no trusted key made a signature over configuration 'conf-1'"):
        fit.verify(MemorySource(signed), DEV.trust, {})
    assert "Failed to verify required signature 'key-dev'" in uboot.boot(signed, control).console
