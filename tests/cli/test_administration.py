"""People, products, keys and policies from the command line, against real processes; a policy needs its threshold."""

import json
import os
import signal
import subprocess
import sys

import pytest
from tests.simulators.live import Live, make_identity

MISSING_ID = "f" * 64


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    live = Live(tmp_path_factory.mktemp("admin"), administrators=("root-a", "root-b")).make().start()
    yield live
    live.stop()


def sealwright(live, person, *arguments):
    environment = {
        **os.environ,
        "SEALWRIGHT_CONFIG": str(live.folder / f"config-{person}"),
        "SEALWRIGHT_URL": live.configuration.url,
        "SEALWRIGHT_TRUST": str(live.configuration.trust_file),
        "SEALWRIGHT_IDENTITY": str(live.identities[person]),
    }
    return subprocess.run(
        [sys.executable, "-m", "sealwright.cli", *map(str, arguments)],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
    )


def good(live, person, *arguments):
    done = sealwright(live, person, *arguments)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def refused(live, person, *arguments, code=77):
    done = sealwright(live, person, *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_policy_is_made_signed_by_two_and_logged(live):
    folder = live.configuration.folder
    for name in ("ada", "ben", "cleo"):
        key = f"{live.identities[name]}.pub"
        good(live, "root-a", "people", "add", name, "--key", key, "--role", "developer", "--role", "approver")
    good(live, "root-a", "product", "add", "router", "--environment", "production", "--key-grade", "software")
    made = good(
        live, "root-a", "key", "create", "router/production/1", "--instance", folder,
        "--algorithm", "ecdsa-p256-sha256", "--format", "raw",
    )  # fmt: skip
    assert made.startswith("router/production/1")
    assert "added person ada" in good(live, "root-a", "policy", "check")
    proposal = good(live, "root-a", "policy", "propose").split()[0]
    assert "1 of 2" in refused(live, "root-a", "policy", "apply", proposal)
    assert "added key-profile router/production/1" in good(live, "root-b", "policy", "sign", proposal)
    assert "in force" in good(live, "root-a", "policy", "apply", proposal)
    shown = json.loads(good(live, "ben", "policy", "show", "--json"))
    assert shown["policy"]["version"] == 1
    assert {s["id"] for s in shown["sections"]} >= {"ada", "ben", "router/production", "router/production/1"}
    assert shown["draft"] == []
    keys = json.loads(good(live, "ada", "key", "list", "--json"))
    assert [k["id"] for k in keys] == ["router/production/1"]
    assert "BEGIN CERTIFICATE" in good(live, "ada", "key", "show", "router/production/1", "--certificate")
    assert "BEGIN PUBLIC KEY" in good(live, "ada", "key", "show", "router/production/1", "--public-key")


def test_somebody_who_is_no_administrator_proposes_nothing(live):
    good(live, "ben", "people", "add", "mallory", "--key", f"{make_identity(live.folder / 'mallory')}.pub")
    assert "no administrator" in refused(live, "ben", "policy", "propose")
    good(live, "ben", "policy", "discard")


def test_a_draft_that_no_signer_would_take_is_refused_before_it_is_proposed(live):
    key = f"{live.identities['ada']}.pub"
    message = refused(live, "root-a", "people", "add", "ada-again", "--key", key)
    assert "is a key of ada" in message
    assert "each key belongs to one id" in message
    assert "is a key of root-b" in refused(
        live, "root-a", "people", "add", "ben", "--key", f"{live.identities['root-b']}.pub"
    )


def test_production_without_approval_is_refused(live):
    rules = ("--environment", "production", "--approvals", "0")
    assert "asks for no approval" in refused(live, "root-a", "product", "add", "toy", *rules)
    assert "asks for no approval" in refused(live, "root-a", "product", "change", "router", *rules)


def test_a_key_is_never_replaced(live):
    message = refused(
        live, "root-a", "key", "create", "router/production/1", "--instance", live.configuration.folder,
        "--algorithm", "ecdsa-p256-sha256", "--format", "raw",
    )  # fmt: skip
    assert "already" in message


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("people", "add", "x", "--key", "/nonexistent"), 66, "nonexistent"),
        (("people", "add", "Dave Smith", "--key", "PUB"), 78, "as dave-smith"),
        (("product", "add", "My Router", "--environment", "test"), 78, "as my-router"),
        (("product", "add", "x", "--environment", "test", "--member-state", "XX"), 78, "no member state"),
        (("product", "add", "x", "--environment", "test", "--member-state", "de"), 78, "did you mean DE"),
        (("key", "create", "router/production/Two Words", "--instance", "DIR", "--algorithm", "ed25519"), 78,
         "as router/production/2026"),
        (("product", "add", "x", "--environment", "moon"), 64, "moon"),
        (("key", "create", "nonsense", "--instance", "DIR", "--algorithm", "ed25519"), 78, "does not name a key"),
        (("key", "create", "a/production/b", "--instance", "DIR", "--algorithm", "ed25519", "--format", "zip"), 78,
         "no format zip"),
        (("key", "show", "no/production/key"), 77, "no key"),
        (("policy", "sign", MISSING_ID), 77, "no proposal"),
        (("people", "revoke", "ada"), 64, "reason"),
    ],
)  # fmt: skip
def test_bad_input_is_told_clearly(live, arguments, code, says):
    known = {"PUB": f"{live.identities['dan']}.pub", "DIR": str(live.configuration.folder)}
    done = sealwright(live, "root-a", *(known.get(a, a) for a in arguments))
    assert says in done.stderr, done.stderr
    assert done.returncode in (code, 65, 78), done.returncode
    assert "Traceback" not in done.stderr


def test_a_key_is_imported_from_pem_and_graded_software(live, tmp_path):
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    pem = tmp_path / "old.pem"
    pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    good(live, "root-a", "product", "add", "fielded", "--environment", "production", "--key-grade", "software")
    good(
        live, "root-a", "key", "import", "fielded/production/2019", pem, "--instance", live.configuration.folder,
        "--algorithm", "ecdsa-p256-sha256", "--format", "mcuboot",
    )  # fmt: skip
    shown = json.loads(good(live, "root-a", "key", "show", "fielded/production/2019", "--json"))
    assert (shown["grade"], shown["origin"]) == ("software", "imported")
    good(live, "root-a", "policy", "discard")


def test_a_misspelt_revocation_is_no_revocation(live):
    message = refused(live, "root-a", "key", "revoke", "router/production/l", "--reason", "stolen")
    assert "did you mean router/production/1" in message
    assert "knows no person or pipeline clleo" in refused(
        live, "root-a", "people", "revoke", "clleo", "--reason", "left"
    )
    assert "knows no SSH key" in refused(live, "root-a", "people", "revoke", "00", "--key", "--reason", "lost")


def test_an_interrupted_wait_does_not_end_like_a_finished_one(live, tmp_path):
    image = tmp_path / "app.bin"
    image.write_bytes(b"firmware")
    environment = {
        **os.environ,
        "SEALWRIGHT_CONFIG": str(live.folder / "config-ada"),
        "SEALWRIGHT_URL": live.configuration.url,
        "SEALWRIGHT_TRUST": str(live.configuration.trust_file),
        "SEALWRIGHT_IDENTITY": str(live.identities["ada"]),
    }
    command = [sys.executable, "-m", "sealwright.cli", "sign", str(image), "--product", "router", "--release", "1"]
    with subprocess.Popen(
        [*command, "--wait", "60"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background ignores SIGINT, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    ) as waiting:
        line = waiting.stderr.readline()  # it has asked, and waits
        waiting.send_signal(signal.SIGINT)
        _, rest = waiting.communicate(timeout=30)
    assert waiting.returncode == 130, line + rest
    assert "interrupted" in rest
    assert "Traceback" not in rest


def test_a_revoked_person_is_out_at_once(live):
    assert "inclusion proven" in good(live, "root-a", "people", "revoke", "cleo", "--reason", "left")
    assert "revoked already" in refused(live, "root-a", "people", "revoke", "cleo", "--reason", "again")
    message = refused(live, "cleo", "policy", "show")
    assert "knows nobody with key" in message
    assert "it was revoked, or" in message
    assert "may not revoke" in refused(live, "ben", "people", "revoke", "ada", "--reason", "envy")


def test_a_name_is_kept_and_erased(live):
    good(live, "root-a", "people", "name", "ada", "Ada Lovelace", "--contact", "ada@example.org")
    assert "Ada Lovelace" in good(live, "ben", "people", "list")
    good(live, "root-a", "people", "name", "ada", "--erase")
    assert "Lovelace" not in good(live, "ben", "people", "list")
    assert "no administrator" in refused(live, "ben", "people", "name", "ada", "Mallory")


def test_an_unchanged_policy_is_proposed_only_to_renew_it(live):
    assert "changes nothing" in refused(live, "root-a", "policy", "propose")
    proposal = good(live, "root-a", "policy", "propose", "--renew").split()[0]
    good(live, "root-b", "policy", "sign", proposal)
    assert "in force" in good(live, "root-a", "policy", "apply", proposal)
