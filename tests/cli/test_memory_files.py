"""The whole way for Intel HEX and DfuSe: request, votes that recompute, signer, evidence, verify; then OpenSSL."""

import pytest
from tests.cli.online import Terminal
from tests.cli.test_firmware import flip, sign
from tests.formats.dfu_files import dfuse_file
from tests.formats.memory_files import hex_text
from tests.simulators.live import PEOPLE, Live
from tests.verifiers import dfu_util, openssl, srecord

from sealwright.core.keys import Algorithm

pytestmark = pytest.mark.slow
MEMORY = [(0x0800_0000, b"firmware" * 500), (0x0801_0000, b"tables")]


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    live = Live(tmp_path_factory.mktemp("memory-files")).make()
    try:
        live.start()
        for product, image_format in (("meter", "intel-hex"), ("valve", "dfuse")):
            live.found_policy(
                product=product, image_format=image_format, algorithm=Algorithm.ECDSA_P256_SHA256, size_bits=256
            )
        yield live
    finally:
        live.stop()


@pytest.fixture
def terminal(live, capsys, monkeypatch):
    return Terminal(live, capsys, monkeypatch).connected("root-a", *PEOPLE)


def anchor(terminal, product, folder):
    path = folder / "maker.pem"
    path.write_text(terminal.good("root-a", "key", "show", f"{product}/production/1", "--certificate").out)
    return path


def test_a_window_of_an_intel_hex_file_is_signed_by_a_quorum_and_openssl_accepts_what_srec_cat_sees(
    terminal, live, tmp_path
):
    image, trust = tmp_path / "f.hex", live.configuration.trust_file
    image.write_bytes(hex_text(MEMORY))
    window = ("profile=flat", "base=0x08000000", "size=0x20000", "fill=0xff")
    sign(terminal, "meter", [image], *[part for option in window for part in ("--option", option)])
    assert "meter/production/1, ecdsa-p256-sha256" in terminal.good("dan", "verify", image, "--trust", trust).out
    content, maker = tmp_path / "content", anchor(terminal, "meter", tmp_path)
    content.write_bytes(srecord.flat(image, "intel", 0x0800_0000, 0x2_0000, 0xFF))
    signature = tmp_path / "f.hex.p7s"
    assert "successful" in openssl.cms_verify(signature, content, maker).stderr
    flip(content, 0x1_0000)
    assert "content verify error" in openssl.cms_verify(signature, content, maker).stderr
    image.write_bytes(image.read_bytes().lower())  # the CMS takes another spelling, the evidence does not
    assert terminal.run("dan", "verify", image, "--trust", trust).code == 1


def test_a_dfuse_file_is_signed_by_a_quorum_and_dfu_suffix_accepts_it(terminal, live, tmp_path):
    image, trust = tmp_path / "f.dfu", live.configuration.trust_file
    image.write_bytes(dfuse_file([(0, MEMORY)]))
    (signed,) = sign(terminal, "valve", [image], "--option", "signature_address=0x0807f000")
    assert "valve/production/1" in terminal.good("dan", "verify", signed, "--trust", trust).out
    assert "0x0807f000" in terminal.good("dan", "inspect", signed).out
    assert dfu_util.ACCEPTED in dfu_util.verify_suffix(tmp_path, signed.read_bytes())
    flip(signed, 400)
    assert dfu_util.WRONG_CRC in dfu_util.verify_suffix(tmp_path, signed.read_bytes())
    assert terminal.run("dan", "verify", signed, "--trust", trust).code in (1, 65)
