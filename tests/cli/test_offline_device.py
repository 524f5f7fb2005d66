"""``sealwright verify --control-dtb``: the image must be what a U-Boot device with that devicetree takes, too."""

import functools
import json
from pathlib import Path

import pytest
from tests.cli.test_offline import Release, failure, release, run
from tests.client.signed import Maker
from tests.formats.fits import Recipe
from tests.formats.throwaway import signer
from tests.verifiers import uboot

from sealwright.core.keys import Algorithm, PublicKey
from sealwright.formats.fit_control import RequiredMode
from sealwright.formats.fit_key_node import with_key_node, with_required_mode

RSA = Algorithm.RSA_PKCS1_SHA256
OTHER = signer(RSA, "release")


@functools.cache
def maker() -> Maker:
    return Maker("u-boot-fit")


@pytest.fixture
def fit(tmp_path: Path) -> Release:
    return release(tmp_path, maker(), Recipe().build(tmp_path), "router.itb")


def control_of(folder: Path, *names: str, mode: RequiredMode | None = None) -> Path:
    """Write a devicetree that requires the keys of these names; ``dev`` is the maker's."""
    keys = {"dev": PublicKey(maker().profile.public_key), "release": OTHER.public_key}
    control = uboot.small_dtb()
    for name in names:
        control = with_key_node(control, keys[name], RSA, name)
    path = folder / "control.dtb"
    path.write_bytes(with_required_mode(control, mode) if mode else control)
    return path


def fit_check_sign_accepts(fit: Release, control: Path, folder: Path) -> bool:
    said = uboot.fit_check_sign(fit.image.read_bytes(), control.read_bytes(), folder)
    return said.returncode == 0 and "Signature check OK" in said.stderr


@pytest.mark.parametrize(
    ("names", "mode", "reason"),
    [
        (("dev",), None, ""),
        (("dev", "release"), RequiredMode.ANY, ""),
        (("dev", "release"), None, "configuration 'conf-1' lacks the required signature of key 'release'"),
        (("dev", "release"), RequiredMode.ALL, "configuration 'conf-1' lacks the required signature of key 'release'"),
        (("release",), None, "no trusted key made a signature over configuration 'conf-1'"),
        (("release",), RequiredMode.ANY, "no trusted key made a signature over configuration 'conf-1'"),
    ],
)
def test_verify_takes_what_fit_check_sign_takes_with_the_same_control_devicetree(
    fit: Release, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    names: tuple[str, ...], mode: RequiredMode | None, reason: str,
) -> None:  # fmt: skip
    control = control_of(tmp_path, *names, mode=mode)
    command = ("verify", fit.image, "--trust", fit.trust, "--control-dtb", control)
    assert fit_check_sign_accepts(fit, control, tmp_path) is not bool(reason)
    if reason:
        assert reason in failure(capsys, 1, *command)
    else:
        assert run(*command) == 0
        which = "one of dev (sha256,rsa2048), release" if mode else "all of dev (sha256,rsa2048)"
        assert f"takes every configuration: each is signed by {which}" in capsys.readouterr().out
    assert run("verify", fit.image, "--trust", fit.trust) == 0, "the evidence is right in every case"


def test_programs_are_told_which_keys_the_device_requires(
    fit: Release, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    control = control_of(tmp_path, "dev", "release", mode=RequiredMode.ANY)
    assert run("verify", fit.image, "--trust", fit.trust, "--control-dtb", control, "--json") == 0
    device = json.loads(capsys.readouterr().out)["device"]
    assert (device["control_dtb"], device["required_mode"]) == (str(control), "any")
    assert [(key["name"], key["signed_every_configuration"]) for key in device["required"]] == [
        ("dev", True),
        ("release", False),
    ]
    assert run("verify", fit.image, "--trust", fit.trust, "--json") == 0
    assert "device" not in json.loads(capsys.readouterr().out)


def test_a_device_that_boots_anything_proves_nothing(
    fit: Release, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """fit_check_sign says OK of any image with such a devicetree, and U-Boot boots it."""
    control = control_of(tmp_path)
    assert fit_check_sign_accepts(fit, control, tmp_path)
    said = failure(capsys, 1, "verify", fit.image, "--trust", fit.trust, "--control-dtb", control)
    assert "requires no key for configurations: such a device boots anything" in said


def test_a_control_devicetree_that_is_none_and_an_image_that_is_no_fit_are_refused_by_name(
    fit: Release, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "raw").mkdir()
    control = control_of(tmp_path, "release")
    raw = release(tmp_path / "raw", Maker())
    said = failure(capsys, 78, "verify", raw.image, "--trust", raw.trust, "--control-dtb", control)
    assert "a control devicetree judges u-boot-fit images, this is raw" in said
    control.write_bytes(control.read_bytes()[:60])
    said = failure(capsys, 65, "verify", fit.image, "--trust", fit.trust, "--control-dtb", control)
    assert f"control devicetree {control}: " in said
    said = failure(capsys, 78, "verify", fit.image, "--trust", fit.trust, "--control-dtb", tmp_path / "none.dtb")
    assert "none.dtb" in said
