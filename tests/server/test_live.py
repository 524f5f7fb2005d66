"""The whole way over HTTP with real processes: requested, approved by two, logged, signed, logged, released."""

import hashlib
import os
import time

import pytest
from tests.simulators.live import Live

from sealwright.client.compose import new_request, new_vote, prepare_artifact, sign_document
from sealwright.client.standing import fetch, needed
from sealwright.core.images import MemorySource
from sealwright.evidence.bundle import Dossier, TrustFile
from sealwright.formats import FORMATS
from sealwright.policy import documents as d
from sealwright.policy.authorise import rules_of
from sealwright.policy.sections import parse_section
from sealwright.service.messages import PolicyAnswer, RequestAnswer, Result, SubmitBody, VoteBody


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    live = Live(tmp_path_factory.mktemp("live")).make().start()
    yield live.found_policy()
    live.stop()


def rules(live, request):
    with live.api("ada") as api:
        return rules_of(request, needed(fetch(api, live.trust)))[2]


def test_signed_over_http(live):
    image = b"firmware"
    with live.api("ada") as api:
        answer = api.get(PolicyAnswer, "/v1/policy")
        (profile,) = [s for s in map(parse_section, answer.sections) if s.id == "router/production/1"]
        prepared = prepare_artifact(
            MemorySource(image), "fw.bin", FORMATS["raw"], [profile], {"signing_time": int(time.time())}
        )
        request = new_request(
            [prepared], log=live.configuration.origin, requester="ada", product="router", release="1",
            environment=d.Environment.PRODUCTION, now=int(time.time()), lifetime_seconds=3600, entropy=os.urandom,
        )  # fmt: skip
        signed = sign_document(
            request, instance=live.configuration.instance, identity=live.identities["ada"], signer="ada"
        )
        api.upload(MemorySource(image), hashlib.sha256(image).hexdigest())
        result = api.post(Result, "/v1/requests", SubmitBody(request=signed))
        assert result.status.state == "waiting"
    for name in ("ben", "cleo"):
        with live.api(name) as api:
            shown = api.get(RequestAnswer, f"/v1/requests/{result.status.id}")
            assert shown.request == signed
            vote = new_vote(
                request, instance=live.configuration.instance, rules=rules(live, request),
                decision=d.Decision.APPROVE, person=name, now=int(time.time()), entropy=os.urandom,
            )  # fmt: skip
            body = VoteBody(
                vote=sign_document(
                    vote, instance=live.configuration.instance, identity=live.identities[name], signer=name
                )
            )
            api.post(Result, f"/v1/requests/{result.status.id}/approve", body)
    with live.api("ada") as api:
        done = api.get(Result, f"/v1/requests/{result.status.id}/result", wait=20)
        assert done.status.state == "signed", done
        assert len(done.signatures) == 1
        api.get(Dossier, f"/v1/requests/{result.status.id}/dossier")
        api.get(TrustFile, "/v1/trust")
