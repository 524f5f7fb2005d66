"""A FIT signed in portions: each portion is judged by what it signed, the whole by everything."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.formats.fits import DEV, STRANGER, Recipe, anchor, devicetree, kernel, node_of, sign
from tests.formats.flips import flipped
from tests.formats.random_fits import random_recipe
from tests.formats.throwaway import Signer
from tests.verifiers import uboot

from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.images import MemorySource
from sealwright.formats import FORMATS, fit
from sealwright.formats.interface import SignsPortions, Verified

NAMES = ("conf-1", "conf-2", "conf-3")


@pytest.fixture(scope="module")
def unsigned(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    recipe = Recipe(
        parts=(kernel(), devicetree(), devicetree("fdt-2")),
        configurations={
            "conf-1": {"kernel": ["kernel-1"], "fdt": ["fdt-1"]},
            "conf-2": {"kernel": ["kernel-1"], "fdt": ["fdt-2"]},
            "conf-3": {"kernel": ["kernel-1"], "fdt": ["fdt-1", "fdt-2"]},
        },
    )
    return recipe.build(tmp_path_factory.mktemp("fit"))


@pytest.fixture(scope="module")
def first(unsigned: bytes) -> bytes:
    return sign(unsigned, configurations=["conf-1"])


def portion(image: bytes, names: Sequence[str], by: Signer = DEV) -> Verified:
    return fit.verify_portion(MemorySource(image), by.trust, {"configurations": [*names], "key_names": ["dev"]})


def left_over(image: bytes, names: Sequence[str]) -> tuple[str, ...]:
    return fit.left_over(MemorySource(image), {"configurations": [*names], "key_names": ["dev"]})


def test_fit_is_the_format_that_says_so() -> None:
    assert [name for name, module in FORMATS.items() if isinstance(module, SignsPortions)] == ["u-boot-fit"]


def test_a_portion_verifies_where_the_whole_does_not_and_says_what_is_left(first: bytes, tmp_path: Path) -> None:
    verified = portion(first, ["conf-1"])
    assert (verified.keys, [s.name for s in verified.signatures]) == ((DEV.public_key,), ["conf-1/signature-1"])
    assert left_over(first, ["conf-1"]) == (
        "not signed yet: configuration conf-2,conf-3; sign it in this file, --option configurations=conf-2,conf-3",
    )
    with pytest.raises(VerificationError, match="configuration 'conf-2' carries no signature"):
        fit.verify(MemorySource(first), DEV.trust, {})
    judged = {name: uboot.fit_check_sign(first, anchor(), tmp_path, name).returncode == 0 for name in NAMES}
    assert judged == {"conf-1": True, "conf-2": False, "conf-3": False}


def test_portions_together_are_a_whole_for_us_and_for_uboots_tool(first: bytes, tmp_path: Path) -> None:
    whole = sign(first, configurations=["conf-2", "conf-3"])
    assert portion(whole, ["conf-2", "conf-3"]).keys == (DEV.public_key,)
    assert left_over(whole, ["conf-2", "conf-3"]) == (
        "signatures of other requests, not judged here: configuration conf-1",
    )
    assert left_over(whole, NAMES) == ()
    assert fit.verify(MemorySource(whole), DEV.trust, {}).keys == (DEV.public_key,)
    for name in NAMES:
        assert uboot.fit_check_sign(whole, anchor(), tmp_path, name).returncode == 0
        assert uboot.fit_check_sign(whole, anchor(STRANGER), tmp_path, name).returncode != 0


def test_a_portion_by_another_key_stands_on_its_own_and_the_whole_has_no_one_key(first: bytes) -> None:
    """What prepare takes, can be fetched; that no device takes all of it, verify says."""
    mixed = sign(first, STRANGER, configurations=["conf-2", "conf-3"])
    assert portion(mixed, ["conf-2", "conf-3"], STRANGER).keys == (STRANGER.public_key,)
    with pytest.raises(VerificationError, match="no trusted key made a signature over configuration 'conf-1'"):
        fit.verify(MemorySource(mixed), STRANGER.trust, {})


def test_a_portion_is_refused_where_what_it_signed_is_changed(first: bytes) -> None:
    at = node_of(first, "/configurations/conf-1").properties["kernel"].value.start
    with pytest.raises((VerificationError, FormatError)):
        portion(flipped(first, at), ["conf-1"])
    for name in ("conf-2", "conf-3"):
        with pytest.raises(VerificationError, match=f"configuration '{name}' carries no signature") as refused:
            portion(first, ["conf-1", name])
        assert refused.value.code is Code.NOT_TRUSTED
    with pytest.raises(VerificationError, match="no trusted key made a signature over configuration 'conf-1'"):
        portion(first, ["conf-1"], STRANGER)
    data = node_of(first, "/images/fdt-2").properties["data"].value.start
    with pytest.raises(VerificationError, match="/images/fdt-2/hash-1 is not the hash of the data"):
        portion(flipped(first, data), ["conf-1"])
    with pytest.raises(VerificationError, match="the image has no configuration 'conf-9', which was to be signed"):
        portion(first, ["conf-9"])


def test_what_prepare_takes_of_any_image_in_any_portions_is_delivered(tmp_path: Path) -> None:
    """Random images, cut into portions at random, in random order."""
    dice = random.Random(5)  # noqa: S311  (a repeatable choice)
    for _ in range(12):
        recipe = random_recipe(dice)
        names, image = dice.sample([*recipe.configurations], len(recipe.configurations)), recipe.build(tmp_path)
        done: list[str] = []
        while names:
            asked = [names.pop() for _ in range(dice.randint(1, len(names)))]
            image = sign(image, configurations=asked)
            assert {found.name.split("/")[0] for found in portion(image, asked).signatures} == {*asked}
            notes = left_over(image, asked)
            assert [note.split(":")[0] for note in notes] == [
                *(["not signed yet"] if names else []),
                *(["signatures of other requests, not judged here"] if done else []),
            ]
            done += asked
        assert fit.verify(MemorySource(image), DEV.trust, {}).keys == (DEV.public_key,)


def test_a_signed_portion_is_not_signed_again(first: bytes) -> None:
    with pytest.raises(FormatError, match="/configurations/conf-1/signature-1 is signed already"):
        sign(first)


def test_many_configurations_left_over_are_counted(tmp_path: Path) -> None:
    names = {f"conf-{n}": {"kernel": ["kernel-1"], "fdt": ["fdt-1"]} for n in range(1, 13)}
    image = sign(Recipe(configurations=names).build(tmp_path), configurations=["conf-1"])
    (note,) = left_over(image, ["conf-1"])
    assert "conf-2,conf-3,conf-4,conf-5,conf-6,conf-7,conf-8,conf-9 and 3 more" in note
