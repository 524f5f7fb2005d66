"""The next root from the command line: administrators come and go, and everything goes on under it."""

import base64
import subprocess
import sys
import time

import pytest
from tests.cli.online import Terminal
from tests.simulators.live import PEOPLE, Live, make_identity

from sealwright.client.settings import load_trust
from sealwright.wiring import initialise
from sealwright.wiring.configuration import FILE_NAME

REFUSED, MISFIT, DIFFERENT, SETTING = 77, 65, 1, 78
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    live = Live(tmp_path_factory.mktemp("roots")).make()
    for name in ("root-b", "root-c"):
        live.identities[name] = make_identity(live.folder / "people" / name)
    try:
        yield live.start().found_policy()
    finally:
        live.stop()


@pytest.fixture
def terminal(live, capsys, monkeypatch):
    return Terminal(live, capsys, monkeypatch).connected("root-a", *PEOPLE)


def digest_of(said):
    return said.out.splitlines()[0].strip()


def in_force(terminal, person="ada"):
    return terminal.good(person, "policy", "root", "show", "--json").json


def test_administrators_come_and_go_and_everything_goes_on_under_the_next_root(terminal, live, tmp_path):
    # One more administrator: the old root's threshold of one is enough.
    image = tmp_path / "app.bin"
    image.write_bytes(b"firmware before the second root")
    old_trust = live.configuration.trust_file.read_bytes()
    key = f"{live.identities['root-b']}.pub"
    said = terminal.good("root-a", "policy", "root", "add-administrator", "root-b", "--key", key)
    assert "+ administrators: root-b: ssh-ed25519" in said.err
    assert "next: `sealwright policy apply" in said.err
    first = digest_of(said)
    shown = terminal.good("ada", "policy", "show", first[:8]).out
    assert "+ administrators: root-b" in shown
    assert "signed by 1 of 1 administrator (root-a)" in " ".join(shown.split())
    said = terminal.good("root-a", "policy", "apply")
    assert "root version 2 is in force" in said.out
    assert "policy version 2 is in force" in said.out
    assert [a["person"] for a in in_force(terminal)["administrators"]] == ["root-a", "root-b"]
    terminal.connect("root-b")

    # Two must sign from now on: those of the next root too.
    said = terminal.good("root-b", "policy", "root", "threshold", "2")
    assert "policy sign" in said.err
    second = digest_of(said)
    said = terminal.run("root-b", "policy", "apply", second)
    assert said.code == REFUSED
    assert "signed by 1 of 2 administrators of root version 3" in said.err
    assert terminal.run("ada", "policy", "sign", second).code == REFUSED
    assert "next: `sealwright policy apply" in terminal.good("root-a", "policy", "sign", second[:12]).err
    terminal.good("root-b", "policy", "apply", second[:12])
    assert in_force(terminal)["threshold"] == 2

    # The first one leaves: both sign the root, and whoever stays the policy under it.
    said = terminal.run("root-b", "policy", "root", "remove-administrator", "root-a")
    assert said.code == REFUSED
    assert "without root-a there is 1 administrator, and 2 must sign" in said.err
    assert "--threshold" in said.err
    third = digest_of(
        terminal.good("root-a", "policy", "root", "remove-administrator", "root-a", "--threshold", "1")
    )  # fmt: skip
    terminal.good("root-b", "policy", "sign", third)
    terminal.good("root-b", "policy", "apply")
    assert [a["person"] for a in in_force(terminal)["administrators"]] == ["root-b"]
    assert in_force(terminal)["version"] == 4
    assert terminal.run("root-a", "policy", "root", "renew").code == REFUSED

    # Policies, requests and signatures go on; the trust file of old follows.
    terminal.good("root-b", "people", "remove", "dan", "--role", "developer")
    terminal.good("root-b", "policy", "propose")
    assert "policy version 5 is in force" in terminal.good("root-b", "policy", "apply").out
    request = terminal.sign(image, release="2.0")
    for person in ("ben", "cleo"):
        terminal.good(person, "request", "approve", request, image)
    terminal.good("ada", "request", "fetch", request, image, "--wait", "20")
    newer = tmp_path / "newer.json"
    terminal.good("ada", "connect", "--refresh", "-o", newer)
    assert len(load_trust(newer).roots) == 4
    terminal.good("ada", "verify", image, "--trust", newer)
    assert live.configuration.trust_file.read_bytes() == old_trust
    terminal.good("ada", "log", "verify")


def test_a_root_is_renewed_and_shows_until_when(terminal):
    before = in_force(terminal)
    assert "cannot live for 6000d" in terminal.run("root-b", "policy", "root", "renew", "--for", "6000d").err
    said = terminal.good("root-b", "policy", "root", "renew", "--for", "800d")
    assert "+ expires:" in said.err
    terminal.good("root-b", "policy", "apply", digest_of(said))
    after = in_force(terminal)
    assert abs(after["expires"] - time.time() - 800 * 86_400) < 600
    assert (after["administrators"], after["version"]) == (before["administrators"], before["version"] + 1)


def test_signers_and_log_keys_are_listed_and_a_root_can_be_withdrawn_with_its_policy(terminal):
    root = ("policy", "root")
    key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    said = terminal.good("root-b", *root, "add-signer", "signer-2", "--key", key)
    assert f"+ signers: signer-2: {key}, from log index" in said.err
    digest = digest_of(said)
    said = terminal.good("root-b", "policy", "withdraw", digest[:10])
    assert [line.split()[1] for line in said.out.splitlines()] == ["root", "policy"]
    assert "stay valid until policy version" in said.err
    assert terminal.good("root-b", "policy", "show", "--json").json["proposals"] == []
    said = terminal.run("root-b", "policy", "apply", digest)
    assert said.code == REFUSED
    assert "withdrawn" in said.err
    for arguments, says in (
        (("remove-signer", "signer-1"), "the only signer"),
        (("remove-signer", "signer-l"), "did you mean signer-1"),
        (("remove-administrator", "root-bb"), "did you mean root-b"),
        (("add-signer", "signer-1", "--key", key), "a signer signer-1 already"),
        (("add-signer", "signer-2", "--key", "zz"), "64 hex digits"),
        (("add-signer", "Signer Two", "--key", key), "as signer-two"),
        (("add-signer", "signer-2", "--key", "00" * 32), "small order"),
        (("threshold", "1"), "says that already"),
        (("threshold", "3"), "threshold 3 cannot be met by 1 administrator"),
        (("threshold", "1", "--grade", "production"), "needs a threshold of two"),
        (("log-key", "nonsense"), "does not match"),
    ):
        said = terminal.run("root-b", *root, *arguments)
        assert said.code in (REFUSED, MISFIT, SETTING), said
        assert says in said.err, said
    assert terminal.good("root-b", "policy", "show", "--json").json["proposals"] == []


def test_the_doctor_says_how_a_signer_that_no_root_names_is_added(terminal, live):
    settings = live.configuration.folder / FILE_NAME
    before = settings.read_text()
    (identity,) = (signer["key"] for signer in in_force(terminal)["signers"])
    settings.write_text(before.replace('"signer-1"', '"signer-9"'))
    try:
        command = [sys.executable, "-m", "sealwright.cli", "doctor", str(live.configuration.folder)]
        said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    finally:
        settings.write_text(before)
    key = base64.b64decode(identity).hex()
    assert said.returncode == 1
    assert f"`sealwright policy root add-signer signer-9 --key {key}`" in said.stdout


def test_a_new_administrators_key_that_is_somebody_elses_is_refused(terminal, live):
    said = terminal.run(
        "root-b", "policy", "root", "add-administrator", "root-c", "--key", f"{live.identities['ada']}.pub"
    )
    assert said.code == REFUSED
    assert "ada" in said.err
    key = f"{live.identities['root-c']}.pub"
    said = terminal.run("root-b", "policy", "root", "add-administrator", "root-c", "--key", key, "--threshold", "2")
    assert said.code == REFUSED
    assert "the next root needs 2 signatures of its own" in said.err
    assert "in two steps" in said.err
    said = terminal.run(
        "ada", "policy", "root", "add-administrator", "root-c", "--key", f"{live.identities['root-c']}.pub"
    )
    assert said.code == REFUSED
    assert "ada is no administrator" in said.err


def test_a_root_whose_policy_was_overtaken_is_not_applied_alone(terminal):
    digest = digest_of(terminal.good("root-b", "policy", "root", "renew", "--for", "900d"))
    terminal.good("root-b", "product", "change", "router", "--environment", "production", "--member-state", "AT")
    policy = digest_of(terminal.good("root-b", "policy", "propose"))
    said = terminal.run("root-b", "policy", "apply")
    assert said.code == REFUSED
    assert "2 open proposals have their signatures" in said.err
    terminal.good("root-b", "policy", "apply", policy)
    said = terminal.run("root-b", "policy", "apply", digest)
    assert said.code == REFUSED
    assert "no open policy stands under this root" in said.err
    terminal.good("root-b", "policy", "withdraw", digest)


def test_an_expired_root_stops_signing_and_its_administrators_renew_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(initialise, "ROOT_LIFETIME_SECONDS", 15)
    live = Live(tmp_path / "short").make()
    image = tmp_path / "app.bin"
    image.write_bytes(b"firmware of a maker who forgot a date")
    asked = ("--product", "router", "--environment", "development", "--new", "--wait", "6", "--json")
    try:
        live.start().found_policy()
        terminal = Terminal(live, capsys, monkeypatch)
        for person in ("root-a", "ada"):
            terminal.connect(person)
        expires = terminal.good("ada", "policy", "root", "show", "--json").json["expires"]
        time.sleep(max(0.0, expires + 1 - time.time()))
        assert terminal.run("ada", "sign", image, "--release", "1.0", *asked).code != 0
        key = f"{make_identity(tmp_path / 'late')}.pub"
        said = terminal.run("root-a", "policy", "root", "add-administrator", "late", "--key", key)
        assert said.code == REFUSED
        assert "policy root renew" in said.err
        terminal.good("root-a", "policy", "root", "renew", "--for", "30d")
        assert "root version 2 is in force" in terminal.good("root-a", "policy", "apply").out
        image.write_bytes(b"firmware of a maker who was reminded")
        assert terminal.good("ada", "sign", image, "--release", "1.1", *asked).json["state"] == "signed"
    finally:
        live.stop()
