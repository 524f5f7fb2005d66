"""Drafts of a policy: what would be refused later is refused at once, and whoever signs sees what changes."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.cli.online import Said, Terminal
from tests.simulators.live import Live, make_identity

from sealwright.client import ssh
from sealwright.client.drafts import load_draft
from sealwright.formats import FORMATS
from sealwright.policy.documents import KeyGrade, Scope

REFUSED, MISFIT, SETTING = 77, 65, 78
USED, NEW = "router/production/1", "router/production/2"
P256, RSA, PSS = "ecdsa-p256-sha256", "rsa-pkcs1-sha256", "rsa-pss-sha256"


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    live = Live(tmp_path_factory.mktemp("drafts")).make()
    try:
        yield live.start().found_policy()
    finally:
        live.stop()


@pytest.fixture
def terminal(live, capsys, monkeypatch):
    terminal = Terminal(live, capsys, monkeypatch)
    for person in ("root-a", "ada"):
        if not (live.folder / f"config-{person}").exists():
            terminal.connect(person)
    yield terminal
    terminal.good("root-a", "policy", "discard")


@pytest.fixture
def pem(tmp_path):
    def write(key):
        path = tmp_path / "key.pem"
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return path

    return write


def made(live: Live) -> list[Path]:
    """Everything that ceremonies made."""
    return sorted((live.configuration.folder / "signer" / "keys").rglob("*"))


def differences(said):
    return {(d["change"], d["kind"], d["id"]): d for d in said.json["differences"]}


# -- keys are checked before they are made


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((NEW, "--algorithm", P256), REFUSED, "names no format"),
        (("ruoter/production/2", "--algorithm", P256, "--format", "raw"), REFUSED, "did you mean router/production"),
        (("router/test/2", "--algorithm", P256, "--format", "raw"), REFUSED, "no product router in test"),
        ((NEW, "--algorithm", P256, "--format", "uefi-pe"), REFUSED, f"no target of uefi-pe verifies {P256}"),
        ((NEW, "--algorithm", RSA, "--size", "1024", "--format", "raw"), SETTING, "cannot have 1024 bits"),
        ((NEW, "--algorithm", P256, "--size", "384", "--format", "raw"), SETTING, "cannot have 384 bits"),
        ((NEW, "--algorithm", PSS, "--size", "4096", "--format", "mcuboot"), REFUSED, "hint: sizes: 2048, 3072\n"),
        ((USED, "--algorithm", P256, "--format", "raw"), REFUSED, "there is a key"),
        (("router/moon/2", "--algorithm", P256), SETTING, "does not name a key"),
    ],
)  # fmt: skip
def test_a_key_that_would_be_refused_later_is_not_made(terminal, live, arguments, code, says):
    before = made(live)
    said = terminal.run("root-a", "key", "create", *arguments, "--instance", live.configuration.folder)
    assert (said.code, made(live)) == (code, before)
    assert says in said.err


def test_a_key_of_a_grade_that_its_product_does_not_take_is_not_made(terminal, live):
    terminal.good("root-a", "product", "add", "vault", "--environment", "production")
    before = made(live)
    order = ("--algorithm", P256, "--format", "raw", "--instance", live.configuration.folder)
    said = terminal.run("root-a", "key", "create", "vault/production/1", *order)
    assert (said.code, made(live)) == (REFUSED, before)
    assert "is graded software, vault/production takes hardware-claimed, hardware-attested" in said.err
    terminal.good("root-a", "product", "change", "vault", "--environment", "production", "--key-grade", "software")
    terminal.good("root-a", "key", "create", "vault/production/1", *order)


def test_a_key_of_another_kind_than_its_algorithm_is_not_imported(terminal, live, pem):
    before = made(live)
    order = ("--format", "raw", "--instance", live.configuration.folder)
    file = pem(rsa.generate_private_key(65537, 2048))
    said = terminal.run("root-a", "key", "import", "router/production/old", file, "--algorithm", P256, *order)
    assert (said.code, made(live)) == (MISFIT, before)
    assert f"cannot sign {P256}" in said.err
    terminal.good("root-a", "key", "import", "router/production/old", file, "--algorithm", RSA, *order)


def test_an_imported_key_is_taken_up_again_after_its_draft_was_discarded(terminal, live, pem):
    file = pem(ec.generate_private_key(ec.SECP256R1()))
    order = (file, "--algorithm", P256, "--format", "raw", "--instance", live.configuration.folder)
    first = terminal.good("root-a", "key", "import", "router/production/2019", *order).out.splitlines()[0]
    said = terminal.run("root-a", "key", "import", "router/production/2020", *order)
    assert said.code == REFUSED
    assert "this is the key router/production/2019 already" in said.err
    assert "stay in their partitions" in terminal.good("root-a", "policy", "discard").err
    before = made(live)
    assert terminal.good("root-a", "key", "import", "router/production/2019", *order).out.splitlines()[0] == first
    assert made(live) == before
    terminal.good("root-a", "policy", "check")


def test_a_key_is_taken_out_of_the_policy(terminal):
    said = terminal.run("root-a", "key", "remove", "router/production/l")
    assert said.code == REFUSED
    assert f"did you mean {USED}" in said.err
    assert f"removed key-profile {USED}" in terminal.good("root-a", "key", "remove", USED).out
    said = terminal.good("root-a", "policy", "check")
    assert "router/production has no key that signs" in said.err


def test_a_generated_key_that_was_removed_comes_back_as_it_was_and_no_other_key_gets_its_name(terminal, live):
    order = ("--algorithm", P256, "--format", "raw", "--instance", live.configuration.folder)
    name = "router/development/1"
    old = terminal.good("root-a", "key", "show", name, "--json").json
    terminal.good("root-a", "key", "remove", name)
    terminal.good("root-a", "policy", "propose")
    terminal.good("root-a", "policy", "apply")
    before = made(live)
    said = terminal.run("root-a", "key", "create", name, *order)
    assert (said.code, made(live)) == (REFUSED, before)
    assert f"an earlier policy had another key of the name {name}" in said.err
    assert f"--existing {old['fingerprint'][:16]}" in said.err
    for wrong, says in (
        ((*order, "--existing", "0" * 64), "has no key 0000"),
        (("--algorithm", P256, "--instance", live.configuration.folder, "--existing", old["fingerprint"]), "for ecdsa"),
        (("--algorithm", RSA, *order[2:], "--existing", old["fingerprint"]), f"cannot sign {RSA}"),
    ):
        said = terminal.run("root-a", "key", "create", name, *wrong)
        assert (said.code, says in said.err) != (0, True), said
        assert says in said.err
    terminal.good("root-a", "key", "create", name, *order, "--existing", old["fingerprint"][:12])
    assert made(live) == before
    new = terminal.good("root-a", "key", "show", name, "--json").json
    assert {**new, "salt": ""} == {**old, "salt": ""}, "the same key, certificates and all"
    terminal.good("root-a", "policy", "propose")
    terminal.good("root-a", "policy", "apply")


def test_a_generated_key_is_taken_up_again_after_its_draft_was_discarded(terminal, live):
    order = ("--algorithm", P256, "--format", "raw", "--instance", live.configuration.folder)
    fingerprint = terminal.good("root-a", "key", "create", "router/production/again", *order).out.split()[1]
    terminal.good("root-a", "policy", "discard")
    before = made(live)
    said = terminal.run("root-a", "key", "create", "router/production/again", *order)
    assert (said.code, made(live)) == (REFUSED, before)
    assert f"--existing {fingerprint[:16]} takes it up again" in said.err
    said = terminal.run("root-a", "key", "create", "router/production/other", *order, "--existing", fingerprint)
    assert "was made as router/production/again" in said.err
    said = terminal.good("root-a", "key", "create", "router/production/again", *order, "--existing", fingerprint[:16])
    assert said.out.split()[1] == fingerprint
    assert made(live) == before
    terminal.good("root-a", "policy", "check")


def test_a_change_and_its_undoing_leave_nothing_to_sign(terminal):
    command = ("product", "change", "router", "--environment", "production", "--approvals")
    before = terminal.good("root-a", "policy", "show", "--json").json["sections"]
    terminal.good("root-a", *command, "1")
    assert "the same as the policy in force" in terminal.good("root-a", *command, "2").err
    shown = terminal.good("root-a", "policy", "show", "--json").json
    assert (shown["differences"], shown["sections"]) == ([], before)
    assert "changes nothing" in terminal.run("root-a", "policy", "propose").err


def test_what_is_taken_out_of_the_draft_alone_is_called_that(terminal, live):
    terminal.good("root-a", "people", "add", "hal", "--key", f"{make_identity(live.folder / 'hal')}.pub")
    said = terminal.good("root-a", "people", "remove", "hal")
    assert "person hal is taken out of the draft" in said.err
    assert "the same as the policy in force" not in said.err


# -- products


def test_adding_a_product_again_changes_nothing_and_change_changes_what_is_named(terminal):
    said = terminal.run("root-a", "product", "add", "router", "--environment", "production", "--member-state", "FR")
    assert said.code == REFUSED
    assert "product change router --environment production" in said.err
    assert "changes nothing" in terminal.run("root-a", "policy", "propose").err
    command = ("product", "change", "router", "--environment", "production")
    assert "nothing is named" in terminal.run("root-a", *command).err
    terminal.good("root-a", *command, "--member-state", "FR", "--recomputed", "1")
    (found,) = differences(terminal.good("root-a", "policy", "check", "--json")).values()
    assert found["gone"] == [
        {"member": "member states", "value": "DE"}, {"member": "quorum", "value": "2 by approver"}
    ] or found["gone"] == [
        {"member": "quorum", "value": "2 by approver"}, {"member": "member states", "value": "DE"}
    ]  # fmt: skip
    assert {"member": "quorum", "value": "2 by approver, 1 of them recomputed"} in found["new"]
    assert {"member": "member states", "value": "FR"} in found["new"]
    said = terminal.run("root-a", *command, "--approvals", "1", "--recomputed", "2")
    assert "2 recomputed approvals of 1" in said.err
    said = terminal.run("root-a", *command, "--key-grade", "hardware-attested")
    assert f"would be shut out: {USED}" in said.err


def test_a_product_goes_with_its_keys_or_not_at_all(terminal):
    said = terminal.run("root-a", "product", "remove", "router/production")
    assert said.code == REFUSED
    assert USED in said.err
    assert "--with-keys" in said.err
    said = terminal.good("root-a", "product", "remove", "router/production", "--with-keys", "--json")
    assert {(d["change"], d["kind"]) for d in said.json["draft"]} == {("removed", "scope"), ("removed", "key-profile")}
    terminal.good("root-a", "policy", "check")
    said = terminal.run("root-a", "product", "remove", "router/prodution")
    assert "there is no router/prodution" in said.err


# -- people


def test_a_misspelt_role_is_refused_with_those_that_there_are(terminal, live):
    key = f"{make_identity(live.folder / 'eve')}.pub"
    said = terminal.run("root-a", "people", "add", "eve", "--key", key, "--role", "aprover")
    assert said.code == REFUSED
    assert "did you mean approver? roles: approver, developer" in said.err
    said = terminal.good(
        "root-a", "product", "change", "router", "--environment", "production", "--approver", "releaser"
    )
    assert "releaser is a new role" in said.err
    assert (
        "needs 2 approvals by releaser, and 0 people who can sign are that"
        in terminal.good("root-a", "policy", "check").err
    )
    terminal.good("root-a", "people", "add", "eve", "--key", key, "--role", "releaser")


def test_one_role_or_one_key_is_taken_and_the_person_stays(terminal, live):
    second = make_identity(live.folder / "ada-2")
    terminal.good("root-a", "people", "add", "ada", "--key", f"{second}.pub")
    old = ssh.public_key(live.identities["ada"]).fingerprint
    terminal.good("root-a", "people", "remove", "ada", "--key", f"{live.identities['ada']}.pub", "--role", "approver")
    (ada,) = (p for p in terminal.good("root-a", "people", "list", "--json").json if p["person"] == "ada")
    assert ada["keys"] == [ssh.public_key(second).fingerprint]
    assert ada["roles"] == ["developer"]
    for arguments, says in (
        (("--key", old), "ada has no key"),
        (("--role", "approver"), "ada has no role approver"),
        (("--key", ada["keys"][0]), "no key left"),
    ):
        said = terminal.run("root-a", "people", "remove", "ada", *arguments)
        assert said.code == REFUSED
        assert says in said.err
    assert "no person adaa" in terminal.run("root-a", "people", "remove", "adaa").err


def test_a_name_needs_somebody_behind_it(terminal):
    said = terminal.run("root-a", "people", "name", "adda", "Ada Lovelace")
    assert said.code == REFUSED
    assert "did you mean ada" in said.err
    said = terminal.run("root-a", "people", "name", "ada", "--erase")
    assert "no name for ada" in said.err
    terminal.good("root-a", "people", "name", "root-a", "An Administrator")
    terminal.good("root-a", "people", "name", "root-a", "--erase")


def test_a_pipeline_is_added_with_its_controllers_shown_changed_and_taken_out(terminal, live):
    key = f"{make_identity(live.folder / 'pipe')}.pub"
    order = ("people", "add", "build-farm", "--key", key, "--role", "developer", "--pipeline")
    said = terminal.run("root-a", *order)
    assert said.code == SETTING
    assert "nobody controls the pipeline build-farm" in said.err
    assert "no person dann" in terminal.run("root-a", *order, "--controller", "dann").err
    assert "ada is a person already" in terminal.run(
        "root-a", "people", "add", "ada", "--pipeline", "--controller", "dan"
    ).err  # fmt: skip
    said = terminal.good("root-a", *order, "--controller", "dan")
    assert "added pipeline build-farm" in said.out
    assert "+ controllers: dan" in said.out
    terminal.good("root-a", "people", "add", "build-farm", "--controller", "cleo")
    (farm,) = (p for p in terminal.good("root-a", "people", "list", "--json").json if p["person"] == "build-farm")
    assert (farm["kind"], farm["controllers"], farm["roles"]) == ("pipeline", ["cleo", "dan"], ["developer"])
    listed = terminal.good("root-a", "people", "list").out
    assert listed.startswith("PERSON")
    assert "pipeline of cleo, dan" in listed
    said = terminal.run("root-a", "people", "remove", "dan")
    assert said.code == REFUSED
    assert "dan controls build-farm" in said.err
    terminal.good("root-a", "people", "remove", "build-farm", "--controller", "dan")
    assert "no controller left" in terminal.run("root-a", "people", "remove", "build-farm", "--controller", "cleo").err
    terminal.good("root-a", "policy", "propose")
    terminal.good("root-a", "policy", "apply")
    said = terminal.good("root-a", "people", "revoke", "build-farm", "--reason", "build host broken into")
    assert "is revoked" in said.out
    assert "build-farm, log index" in terminal.good("ada", "policy", "show").out
    terminal.good("root-a", "people", "remove", "build-farm")
    assert "was revoked" in terminal.run("root-a", *order, "--controller", "dan").err


def test_who_cannot_sign_any_more_does_not_count_for_a_quorum(terminal, live):
    key, role = f"{make_identity(live.folder / 'jo')}.pub", ("--role", "signer-off")
    change = ("product", "change", "router", "--environment", "production")
    terminal.good("root-a", *change, "--approver", "signer-off", "--approvals", "1")
    terminal.good("root-a", "people", "add", "jo", "--key", key, *role)
    terminal.good("root-a", "policy", "propose")
    terminal.good("root-a", "policy", "apply")
    assert "signer-off" not in terminal.good("root-a", "policy", "check").err
    print_ = ssh.public_key(live.folder / "jo").fingerprint
    said = terminal.good("root-a", "people", "revoke", print_[:12], "--key", "--reason", "lost")
    short = "router/production needs 1 approval by signer-off, and 0 people who can sign are that"
    assert f"warning: {short}" in said.err
    assert f"key {print_[:16]} of jo is revoked" in said.out
    notes = terminal.good("root-a", "policy", "check", "--json").json["notes"]
    assert short in notes
    said = _at_a_terminal("n", "doctor", str(live.configuration.folder))
    assert said.code == 1
    assert short in said.out
    assert any("jo has no key left that is not revoked" in text for text in notes)
    terminal.good("root-a", *change, "--approver", "approver", "--approvals", "2")
    terminal.good("root-a", "policy", "propose")
    terminal.good("root-a", "policy", "apply")


def test_what_one_signs_for_is_spelled_out_even_where_it_does_not_compile(terminal, live):
    change = ("product", "change", "router", "--environment", "production")
    assert "+ support until: 2031-12-31\n" in terminal.good("root-a", *change, "--support-until", "2031-12-31").out
    assert "2031-12-31\n" in terminal.good("root-a", "product", "list").out
    order = ("--algorithm", RSA, "--size", "4096", "--format", "raw", "--instance", live.configuration.folder)
    said = terminal.good("root-a", "key", "create", "router/production/large", *order)
    assert ", 4096 bits" in said.out
    assert "+ certificates: CN=router/production/large, until 20" in said.out
    assert "rsa-pkcs1-sha256, 4096 bits" in terminal.good("root-a", "key", "list").out
    path = live.folder / "config-root-a" / "policy-draft.json"
    draft = load_draft(path, os.urandom)
    draft.put(replace(draft.get(Scope, "router/production"), quorum=()))
    draft.save(path)
    said = terminal.run("root-a", "policy", "check")
    assert said.code == REFUSED
    assert "+ quorum: no approval needed" in said.out
    assert "asks for no approval" in said.err


# -- the draft as a whole


def test_check_show_propose_and_sign_show_before_and_after(terminal):
    terminal.good("root-a", "product", "change", "router", "--environment", "production", "--approvals", "1")
    lines = ["changed scope router/production", "  - quorum: 2 by approver", "  + quorum: 1 by approver"]
    assert terminal.good("root-a", "policy", "check").out.splitlines() == lines
    assert "\n".join(lines) in terminal.good("root-a", "policy", "show").out
    said = terminal.good("root-a", "policy", "propose")
    assert "\n".join(lines) in said.err
    (digest,) = said.out.split()
    assert "\n".join(lines) in terminal.good("ada", "policy", "show", digest).out
    shown = terminal.good("ada", "policy", "show", digest, "--json").json
    assert [d["id"] for d in shown["differences"]] == ["router/production"]
    said = terminal.run("ada", "policy", "sign", digest)
    assert "\n".join(lines) in said.out, "what is to be signed is shown before it is"
    assert said.code == REFUSED


@pytest.mark.parametrize("answer", ["n", "y"])
def test_at_a_terminal_it_asks_before_it_signs(terminal, answer):
    terminal.good("root-a", "product", "change", "router", "--environment", "production", "--member-state", "AT")
    before = len(terminal.good("root-a", "policy", "show", "--json").json["proposals"])
    master, slave = os.openpty()
    command = [sys.executable, "-m", "sealwright.cli", "policy", "propose"]
    with subprocess.Popen(command, stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asked:
        os.write(master, f"{answer}\n".encode())
        out, err = asked.communicate(timeout=30)
    os.close(master)
    os.close(slave)
    assert "+ member states: AT" in err.partition("sign this as the next policy?")[0]
    after = len(terminal.good("root-a", "policy", "show", "--json").json["proposals"])
    assert (asked.returncode, bool(out.strip()), after - before) == ((0, True, 1) if answer == "y" else (130, False, 0))


def test_a_discarded_draft_is_named_kept_and_taken_up_again(terminal):
    terminal.good("root-a", "people", "remove", "dan")
    said = terminal.good("root-a", "policy", "discard", "--json")
    assert [(d["change"], d["id"]) for d in said.json["dropped"]] == [("removed", "dan")]
    assert json.loads(Path(said.json["copy"]).read_text())["type"] == "policy-draft"
    assert "changes nothing" in terminal.run("root-a", "policy", "propose").err
    terminal.good("root-a", "policy", "discard", "--undo")
    assert "removed person dan" in terminal.good("root-a", "policy", "check").out
    assert "no draft was discarded" in terminal.run("ada", "policy", "discard", "--undo").err


def test_a_stale_draft_hinders_changes_but_neither_looking_nor_revoking(terminal, live):
    _withdraw_all(terminal)
    terminal.good("ada", "people", "remove", "dan")
    key = f"{make_identity(live.folder / 'fay')}.pub"
    terminal.good("root-a", "people", "add", "fay", "--key", key, "--role", "developer")
    terminal.good("root-a", "policy", "propose")
    terminal.good("root-a", "policy", "apply")
    assert not (live.folder / "config-root-a" / "policy-draft.json").exists()
    said = terminal.run("ada", "people", "remove", "cleo")
    assert said.code == REFUSED
    assert "the draft changes policy version" in said.err
    assert "the draft changes policy version" in terminal.good("ada", "key", "list").err
    own = ssh.public_key(live.identities["ada"]).fingerprint
    said = terminal.run("ada", "people", "revoke", "fay", "--reason", "envy")
    assert "may not revoke" in said.err
    assert own in terminal.good("ada", "people", "list").out
    assert "dropped:" in terminal.good("ada", "policy", "discard").out


def test_applying_keeps_a_draft_that_says_something_else(terminal, live):
    key = f"{make_identity(live.folder / 'gus')}.pub"
    terminal.good("root-a", "people", "add", "gus", "--key", key)
    digest = terminal.good("root-a", "policy", "propose").out.split()[0]
    terminal.good("root-a", "people", "remove", "dan")
    assert "your draft is not what was applied" in terminal.good("root-a", "policy", "apply", digest).err
    assert (live.folder / "config-root-a" / "policy-draft.json").exists()


def test_a_proposal_that_another_one_overtook_is_not_offered_any_more(terminal):
    for state in ("PL", "CZ"):
        terminal.good("root-a", "product", "change", "router", "--environment", "production", "--member-state", state)
        digest = terminal.good("root-a", "policy", "propose").out.split()[0]
    offered = [p["digest"] for p in terminal.good("root-a", "policy", "show", "--json").json["proposals"]]
    assert digest in offered
    terminal.good("root-a", "policy", "apply", digest)
    assert terminal.good("root-a", "policy", "show", "--json").json["proposals"] == []
    assert "there is no open proposal" in terminal.run("root-a", "policy", "sign").err


def _overtaking_proposals(terminal, first="SE", second="FI"):
    """Two proposals with all their signatures, of which the first is a mistake."""
    change = ("product", "change", "router", "--environment", "production", "--member-state")
    terminal.good("root-a", *change, first)
    mistake = terminal.good("root-a", "policy", "propose").out.split()[0]
    said = terminal.good("root-a", "policy", "discard")
    assert f"proposal {mistake[:16]}, which you signed, stays open" in said.err
    assert f"policy withdraw {mistake[:16]}" in said.err
    terminal.good("root-a", *change, second)
    return mistake, terminal.good("root-a", "policy", "propose").out.split()[0]


def _withdraw_all(terminal):
    for proposal in terminal.good("root-a", "policy", "show", "--json").json["proposals"]:
        terminal.good("root-a", "policy", "withdraw", proposal["digest"])


def test_a_mistaken_proposal_is_withdrawn_and_never_applied_unseen(terminal):
    _withdraw_all(terminal)
    mistake, meant = _overtaking_proposals(terminal)
    said = terminal.run("root-a", "policy", "apply")
    assert said.code == REFUSED
    assert "2 open proposals have their signatures" in said.err
    assert mistake[:16] in said.err
    assert terminal.run("ada", "policy", "withdraw", mistake).code == REFUSED
    said = terminal.good("root-a", "policy", "withdraw", mistake[:10])
    assert f"withdrawn: policy {mistake}" in said.out
    assert "stay valid until" in said.err
    assert "is withdrawn" in terminal.run("root-a", "policy", "withdraw", mistake).err
    assert "is withdrawn" in terminal.run("root-a", "policy", "sign", mistake).err
    assert terminal.run("root-a", "policy", "apply", mistake).code == REFUSED
    said = terminal.good("root-a", "policy", "apply")
    assert "+ member states: FI" in said.err, "what is logged is shown"
    (scope,) = (s for s in terminal.good("ada", "product", "list", "--json").json if s["id"] == "router/production")
    assert scope["member_states"] == ["FI"]
    assert meant not in str(terminal.good("ada", "policy", "show", "--json").json["proposals"])


def test_short_digests_name_proposals_and_ambiguous_ones_are_refused(terminal):
    _withdraw_all(terminal)
    _, digest = _overtaking_proposals(terminal, "IE", "PT")
    assert f"proposal {digest}" in terminal.good("ada", "policy", "show", digest[:6]).out
    said = terminal.run("ada", "policy", "show", "0000")
    assert said.code == REFUSED
    assert "no proposal 0000" in said.err
    _withdraw_all(terminal)


@pytest.mark.parametrize("answer", ["n", "y"])
def test_at_a_terminal_apply_and_revoke_ask(terminal, live, answer):
    _withdraw_all(terminal)
    terminal.good("root-a", "people", "add", f"ivy-{answer}", "--key", f"{make_identity(live.folder / answer)}.pub")
    terminal.good("root-a", "policy", "propose")
    said = _at_a_terminal(answer, "policy", "apply")
    assert "+ authenticators: ssh-ed25519" in said.err.partition("and have everybody obey it?")[0]
    assert (said.code, "is in force" in said.out) == ((0, True) if answer == "y" else (130, False))
    if answer == "n":
        assert "nothing was logged" in said.err
        terminal.good("root-a", "policy", "apply")
    said = _at_a_terminal(answer, "people", "revoke", f"ivy-{answer}", "--reason", "left")
    assert f"revoke person ivy-{answer} for ever?" in said.err
    assert (said.code, "is revoked" in said.out) == ((0, True) if answer == "y" else (130, False))
    assert bool(_revoked(terminal, f"ivy-{answer}")) is (answer == "y")
    if answer == "n":
        assert "nothing was revoked" in said.err
        said = _at_a_terminal("n", "people", "revoke", f"ivy-{answer}", "--reason", "left", "--yes")
        assert said.code == 0
        assert _revoked(terminal, f"ivy-{answer}")
        said = _at_a_terminal("n", "key", "revoke", USED, "--reason", "rehearsal")
        assert f"revoke key {USED} for ever?" in said.err
        assert said.code == 130


def _revoked(terminal, person):
    (found,) = (p for p in terminal.good("root-a", "people", "list", "--json").json if p["person"] == person)
    return found["revoked"]


def _at_a_terminal(answer, *arguments):
    """Run a command as the one who ran the last, with a terminal to ask at."""
    master, slave = os.openpty()
    command = [sys.executable, "-m", "sealwright.cli", *arguments]
    with subprocess.Popen(command, stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asked:
        os.write(master, f"{answer}\n".encode())
        out, err = asked.communicate(timeout=30)
    os.close(master)
    os.close(slave)
    return Said(asked.returncode, out, err)


# -- help


@pytest.mark.parametrize(
    ("command", "values"),
    [
        ("key create", ["ecdsa-p256-sha256", "development, test or production", "update-metadata", *FORMATS]),
        ("key import", ["rsa-pss-sha256", "endorsement", *FORMATS]),
        ("people add", ["developer", "approver"]),
        ("product add", ["development", "test", "production", *KeyGrade]),
        ("product change", ["developer", "approver", *KeyGrade]),
    ],
)
def test_the_help_names_the_values(terminal, command, values):
    shown = "".join(terminal.good("root-a", *command.split(), "--help").out.split())  # it breaks lines at hyphens
    assert [value for value in values if value.replace(" ", "") not in shown] == []
