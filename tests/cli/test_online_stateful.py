"""An HSS/LMS key through the whole path over HTTP, with processes that die in between: no number twice."""

import base64
import hashlib
import os
import signal
import time
from pathlib import Path

import pytest
from tests.cli.online import Said, Terminal
from tests.simulators.live import PEOPLE, Live
from tests.verifiers import lms_libraries

from sealwright.client.stateful import SOFTWARE_LABEL, Numbers
from sealwright.core import lms
from sealwright.core.keys import HssLmsPublicKey, PublicKey
from sealwright.wiring import doctor, doctor_records

PROFILE = "sensor/production/lms"
PARAMETERS = "sha256-n24-h10-w4"
IMAGES = 10
REFUSED, WRONG_SETTING, DIFFERENT = 77, 78, 1


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    live = Live(tmp_path_factory.mktemp("stateful")).make()
    try:
        yield live.start().found_policy()
    finally:
        live.stop()


@pytest.fixture
def terminal(live, capsys, monkeypatch):
    return Terminal(live, capsys, monkeypatch).connected("root-a", *PEOPLE)


def make_key(terminal: Terminal, live: Live, profile: str, *more: str) -> Said:
    command = ("key", "create", profile, "--algorithm", "hss-lms", "--format", "raw")
    return terminal.run("root-a", *command, "--instance", live.configuration.folder, *more)


def apply(terminal: Terminal) -> None:
    proposal = terminal.good("root-a", "policy", "propose").out.split()[0]
    terminal.good("root-a", "policy", "apply", proposal)


def approved(terminal: Terminal, images: list[Path], product: str, disturb=lambda: None) -> str:
    """Request, approve, let something happen in between; return the request."""
    command = ("sign", *images, "--product", product, "--release", "1.0", "--new", "--json")
    request = str(terminal.good("ada", *command).json["id"])
    for person in ("ben", "cleo"):
        terminal.good(person, "request", "approve", request, *images, "--yes")
        disturb()
    return request


def signed(terminal: Terminal, images: list[Path], product: str, disturb=lambda: None) -> list[Path]:
    """The same, then fetch; return the signature files."""
    request = approved(terminal, images, product, disturb)
    terminal.good("ada", "request", "fetch", request, *images, "--wait", "30")
    return [image.with_name(f"{image.name}.hsslms.p7s") for image in images]


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def new_images(folder: Path, number: int) -> list[Path]:
    paths = [folder / f"{number}-{n}.bin" for n in range(IMAGES)]
    for path in paths:
        path.write_bytes(os.urandom(64))
    return paths


@pytest.mark.slow
def test_sixty_signatures_over_kills_of_worker_and_signer_use_no_number_twice(terminal, live, tmp_path):
    terminal.good("root-a", "product", "add", "sensor", "--environment", "production", "--key-grade", "software")
    said = make_key(terminal, live, PROFILE, "--parameters", PARAMETERS)
    assert said.code == 0
    assert SOFTWARE_LABEL in said.err
    apply(terminal)
    raw_key = _raw_key(terminal)
    key = lms.parse_public_key(raw_key)
    numbers: list[int] = []

    def kill_worker() -> None:
        for _ in range(5):  # while it signs, if it does
            for child in children(live.processes["signer"].pid):
                os.kill(child, signal.SIGKILL)
            time.sleep(0.02)

    def kill_signer() -> None:
        live.kill("signer")
        live.start("signer")

    for round_number, disturb in enumerate((lambda: None, kill_worker, kill_signer) * 2):
        images = new_images(tmp_path, round_number)
        for image, file in zip(images, signed(terminal, images, "sensor", disturb), strict=True):
            message, signature = lms_libraries.cms_message(
                file.read_bytes(), hashlib.sha256(image.read_bytes()).digest()
            )
            assert lms_libraries.pyhsslms_accepts(raw_key, message, signature)
            assert not lms_libraries.pyhsslms_accepts(raw_key, message + b"!", signature)
            numbers += lms.leaf_indices(key, signature)
        disturb()
    assert len(numbers) == 6 * IMAGES
    assert len(set(numbers)) == len(numbers)
    assert min(numbers) >= 1, "number 0 is in the certificate"

    said = terminal.good("dan", "verify", images[0], "--trust", live.configuration.trust_file)
    assert f"{PROFILE}, hss-lms, software key" in said.out
    assert SOFTWARE_LABEL in said.out
    shown = terminal.good("dan", "verify", images[0], "--trust", live.configuration.trust_file, "--json").json
    assert shown["keys"][0]["note"] == SOFTWARE_LABEL
    images[0].write_bytes(images[0].read_bytes()[:-1] + b"!")
    assert terminal.run("dan", "verify", images[0], "--trust", live.configuration.trust_file).code == DIFFERENT

    said = terminal.good("ada", "key", "show", PROFILE)
    assert f"hss-lms, {PARAMETERS}" in said.out
    assert "of 1,024 marked in the log" in said.out
    assert SOFTWARE_LABEL in said.out
    found = terminal.good("ada", "key", "show", PROFILE, "--json").json
    assert found["parameters"] == PARAMETERS
    assert found["note"] == SOFTWARE_LABEL
    assert max(numbers) < found["numbers"]["marked"] < 1024
    assert found["numbers"]["few"] is False
    listed = terminal.good("ada", "key", "list", "--product", "sensor").out
    assert f"hss-lms {PARAMETERS}" in listed
    assert f"{1024 - found['numbers']['marked']} signatures left" in listed


def _raw_key(terminal: Terminal) -> bytes:
    profile = terminal.good("ada", "key", "show", PROFILE, "--json").json
    key = PublicKey(base64.b64decode(profile["public_key"], validate=True)).key
    assert isinstance(key, HssLmsPublicKey)
    return key.raw


def test_parameters_that_nobody_offers_are_refused_before_anything_is_made(terminal, live):
    said = make_key(terminal, live, "router/production/lms", "--parameters", "sha256-n24-h25-w8")
    assert said.code == WRONG_SETTING
    assert "are no parameters of an hss-lms key" in said.err
    said = terminal.run(
        "root-a", "key", "create", "router/production/2", "--algorithm", "ed25519", "--format", "raw",
        "--instance", live.configuration.folder, "--parameters", "sha256-n24-h5-w8",
    )  # fmt: skip
    assert said.code == WRONG_SETTING
    assert "ed25519 has no parameters" in said.err
    size = ("--algorithm", "ml-dsa-65", "--format", "raw", "--size", 2048, "--instance", live.configuration.folder)
    said = terminal.run("root-a", "key", "create", "sensor/production/pq", *size)
    assert said.code == WRONG_SETTING
    assert "hint: leave the size out: there is one" in said.err


def test_a_key_with_few_numbers_left_is_warned_of(terminal, live, tmp_path):
    terminal.good("root-a", "product", "add", "lamp", "--environment", "production", "--key-grade", "software")
    assert make_key(terminal, live, "lamp/production/1", "--parameters", "sha256-n24-h5-w4").code == 0
    apply(terminal)
    assert "32 in all, none given out yet, 31 left" in terminal.good("ada", "key", "show", "lamp/production/1").out
    for number in range(3):  # a block has as many as a request needs
        images = new_images(tmp_path, number)
        signed(terminal, images, "lamp")
        live.kill("signer")
        live.start("signer")
    said = terminal.good("ada", "key", "show", "lamp/production/1")
    assert "31 of 32 marked in the log, 1 left" in said.out
    assert "warning: key lamp/production/1 has 1 of 32 signature numbers left: make the next key" in said.err
    assert "has 1 of 32" in terminal.good("ada", "key", "list").err
    images = new_images(tmp_path, 3)
    request = approved(terminal, images, "lamp")
    said = terminal.run("ada", "request", "fetch", request, *images, "--wait", "30")
    assert said.code == REFUSED
    assert "has 1 signature numbers left, 10 are wanted at once" in said.err
    assert "rotate the key: `sealwright key create`" in said.err
    findings = {finding.found: finding for finding in doctor_records.examine(live.configuration)}
    few = findings["lamp/production/1: 31 of 32 marked in the log, 1 left"]
    assert (few.level, few.subject) == (doctor.Level.WARNING, "keys")
    assert f"lamp/production/1: {SOFTWARE_LABEL}" in findings
    signed(terminal, images[:1], "lamp")
    said = terminal.good("ada", "key", "show", "lamp/production/1")
    assert "active, used up" in said.out
    assert "key lamp/production/1 is used up: it signs what the signer's last block has left, then nothing" in said.err
    assert "active, used up" in terminal.good("ada", "key", "list").out
    assert terminal.good("ada", "key", "show", "lamp/production/1", "--json").json["numbers"]["used_up"] is True
    findings = {finding.found: finding for finding in doctor_records.examine(live.configuration)}
    used_up = findings["lamp/production/1 is used up: 32 of 32 marked in the log, 0 left"]
    assert (used_up.level, used_up.subject) == (doctor.Level.PROBLEM, "keys")


@pytest.mark.parametrize(
    ("marked", "capacity", "is_few"), [(16, 32, False), (17, 32, True), (1008, 1024, True), (32000, 32768, True)]
)
def test_less_than_two_blocks_are_few(marked, capacity, is_few):
    assert Numbers(marked=marked, capacity=capacity).is_few is is_few
