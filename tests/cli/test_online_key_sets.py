"""A hybrid pair of keys through the whole path over HTTP: the pipeline says nothing new, and half is not enough."""

import json
import os
from dataclasses import replace

import pytest
from tests.cli.online import Terminal
from tests.simulators.live import PEOPLE, Live
from tests.verifiers import openssl, openssl35

from sealwright.client.drafts import load_draft
from sealwright.core.keys import Algorithm
from sealwright.policy.documents import KeySet, KeySetRule, Scope

DIFFERENT, REFUSED, WRONG_SETTING = 1, 77, 78
CLASSICAL, QUANTUM = "router/production/1", "router/production/pq"


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    live = Live(tmp_path_factory.mktemp("key-sets")).make()
    try:
        yield live.start().found_policy()
    finally:
        live.stop()


@pytest.fixture
def terminal(live, capsys, monkeypatch):
    return Terminal(live, capsys, monkeypatch).connected("root-a", *PEOPLE)


def apply(terminal: Terminal) -> None:
    said = terminal.run("root-a", "policy", "propose")
    if said.code:
        assert "the draft changes nothing" in said.err
        return
    terminal.good("root-a", "policy", "apply", said.out.split()[0])


def name_set(terminal: Terminal, *more: str):
    return terminal.run("root-a", "product", "key-set", "router", "hybrid", "--environment", "production", *more)


def signed(terminal: Terminal, folder, name: str):
    image = folder / name
    image.write_bytes(b"firmware " + os.urandom(16).hex().encode())
    command = ("sign", image, "--product", "router", "--release", "1.0", "--new", "--json")
    request = terminal.good("ada", *command).json["id"]
    for person in ("ben", "cleo"):
        terminal.good(person, "request", "approve", request, image, "--yes")
    terminal.good("ada", "request", "fetch", request, image, "--wait", "60")
    return image


def with_set(terminal: Terminal, live: Live, rule: str) -> str:
    """Have the pair in force under a rule; return what the command said of the change."""
    if terminal.run("ada", "key", "show", QUANTUM).code != 0:
        terminal.good(
            "root-a", "key", "create", QUANTUM, "--algorithm", Algorithm.ML_DSA_44, "--format", "raw",
            "--instance", live.configuration.folder,
        )  # fmt: skip
    said = name_set(terminal, "--member", "1", "--member", "pq", "--rule", rule)
    assert said.code == 0, said
    apply(terminal)
    return said.out


@pytest.mark.slow
def test_a_hybrid_pair_signs_by_itself_and_verify_demands_all_and_says_so(terminal, live, tmp_path):
    trust = ("--trust", live.configuration.trust_file)
    assert f"hybrid: all of {CLASSICAL}, {QUANTUM} for raw" in with_set(terminal, live, "all")
    assert f"hybrid: all of {CLASSICAL}, {QUANTUM} for raw" in terminal.good("ada", "product", "list").out
    image = signed(terminal, tmp_path, "one.bin")
    said = terminal.good("dan", "verify", image, *trust)
    assert f"hybrid, all of 2 must sign: found {CLASSICAL}, {QUANTUM}" in said.out
    shown = terminal.good("dan", "verify", image, *trust, "--json").json
    assert shown["key_sets"] == [
        {"id": "hybrid", "rule": "all", "members": [CLASSICAL, QUANTUM], "found": [CLASSICAL, QUANTUM]}
    ]
    for judge, suffix, profile in ((openssl, ".p7s", CLASSICAL), (openssl35, ".mldsa.p7s", QUANTUM)):
        certificate = tmp_path / "certificate.pem"
        certificate.write_text(terminal.good("ada", "key", "show", profile, "--certificate").out)
        signature = image.with_name(image.name + suffix)
        assert "CMS Verification successful" in judge.cms_verify(signature, image, certificate).stderr
    half = image.with_name("one.bin.mldsa.p7s")
    kept = half.read_bytes()
    half.unlink()
    said = terminal.run("dan", "verify", image, *trust)
    assert said.code == DIFFERENT
    assert "the key set asks for the signatures of all its members" in said.err
    half.write_bytes(kept)
    terminal.good("dan", "verify", image, *trust)


@pytest.mark.slow
def test_a_set_that_asks_for_any_accepts_a_half_and_names_what_is_missing(terminal, live, tmp_path):
    trust = ("--trust", live.configuration.trust_file)
    with_set(terminal, live, "any")
    image = signed(terminal, tmp_path, "two.bin")
    image.with_name("two.bin.mldsa.p7s").unlink()
    said = terminal.good("dan", "verify", image, *trust)
    assert "hybrid, any of 2 must sign" in said.out
    assert "two.bin.mldsa.p7s is not beside the image" in said.err
    assert f"found {CLASSICAL}; not found {QUANTUM}" in said.out
    evidence = image.with_name("two.bin.sealwright")
    stripped = json.loads(evidence.read_text())
    stripped["signatures"] = stripped["signatures"][:1]
    stripped["patch"]["sidecars"] = stripped["patch"]["sidecars"][:1]
    evidence.write_text(json.dumps(stripped, sort_keys=True, separators=(",", ":"), ensure_ascii=False))
    said = terminal.good("dan", "verify", image, *trust)
    assert f"found {CLASSICAL}; not found {QUANTUM}" in said.out
    assert f"the signature of {QUANTUM} was not found" in said.err


@pytest.mark.slow
def test_a_set_that_asks_for_any_refuses_an_image_whose_signature_files_are_all_junk(terminal, live, tmp_path):
    trust = ("--trust", live.configuration.trust_file)
    with_set(terminal, live, "any")
    image = signed(terminal, tmp_path, "junk.bin")
    classical, quantum = image.with_name("junk.bin.p7s"), image.with_name("junk.bin.mldsa.p7s")
    kept = quantum.read_bytes()
    quantum.write_bytes(b"junk")
    said = terminal.good("dan", "verify", image, *trust)
    assert f"found {CLASSICAL}; not found {QUANTUM}" in said.out
    assert "junk.bin.mldsa.p7s is not the file that the evidence proves; do not use it" in said.err
    said = terminal.good("dan", "verify", image, *trust, "--json")
    assert said.json["key_sets"][0]["found"] == [CLASSICAL]
    classical.write_bytes(b"junk")
    for beside in ("both junk", "one junk, one missing", "none"):
        said = terminal.run("dan", "verify", image, *trust)
        assert said.code == DIFFERENT, beside
        assert "no signature file beside the image is one that the evidence proves" in said.err
        (classical if classical.exists() else quantum).unlink(missing_ok=True)
    quantum.write_bytes(kept)
    said = terminal.good("dan", "verify", image, *trust)
    assert f"found {QUANTUM}; not found {CLASSICAL}" in said.out


@pytest.mark.slow
def test_one_member_cannot_be_asked_for_and_cannot_leave_the_policy(terminal, live, tmp_path):
    with_set(terminal, live, "all")
    image = tmp_path / "three.bin"
    image.write_bytes(b"firmware")
    said = terminal.run("ada", "sign", image, "--product", "router", "--release", "2.0", "--key-profile", "1")
    assert said.code == REFUSED
    assert f"router/production signs raw with hybrid ({CLASSICAL}, {QUANTUM})" in said.err
    said = name_set(terminal, "--member", "1", "--member", "nobody")
    assert said.code == REFUSED
    assert "router/production has no key nobody" in said.err
    assert name_set(terminal).code == WRONG_SETTING
    terminal.run("root-a", "key", "remove", QUANTUM)
    assert terminal.run("root-a", "policy", "propose").code == REFUSED
    assert name_set(terminal, "--remove").code == 0
    assert name_set(terminal, "--remove").code == REFUSED
    terminal.good("root-a", "policy", "discard")


@pytest.mark.slow
def test_keys_that_one_image_has_no_room_for_are_no_set(terminal, live):
    make = ("--algorithm", "ed25519", "--format", "raw", "--instance", live.configuration.folder)
    terminal.good("root-a", "key", "create", "router/development/2", *make)
    said = terminal.run(
        "root-a", "product", "key-set", "router", "bridge", "--environment", "development",
        "--member", "1", "--member", "2", "--rule", "any",
    )  # fmt: skip
    assert said.code == REFUSED
    assert "the keys of set bridge cannot sign one image together: a raw file takes one key of each kind" in said.err
    path = live.folder / "config-root-a" / "policy-draft.json"
    draft = load_draft(path, os.urandom)
    scope = draft.get(Scope, "router/development")
    members = tuple(f"{scope.id}/{name}" for name in "12")
    bridge = KeySet(id="bridge", members=members, rule=KeySetRule.ANY, image_format="raw")
    draft.put(replace(scope, key_sets=(bridge,)))  # as an older client, or another program, would
    draft.save(path)
    for command in ("check", "propose"):
        said = terminal.run("root-a", "policy", command)
        assert said.code == REFUSED
        assert "the keys of set bridge cannot sign one image together" in said.err
    terminal.good("root-a", "policy", "discard")


@pytest.mark.slow
def test_what_a_member_signed_before_it_was_revoked_is_not_fetched_by_a_job_that_runs_again(terminal, live, tmp_path):
    with_set(terminal, live, "any")
    image = signed(terminal, tmp_path, "four.bin")
    again = ("sign", image, "--product", "router", "--release", "1.0", "--wait", "30", "--json")
    assert terminal.good("ada", *again).json["resumed"] is True
    terminal.good("root-a", "key", "revoke", QUANTUM, "--reason", "token lost")
    said = terminal.run("ada", *again, "-o", f"{tmp_path / 'again'}/")
    assert said.code == REFUSED
    assert f"key-profile {QUANTUM} was revoked" in said.err + said.out
