"""What inspect tells an approver of a FIT: judged hashes, encryption, who it is for, and what it does not show."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.formats.fits import Recipe, devicetree, kernel, node_of, replaced, sign, with_other_kernel
from tests.formats.flips import flipped
from tests.verifiers import uboot

from sealwright.core.images import MemorySource
from sealwright.formats import fdt, fit
from sealwright.formats.interface import Inspection

ENCRYPTED = 'cipher { algo = "aes256"; key-name-hint = "image-key"; iv-name-hint = "start"; };'


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return sign(Recipe().build(tmp_path_factory.mktemp("fit")))


def facts(image: bytes) -> dict[str, str]:
    return dict(fit.inspect(MemorySource(image)).facts)


def reasons(found: Inspection) -> dict[str, int]:
    return {reason: part.stop - part.start for part, reason in found.uncovered}


@pytest.mark.parametrize("options", [(), ("-E",)])
def test_changed_data_are_told_where_the_hash_and_the_signature_stand(tmp_path: Path, options: tuple[str, ...]) -> None:
    image = sign(Recipe(mkimage=options).build(tmp_path))
    data = fit.inspect(MemorySource(image)).facts["image kernel-1 data"]
    changed = flipped(image, int(data.split()[3], 16) + 100)
    before, after = facts(image), facts(changed)
    assert before["image kernel-1 hash-1"].endswith(", right")
    assert after["image kernel-1 hash-1"].startswith(before["image kernel-1 hash-1"].removesuffix("right") + "WRONG: ")
    assert after["signature conf-1/signature-1"] == "signed, sha256,rsa2048 by key dev, but WRONG: kernel-1/hash-1"
    assert after["image fdt-1 hash-1"] == before["image fdt-1 hash-1"]
    assert {label for label in before if before[label] != after[label]} == {
        "image kernel-1 hash-1",
        "signature conf-1/signature-1",
    }


def test_a_recomputed_hash_is_right_since_inspect_verifies_no_signature(signed: bytes) -> None:
    """Only a key that somebody trusts can tell; verify refuses it (test_fit_attacks)."""
    found = facts(with_other_kernel(signed))
    assert found["image kernel-1 hash-1"].endswith(", right")


def test_every_kind_of_hash_is_judged(tmp_path: Path) -> None:
    names = ("crc32", "md5", "sha1", "sha256", "sha384", "sha512")
    image = Recipe(parts=(kernel(hashes=names), devicetree())).build(tmp_path)
    start = node_of(image, "/images/kernel-1").properties["data"].value.start
    for data, judged in ((image, "right"), (flipped(image, start), "WRONG")):
        said = facts(data)
        for number, name in enumerate(names, 1):
            assert said[f"image kernel-1 hash-{number}"].startswith(f"{name} ")
            assert f", {judged}" in said[f"image kernel-1 hash-{number}"]


def test_encryption_by_mkimage_is_shown_with_its_keys(tmp_path: Path) -> None:
    source = Recipe(parts=(kernel(more=ENCRYPTED), devicetree())).source(tmp_path)
    said = facts(uboot.mkimage_encrypted(source, tmp_path, {"image-key": bytes(32), "start": bytes(16)}))
    size = len(uboot.marker_kernel())
    assert said["image kernel-1 encryption"] == (
        f"aes256, key image-key, initial value start, {size} bytes when decrypted"
    )
    assert said["image kernel-1 data"].startswith(f"{size + 16} bytes")
    assert said["image kernel-1 hash-1"].endswith(", right"), "the hash is that of the encrypted data"
    assert "image fdt-1 encryption" not in said


def test_whom_a_configuration_is_for_and_when_the_image_was_made_is_shown(tmp_path: Path) -> None:
    source = Recipe().source(tmp_path)
    one = 'conf-1 { compatible = "acme,board-b", "acme,board"; description = "Board B";'
    image = uboot.mkimage(source.replace("conf-1 {", one), tmp_path)
    said = facts(image)
    assert said["configuration conf-1 compatible"] == "'acme,board-b', 'acme,board'"
    assert said["configuration conf-1 description"] == "Board B"
    tree = fdt.parse(MemorySource(image))
    made = tree.word(tree.root, "timestamp")
    assert made is not None
    assert said["timestamp"] == datetime.fromtimestamp(made, UTC).isoformat()
    assert datetime.fromtimestamp(made, UTC).strftime("%M:%S %Y") in uboot.dumpimage(image, tmp_path)


def test_what_an_image_does_not_say_is_not_taken_for_a_word_of_it(signed: bytes) -> None:
    renamed = signed.replace(b"description\0", b"descriptiox\0").replace(b"timestamp\0", b"timestamq\0")
    said = facts(renamed)
    assert (said["description"], said["timestamp"]) == ("not given", "not given")
    assert "image kernel-1 description" not in said
    assert "descriptiox of /, " in said["properties not shown"]
    pointed = replaced(signed, "/configurations", "default", b"conf-1\0")
    assert facts(pointed)["default configuration"] == "conf-1"
    nowhere = signed.replace(b"default\0", b"defaulx\0")
    assert facts(nowhere)["default configuration"] == "not named"


def test_covered_properties_that_are_not_shown_are_counted_and_named(signed: bytes, tmp_path: Path) -> None:
    assert facts(signed)["properties not shown"] == "1: #address-cells of /"
    more = "".join(f"vendor-{n} = <{n}>; " for n in range(12))
    parts = (kernel(more=more), devicetree())
    names = {"conf-1": {"kernel": ["kernel-1"], "fdt": ["fdt-1"], "x-note": ["fdt-1", "nothing here"]}}
    said = facts(Recipe(parts=parts, configurations=names).build(tmp_path))["properties not shown"]
    assert said.startswith("14: #address-cells of /, vendor-0 of /images/kernel-1, vendor-1 of ")
    assert said.endswith(" and 4 more")


def test_a_signature_node_cannot_pass_its_words_off_as_ours(signed: bytes, tmp_path: Path) -> None:
    path = "/configurations/conf-1/signature-1"
    for name, value in (("key-name-hint", "dev, release"), ("algo", "sha256,rsa2048 by key release")):
        changed = uboot.fdtput(signed, tmp_path, "-t", "s", path, name, value)
        found = fit.inspect(MemorySource(changed))
        said = found.facts["signature conf-1/signature-1"]
        assert ascii(value) in said
        assert ascii(value) in {found.signatures[0].signer, found.signatures[0].algorithm}
    keys = fit.inspect(MemorySource(uboot.fdtput(signed, tmp_path, "-t", "s", path, "key-name-hint", "dev, release")))
    assert keys.facts["keys of every configuration"] == "'dev, release'"


def test_text_that_is_cut_says_so_and_several_texts_are_told_apart(tmp_path: Path) -> None:
    source = Recipe().source(tmp_path)
    long = uboot.mkimage(source.replace('description = "test"', f'description = "{"x" * 250}"'), tmp_path)
    assert facts(long)["description"] == f"{'x' * 200}... (250 characters)"
    two = uboot.mkimage(source.replace('type = "kernel"', 'type = "kernel", "script"'), tmp_path)
    assert facts(two)["image kernel-1 type"] == "'kernel', 'script'"


@pytest.mark.parametrize("options", [(), ("-E",)])
def test_data_that_nothing_covers_are_ranges_of_their_own(tmp_path: Path, options: tuple[str, ...]) -> None:
    """So ``inspect --against`` sees them change."""
    parts = (kernel(hashes=()), devicetree(), devicetree("fdt-2"))
    image = Recipe(parts=parts, mkimage=options).build(tmp_path)
    found = reasons(fit.inspect(MemorySource(image + b"behind")))
    assert found["data of image kernel-1: none of its hashes protects its data"] == len(uboot.marker_kernel())
    assert found["data of image fdt-2: no configuration refers to it"] == len(uboot.small_dtb())
    assert found["outside the devicetree and outside every image's data"] >= len(b"behind")
    assert not any("fdt-1:" in reason and reason.startswith("data of") for reason in found)
    covered = reasons(fit.inspect(MemorySource(Recipe(mkimage=options).build(tmp_path))))
    assert not any(reason.startswith("data of") for reason in covered)


def test_the_data_of_a_configuration_that_is_not_signed_yet_are_named(tmp_path: Path) -> None:
    names = {f"conf-{n}": {"kernel": ["kernel-1"], "fdt": [f"fdt-{n}"]} for n in (1, 2)}
    recipe = Recipe(parts=(kernel(), devicetree(), devicetree("fdt-2")), configurations=names)
    first = sign(recipe.build(tmp_path), configurations=["conf-1"])
    found = fit.inspect(MemorySource(first))
    assert found.facts["image fdt-2 covered"] == "no: no configuration that refers to it is signed"
    assert "data of image fdt-2: no configuration that refers to it is signed" in reasons(found)
    both = fit.inspect(MemorySource(sign(first, configurations=["conf-2"])))
    assert both.facts["image fdt-2 covered"].startswith("through the hash")
    assert not any(reason.startswith("data of") for reason in reasons(both))
