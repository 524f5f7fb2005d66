"""kill -9 before and after each step of a signature, and what must hold after the restart.

Real processes; each dies at a named point of ``tests.simulators.crashing``.  Whenever something died: the log adds up,
every signature that is kept has its intent and its outcome in the log, what was acknowledged is there, and the request
is finished, with evidence that verifies.
"""

import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest
from tests.conftest import PROJECT
from tests.simulators import crashing
from tests.simulators.live import Live, free_port

from sealwright.client.assembly import assemble
from sealwright.client.compose import new_request, new_restriction, new_vote, prepare_artifact, sign_document
from sealwright.client.standing import fetch, needed
from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.envelopes import SignedDocument
from sealwright.core.errors import Code, RefusedError, UnavailableError
from sealwright.core.images import MemorySource
from sealwright.evidence.bundle import Dossier
from sealwright.evidence.verify import verify_evidence
from sealwright.formats import FORMATS
from sealwright.policy import documents as d
from sealwright.policy.authorise import rules_of
from sealwright.policy.entries import IntentEntry, OutcomeEntry, RestrictionEntry, parse_entry
from sealwright.policy.sections import parse_section
from sealwright.service.messages import (
    Applied,
    ApplyBody,
    Health,
    PolicyAnswer,
    ProposalsAnswer,
    RequestAnswer,
    RestrictBody,
    Result,
    SubmitBody,
    VoteBody,
)
from sealwright.service.restrictions import Logged
from sealwright.storage.log_reader import LogReader

pytestmark = pytest.mark.slow
DEATH_SECONDS, FINISH_SECONDS = 20, 40


class CrashingLive(Live):
    """An installation whose processes can be told where to die."""

    def start(self, *names: str) -> "CrashingLive":
        for name in names or ("signer", "server"):
            with (self.folder / f"{name}.out").open("ab") as output:
                self.processes[name] = subprocess.Popen(
                    [sys.executable, "-m", "tests.simulators.crashing", name, str(self.folder / "i")],
                    cwd=PROJECT, stdout=output, stderr=subprocess.STDOUT,
                )  # fmt: skip
        self.wait()
        return self

    def arm(self, point: str) -> None:
        crashing.arm(self.folder / "i", point)

    def await_death(self, name: str) -> None:
        process = self.processes.pop(name)
        assert process.wait(timeout=DEATH_SECONDS) == -signal.SIGKILL
        assert not crashing.is_armed(self.folder / "i")


def sign(live: Live, record, person: str) -> SignedDocument:
    return sign_document(record, instance=live.configuration.instance, identity=live.identities[person], signer=person)


class Case:
    """One request on its way, with its approvals."""

    def __init__(self, live: Live, name: str, dan: d.Decision = d.Decision.REJECT) -> None:
        self.live, self.image = live, f"firmware of {name}".encode()
        now = int(time.time())
        with live.api("ada") as api:
            answer = api.get(PolicyAnswer, "/v1/policy")
            standing = needed(fetch(api, live.trust))
            api.upload(MemorySource(self.image), hashlib.sha256(self.image).hexdigest())
        (profile,) = [s for s in map(parse_section, answer.sections) if s.id == "router/production/1"]
        prepared = prepare_artifact(
            MemorySource(self.image), "fw.bin", FORMATS["raw"], [profile], {"signing_time": now}
        )
        request = new_request(
            [prepared], log=live.configuration.origin, requester="ada", product="router", release="1",
            environment=d.Environment.PRODUCTION, now=now, lifetime_seconds=3600, entropy=os.urandom,
        )  # fmt: skip
        self.request = sign(live, request, "ada")
        self.id = request.id
        self.digest = document_digest("request", live.configuration.instance, self.request.document)
        self.votes = {
            person: sign(
                live,
                new_vote(
                    request, instance=live.configuration.instance, rules=rules_of(request, standing)[2],
                    decision=dan if person == "dan" else d.Decision.APPROVE, person=person, now=now,
                    entropy=os.urandom, reason="wrong build" if (person, dan) == ("dan", d.Decision.REJECT) else "",
                ),
                person,
            )
            for person in ("ben", "cleo", "dan")
        }  # fmt: skip

    def submit(self, *voters: str) -> bool:
        """Ask for the signature; return whether the server said yes."""
        with self.live.api("ada") as api:
            body = SubmitBody(request=self.request, votes=tuple(self.votes[v] for v in voters))
            return answered(lambda: api.post(Result, "/v1/requests", body))

    def approve(self, person: str) -> bool:
        with self.live.api(person) as api:
            return answered(
                lambda: api.post(Result, f"/v1/requests/{self.id}/approve", VoteBody(vote=self.votes[person]))
            )

    def intents(self) -> list:
        return [e for e in entries_of(self.live) if isinstance(e, IntentEntry) and e.request == self.digest]

    def finish_from_start(self) -> None:
        assert self.submit("ben", "cleo")
        self.finish()

    def finish(self) -> None:
        """The request ends signed, and its evidence verifies."""
        deadline = time.monotonic() + FINISH_SECONDS
        with self.live.api("ada") as api:
            while (done := api.get(Result, f"/v1/requests/{self.id}/result", wait=5)).status.state != "signed":
                assert time.monotonic() < deadline, done.status
            dossier = api.get(Dossier, f"/v1/requests/{self.id}/dossier")
        evidence = assemble(dossier, "fw.bin", MemorySource(self.image), FORMATS)
        verify_evidence(evidence, MemorySource(self.image), self.live.trust, FORMATS)


def answered(call) -> bool:
    """Make a call; return whether the server lived to answer it."""
    try:
        call()
    except UnavailableError as e:
        if e.code is not Code.SERVER_UNAVAILABLE:
            raise
        return False
    return True


def entries_of(live: Live) -> list:
    """Verify the whole log and return its entries."""
    with LogReader(live.configuration.log_database) as log:
        head = log.verify_all(live.trust.log_keys)
        return [parse_entry(data) for data in log.entries(0, head.size)]


def check_everything(live: Live) -> None:
    """The log adds up, and no signature is kept without its intent and its outcome."""
    entries = entries_of(live)
    with closing(sqlite3.connect(live.configuration.documents_database)) as database:
        signatures = database.execute("SELECT request, position, intent_index, value FROM signature").fetchall()
        documents = dict(database.execute("SELECT digest, signed FROM document").fetchall())
    for request, position, intent_index, value in signatures:
        intent = entries[intent_index]
        assert isinstance(intent, IntentEntry)
        assert intent.request == request
        assert set(intent.votes) <= documents.keys()
        logged = next(e for e in entries if isinstance(e, OutcomeEntry) and e.intent_index == intent_index)
        signed = records.parse(SignedDocument, documents[logged.document])
        outcome = records.parse(d.Outcome, signed.document)
        assert outcome.slots[position].signature == hashlib.sha256(value).hexdigest()


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    live = CrashingLive(tmp_path_factory.mktemp("crash")).make()
    try:
        live.start()
        live.found_policy()
        yield live
        live.stop()
    finally:
        live.kill()


VOTE_POINTS = ("before-vote-commit", "after-vote-commit")


@pytest.mark.parametrize("point", crashing.SERVER_POINTS)
def test_a_server_killed_at_any_point_loses_nothing_it_accepted(live, point):
    case = Case(live, point)
    if point in VOTE_POINTS:
        assert case.submit("ben")
    live.arm(point)
    was_accepted = case.approve("cleo") if point in VOTE_POINTS else case.submit("ben", "cleo")
    live.await_death("server")
    check_everything(live)
    live.start("server")
    with live.api("ada") as api:
        try:
            kept = api.get(RequestAnswer, f"/v1/requests/{case.id}")
        except RefusedError as e:
            if e.code is not Code.NOT_FOUND:
                raise
            kept = None
    if point == "before-request-commit":
        assert kept is None
        assert not was_accepted
        assert case.submit("ben", "cleo")
    elif point == "before-vote-commit":
        assert case.votes["cleo"] not in kept.votes
        assert not was_accepted
        assert case.approve("cleo")
    else:
        assert kept.request == case.request
        assert {case.votes["ben"], case.votes["cleo"]} <= set(kept.votes)
        assert case.submit("ben", "cleo"), "the same again is the same request"
    case.finish()
    check_everything(live)
    if point in ("after-signatures-commit", *VOTE_POINTS):
        assert len(case.intents()) == 1, "what was finished, or not begun, is signed once"


@pytest.mark.parametrize("point", crashing.SIGNER_POINTS)
def test_a_signer_killed_at_any_point_leaves_a_request_that_is_signed_later(live, point):
    case = Case(live, point)
    live.arm(point)
    assert case.submit("ben", "cleo")
    live.await_death("signer")
    if point != "signer-release-answered":
        with live.api("ada") as api:
            assert api.get(Result, f"/v1/requests/{case.id}/result").status.state == "signing"
    check_everything(live)
    live.start("signer")
    case.finish()
    check_everything(live)


def test_both_killed_at_once_leave_a_request_that_is_signed_later(live):
    case = Case(live, "both")
    live.arm("after-outcome-append")
    case.submit("ben", "cleo")
    live.await_death("server")
    live.kill("signer")
    check_everything(live)
    live.start()
    case.finish()
    check_everything(live)


@pytest.mark.parametrize("point", crashing.RESTRICTION_POINTS)
def test_a_veto_that_was_taken_in_is_logged_after_the_restart(live, point):
    case = Case(live, point)
    assert case.submit("ben")
    live.arm(point)
    with live.api("dan") as api:
        body = VoteBody(vote=case.votes["dan"])
        assert not answered(lambda: api.post(Logged, f"/v1/requests/{case.id}/reject", body))
    live.await_death("server")
    check_everything(live)
    live.start("server")
    vetoes = [e for e in entries_of(live) if isinstance(e, RestrictionEntry) and e.subject == case.digest]
    assert {(e.kind, e.person) for e in vetoes} == {(d.RestrictionKind.VETO, "dan")}
    with live.api("ada") as api:
        assert api.get(Result, f"/v1/requests/{case.id}/result").status.state == "rejected"
    with pytest.raises(RefusedError, match="is rejected"):
        case.approve("cleo")
    assert not case.intents()


def test_a_revocation_that_was_taken_in_is_logged_after_the_restart(live):
    with live.api("dan") as api:
        document = new_restriction(
            d.RestrictionKind.REVOKE_PERSON, "dan", person="dan", reason="key lost", now=int(time.time()),
            entropy=os.urandom,
        )  # fmt: skip
        live.arm("after-restriction-commit")
        body = RestrictBody(restriction=sign(live, document, "dan"))
        assert not answered(lambda: api.post(Logged, "/v1/restrictions", body))
    live.await_death("server")
    live.start("server")
    assert [e.subject for e in entries_of(live) if isinstance(e, RestrictionEntry) and "revoke" in e.kind] == ["dan"]
    with pytest.raises(RefusedError, match="knows nobody with key"), live.api("dan") as api:
        api.get(Health, "/v1/status")


@pytest.mark.parametrize("point", crashing.POLICY_POINTS)
def test_a_policy_is_in_force_or_still_proposed_after_a_crash(live, point):
    product = f"p-{point[:6]}-x"
    live.arm(point)
    with pytest.raises(UnavailableError):
        live.found_policy(product=product)
    live.await_death("server")
    live.start("server")
    with live.api("root-a") as api:
        proposals = api.get(ProposalsAnswer, "/v1/proposals").proposals
        newest = max(proposals, key=lambda p: records.parse(d.Policy, p.signed.document).version)
        if point == "before-policy-append":
            assert newest.state == "open"
            api.post(Applied, "/v1/apply", ApplyBody(proposals=(newest.digest,)))
        else:
            assert newest.state == "applied"
        sections = [parse_section(data).id for data in api.get(PolicyAnswer, "/v1/policy").sections]
    assert f"{product}/production" in sections
    check_everything(live)


def test_a_second_server_on_the_same_instance_is_refused(live):
    folder = live.folder / "i"
    again = [sys.executable, "-m", "sealwright.wiring", "server", str(folder)]
    same_port = subprocess.run(again, capture_output=True, text=True, timeout=30, check=False)
    assert same_port.returncode == 78
    assert f"cannot listen on port {live.configuration.port}" in same_port.stderr
    settings = folder / "sealwright.toml"
    before = settings.read_text()
    settings.write_text(before.replace(f"port = {live.configuration.port}", f"port = {free_port()}"))
    try:
        other_port = subprocess.run(again, capture_output=True, text=True, timeout=30, check=False)
    finally:
        settings.write_text(before)
    assert other_port.returncode == 75
    assert "another process writes this log" in other_port.stderr
    again[3] = "signer"
    signer = subprocess.run(again, capture_output=True, text=True, timeout=30, check=False)
    assert signer.returncode == 78
    assert "another signer with this memory is running" in signer.stderr
    Case(live, "still running").finish_from_start()


def test_an_old_copy_of_the_database_is_refused_by_the_server_and_with_its_guard_by_the_signer(live):
    """The last test here: it leaves an installation that cannot go on."""
    configuration = live.configuration
    live.stop()
    old = live.folder / "old"
    old.mkdir()
    for path in (configuration.log_database, configuration.documents_database):
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(old / path.name)) as copy:
            source.backup(copy)
    shutil.copytree(configuration.guard, old / "guard")
    live.start()
    Case(live, "after the copy").finish_from_start()
    live.stop()
    for path in (configuration.log_database, configuration.documents_database):
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        shutil.copy(old / path.name, path)
    command = [sys.executable, "-m", "sealwright.wiring", "server", str(live.folder / "i")]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert refused.returncode == 77
    assert "were published" in refused.stderr
    assert "put the newest database back" in refused.stderr
    entries_of(live)  # it can still be read and adds up

    shutil.rmtree(configuration.guard)
    shutil.copytree(old / "guard", configuration.guard)
    live.start()
    case = Case(live, "from the past")
    assert case.submit("ben", "cleo")
    deadline = time.monotonic() + DEATH_SECONDS
    with live.api("ada") as api:
        while (status := api.get(Health, "/v1/status")).status == "ok":
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert status.detail.startswith("log-inconsistent")
        assert "were followed before" in status.detail or "differs from the one followed" in status.detail
        assert api.get(Result, f"/v1/requests/{case.id}/result").status.state == "signing"
