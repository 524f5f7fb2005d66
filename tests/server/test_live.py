"""The whole way over HTTP with real processes: requested, approved by two, logged, signed, logged, released."""

import pytest
from tests.simulators.live import Live

from sealwright.core import records
from sealwright.core.errors import Code, RefusedError
from sealwright.evidence.bundle import Dossier, TrustFile
from sealwright.policy import documents as d
from sealwright.policy.entries import IntentEntry, OutcomeEntry, parse_entry
from sealwright.service.messages import EntriesAnswer, RequestAnswer, Result
from sealwright.service.restrictions import Logged


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    live = Live(tmp_path_factory.mktemp("live")).make().start()
    yield live.found_policy()
    live.stop()


def entries(live):
    with live.api("ada") as api:
        return [parse_entry(e) for e in api.get(EntriesAnswer, "/v1/log/entries").entries]


def test_an_approved_request_is_signed_between_its_intent_and_its_outcome(live):
    request, result = live.submit()
    assert result.status.state == "waiting"
    assert "quorum-not-met" in result.status.detail
    before = len(entries(live))
    live.approve(request, "ben", "cleo")
    done = live.result(request)
    assert done.status.state == "signed", done
    assert len(done.signatures) == 1
    logged = entries(live)[before:]
    assert [type(entry) for entry in logged] == [IntentEntry, OutcomeEntry]
    assert logged[0].request == result.status.digest
    with live.api("ben") as api:
        shown = api.get(RequestAnswer, f"/v1/requests/{request.id}")
        assert records.parse(d.Request, shown.request.document) == request
        assert len(shown.votes) == 2
        assert api.get(Dossier, f"/v1/requests/{request.id}/dossier").signatures == done.signatures
        assert api.get(TrustFile, "/v1/trust").as_of.size > live.trust.as_of.size


def test_a_development_request_is_signed_at_once(live):
    request, _ = live.submit(environment="development")
    assert live.result(request).status.state == "signed"


def test_one_approval_is_not_enough_and_a_second_by_the_same_person_neither(live):
    request, _ = live.submit(image=b"one")
    live.approve(request, "ben", "ben")
    waiting = live.result(request, wait=1)
    assert (waiting.status.state, waiting.signatures) == ("waiting", ())
    assert "1 of 2" in waiting.status.detail
    live.approve(request, "cleo")
    assert live.result(request).status.state == "signed"


def test_the_requester_cannot_approve(live):
    request, _ = live.submit(image=b"own")
    with pytest.raises(RefusedError) as refusal:
        live.approve(request, "ada")
    assert refusal.value.code is Code.REQUESTER_VOTED


def test_a_veto_ends_a_request_and_is_proven_in_the_log(live):
    request, _ = live.submit(image=b"bad")
    live.approve(request, "ben")
    with live.api("cleo") as api:
        logged = api.post(Logged, f"/v1/requests/{request.id}/reject", live.ballot(request, "cleo", d.Decision.REJECT))
    assert parse_entry(logged.entry).kind is d.RestrictionKind.VETO
    assert live.result(request).status.state == "rejected"
    with pytest.raises(RefusedError) as refusal:
        live.approve(request, "dan")
    assert refusal.value.code is Code.CONFLICT


def test_the_same_request_again_is_the_same_request(live):
    _, body = live.submission(image=b"firmware")
    with live.api("ada") as api:
        first = api.post(Result, "/v1/requests", body)
        assert api.post(Result, "/v1/requests", body).status.digest == first.status.digest


def test_a_request_before_its_image_is_refused(live):
    _, body = live.submission(image=b"never uploaded")
    with live.api("ada") as api, pytest.raises(RefusedError, match="not uploaded") as refusal:
        api.post(Result, "/v1/requests", body)
    assert refusal.value.code is Code.CONFLICT
