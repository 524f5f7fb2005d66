"""The pump against storage that fails and a signer that answers oddly: every request is signed in the end, once."""

import re
import threading
import time
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace

import pytest
from tests.server.test_crash_points import Case, check_everything
from tests.simulators.live import Live

from sealwright.core.errors import Code, UnavailableError
from sealwright.policy.documents import Decision
from sealwright.service.dossier import gather
from sealwright.service.ports import RequestState
from sealwright.wiring.server import build

SECONDS = 30
WRITES = ("add_outcomes", "finish")


def forget_answers(result):
    return replace(result, signed=(), released=())


def answer_for_another(result):
    return replace(result, signed=tuple(replace(s, intent_index=s.intent_index + 1000) for s in result.signed))


def release_nothing(result):
    return replace(result, released=tuple(replace(r, signatures=()) for r in result.released))


ODDITIES = (forget_answers, answer_for_another, release_nothing)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Requests with their approvals, of an installation whose server runs in this process from here on."""
    live = Live(tmp_path_factory.mktemp("pump")).make()
    try:
        live.start().found_policy()
        names = [*WRITES, *(oddity.__name__ for oddity in ODDITIES), "bug", "late", "first", "second"]
        cases = {name: Case(live, name, dan=Decision.APPROVE) for name in names}
        live.kill("server")
        yield cases
    finally:
        live.kill()


@pytest.fixture
def server(cases):
    """The server's insides, with their real threads, database, log and signer."""
    with ExitStack() as undo:
        yield build(next(iter(cases.values())).live.configuration, undo)


def submit(server, case: Case, *voters: str) -> None:
    server.intake.submit(case.request, (), [case.votes[v] for v in voters], "ada").durable.result()


def await_signed(server, case: Case) -> None:
    deadline = time.monotonic() + SECONDS
    while server.documents.row(case.digest).state is not RequestState.SIGNED:
        assert time.monotonic() < deadline, server.desk.look(case.digest)
        time.sleep(0.02)
    gather(server.ledger, server.documents, case.digest)
    assert server.desk.look(case.digest) is None
    check_everything(case.live)


def once(owner, name: str, instead) -> list[str]:
    """Exchange one call of a method; return a list that tells when it has happened."""
    real, happened = getattr(owner, name), []

    def wrapped(*arguments):
        if happened:
            return real(*arguments)
        made = instead(real, *arguments)
        if made is None:
            return real(*arguments)
        happened.append(name)
        return made

    setattr(owner, name, wrapped)
    return happened


@pytest.mark.parametrize("write", WRITES)
def test_a_write_that_fails_delays_a_request_and_loses_none(server, cases, write):
    def full(_real, rows):
        failed = Future()
        failed.set_exception(UnavailableError("database: disk is full", code=Code.STORAGE_UNAVAILABLE))
        return failed if rows else None

    happened = once(server.documents, write, full)
    submit(server, cases[write], "ben", "cleo")
    await_signed(server, cases[write])
    assert happened
    assert server.pump.trouble is None


@pytest.mark.parametrize("oddity", ODDITIES, ids=lambda oddity: oddity.__name__)
def test_an_odd_answer_of_the_signer_delays_a_request_and_loses_none(server, cases, oddity):
    def odd(real, order):
        is_about_it = order.release if oddity is release_nothing else order.sign
        return oddity(real(order)) if is_about_it else None

    happened = once(server.pump._signer, "exchange", odd)
    submit(server, cases[oddity.__name__], "ben", "cleo")
    await_signed(server, cases[oddity.__name__])
    assert happened


def test_a_signer_that_is_back_is_said_to_be_well_before_anything_is_to_be_signed(server, monkeypatch):
    def away(_real, _order):
        happened.append("exchange")
        raise UnavailableError("the signer is away", code=Code.SIGNER_UNAVAILABLE)

    told = []
    monkeypatch.setattr(server.pump, "_on_trouble", told.append)
    happened = once(server.pump._signer, "exchange", away)
    server.pump._size = -1  # it is asked where it stands
    deadline = time.monotonic() + SECONDS
    while "the signer is away" not in [error.message for error in told] or server.pump.trouble is not None:
        assert time.monotonic() < deadline, server.pump.trouble
        time.sleep(0.02)
    assert happened


def test_a_bug_in_the_pump_is_said_and_does_not_end_it(server, cases, caplog):
    def stumble(_real, order):
        if order.sign:
            happened.append("exchange")
            raise KeyError("a bug")

    happened = once(server.pump._signer, "exchange", stumble)
    submit(server, cases["bug"], "ben", "cleo")
    await_signed(server, cases["bug"])
    assert happened
    assert "the pump stumbled" in caplog.text


def test_an_approval_that_comes_while_the_signer_works_makes_no_second_signature(server, cases):
    case = cases["late"]

    def meanwhile(real, order):
        if not order.sign:
            return None
        server.intake.approve(case.digest, case.votes["dan"], "dan").durable.result()
        server.desk.review()
        return real(order)

    happened = once(server.pump._signer, "exchange", meanwhile)
    submit(server, case, "ben", "cleo")
    await_signed(server, case)
    assert happened
    time.sleep(0.5)
    assert len(case.intents()) == 1


def test_where_signatures_are_is_said_from_the_queue_to_the_log(server, cases):
    """The pump is held wherever it asks the signer for signatures."""
    at_signing, go = threading.Event(), threading.Semaphore(0)
    exchange = server.pump._signer.exchange

    def held(order):
        if order.sign:
            at_signing.set()
            assert go.acquire(timeout=SECONDS)
        return exchange(order)

    server.pump._signer.exchange = held
    first, second = cases["first"], cases["second"]
    assert server.desk.progress(first.digest) is None
    submit(server, first)
    assert server.desk.progress(first.digest) is None, "it waits for approvals, not for the signer"
    for person in ("ben", "cleo"):
        server.intake.approve(first.digest, first.votes[person], person).durable.result()
    assert at_signing.wait(SECONDS)
    said = str(server.desk.progress(first.digest))
    assert re.fullmatch("its signature is being made since [0-9:]{8} UTC, in a round of 1", said)
    submit(server, second, "ben", "cleo")
    assert str(server.desk.progress(second.digest)) == "1 to be made before its signature"
    at_signing.clear()
    go.release()
    assert at_signing.wait(SECONDS), "the round that signs the second releases the first"
    assert str(server.desk.progress(first.digest)) == "its signature is made, to leave when that is in the log"
    assert "in a round of 1" in str(server.desk.progress(second.digest))
    go.release()
    for case in (first, second):
        await_signed(server, case)
        assert server.desk.progress(case.digest) is None
