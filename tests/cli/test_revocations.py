"""What is revoked is seen wherever it matters: in lists, when signing, in the log, in impact, in drafts."""

import pytest
from tests.cli.online import Terminal
from tests.simulators.live import PEOPLE, Live, make_identity

from sealwright.client import revocations, ssh, standing
from sealwright.client.api import Api
from sealwright.core import records
from sealwright.core.envelopes import SignedDocument
from sealwright.core.errors import VerificationError
from sealwright.policy.entries import RestrictionEntry
from sealwright.service.restrictions_log import LoggedRestriction, RestrictionsAnswer

REFUSED = 77
pytestmark = pytest.mark.usefixtures("revoked")
LOST, OLD, NEW = "router/production/1", "router/development/1", "router/production/2"


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    live = Live(tmp_path_factory.mktemp("revoked")).make()
    try:
        yield live.start().found_policy()
    finally:
        live.stop()


@pytest.fixture
def terminal(live, capsys, monkeypatch):
    return Terminal(live, capsys, monkeypatch).connected("root-a", *PEOPLE)


@pytest.fixture
def revoked(live, terminal):
    """A key, a person and one of two keys of another person are revoked, once for all tests."""
    if terminal.good("root-a", "key", "show", LOST, "--json").json["revoked"] is None:
        second = make_identity(live.folder / "people" / "ben-2")
        terminal.good("root-a", "people", "add", "ben", "--key", f"{second}.pub")
        order = ("--instance", live.configuration.folder, "--algorithm", "ecdsa-p256-sha256", "--format", "raw")
        terminal.good("root-a", "key", "create", NEW, *order)
        terminal.good("root-a", "policy", "propose")
        terminal.good("root-a", "policy", "apply")
        live.identities["ben-2"] = second
        terminal.good("root-a", "key", "revoke", LOST, "--reason", "laptop stolen")
        terminal.good("root-a", "people", "revoke", "dan", "--reason", "left the company")
        print_ = ssh.public_key(second).fingerprint
        terminal.good("root-a", "people", "revoke", print_, "--key", "--reason", "token lost")


def test_lists_say_what_is_revoked_since_when_by_whom_and_why(terminal, live):
    shown = terminal.good("ada", "key", "show", LOST).out
    assert "laptop stolen" in shown
    assert "by root-a" in shown
    listed = terminal.good("ada", "key", "list").out.splitlines()
    assert [line for line in listed if "revoked" in line] == [line for line in listed if line.startswith(LOST)]
    by_id = {key["id"]: key["revoked"] for key in terminal.good("ada", "key", "list", "--json").json}
    assert by_id[LOST]["reason"] == "laptop stolen"
    assert by_id[LOST]["document"] == "signed"
    assert by_id[OLD] is None
    people = {p["person"]: p for p in terminal.good("ada", "people", "list", "--json").json}
    assert people["dan"]["revoked"]["reason"] == "left the company"
    assert people["ben"]["revoked"] is None
    assert people["ben"]["revoked_keys"][ssh.public_key(live.identities["ben-2"]).fingerprint]["reason"] == "token lost"
    assert "token lost" in terminal.good("ada", "people", "list").out
    scopes = {s["id"]: s["keys"] for s in terminal.good("ada", "product", "list", "--json").json}
    assert {k["id"]: bool(k["revoked"]) for k in scopes["router/production"]} == {LOST: True, NEW: False}
    assert "revoked key" in terminal.good("ada", "product", "list").out


def test_sign_leaves_a_revoked_key_out_and_takes_the_only_one_left(terminal, tmp_path):
    image = tmp_path / "app.bin"
    image.write_bytes(b"firmware of a careful maker")
    command = ("sign", image, "--product", "router", "--release", "1.0", "--json")
    request = terminal.good("ada", *command).json["id"]
    shown = terminal.good("ada", "request", "show", request, "--json").out
    assert NEW in shown
    assert LOST not in shown
    said = terminal.run("ada", *command, "--key-profile", LOST)
    assert said.code == REFUSED
    assert "revoked at log index" in said.err


def test_the_log_shows_why_and_its_verification_finds_what_a_server_hides(terminal, monkeypatch):
    index = terminal.good("ada", "key", "show", LOST, "--json").json["revoked"]["index"]
    assert "laptop stolen" in terminal.good("ada", "log", "show", index).out
    entry = terminal.good("ada", "log", "show", index, "--json").json
    assert entry["restriction"]["reason"] == "laptop stolen"
    terminal.good("ada", "log", "verify")

    honest = Api.get

    def hiding(self, answer, path, **query):
        found = honest(self, answer, path, **query)
        if isinstance(found, RestrictionsAnswer):
            return RestrictionsAnswer(checkpoint=found.checkpoint, restrictions=found.restrictions[1:])
        return found

    monkeypatch.setattr(Api, "get", hiding)
    said = terminal.run("ada", "log", "verify")
    assert said.code == VerificationError.exit_code
    assert f"revoke-key-profile {LOST} at index {index}" in said.err


def test_an_invented_or_altered_revocation_is_refused(live, monkeypatch):
    with live.api("ada") as api:
        in_force = standing.fetch(api, live.trust)
        answer = api.get(RestrictionsAnswer, "/v1/restrictions")
        first, second = answer.restrictions[:2]
        entry = records.parse(RestrictionEntry, first.entry)
        invented = records.serialise(
            RestrictionEntry(
                entry="restriction", format=1, kind=entry.kind, subject=OLD, person=entry.person,
                document=entry.document,
            )
        )  # fmt: skip
        honest = api.get

        def show(logged):
            changed = RestrictionsAnswer(checkpoint=answer.checkpoint, restrictions=(logged,))
            monkeypatch.setattr(
                api, "get", lambda kind, path, **q: changed if kind is RestrictionsAnswer else honest(kind, path, **q)
            )
            sections = in_force.standing.sections if in_force.standing else None
            return revocations.fetch(api, live.trust, in_force.root, sections)

        with pytest.raises(VerificationError):
            show(LoggedRestriction(index=first.index, entry=invented, proof=first.proof, signed=first.signed))
        with pytest.raises(VerificationError):
            show(LoggedRestriction(index=second.index, entry=first.entry, proof=first.proof, signed=first.signed))
        # It restricts from its entry alone; what is told beside it is believed only if it is what the entry names.
        for document in (None, second.signed):
            taken = show(LoggedRestriction(index=first.index, entry=first.entry, proof=first.proof, signed=document))
            assert (taken.key(LOST).document, taken.key(LOST).reason) == ("missing", "")
        swapped = SignedDocument(document=first.signed.document, signatures=second.signed.signatures)
        taken = show(LoggedRestriction(index=first.index, entry=first.entry, proof=first.proof, signed=swapped))
        assert taken.key(LOST).document == "unchecked"
        taken = show(first)
        assert (taken.key(LOST).document, taken.key(LOST).reason) == ("signed", "laptop stolen")


def test_the_doctor_says_what_is_revoked_and_still_in_the_policy(terminal, live):
    said = terminal.good("ada", "doctor", live.configuration.folder, "--json")
    assert f"key-profile {LOST}, since log index" in said.out
    assert "person dan, since log index" in said.out
    assert f"key-profile {NEW}" not in said.out


def test_impact_tells_a_revoked_key_an_unused_one_and_one_that_there_is_not(terminal):
    assert "laptop stolen" in terminal.good("ada", "impact", "--key", LOST).out
    assert terminal.good("ada", "impact", "--key", LOST, "--json").json["revoked"][0]["reason"] == "laptop stolen"
    unused = terminal.good("ada", "impact", "--key", OLD)
    assert "0 signatures" in unused.out
    assert terminal.good("ada", "impact", "--key", OLD, "--json").json["revoked"] == []
    said = terminal.run("ada", "impact", "--key", "router/development/l")
    assert said.code == REFUSED
    assert "there is no key router/development/l" in said.err
    assert f"did you mean {OLD}" in said.err


def test_a_revoked_name_is_never_used_again(terminal, live):
    order = ("--instance", live.configuration.folder, "--algorithm", "ecdsa-p256-sha256", "--format", "raw")
    folder = live.configuration.folder / "signer" / "keys" / "router-production"
    terminal.good("root-a", "key", "remove", LOST)
    before = sorted(folder.iterdir())
    said = terminal.run("root-a", "key", "create", LOST, *order)
    assert said.code == REFUSED
    assert "was revoked at log index" in said.err
    assert "laptop stolen" in said.err
    assert sorted(folder.iterdir()) == before, "a key was made for a name that nothing can use"
    terminal.good("root-a", "people", "remove", "dan")
    said = terminal.run("root-a", "people", "add", "dan", "--key", f"{live.identities['dan']}.pub")
    assert "left the company" in said.err
    said = terminal.run("root-a", "people", "add", "eve", "--key", f"{live.identities['ben-2']}.pub")
    assert "token lost" in said.err
    terminal.good("root-a", "policy", "discard")


def test_check_says_what_is_revoked_and_still_in_the_policy(terminal):
    terminal.good("root-a", "product", "change", "router", "--environment", "production", "--member-state", "FR")
    said = terminal.good("root-a", "policy", "check", "--json").json
    assert any(LOST in text and "revoked" in text for text in said["notes"])
    assert any("dan is revoked" in text for text in said["notes"])
    terminal.good("root-a", "policy", "discard")


def test_a_key_removed_with_its_draft_in_force_keeps_its_revocation(terminal):
    terminal.good("root-a", "key", "remove", LOST)
    terminal.good("root-a", "policy", "propose")
    terminal.good("root-a", "policy", "apply")
    assert LOST not in terminal.good("ada", "key", "list").out
    assert "laptop stolen" in terminal.good("ada", "impact", "--key", LOST).out
