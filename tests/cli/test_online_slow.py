"""Signatures that take their time: what waits is followed, and said to be where it is."""

import re
import time

import pytest
from tests.cli.online import Terminal
from tests.simulators.live import Live
from tests.verifiers import openssl35

from sealwright.core.keys import Algorithm

pytestmark = pytest.mark.slow
SLOW = Algorithm.SLH_DSA_SHA2_128S
SECONDS, IMAGES = 120, 6
MAKING = re.compile(f"its {IMAGES} signatures are being made since [0-9:]{{8}} UTC, in a round of {IMAGES}")


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    live = Live(tmp_path_factory.mktemp("slow")).make()
    try:
        yield live.start().found_policy(algorithm=SLOW, size_bits=SLOW.key_size_bits)
    finally:
        live.stop()


@pytest.fixture
def terminal(live, capsys, monkeypatch):
    return Terminal(live, capsys, monkeypatch).connected("ada")


def test_slow_signatures_are_followed_through_queue_and_round(terminal, tmp_path):
    images = [tmp_path / f"{number}.bin" for number in range(IMAGES + 1)]
    for image in images:
        image.write_bytes(image.name.encode())
    options = ("--product", "router", "--release", "1.0", "--environment", "development", "--json")
    many = terminal.good("ada", "sign", *images[1:], *options).json["id"]
    said, deadline = "", time.monotonic() + SECONDS
    while not MAKING.search(said):
        assert time.monotonic() < deadline
        said = terminal.good("ada", "request", "show", many).out
    followed = terminal.good("ada", "sign", images[0], *options, "--wait", SECONDS)
    assert f"{IMAGES} to be made before its signature" in followed.err
    assert terminal.good("ada", "request", "show", many, "--json").json["detail"] == ""
    terminal.good("ada", "request", "fetch", many, *images[1:], "--wait", SECONDS)
    certificate = tmp_path / "certificate.pem"
    certificate.write_text(terminal.good("ada", "key", "show", "router/development/1", "--certificate").out)
    for image in (images[0], images[-1]):
        signature = image.with_name(f"{image.name}.slhdsa.p7s")
        assert "CMS Verification successful" in openssl35.cms_verify(signature, image, certificate).stderr
