"""The worker process: killed, stopped, robbed of its token, spoken to rudely, and what of its secret can be seen."""

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.keystores.conftest import PIN, make_partition, payload_of
from tests.simulators.softhsm import SoftHsm

from sealwright.core.errors import Code, ConfigurationError, FormatError, UnavailableError
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.keystores import frames, worker_client
from sealwright.keystores.frames import Failure, Incoming, Item
from sealwright.keystores.secrets import Secret
from sealwright.keystores.worker_client import Worker

ECDSA = Algorithm.ECDSA_P256_SHA256
COMMAND = [sys.executable, "-I", "-m", "sealwright.keystores.worker"]
LENGTH = struct.Struct(">I")


@pytest.fixture
def key(new_files: str) -> PublicKey:
    """A key in a partition of encrypted files."""
    return make_partition(new_files, algorithms=(ECDSA,)).keys[ECDSA].public_key


@pytest.fixture
def worker(new_files: str, key: PublicKey) -> Iterator[Worker]:
    """A worker that has logged in."""
    worker = Worker(new_files, PIN)
    worker.health([key.fingerprint])
    yield worker
    worker.close()


def item(key: PublicKey) -> Item:
    return Item(key.fingerprint, ECDSA, payload_of(ECDSA))


def pid(worker: Worker) -> int:
    assert worker._running is not None
    return worker._running.process.pid


def assert_signs(worker: Worker, key: PublicKey) -> None:
    (signature,) = worker.sign([item(key)])
    assert isinstance(signature, bytes)
    key.verify(ECDSA, payload_of(ECDSA), signature)


def test_a_batch_is_answered_in_order_with_a_failure_in_its_place(worker: Worker, key: PublicKey) -> None:
    payloads = [payload_of(ECDSA, b"%d" % i) for i in range(200)]
    items = [Item(key.fingerprint, ECDSA, p) for p in payloads]
    items[50] = Item("00" * 32, ECDSA, payloads[50])
    items[51] = Item(key.fingerprint, Algorithm.ED25519, payloads[51])
    answers = worker.sign(items)
    assert [a.code for a in answers if isinstance(a, Failure)] == [Code.NOT_FOUND, Code.INVALID_DOCUMENT]
    assert isinstance(answers[50], Failure)
    for payload, answer in zip(payloads, answers, strict=True):
        if isinstance(answer, bytes):
            key.verify(ECDSA, payload, answer)


def test_one_process_serves_many_batches(worker: Worker, key: PublicKey) -> None:
    before = pid(worker)
    for _ in range(5):
        assert_signs(worker, key)
    assert worker.sign([]) == []
    assert pid(worker) == before


def test_threads_take_turns(worker: Worker, key: PublicKey) -> None:
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(20):
                assert_signs(worker, key)
        except BaseException as e:  # noqa: BLE001  # seen by the assertion below
            failed.append(e)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_a_worker_killed_between_batches_is_replaced_unnoticed(worker: Worker, key: PublicKey) -> None:
    before = pid(worker)
    os.kill(before, signal.SIGKILL)
    assert worker._running is not None
    os.waitid(os.P_PID, before, os.WEXITED | os.WNOWAIT)
    assert_signs(worker, key)
    assert pid(worker) != before


def test_a_worker_killed_in_the_middle_of_a_batch_fails_it_and_recovers(worker: Worker, key: PublicKey) -> None:
    before = pid(worker)
    os.kill(before, signal.SIGSTOP)  # so that the batch is certainly under way
    killer = threading.Timer(0.3, os.kill, (before, signal.SIGKILL))
    killer.start()
    with pytest.raises(UnavailableError, match=r"EOFError|ConnectionResetError") as lost:
        worker.sign([item(key)])
    killer.join()
    assert (lost.value.code, lost.value.exit_code) == (Code.KEYSTORE_UNAVAILABLE, 75)
    assert_signs(worker, key)


def test_a_worker_that_hangs_is_killed_after_its_time_and_replaced(new_files: str, key: PublicKey) -> None:
    worker = Worker(new_files, PIN, timeout_seconds=5.0)
    assert_signs(worker, key)
    stopped = pid(worker)
    assert worker._running is not None
    worker._running.timeout_seconds = 0.5
    os.kill(stopped, signal.SIGSTOP)
    with pytest.raises(UnavailableError, match="timed out"):
        worker.sign([item(key)])
    assert not Path(f"/proc/{stopped}").exists()
    assert_signs(worker, key)
    worker.close()


def test_a_worker_that_keeps_failing_is_started_later_and_later(
    worker: Worker, key: PublicKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(worker_client, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(worker_client, "_COMMAND", (sys.executable, "-I", "-c", "pass"))
    os.kill(pid(worker), signal.SIGKILL)
    waits = []
    for _ in range(9):
        worker._not_before = 0.0
        with pytest.raises(UnavailableError):
            worker.sign([item(key)])
        waits.append(worker._not_before - now)
    assert waits == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 60, 60]
    with pytest.raises(UnavailableError, match="failed 9 times and is not started again yet") as waiting:
        worker.sign([item(key)])
    assert waiting.value.retry_after_seconds == 61
    monkeypatch.setattr(worker_client, "_COMMAND", tuple(COMMAND))
    now += 60
    assert_signs(worker, key)


def test_a_token_that_vanishes_fails_the_batch_and_is_found_again(
    new_token: tuple[SoftHsm, str], tmp_path: Path
) -> None:
    hsm, uri = new_token
    key = make_partition(uri, algorithms=(ECDSA,)).keys[ECDSA].public_key
    worker = Worker(uri, PIN)
    assert_signs(worker, key)
    (token_folder,) = hsm.tokens_folder.iterdir()
    token_folder.rename(tmp_path / "away")
    (answer,) = worker.sign([item(key)])
    assert isinstance(answer, Failure)
    assert answer.code is Code.KEYSTORE_UNAVAILABLE
    with pytest.raises(UnavailableError, match="no token"):
        worker.health([key.fingerprint])
    (tmp_path / "away").rename(token_folder)
    worker._not_before = 0.0
    worker.health([key.fingerprint])
    assert_signs(worker, key)
    worker.close()


def test_health_names_a_key_that_should_be_there(worker: Worker, key: PublicKey) -> None:
    worker.health([key.fingerprint])
    with pytest.raises(UnavailableError, match="does not find key " + "ab" * 32):
        worker.health([key.fingerprint, "ab" * 32])


def test_a_wrong_passphrase_is_tried_once_and_no_process_started_again(
    new_files: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(new_files, Secret(b"wrong-passphrase"))
    with pytest.raises(ConfigurationError, match="does not open") as refused:
        worker.public_keys()
    assert refused.value.code is Code.CREDENTIAL
    monkeypatch.setattr(worker_client, "_COMMAND", ("/nowhere",))
    worker._not_before, worker._secret = 0.0, PIN
    with pytest.raises(ConfigurationError, match="does not open"):
        worker.public_keys()
    assert "wrong-passphrase" not in f"{refused.value!r}{refused.value}{refused.value.hint}{vars(worker)}"


def test_a_first_login_that_dies_unanswered_is_not_repeated(new_files: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_client, "_COMMAND", (sys.executable, "-I", "-c", "import os; os.read(0, 4)"))
    worker = Worker(new_files, PIN)
    with pytest.raises(UnavailableError):
        worker.public_keys()
    monkeypatch.setattr(worker_client, "_COMMAND", tuple(COMMAND))
    worker._not_before = 0.0
    with pytest.raises(ConfigurationError, match="first login was not answered"):
        worker.public_keys()


def test_a_configuration_that_was_mended_is_tried_again(new_files: str, key: PublicKey) -> None:
    folder = Path(new_files.removeprefix("files:"))
    folder.chmod(0o755)
    worker = Worker(new_files, PIN)
    with pytest.raises(ConfigurationError, match="has mode 0755"):
        worker.public_keys()
    folder.chmod(0o700)
    assert_signs(worker, key)
    worker.close()


def test_a_worker_over_files_loads_no_pkcs11_and_a_client_no_keystore() -> None:
    worker = "import sys, sealwright.keystores.opening as o, sealwright.keystores.files;"
    worker += "print([m for m in sys.modules if 'pkcs11' in m])"
    client = "import sys, sealwright.keystores.worker_client;"
    client += "print([m for m in sys.modules if m.startswith(('sealwright.keystores.', 'argon2', 'fastapi'))])"
    assert run_python(worker) == "[]"
    own = ["frames", "numbers", "secrets", "worker_client"]
    assert sorted(eval(run_python(client))) == [f"sealwright.keystores.{name}" for name in own]  # noqa: S307 - ours


def test_the_secret_is_neither_argument_nor_environment_nor_in_any_text(worker: Worker, key: PublicKey) -> None:
    assert_signs(worker, key)
    process = Path(f"/proc/{pid(worker)}")
    assert (process / "cmdline").read_bytes().split(b"\0")[1:] == [b"-I", b"-m", b"sealwright.keystores.worker", b""]
    shown = (process / "environ").read_bytes() if os.geteuid() == 0 else b""
    assert PIN.reveal() not in shown
    assert PIN.reveal().decode() not in f"{vars(worker)} {worker!r}"


def test_a_worker_leaves_no_core_and_holds_no_descriptor_of_its_parent(worker: Worker) -> None:
    limits = Path(f"/proc/{pid(worker)}/limits").read_text()
    assert next(line for line in limits.splitlines() if line.startswith("Max core")).split()[4:6] == ["0", "0"]
    code = "import ctypes, os; from sealwright.keystores.worker import harden; f = os.open('/etc', 0);"
    code += "harden(); print(ctypes.CDLL(None).prctl(3), os.path.exists('/proc/self/fd/%d' % f))"
    assert run_python(code) == "0 False"


def test_a_worker_ends_when_its_parent_is_gone(new_files: str) -> None:
    with talk() as (process, channel):
        channel.sendall(frames.encode([new_files.encode(), PIN.reveal()]))
        assert Incoming(channel).receive() == [b"+", b""]
        channel.close()
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("sent", "exit_code", "message"),
    [
        (b"\xff\xff\xff\xff", 65, "frame of 4294967295 bytes"),
        (LENGTH.pack(frames.MAX_FRAME_BYTES + 1), 65, "at most 16777216"),
        (LENGTH.pack(8) + LENGTH.pack(0xFFFFFFFF) + b"abcd", 65, "with 4294967295 parts"),
        (LENGTH.pack(12) + LENGTH.pack(1) + LENGTH.pack(5) + b"abcd", 65, "parts of 5 bytes, 4 are in the frame"),
        (LENGTH.pack(3) + b"abc", 65, "does not say how many parts"),
        (LENGTH.pack(4) + LENGTH.pack(0), 65, "first frame holds keystore and secret"),
        (b"", 0, ""),
        (b"\0\0", 0, ""),
        (LENGTH.pack(100) + b"abc", 0, ""),
    ],
)
def test_a_worker_spoken_to_rudely_ends_without_a_traceback(sent: bytes, exit_code: int, message: str) -> None:
    with talk() as (process, channel):
        channel.sendall(sent)
        channel.shutdown(socket.SHUT_WR)
        assert process.wait(10) == exit_code
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert message.encode() in channel.recv(1000)  # the first frame is answered, also with what is wrong with it


@pytest.mark.parametrize(
    "parts",
    [
        [b"what"],
        [],
        [frames.KEYS, b"x"],
        [frames.SIGN, b"ab"],
        [frames.SIGN, b"\xff", b"ed25519", b"", LENGTH.pack(1), b"m"],
        [frames.SIGN, b"ab", b"ed25519", b"", LENGTH.pack(2), b"m"],
        [frames.SIGN, b"ab", b"ed25519", b"", LENGTH.pack(0)],
    ],
)
def test_a_request_that_is_none_is_refused(new_files: str, parts: list[bytes]) -> None:
    with talk() as (process, channel):
        channel.sendall(frames.encode([new_files.encode(), PIN.reveal()]))
        assert Incoming(channel).receive() == [b"+", b""]
        channel.sendall(frames.encode(parts))
        channel.shutdown(socket.SHUT_WR)
        code = process.wait(10)
        answer = channel.recv(100)
        assert b"invalid-frame" in answer or code == 65


def test_a_bug_in_the_worker_names_its_place_and_not_its_values() -> None:
    code = "import sys; from sealwright.keystores.worker import harden; harden(); int('TEST ONLY secret')"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "sealwright: worker: ValueError in <module>:1\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"\xff\xff\xff\xff",
        LENGTH.pack(1) + b"x",
        LENGTH.pack(0),
        *map(frames.encode, ([], [b"", b"?"], [b"?", b"?"], [b"-", b"?"], [b"++", b"1", b"2"], [b""])),
    ],
)
def test_a_worker_that_answers_nonsense_is_unavailable(
    worker: Worker, key: PublicKey, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"import os; os.read(0, 1 << 16); os.write(0, {frames.encode([b'+', b''])!r}); os.read(0, 1 << 16);"
    code += f"os.write(0, {answer!r})"
    monkeypatch.setattr(worker_client, "_COMMAND", (sys.executable, "-I", "-c", code))
    before = pid(worker)
    os.kill(before, signal.SIGKILL)
    os.waitid(os.P_PID, before, os.WEXITED | os.WNOWAIT)
    with pytest.raises(UnavailableError):
        worker.sign([item(key)])


def test_a_batch_that_is_too_large_is_refused_before_it_is_sent(worker: Worker, key: PublicKey) -> None:
    before = pid(worker)
    with pytest.raises(FormatError, match="at most 16777216 are sent") as refused:
        worker.sign([Item(key.fingerprint, Algorithm.ED25519, bytes(frames.MAX_FRAME_BYTES))])
    assert refused.value.code is Code.TOO_LARGE
    assert_signs(worker, key)
    assert pid(worker) == before


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_frame_or_refused(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(data)
        ours.shutdown(socket.SHUT_WR)
        try:
            parts = Incoming(theirs).receive()
        except (EOFError, FormatError):
            return
        assert data.startswith(frames.encode(parts))


@given(st.lists(st.binary(max_size=100), max_size=10))
def test_a_frame_brings_back_its_parts(parts: list[bytes]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(frames.encode(parts))
        assert Incoming(theirs).receive() == parts


@given(st.text(), st.text(), st.sampled_from(Code))
def test_a_failure_crosses_with_any_text(message: str, hint: str, code: Code) -> None:
    failure = Failure(code=code, message=message, hint=hint)
    before, answer, after = frames.unpack_answers(frames.pack_answers([b"1", failure, b"2"]))
    assert (before, after) == (b"1", b"2")
    assert isinstance(answer, Failure)
    assert answer.code is code
    assert len(answer.message) == len(message)


class talk:  # noqa: N801  # a context manager in lower case, as in contextlib
    """A worker process with the bare other end of its channel."""

    def __enter__(self) -> tuple["subprocess.Popen[bytes]", socket.socket]:
        self.channel, theirs = socket.socketpair()
        self.channel.settimeout(10)
        with theirs:
            self.process = subprocess.Popen(COMMAND, stdin=theirs.fileno(), stderr=subprocess.PIPE)
        return self.process, self.channel

    def __exit__(self, *_: object) -> None:
        self.channel.close()
        self.process.kill()
        self.process.wait(10)
        assert self.process.stderr is not None
        self.process.stderr.close()


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_an_answer_that_drips_in_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    logged_in = frames.encode(frames.pack_answers([])).hex()
    drips = f"""
import socket, time
channel = socket.socket(fileno=0)
channel.recv(65536)
channel.sendall(bytes.fromhex("{logged_in}"))
channel.recv(65536)
channel.sendall((1 << 20).to_bytes(4))
while True:
    channel.sendall(b"x")
    time.sleep(0.1)
"""
    monkeypatch.setattr(worker_client, "_COMMAND", (sys.executable, "-c", drips))
    worker = Worker("files:/nowhere", Secret(b"1234"), timeout_seconds=1.0)
    with pytest.raises(UnavailableError, match="timed out in the middle of an answer"):
        worker.public_keys()
    worker.close()
