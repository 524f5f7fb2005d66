"""Attack: race a veto, so that whoever vetoed is told that a request is rejected whose signatures are out."""

import threading
import time
from contextlib import ExitStack

import pytest
from tests.server.test_crash_points import Case
from tests.simulators.live import Live

from sealwright.core.errors import Code, RefusedError
from sealwright.policy.entries import RestrictionEntry, parse_entry
from sealwright.service.dossier import gather
from sealwright.service.messages import VoteBody
from sealwright.service.ports import RequestState
from sealwright.service.restrictions import veto
from sealwright.wiring.server import build

SECONDS = 20


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    live = Live(tmp_path_factory.mktemp("race")).make()
    try:
        yield live.start().found_policy()
    finally:
        live.kill()


@pytest.fixture
def cases(live):
    """A request for each moment of a veto, of an installation whose server runs in this process from here on."""
    if "server" not in live.processes:
        live.start("server")
    cases = {moment: Case(live, moment) for moment in ("before", "after")}
    live.kill("server")
    return cases


def is_logged(server, case: Case) -> bool:
    size = server.ledger.state.size
    entries = map(parse_entry, server.ledger.log.entries(0, size))
    return any(isinstance(entry, RestrictionEntry) and entry.subject == case.digest for entry in entries)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_the_veto_is_said_to_be_late_and_the_request_stays_signed(cases, moment):
    case, said = cases[moment], []
    with ExitStack() as undo:
        server = build(case.live.configuration, undo)

        def reject():
            body = VoteBody(vote=case.votes["dan"])
            try:
                said.append(veto(server.ledger, server.desk, server.documents, case.digest, body, "dan"))
            except RefusedError as e:
                said.append(e.code)

        thread, real = threading.Thread(target=reject), server.documents.finish

        def finish(rows):
            """The signer has given the signatures away; the veto comes right before or after that is written down."""
            written = real(rows) if moment == "after" else None
            if written:
                written.result()
            thread.start()
            deadline = time.monotonic() + SECONDS
            while not is_logged(server, case):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            return written or real(rows)

        server.documents.finish = finish
        server.intake.submit(case.request, (), [case.votes[v] for v in ("ben", "cleo")], "ada").durable.result()
        deadline = time.monotonic() + SECONDS
        while not said:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        thread.join()
        assert said == [Code.CONFLICT]
        assert server.documents.row(case.digest).state is RequestState.SIGNED
        assert gather(server.ledger, server.documents, case.digest).signatures
