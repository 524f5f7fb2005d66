"""A SUIT envelope through the whole path over HTTP, signed by a classical and a post-quantum key of one request."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import mldsa
from tests.cli.online import Terminal
from tests.formats import suit_envelopes as made
from tests.formats import test_suit_template as templates
from tests.simulators.live import PEOPLE, Live
from tests.verifiers import cose_libraries, suit_node

from sealwright.core.keys import Algorithm, PublicKey

pytestmark = pytest.mark.slow
ECDSA, ML_DSA = "sensor/production/1", "sensor/production/pq"
DIFFERENT = 1


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    live = Live(tmp_path_factory.mktemp("suit")).make()
    try:
        yield live.start().found_policy(product="sensor", image_format="suit")
    finally:
        live.stop()


@pytest.fixture
def terminal(live, capsys, monkeypatch):
    return Terminal(live, capsys, monkeypatch).connected("root-a", *PEOPLE)


def add_ml_dsa(terminal: Terminal, live: Live) -> None:
    command = ("key", "create", ML_DSA, "--algorithm", "ml-dsa-44", "--format", "suit")
    terminal.good("root-a", *command, "--instance", live.configuration.folder)
    proposal = terminal.good("root-a", "policy", "propose").out.split()[0]
    terminal.good("root-a", "policy", "apply", proposal)


def key_of(terminal: Terminal, profile: str) -> PublicKey:
    """Ask for the public key as somebody who builds devices would."""
    pem = terminal.good("root-a", "key", "show", profile, "--public-key").out
    return PublicKey(base64.b64decode("".join(pem.splitlines()[1:-1])))


def test_an_envelope_is_built_signed_by_two_keys_and_accepted_by_devices_that_know_either(terminal, live, tmp_path):
    add_ml_dsa(terminal, live)
    for name, data in templates.FILES.items():
        (tmp_path / name).write_bytes(data)
    component = {"id": ["app"], "image": "fw.bin", "integrated": True, "invoke": True}
    (tmp_path / "update.json").write_text(json.dumps(templates.template(component)))
    image, result = tmp_path / "update.suit", tmp_path / "update.signed.suit"
    terminal.good("ada", "suit", "build", tmp_path / "update.json", "-o", image)
    command = ("sign", image, "--product", "sensor", "--release", "7", "--key-profile", ECDSA, "--key-profile", ML_DSA)
    request = terminal.good("ada", *command, "--json").json["id"]
    for person in ("ben", "cleo"):
        terminal.good(person, "request", "approve", request, image, "--yes")
    terminal.good("ada", "request", "fetch", request, image, "--wait", "60")

    ecdsa, ml_dsa = key_of(terminal, ECDSA), key_of(terminal, ML_DSA)
    said = suit_node.verify(tmp_path, result.read_bytes(), ecdsa)
    assert (said["accepted"], said["blocks"]) == (True, [[-9, "good"], [-48, "unknown algorithm"]])
    digest, (_, block) = made.blocks_of(result.read_bytes())
    assert isinstance(ml_dsa.key, mldsa.MLDSA44PublicKey)
    assert cose_libraries.dilithium_accepts(block, digest, ml_dsa.key.public_bytes_raw())

    trust = live.configuration.trust_file
    shown = terminal.good("dan", "verify", result, "--trust", trust).out
    assert f"{ECDSA}, {Algorithm.ECDSA_P256_SHA256}" in shown
    assert f"{ML_DSA}, {Algorithm.ML_DSA_44}" in shown
    signed = result.read_bytes()
    vendor = signed.index(made.VENDOR)
    result.write_bytes(signed[:vendor] + b"\x00" + signed[vendor + 1 :])
    assert suit_node.verify(tmp_path, result.read_bytes(), ecdsa)["manifest"] is False
    assert terminal.run("dan", "verify", result, "--trust", trust).code == DIFFERENT
    without = made.replaced(signed, e2=made.dumps([digest, made.blocks_of(signed)[1][0]]))
    result.write_bytes(without)
    assert suit_node.verify(tmp_path, without, ecdsa)["accepted"], "a device that knows ECDSA alone"
    assert terminal.run("dan", "verify", result, "--trust", trust).code == DIFFERENT, "the evidence names both"
