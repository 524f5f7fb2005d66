"""kill -9 before and after each arrow of PROTOCOL section 5, and what must hold after the restart.

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
from tests.simulators.live import Live

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
    Health,
    PolicyAnswer,
    RequestAnswer,
    RestrictBody,
    Result,
    SubmitBody,
    VoteBody,
)
from sealwright.service.restrictions import Logged
from sealwright.storage.log_reader import LogReader
from sealwright.translog.notes import parse_vkey

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

    def sign(self, record, person: str) -> SignedDocument:
        return sign_document(
            record, instance=self.configuration.instance, identity=self.identities[person], signer=person
        )


class Case:
    """One request on its way, with its approvals."""

    def __init__(self, live: CrashingLive, name: str) -> None:
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
        self.request = live.sign(request, "ada")
        self.id = request.id
        self.digest = document_digest("request", live.configuration.instance, self.request.document)
        self.votes = {
            person: live.sign(
                new_vote(
                    request, instance=live.configuration.instance, rules=rules_of(request, standing)[2],
                    decision=d.Decision.REJECT if person == "dan" else d.Decision.APPROVE, person=person, now=now,
                    entropy=os.urandom,
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
    try:
        call()
    except UnavailableError as e:
        assert e.code is Code.SERVER_UNAVAILABLE
        return False
    return True


def entries_of(live: Live) -> list:
    """Verify the whole log and return its entries."""
    with LogReader(live.configuration.log_database) as log:
        head = log.verify_all(parse_vkey(live.trust.log_key))
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
            assert e.code is Code.NOT_FOUND
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
