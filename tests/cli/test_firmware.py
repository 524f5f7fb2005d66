"""The whole way for microcontrollers: request, votes, signer, evidence, verify; then their makers' own tools."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from tests.cli.online import Terminal
from tests.formats import esp32_images
from tests.simulators.live import PEOPLE, Live
from tests.verifiers import espsecure, imgtool

from sealwright.core.keys import Algorithm, PublicKey

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    live = Live(tmp_path_factory.mktemp("firmware")).make()
    try:
        live.start()
        live.found_policy(
            product="sensor", image_format="esp32-secure-boot-v2", algorithm=Algorithm.RSA_PSS_SHA256, size_bits=3072
        )
        live.found_policy(
            product="controller", image_format="mcuboot", algorithm=Algorithm.ECDSA_P384_SHA384, size_bits=384
        )
        yield live
    finally:
        live.stop()


@pytest.fixture
def terminal(live, capsys, monkeypatch):
    return Terminal(live, capsys, monkeypatch).connected("root-a", *PEOPLE)


def key_of(terminal: Terminal, product: str) -> PublicKey:
    """Ask for the public key as somebody who builds devices would."""
    pem = terminal.good("root-a", "key", "show", f"{product}/production/1", "--public-key").out
    spki = PublicFormat.SubjectPublicKeyInfo
    return PublicKey(load_pem_public_key(pem.encode()).public_bytes(Encoding.DER, spki))


def sign(terminal: Terminal, product: str, images: list[Path], *options: str) -> list[Path]:
    """Request, have two people recompute and approve, fetch; return the signed images."""
    command = ("sign", *images, "--product", product, "--release", "1.4.2", *options)
    request = terminal.good("ada", *command, "--new", "--json").json["id"]
    for person in ("ben", "cleo"):
        assert terminal.run("ada", "request", "fetch", request, *images).code != 0, "two approvals are asked for"
        terminal.good(person, "request", "approve", request, *images, "--yes")
    terminal.good("ada", "request", "fetch", request, *images, "--wait", "60")
    return [path.with_name(f"{path.stem}.signed{path.suffix}") for path in images]


def flip(path: Path, at: int) -> Path:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)
    return path


def test_an_esp32_application_and_its_bootloader_are_signed_by_a_quorum_and_espsecure_accepts_them(
    terminal, live, tmp_path
):
    images = [tmp_path / "app.bin", tmp_path / "bootloader.bin"]
    images[0].write_bytes(esp32_images.application(size=70_000))
    images[1].write_bytes(esp32_images.bootloader())
    key = key_of(terminal, "sensor")
    digest = espsecure.key_digest(tmp_path, key)
    assert digest in terminal.good("root-a", "key", "show", "sensor/production/1").out
    trust = live.configuration.trust_file
    for path in sign(terminal, "sensor", images, "--target", "esp32-c3"):
        shown = terminal.good("dan", "verify", path, "--trust", trust).out
        assert "sensor/production/1, rsa-pss-sha256" in shown
        assert digest in terminal.good("dan", "inspect", path).out
        assert espsecure.ACCEPTED in espsecure.verify(tmp_path, path.read_bytes(), key)
        flip(path, 300)
        assert espsecure.WRONG_DIGEST in espsecure.verify(tmp_path, path.read_bytes(), key)
        assert terminal.run("dan", "verify", path, "--trust", trust).code in (1, 65)


def test_an_mcuboot_set_of_two_images_that_need_each_other_is_signed_in_one_request(terminal, live, tmp_path):
    """Built without a key by imgtool, as a build system does; each says which version of the other it needs."""
    images = []
    for name, number, other in (("app", 0, "(1,2.0.0+0)"), ("net", 1, "(0,1.4.2+0)")):
        path = tmp_path / f"{name}.bin"
        options = ["-v", ("1.4.2", "2.0.0")[number], "-s", "7", "-d", other, "-H", "0x200", "--pad-header"]
        built = imgtool.sign(tmp_path, name.encode() * 5000, *options, "-S", "0x20000", "--sha", "384", key=None)
        path.write_bytes(built)
        images.append(path)
    key, trust = key_of(terminal, "controller"), live.configuration.trust_file
    signed = sign(terminal, "controller", images, "--target", "mcuboot-ecdsa-p384")
    for path, dependency in zip(signed, ("image 1 in version 2.0.0+0", "image 0 in version 1.4.2+0"), strict=True):
        assert (
            "controller/production/1, ecdsa-p384-sha384" in terminal.good("dan", "verify", path, "--trust", trust).out
        )
        assert dependency in terminal.good("dan", "inspect", path).out
        assert imgtool.verify(tmp_path, path.read_bytes(), key) == imgtool.ACCEPTED
        flip(path, 0x300)
        assert imgtool.verify(tmp_path, path.read_bytes(), key) == imgtool.WRONG_HASH
        assert terminal.run("dan", "verify", path, "--trust", trust).code == 1


def test_a_target_that_cannot_verify_is_told_before_anything_travels(terminal, tmp_path):
    image = tmp_path / "app.bin"
    image.write_bytes(esp32_images.application(chip=esp32_images.S3))
    command = ("sign", image, "--product", "sensor", "--release", "1", "--target")
    said = terminal.run("ada", *command, "esp32-c2")
    assert said.code == 65
    assert "target esp32-c2 cannot verify rsa-pss-sha256" in said.err
    assert "it accepts: ecdsa-p256-sha256" in said.err
    said = terminal.run("ada", *command, "esp32-c3")
    assert "image is for ESP32-S3, target esp32-c3 is ESP32-C3" in said.err
