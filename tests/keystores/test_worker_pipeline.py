"""Two requests on their way to one worker: what becomes of the second when something happens to the first."""

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from tests.keystores.conftest import PIN, TEMPLATE, make_partition

from sealwright.core import lms
from sealwright.core.errors import Code, FormatError, SealwrightError, UnavailableError
from sealwright.core.keys import Algorithm, HssLmsPublicKey, PublicKey
from sealwright.keystores import frames, worker_client
from sealwright.keystores.frames import Failure, Item
from sealwright.keystores.numbers import Block
from sealwright.keystores.opening import open_ceremony
from sealwright.keystores.worker_client import Request, Worker

ED25519, HSS = Algorithm.ED25519, Algorithm.HSS_LMS
SCRIPT = """
import time
from sealwright.keystores import frames
from sealwright.keystores.worker import take_channel
channel = take_channel()
incoming = frames.Incoming(channel)
def answer(*answers):
    channel.sendall(frames.encode(frames.pack_answers(answers)))
incoming.receive()
answer(b"")
"""
"""What a worker does that logs in nowhere; tests go on with what it answers."""


@pytest.fixture
def key(new_files: str) -> PublicKey:
    """A key that signs messages, so that what was asked can be told from its signature."""
    return make_partition(new_files, algorithms=(ED25519,)).keys[ED25519].public_key


@pytest.fixture
def stateful(new_files: str) -> PublicKey:
    """A key whose signatures say their number."""
    ceremony = open_ceremony(new_files, PIN)
    try:
        return ceremony.create_key("router/lms", HSS, 0, TEMPLATE, "sha256-n24-h10-w1").public_key
    finally:
        ceremony.close()


@pytest.fixture
def worker(new_files: str) -> Iterator[Worker]:
    """A worker that was not asked anything yet."""
    worker = Worker(new_files, PIN)
    yield worker
    worker.close()


class Scripted:
    """A first process that does as it is told, and real ones after it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, behaviour: str) -> None:
        self._real, self._monkeypatch = worker_client._COMMAND, monkeypatch
        monkeypatch.setattr(worker_client, "_COMMAND", (sys.executable, "-I", "-c", SCRIPT + behaviour))

    def only_now(self) -> None:
        """Have the next process be a real one."""
        self._monkeypatch.setattr(worker_client, "_COMMAND", self._real)


def items(key: PublicKey, name: bytes, count: int = 3, size: int = 20) -> list[Item]:
    return [Item(key.fingerprint, ED25519, b"%b %d".ljust(size) % (name, i)) for i in range(count)]


def numbered(key: PublicKey, count: int) -> list[Item]:
    return [Item(key.fingerprint, HSS, b"firmware", Block(1, 1024))] * count


def assert_signed(key: PublicKey, asked: list[Item], answers: list[bytes | Failure]) -> None:
    for item, answer in zip(asked, answers, strict=True):
        assert isinstance(answer, bytes), answer
        key.verify(item.algorithm, item.payload, answer)


def number(key: PublicKey, signature: bytes | Failure) -> int:
    assert isinstance(signature, bytes), signature
    key.verify(HSS, b"firmware", signature)
    assert isinstance(key.key, HssLmsPublicKey)
    return lms.leaf_indices(key.key.hss, signature)[-1]


def pid(worker: Worker) -> int:
    assert worker._running is not None
    return worker._running.process.pid


def lost(request: Request) -> UnavailableError:
    with pytest.raises(UnavailableError) as e:
        request.answers()
    assert e.value.code is Code.KEYSTORE_UNAVAILABLE
    return e.value


def test_answers_come_in_the_order_of_the_requests_whoever_asks_for_them(worker: Worker, key: PublicKey) -> None:
    asked = [items(key, b"portion %d" % i) for i in range(5)]
    requests = [worker.begin(portion) for portion in asked]
    assert len(worker._waiting) == 2, "what is begun beyond two waits for one of them"
    for request, portion in [*zip(requests, asked, strict=True)][::-1]:
        assert_signed(key, portion, request.answers())
    assert_signed(key, asked[0], requests[0].answers())


def test_the_second_request_is_with_the_worker_before_the_first_is_answered(worker: Worker, key: PublicKey) -> None:
    worker.sign(items(key, b"login"))
    os.kill(pid(worker), signal.SIGSTOP)
    first, second = worker.begin(items(key, b"first")), worker.begin(items(key, b"second"))
    assert (first.sent, second.sent) == (len(first.frame), len(second.frame))
    os.kill(pid(worker), signal.SIGCONT)
    assert_signed(key, items(key, b"second"), second.answers())
    assert_signed(key, items(key, b"first"), first.answers())


def test_requests_and_answers_larger_than_a_socket_takes_do_not_wait_for_each_other(
    worker: Worker, key: PublicKey
) -> None:
    asked = [items(key, b"large %d" % i, count=20, size=60_000) for i in range(3)]
    asked += [items(key, b"many %d" % i, count=8_000) for i in range(2)]
    requests = [worker.begin(portion) for portion in asked]
    for request, portion in zip(requests, asked, strict=True):
        assert_signed(key, portion[::500], request.answers()[::500])


def test_threads_that_ask_at_once_get_their_own_answers(worker: Worker, key: PublicKey) -> None:
    failed: list[BaseException] = []

    def work(name: bytes) -> None:
        try:
            for turn in range(15):
                asked = [items(key, b"%b %d %d" % (name, turn, i)) for i in range(3)]
                for request, portion in zip([worker.begin(portion) for portion in asked], asked, strict=True):
                    assert_signed(key, portion, request.answers())
                assert worker.public_keys().keys() == {key.fingerprint}
        except BaseException as e:  # noqa: BLE001  # seen by the assertion below
            failed.append(e)

    threads = [threading.Thread(target=work, args=(b"%d" % i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_of_a_worker_killed_in_the_first_request_the_second_is_signed_by_the_next(
    worker: Worker, stateful: PublicKey
) -> None:
    assert number(stateful, worker.sign(numbered(stateful, 1))[0]) == 1
    os.kill(pid(worker), signal.SIGSTOP)
    first, second = worker.begin(numbered(stateful, 3)), worker.begin(numbered(stateful, 3))
    os.kill(pid(worker), signal.SIGKILL)
    assert "Error" in lost(first).message
    assert [number(stateful, made) for made in second.answers()] == [2, 3, 4], "nobody had begun it"
    lost(first)


def test_of_a_worker_that_hangs_in_the_first_request_the_second_is_signed_by_the_next(
    worker: Worker, stateful: PublicKey
) -> None:
    worker.sign(numbered(stateful, 1))
    stopped = pid(worker)
    assert worker._running is not None
    worker._running.timeout_seconds = 0.5
    os.kill(stopped, signal.SIGSTOP)
    first, second = worker.begin(numbered(stateful, 3)), worker.begin(numbered(stateful, 3))
    assert [number(stateful, made) for made in second.answers()] == [2, 3, 4]
    assert "timed out" in lost(first).message
    assert pid(worker) != stopped


def test_the_time_of_the_second_request_begins_with_the_answer_to_the_first(
    worker: Worker, key: PublicKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    behaviour = "for _ in range(2):\n    incoming.receive()\n    time.sleep(2)\n    answer(b'made')\n"
    Scripted(monkeypatch, behaviour)
    first, second = worker.begin(items(key, b"first", 1)), worker.begin(items(key, b"second", 1))
    assert worker._running is not None
    worker._running.timeout_seconds = 3.5  # less than both take
    assert (first.answers(), second.answers()) == ([b"made"], [b"made"])


def test_a_request_that_a_dead_worker_may_have_begun_fails_and_is_not_signed_again(
    worker: Worker, key: PublicKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted = Scripted(monkeypatch, "incoming.receive()\nanswer(b'1', b'2', b'3')\nincoming.receive()\n")
    first, second = worker.begin(items(key, b"first")), worker.begin(items(key, b"second"))
    scripted.only_now()
    assert first.answers() == [b"1", b"2", b"3"]
    assert "Error" in lost(second).message
    assert worker._running is None, "no process was started for it"
    assert_signed(key, items(key, b"third"), worker.sign(items(key, b"third")))


def test_what_a_worker_answered_while_it_was_given_up_counts_and_the_next_request_fails(
    worker: Worker, stateful: PublicKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.sign(numbered(stateful, 1))
    assert worker._running is not None
    kill, process = worker_client._Process.kill, worker._running

    def kill_late(self: worker_client._Process) -> None:
        if self is process:
            os.kill(self.process.pid, signal.SIGCONT)
            select.select([self.channel], [], [], 30)
        kill(self)

    monkeypatch.setattr(worker_client._Process, "kill", kill_late)
    process.timeout_seconds = 0.5
    os.kill(process.process.pid, signal.SIGSTOP)
    first, second = worker.begin(numbered(stateful, 3)), worker.begin(numbered(stateful, 3))
    assert [number(stateful, made) for made in first.answers()] == [2, 3, 4]
    assert "timed out" in lost(second).message
    assert number(stateful, worker.sign(numbered(stateful, 1))[0]) >= 5


@pytest.mark.parametrize(
    "lie", ["answer(b'1')", "channel.sendall(b'\\xff' * 8)", "channel.sendall(frames.encode([b'?', b'1']))"]
)
def test_behind_an_answer_that_is_none_the_next_request_fails_too(
    worker: Worker, key: PublicKey, monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    scripted = Scripted(monkeypatch, f"incoming.receive()\n{lie}\nincoming.receive()\ntime.sleep(60)\n")
    first, second = worker.begin(items(key, b"first")), worker.begin(items(key, b"second"))
    scripted.only_now()
    assert "FormatError" in lost(first).message
    assert "FormatError" in lost(second).message
    assert_signed(key, items(key, b"third"), worker.sign(items(key, b"third")))


def test_behind_a_keystore_that_went_away_the_next_request_gets_a_new_login(
    worker: Worker, key: PublicKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = "frames.Failure(code='keystore-unavailable', message='the token is gone')"
    scripted = Scripted(monkeypatch, f"incoming.receive()\nanswer(b'1', {gone}, {gone})\n")
    first, second = worker.begin(items(key, b"first")), worker.begin(items(key, b"second"))
    scripted.only_now()
    made, *failures = first.answers()
    assert made == b"1", "what was signed before is good"
    assert [f.message for f in failures if isinstance(f, Failure)] == ["the token is gone"] * 2
    assert_signed(key, items(key, b"second"), second.answers())


def test_a_worker_that_was_closed_signs_nothing_that_still_waits(worker: Worker, key: PublicKey) -> None:
    worker.sign(items(key, b"login"))
    os.kill(pid(worker), signal.SIGSTOP)
    requests = [worker.begin(items(key, b"%d" % i)) for i in range(2)]
    os.kill(pid(worker), signal.SIGCONT)
    worker.close()
    assert [lost(request).message.split(": ")[-1] for request in requests] == ["the worker was closed"] * 2
    assert worker._running is None


def test_a_request_that_is_too_large_disturbs_none_before_it(worker: Worker, key: PublicKey) -> None:
    first = worker.begin(items(key, b"first"))
    with pytest.raises(FormatError, match="at most 16777216 are sent"):
        worker.begin([Item(key.fingerprint, ED25519, bytes(frames.MAX_FRAME_BYTES))])
    assert_signed(key, items(key, b"first"), first.answers())


def signed_until_killed(worker: Worker, key: PublicKey, after_seconds: float) -> list[list[int]]:
    """Have two requests on their way, kill the worker after a while, and return the numbers of each."""
    requests = [worker.begin(numbered(key, 8)), worker.begin(numbered(key, 8))]
    killer = threading.Timer(after_seconds, kill_quietly, (pid(worker),))
    killer.start()
    found = [numbers_of(key, request.answers) for request in requests]
    killer.join()
    worker.close()
    return found


def kill_quietly(number: int) -> None:
    with suppress(ProcessLookupError):  # it was replaced before
        os.kill(number, signal.SIGKILL)


def numbers_of(key: PublicKey, answers: Callable[[], list[bytes | Failure]]) -> list[int]:
    try:
        return [number(key, made) for made in answers()]
    except SealwrightError:
        return []


@pytest.mark.slow
def test_no_number_is_used_twice_whenever_a_worker_with_two_requests_is_killed(
    worker: Worker, stateful: PublicKey
) -> None:
    worker.sign(numbered(stateful, 1))
    start = time.monotonic()
    worker.sign(numbered(stateful, 8))
    length, seen = time.monotonic() - start, list[int]()
    outcomes = set()
    for moment in range(12):
        worker._not_before = 0.0
        before = worker.sign(numbered(stateful, 1))
        found = signed_until_killed(worker, stateful, length * moment / 5)
        outcomes.add(tuple(map(bool, found)))
        seen += [number(stateful, before[0]), *found[0], *found[1]]
    assert seen == sorted(set(seen)), "each above all before it"
    assert len(outcomes) > 1, "some were killed in the middle"
