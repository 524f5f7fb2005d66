"""Attack: call the API without a session, with somebody else's, or with what a session was never given for."""

import hashlib
import json
import os
import socket

import httpx
import pytest
from tests.simulators.live import Live, make_identity

from sealwright.client import ssh
from sealwright.client.api import Api, Connection
from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.envelopes import Envelope, SignatureKind
from sealwright.core.errors import Code, RefusedError
from sealwright.policy.signatures import Namespace
from sealwright.server.application import MAX_STRANGERS_BODY_BYTES, CallScope
from sealwright.server.routes import ROUTES
from sealwright.service.messages import (
    MAX_BODY_BYTES,
    Challenge,
    ChallengeAnswer,
    ChallengeBody,
    Health,
    LoginAnswer,
    LoginBody,
)

OPEN = {"/health", "/v1/challenge", "/v1/login"}


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    live = Live(tmp_path_factory.mktemp("callers")).make().start()
    yield live.found_policy()
    live.stop()


def url(live, path):
    return live.configuration.url + path.replace("{sha256}", "0" * 64).replace("{request}", "r").replace(
        "{proposal}", "0" * 64
    )


def challenge(live, identity):
    body = records.serialise(ChallengeBody(authenticator=ssh.public_key(identity).fingerprint))
    answer = httpx.post(url(live, "/v1/challenge"), content=body)
    assert answer.status_code == 200
    return records.parse(ChallengeAnswer, answer.content).challenge


def log_in(live, given, envelope):
    return httpx.post(url(live, "/v1/login"), content=records.serialise(LoginBody(challenge=given, envelope=envelope)))


def signed(live, given, name, *, namespace=Namespace.LOGIN, instance=None, signer=None):
    identity = live.identities[name]
    digest = document_digest("login", instance or live.configuration.instance, given)
    return Envelope(
        signer=signer or name,
        authenticator=ssh.public_key(identity).fingerprint,
        kind=SignatureKind.SSHSIG,
        signature=ssh.sign(bytes.fromhex(digest), namespace=namespace, identity=identity),
    )


def test_only_three_calls_need_no_session():
    assert {route.path for route in ROUTES if route.scope is CallScope.ANYBODY} == OPEN


@pytest.mark.parametrize("route", [r for r in ROUTES if r.path not in OPEN], ids=lambda r: f"{r.method} {r.path}")
@pytest.mark.parametrize(
    "authorization", [None, "Bearer x", "Bearer " + "0" * 64, "Basic YWRhOmFkYQ==", "bearer", "Bearer é" * 3]
)
def test_without_a_session_nothing_answers(live, route, authorization):
    headers = {} if authorization is None else {"Authorization": authorization.encode()}
    answer = httpx.request(route.method, url(live, route.path), headers=headers, content=b"{}")
    assert answer.status_code == 401
    assert json.loads(answer.content)["code"] == Code.NOT_AUTHENTICATED
    assert answer.headers["content-type"] == "application/problem+json"


def test_health_says_nothing_to_strangers(live):
    assert httpx.get(url(live, "/health")).json() == {"detail": "", "status": "ok"}


def test_a_good_login_works_and_its_challenge_only_once(live):
    given = challenge(live, live.identities["ada"])
    envelope = signed(live, given, "ada")
    answer = log_in(live, given, envelope)
    token = records.parse(LoginAnswer, answer.content).token
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.get(url(live, "/v1/status"), headers=headers).status_code == 200
    assert log_in(live, given, envelope).status_code == 401


@pytest.mark.parametrize(
    "change",
    [
        {"namespace": Namespace.VOTE},
        {"namespace": Namespace.REQUEST},
        {"instance": "0" * 64},
    ],
)
def test_a_signature_for_something_else_is_no_login(live, change):
    given = challenge(live, live.identities["ada"])
    assert log_in(live, given, signed(live, given, "ada", **change)).status_code == 401


def test_the_challenge_of_one_is_not_signed_by_another(live):
    given = challenge(live, live.identities["ada"])
    assert log_in(live, given, signed(live, given, "ben", signer="ada")).status_code == 401
    given = challenge(live, live.identities["ada"])
    assert log_in(live, given, signed(live, given, "ben")).status_code == 401


def test_a_challenge_of_ones_own_making_is_refused(live):
    given = records.parse(Challenge, challenge(live, live.identities["ada"]))
    own = records.serialise(
        Challenge(type="login", format=1, nonce="0" * 64, log=given.log, person="ada", time=given.time)
    )
    assert log_in(live, own, signed(live, own, "ada")).status_code == 401


def test_strangers_who_ask_for_many_challenges_lock_nobody_out(live):
    # Whoever has to find a security key and touch it needs seconds.
    given, count = challenge(live, live.identities["ada"]), 10_100
    body = records.serialise(ChallengeBody(authenticator="0" * 64))
    call = b"POST /v1/challenge HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    with socket.create_connection(("127.0.0.1", live.configuration.port), timeout=30) as flood:
        for _ in range(count // 20):
            flood.sendall(20 * call)
            answers = b""
            while answers.count(b"HTTP/1.1 200") < 20:
                answers += flood.recv(1 << 16)
    assert log_in(live, given, signed(live, given, "ada")).status_code == 200


def test_a_stranger_gets_a_challenge_for_nobody_and_no_session(live, tmp_path):
    stranger = make_identity(tmp_path / "stranger")
    live.identities["stranger"] = stranger
    given = challenge(live, stranger)
    assert records.parse(Challenge, given).person == "nobody"
    for name in ("nobody", "ada", "stranger"):
        assert log_in(live, given, signed(live, given, "stranger", signer=name)).status_code == 401
        given = challenge(live, stranger)
    connection = Connection(url=live.configuration.url, instance=live.configuration.instance, identity=stranger)
    with Api(connection) as api, pytest.raises(RefusedError) as refusal:
        api.get(Health, "/v1/status")
    assert refusal.value.code is Code.NOT_AUTHENTICATED


@pytest.mark.parametrize(
    "route", [r for r in ROUTES if r.scope is CallScope.ADMINISTRATOR], ids=lambda r: f"{r.method} {r.path}"
)
def test_a_member_is_no_administrator(live, route):
    with live.api("ada") as api, pytest.raises(RefusedError) as refusal:
        api._call(route.method, route.path.replace("{proposal}", "0" * 64), content=b"{}")
    assert refusal.value.code is Code.NOT_PERMITTED


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"x", 400),
        (b"{", 400),
        (b"[" * 100_000, 400),
        (b'{"a":1,"a":1}', 400),
        (b'{"request":null}', 400),
        (b'{"request":{"document":"AA==","signatures":{}}}', 400),
        (b" " * 100, 400),
        (b"\xff" * 100, 400),
        (os.urandom(4096), 400),
    ],
    ids=["empty", "letter", "cut", "deep", "doubled", "null", "types", "space", "bytes", "random"],
)
def test_bad_bodies_are_told_clearly(live, body, status):
    with live.api("ada") as api:
        api.get(Health, "/v1/status")
        answer = api._send("POST", "/v1/requests", headers=api._headers(), content=body)
    assert answer.status_code == status
    problem = json.loads(answer.content)
    assert problem["code"] == Code.INVALID_DOCUMENT
    assert problem["detail"]
    assert "Traceback" not in answer.content.decode()


def test_an_oversized_body_is_refused_unread(live):
    with live.api("ada") as api:
        api.get(Health, "/v1/status")
        answer = api._send("POST", "/v1/requests", headers=api._headers(), content=b" " * (MAX_BODY_BYTES + 1))
    assert (answer.status_code, json.loads(answer.content)["code"]) == (413, Code.TOO_LARGE)


@pytest.mark.parametrize("path", ["/v1/challenge", "/v1/login"])
def test_strangers_cannot_fill_the_memory(live, path):
    answer = httpx.post(url(live, path), content=b" " * (MAX_STRANGERS_BODY_BYTES + 1))
    assert (answer.status_code, json.loads(answer.content)["code"]) == (413, Code.TOO_LARGE)


def test_an_upload_under_a_wrong_name_leaves_nothing(live):
    wrong = hashlib.sha256(b"other").hexdigest()
    with live.api("ada") as api:
        api.get(Health, "/v1/status")
        answer = api._send("PUT", f"/v1/images/{wrong}", headers=api._headers(), content=b"image")
        assert (answer.status_code, json.loads(answer.content)["code"]) == (422, Code.IMAGE_MISMATCH)
        for name in ("..%2f..%2fserver%2flog-key", "A" * 64, "0" * 63):
            answer = api._send("PUT", f"/v1/images/{name}", headers=api._headers(), content=b"image")
            assert answer.status_code in (404, 405, 422)
    left = [p for p in live.configuration.images.rglob("*") if p.is_file()]
    assert not [p for p in left if p.name.startswith((".incoming", wrong))]


def test_an_unknown_call_is_a_problem_document(live):
    answer = httpx.get(url(live, "/v1/nonsense"))
    assert (answer.status_code, json.loads(answer.content)["code"]) == (404, Code.NOT_FOUND)


def test_the_request_of_one_is_not_submitted_by_another(live):
    _, body = live.submission("ada", b"image of ada")
    with live.api("ben") as api, pytest.raises(RefusedError) as refusal:
        api.post(Health, "/v1/requests", body)
    assert refusal.value.code is Code.NOT_PERMITTED
