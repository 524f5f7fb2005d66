"""The key node in the control devicetree, written from the public key alone, equals what mkimage writes."""

from pathlib import Path

import pytest
from tests.formats.fits import DEV, STRANGER, Recipe, anchor, key_folder, node_of, property_of, template
from tests.formats.throwaway import signer
from tests.verifiers import uboot

from sealwright.core.errors import Code, FormatError
from sealwright.core.keys import Algorithm
from sealwright.formats.fit_key_node import Required, with_key_node


@pytest.mark.parametrize(
    ("algorithm", "bits"),
    [(Algorithm.RSA_PKCS1_SHA256, 2048), (Algorithm.RSA_PKCS1_SHA384, 3072), (Algorithm.RSA_PKCS1_SHA512, 4096)],
)
def test_our_key_node_equals_mkimages_property_for_property(tmp_path: Path, algorithm: Algorithm, bits: int) -> None:
    by = signer(algorithm, "dev", bits)
    image = Recipe(template=template(f"{algorithm.hash_name},rsa{bits}")).build(tmp_path)
    _, theirs = uboot.mkimage_sign(image, tmp_path, key_folder(tmp_path, by), uboot.control_dtb())
    ours = with_key_node(uboot.control_dtb(), by.public_key, algorithm, "dev")
    path = "/signature/key-dev"
    names = [*node_of(theirs, path).properties]
    assert [*node_of(ours, path).properties] == names
    for name in names:
        assert property_of(ours, path, name) == property_of(theirs, path, name), name
        assert uboot.fdtget(ours, tmp_path, path, name) == uboot.fdtget(theirs, tmp_path, path, name)


def test_the_rest_of_the_control_devicetree_stays_as_it_was(tmp_path: Path) -> None:
    before, after = (uboot.dtc(dtb, tmp_path).splitlines() for dtb in (uboot.control_dtb(), anchor()))
    assert after[: len(before) - 1] == before[:-1]


def test_a_second_key_joins_the_first() -> None:
    both = with_key_node(anchor(), STRANGER.public_key, STRANGER.algorithm, "other", Required.IMAGE)
    assert [*node_of(both, "/signature").children] == ["key-dev", "key-other"]
    assert property_of(both, "/signature/key-other", "required") == b"image\0"


def test_a_key_name_is_not_given_to_two_keys() -> None:
    with pytest.raises(FormatError, match="has a key 'dev' already") as refused:
        with_key_node(anchor(), STRANGER.public_key, STRANGER.algorithm, "dev")
    assert refused.value.code is Code.ALREADY_SIGNED


@pytest.mark.parametrize("key_name", ["", "a b", "a/b", "dev@1", "x" * 250, "ä"])
def test_a_name_that_is_no_node_name_is_refused(key_name: str) -> None:
    with pytest.raises(FormatError):
        with_key_node(uboot.control_dtb(), DEV.public_key, DEV.algorithm, key_name)


@pytest.mark.parametrize("algorithm", [Algorithm.ECDSA_P256_SHA256, Algorithm.ED25519])
def test_keys_uboot_cannot_use_are_refused(algorithm: Algorithm) -> None:
    with pytest.raises(FormatError) as refused:
        with_key_node(uboot.control_dtb(), signer(algorithm).public_key, algorithm, "dev")
    assert refused.value.code is Code.TARGET_CANNOT_VERIFY


@pytest.mark.parametrize("cut", [0, 39, 500])
def test_a_cut_devicetree_is_refused(cut: int) -> None:
    with pytest.raises(FormatError):
        with_key_node(uboot.control_dtb()[:cut], DEV.public_key, DEV.algorithm, "dev")
