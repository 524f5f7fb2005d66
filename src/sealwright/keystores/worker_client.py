"""The signer's side of a partition's worker process: start it, ask it, replace it when it hangs or dies.

Two requests at most are on their way: the worker has the next at hand when it has answered one (``docs/adr/0076``).
A batch that fails as a whole raises ``UnavailableError`` and is not repeated here: whether a second signature may be
made is the signer's decision.  The one behind it is sent to the next process if the first cannot have begun it.
A first login that was refused, or died unanswered, is never tried again.
With ``user``, the process runs as that user and its group alone, which takes CAP_SETUID, CAP_SETGID and CAP_KILL.
"""

import pwd
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Collection, Sequence
from contextlib import suppress
from socket import socket, socketpair

from sealwright.core.errors import Code, ConfigurationError, FormatError, SealwrightError, UnavailableError
from sealwright.core.keys import PublicKey
from sealwright.keystores import frames
from sealwright.keystores.frames import Failure, Incoming, Item
from sealwright.keystores.numbers import Counter
from sealwright.keystores.secrets import Secret

TIMEOUT_SECONDS = 30
_PATIENCE_SECONDS = 5.0
_AT_ONCE = 2
_COMMAND = (sys.executable, "-I", "-m", "sealwright.keystores.worker")


class _Process:
    """A worker process and our end of its channel."""

    def __init__(self, process: "subprocess.Popen[bytes]", channel: socket, timeout_seconds: float) -> None:
        self.process, self.channel, self.timeout_seconds = process, channel, timeout_seconds
        self.incoming = Incoming(channel)
        self.is_gone = False
        self.last_answer: list[bytes] | None = None
        """What it had answered in full when it was killed."""

    def end(self) -> None:
        """End it by closing the channel, as is enough for a worker that is well."""
        self.channel.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_PATIENCE_SECONDS)
        self.kill()

    def kill(self) -> None:
        """Kill it and look what it left behind; one stuck in a driver for ever is not waited for."""
        self.process.kill()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_PATIENCE_SECONDS)
        self.is_gone = self.process.poll() is not None
        try:
            with self.channel:
                self.channel.settimeout(0)
                self.last_answer = self.incoming.receive()
        except FormatError:
            self.last_answer = []  # which is none either
        except (OSError, EOFError):
            pass


class Request:
    """What a worker is asked; ``answers`` waits."""

    def __init__(self, worker: "Worker", frame: bytes, count: int | None) -> None:
        self._worker, self.frame, self.count = worker, frame, count
        self.process: _Process | None = None
        self.sent = 0
        """So many bytes of the frame are on their way to the process."""
        self.result: list[bytes | Failure] | SealwrightError | None = None

    def answers(self) -> list[bytes | Failure]:
        """Return what the worker answered, in order; an error when it did not, or could not be started."""
        self._worker.finish(self)
        assert self.result is not None  # noqa: S101 - it is finished
        if isinstance(self.result, SealwrightError):
            raise self.result
        return self.result


class Worker:
    """One partition, served by a process of its own.  Calls of several threads take turns."""

    def __init__(
        self, uri: str, secret: Secret, *, timeout_seconds: float = TIMEOUT_SECONDS, user: int | None = None
    ) -> None:
        self._uri, self._secret, self._timeout_seconds, self._user = uri, secret, timeout_seconds, user
        self._lock = threading.RLock()
        self._running: _Process | None = None
        self._waiting: deque[Request] = deque()
        """In the order of their answers: the first is being worked on, the other is at most sent."""
        self._failures, self._not_before = 0, 0.0
        self._login_worked, self._refusal = False, ""

    def sign(self, items: Sequence[Item]) -> list[bytes | Failure]:
        """Return for each item, in order, a signature in canonical encoding or why there is none."""
        return self.begin(items).answers()

    def begin(self, items: Sequence[Item]) -> Request:
        """Ask for signatures behind those asked for before, and wait only until at most one other request waits."""
        return self._begin(frames.encode(frames.pack_runs(frames.runs_of(items))), len(items))

    def public_keys(self) -> dict[str, PublicKey]:
        """Return the keys of the partition by fingerprint, asked of the store anew."""
        answers = self._begin(frames.encode([frames.KEYS])).answers()
        if failures := [a for a in answers if isinstance(a, Failure)]:
            raise self._unavailable(failures[0].message)
        return {key.fingerprint: key for key in (PublicKey(a) for a in answers if isinstance(a, bytes))}

    def counters(self) -> dict[str, Counter]:
        """Return how far each stateful key of the partition is used up, by fingerprint."""
        answers = self._begin(frames.encode([frames.COUNTERS])).answers()
        if failures := [a for a in answers if isinstance(a, Failure)]:
            raise self._unavailable(failures[0].message)
        return dict(frames.unpack_counter(a) for a in answers if isinstance(a, bytes))

    def health(self, expected: Collection[str]) -> None:
        """Raise unless the partition holds these keys now (fingerprints); if one is lost, the process is replaced."""
        with self._lock:
            if absent := set(expected) - self.public_keys().keys():
                raise self._lost(f"does not find key {min(absent)}")

    def finish(self, request: Request) -> None:
        """Wait until a request has its result, as those before it then have theirs."""
        with self._lock:
            while request.result is None:
                self._finish_first()

    def close(self) -> None:
        """End the process."""
        with self._lock:
            for request in self._waiting:
                request.result = request.result or self._unavailable("the worker was closed")
            self._stop()

    def _begin(self, frame: bytes, count: int | None = None) -> Request:
        request = Request(self, frame, count)
        with self._lock:
            while len(self._waiting) >= _AT_ONCE:
                self._finish_first()
            self._waiting.append(request)
            if len(self._waiting) == 1:
                self._send_first()
            else:
                self._send_ahead(request)
        return request

    def _send_first(self) -> None:
        """Send a request before which nothing waits: to this process, or to a new one; a failure is its result."""
        request = self._waiting[0]
        try:
            if not request.sent or request.process is not self._running:
                request.process, request.sent = self._open(), 0
            assert request.process is not None  # noqa: S101 - it was just opened
            request.process.channel.settimeout(request.process.timeout_seconds)
            request.process.channel.sendall(request.frame[request.sent :])
            request.sent = len(request.frame)
        except OSError as e:
            request.result = self._lost(f"{type(e).__name__} ({e})")
        except SealwrightError as e:
            request.result = e

    def _send_ahead(self, request: Request) -> None:
        """Send as much as is taken at once: this thread must be free to read the answer before."""
        first, process = self._waiting[0], self._running
        if process is None or first.process is not process or first.sent < len(first.frame):
            return
        process.channel.settimeout(0)
        with suppress(OSError):  # its turn will come
            request.sent = process.channel.send(request.frame)
            request.process = process

    def _finish_first(self) -> None:
        request = self._waiting[0]
        if request.result is None and (request.sent < len(request.frame) or request.process is not self._running):
            self._send_first()
        if request.result is None:
            try:
                request.result = self._receive(request)
            except SealwrightError as e:
                request.result = e
        self._waiting.popleft()

    def _receive(self, request: Request) -> list[bytes | Failure]:
        process = self._running
        assert process is not None  # noqa: S101 - the request was sent to it
        process.channel.settimeout(process.timeout_seconds)
        try:
            try:
                parts = process.incoming.receive()
            except (OSError, EOFError) as e:
                parts = self._last_answer(process, self._lost(f"{type(e).__name__} ({e})"))
            answers = frames.unpack_answers(parts)
            if request.count not in (None, len(answers)):
                raise FormatError(f"answered {len(answers)} of {request.count} items", code=Code.INVALID_FRAME)
        except FormatError as e:
            unavailable = self._lost(f"{type(e).__name__} ({e})")
            self._fail_behind(process, unavailable)
            raise unavailable from e
        if gone := [a for a in answers if isinstance(a, Failure) and a.code is Code.KEYSTORE_UNAVAILABLE]:
            self._lost(gone[0].message)  # such a worker ends itself; signatures made before are good
        elif self._running is process:
            self._failures = 0
        return answers

    def _last_answer(self, process: _Process, unavailable: UnavailableError) -> list[bytes]:
        """Return what a killed process had answered after all.

        It begins a request when its answer to the one before is sent to the last byte, and not before.  So if that is
        not here now that it is gone, the request behind was never begun, and the next process gets it.
        """
        if process.last_answer is not None or not process.is_gone:
            self._fail_behind(process, unavailable)
        if process.last_answer is None:
            raise unavailable
        return process.last_answer

    def _fail_behind(self, process: _Process, unavailable: UnavailableError) -> None:
        """Give up the request that this process may have begun."""
        for request in self._waiting:
            if request.process is process and request.sent == len(request.frame):
                request.result = request.result or unavailable

    def _open(self) -> _Process:
        if self._refusal:
            raise ConfigurationError(self._refusal, setting="keystore", code=Code.CREDENTIAL)
        if self._running and self._running.process.poll() is None:
            return self._running
        self._stop()
        if time.monotonic() < self._not_before:
            raise self._unavailable(f"failed {self._failures} times and is not started again yet")
        try:
            ours, theirs = socketpair()
        except OSError as e:  # too many open files
            raise self._unavailable(f"no worker can be started: {e.strerror}") from e
        ours.settimeout(self._timeout_seconds)
        with theirs:
            self._running = _Process(start_as(_COMMAND, theirs, self._user), ours, self._timeout_seconds)
        self._log_in(self._running)
        return self._running

    def _log_in(self, process: _Process) -> None:
        if not self._login_worked:
            self._refusal = "the first login was not answered, so its secret is not tried again"
        try:
            process.channel.sendall(frames.encode([self._uri.encode(), self._secret.reveal()]))
            answers = frames.unpack_answers(process.incoming.receive())
        except (OSError, EOFError, FormatError) as e:
            raise self._lost(f"{type(e).__name__} ({e})") from e
        failure = answers[0] if answers and isinstance(answers[0], Failure) else None
        self._login_worked, self._refusal = self._login_worked or failure is None, ""
        if failure is not None:
            unavailable = self._lost(failure.message)
            if failure.code not in (Code.CREDENTIAL, Code.CONFIGURATION):
                raise unavailable
            self._refusal = failure.message if failure.code is Code.CREDENTIAL else ""
            raise ConfigurationError(failure.message, setting="keystore", code=failure.code, hint=failure.hint)

    def _lost(self, why: str) -> UnavailableError:
        """End the process; the next one may start at once after a first failure, then later and later."""
        self._failures += 1
        self._not_before = time.monotonic() + (min(60.0, 0.5 * (2 ** min(self._failures - 1, 10) - 1)))
        if self._running:
            self._running.kill()
            self._running = None
        return self._unavailable(why)

    def _unavailable(self, why: str) -> UnavailableError:
        wait = max(0, int(self._not_before - time.monotonic())) + 1
        return UnavailableError(f"{self._uri}: {why}", code=Code.KEYSTORE_UNAVAILABLE, retry_after_seconds=wait)

    def _stop(self) -> None:
        if self._running:
            self._running.end()
            self._running = None


def start_as(command: Sequence[str], channel: socket, user: int | None) -> subprocess.Popen[bytes]:
    """Start a process at the other end of a channel; with ``user``, it never was and cannot become another one."""
    identity = (None, None, None) if user is None else (user, group_of(user), ())
    try:
        return subprocess.Popen(  # noqa: S603 - our own command
            command,
            stdin=channel.fileno(),
            stdout=subprocess.DEVNULL,
            user=identity[0],
            group=identity[1],
            extra_groups=identity[2],
        )
    except OSError as e:
        raise ConfigurationError(
            f"no worker can be started as user {user}: {e.strerror}",
            setting="user",
            hint="it takes CAP_SETUID, CAP_SETGID and CAP_KILL (or root), and a Python that this user can read",
        ) from e


def group_of(user: int) -> int:
    """Return the group of a user: that of the password file, or the one of the same number."""
    try:
        return pwd.getpwuid(user).pw_gid
    except KeyError:
        return user
