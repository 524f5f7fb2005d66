"""Two programs, one answer: fit_check_sign and mkimage beside our format, on FITs of random shape."""

import dataclasses
import random
from pathlib import Path

import pytest
from tests.formats.fits import DEV, STRANGER, anchor, key_folder, sign
from tests.formats.flips import flipped
from tests.formats.random_fits import random_recipe
from tests.formats.test_fit_control import RELEASE, accepts, signed_by
from tests.formats.throwaway import signer
from tests.verifiers import uboot

from sealwright.core.errors import FormatError, VerificationError
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm
from sealwright.formats import fit
from sealwright.formats.fit_contents import load
from sealwright.formats.fit_control import RequiredMode
from sealwright.formats.fit_key_node import with_key_node, with_required_mode

pytestmark = pytest.mark.slow

ROUNDS = 50
SIGNERS = (DEV, signer(Algorithm.RSA_PSS_SHA256, "dev"), signer(Algorithm.RSA_PSS_SHA512, "dev", 4096))
REQUIRED = "Failed to verify required signature 'key-dev'"


def test_fit_check_sign_accepts_what_we_sign_and_refuses_it_flipped(tmp_path: Path) -> None:
    """Every configuration of each image; a flip in what the signature covers, by both."""
    dice = random.Random(50)  # noqa: S311  (a repeatable choice)
    for number in range(ROUNDS):
        by = SIGNERS[number % len(SIGNERS)]
        recipe = random_recipe(dice)
        signed = sign(recipe.build(tmp_path), by)
        assert fit.verify(MemorySource(signed), by.trust, {}).keys == (by.public_key,)
        for configuration in recipe.configurations:
            said = uboot.fit_check_sign(signed, anchor(by), tmp_path, configuration)
            assert said.returncode == 0, said.stdout + said.stderr
            assert "Signature check OK" in said.stderr
        chosen = dice.choice([*recipe.configurations])
        at = description_of_kernel(signed, chosen)
        said = uboot.fit_check_sign(flipped(signed, at), anchor(by), tmp_path, chosen)
        assert said.returncode == 1
        assert REQUIRED in said.stdout + said.stderr
        with pytest.raises((FormatError, VerificationError)):
            fit.verify(MemorySource(flipped(signed, at)), by.trust, {})


def test_we_accept_what_mkimage_signs_and_refuse_a_stranger(tmp_path: Path) -> None:
    """mkimage's PSS salt is as long as fits, ours as long as the hash; U-Boot and we take both."""
    dice = random.Random(51)  # noqa: S311  (a repeatable choice)
    for number in range(ROUNDS):
        by = SIGNERS[number % len(SIGNERS)]
        recipe = dataclasses.replace(random_recipe(dice, templates=True), mkimage=())
        recipe = dataclasses.replace(recipe, template=for_signer(recipe.template, number % len(SIGNERS)))
        keys = key_folder(tmp_path, by)
        signed, control = uboot.mkimage_sign(recipe.build(tmp_path), tmp_path, keys, uboot.small_dtb())
        verified = fit.verify(MemorySource(signed), by.trust, {})
        assert verified.keys == (by.public_key,)
        assert len(verified.signatures) == len(recipe.configurations)
        assert uboot.fit_check_sign(signed, control, tmp_path).returncode == 0
        with pytest.raises(VerificationError, match="no trusted key made a signature"):
            fit.verify(MemorySource(signed), STRANGER.trust, {})


def test_required_keys_and_mode_are_judged_as_fit_check_sign_does(tmp_path: Path) -> None:
    """Random signers, required keys and modes: a device that takes every configuration is one that we accept."""
    dice, accepted = random.Random(52), 0  # noqa: S311  (a repeatable choice)
    nodes = {"dev": DEV, "release": RELEASE}
    for _ in range(ROUNDS):
        recipe = random_recipe(dice)
        by = dice.choice([(), (DEV,), (DEV, RELEASE), (DEV, RELEASE), (STRANGER, RELEASE), (DEV, STRANGER)])
        image = recipe.build(tmp_path)
        image = signed_by(image, *by) if by else image
        control = uboot.small_dtb()
        for name in dice.choice([("dev",), ("release",), ("dev", "release"), ("dev", "release")]):
            control = with_key_node(control, nodes[name].public_key, nodes[name].algorithm, name)
        control = with_required_mode(control, dice.choice([*RequiredMode]))
        taken = [uboot.fit_check_sign(image, control, tmp_path, name) for name in recipe.configurations]
        is_taken = all(said.returncode == 0 for said in taken)
        assert accepts(image, control) is is_taken
        accepted += is_taken
    assert 10 < accepted < ROUNDS - 10


def test_fit_check_sign_accepts_anything_without_a_required_key(tmp_path: Path) -> None:
    """The known fail-open, and why each test here names an anchor."""
    unsigned = random_recipe(random.Random(1)).build(tmp_path)  # noqa: S311  (a repeatable choice)
    said = uboot.fit_check_sign(unsigned, uboot.small_dtb(), tmp_path)
    assert said.returncode == 0
    assert "Signature check OK" in said.stderr
    assert REQUIRED in uboot.fit_check_sign(unsigned, anchor(), tmp_path).stdout


def for_signer(template: str, number: int) -> str:
    by = SIGNERS[number]
    algo = f"{by.algorithm.hash_name},rsa{by.public_key.size_bits}"
    padding = 'padding = "pss"; ' if by.algorithm.startswith("rsa-pss") else ""
    return template.replace('algo = "sha256,rsa2048"', f'{padding}algo = "{algo}"')


def description_of_kernel(image: bytes, configuration: str) -> int:
    """Return where a text lies that the signature of ``configuration`` covers."""
    kernel = load(MemorySource(image)).configurations[configuration].images[0]
    return kernel.node.properties["description"].value.start
