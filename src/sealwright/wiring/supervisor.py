"""``sealwright up``: signer and server as child processes on one machine, started again when one dies.

A child that says its settings are wrong (78) or that it must not go on (77) is not started again: no try mends that,
and some tries cost, such as those of a PIN.  No child outlives its parent.
"""

import ctypes
import fcntl
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType

from sealwright.core.errors import Code, ConfigurationError, RefusedError
from sealwright.wiring.configuration import Configuration
from sealwright.wiring.readiness import VARIABLE

PROCESSES = ("signer", "server")
"""In the order they start; they stop the other way round, so that the last round is finished."""
PERMANENT = frozenset({RefusedError.exit_code, ConfigurationError.exit_code})
FIRST_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS, CALM_SECONDS = 1.0, 30.0, 60.0
GRACE_SECONDS = 20.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
Say = Callable[[str], None]


class Supervisor:
    """Keeps the processes of one instance running until it is told to stop."""

    def __init__(self, configuration: Configuration, *, say: Say, on_ready: Callable[[], None]) -> None:
        self._configuration, self._say, self._on_ready = configuration, say, on_ready
        self._children: dict[str, _Child] = {}
        self._stopping = False

    def run(self) -> None:
        """Serve until SIGTERM, SIGINT or SIGHUP; raises when a process cannot run at all."""
        with ExitStack() as undo:
            undo.enter_context(_only_one(self._configuration.up_lock))
            notices = undo.enter_context(_notices(self._configuration.folder / "run" / "up.sock"))
            wakes = undo.enter_context(self._signals())
            selector = undo.enter_context(selectors.DefaultSelector())
            for readable in (notices, wakes):
                selector.register(readable, selectors.EVENT_READ)
            undo.callback(self._stop)
            for name in PROCESSES:
                self._children[name] = _Child(name, self._configuration.folder, notices.getsockname())
                self._children[name].start()
                self._wait(selector, notices, wakes, ready=name)
            if not self._stopping:
                self._on_ready()
            self._wait(selector, notices, wakes)

    def _wait(
        self, selector: selectors.BaseSelector, notices: socket.socket, wakes: socket.socket, *, ready: str = ""
    ) -> None:
        """Look after the children until one is ready, or until the end is asked for."""
        while not self._stopping and not (ready and self._children[ready].is_ready):
            for key, _ in selector.select(timeout=0.5):
                if key.fileobj is wakes:
                    wakes.recv(64)
                else:
                    self._take_notice(notices)
            for child in self._children.values():
                self._look_after(child)

    def _take_notice(self, notices: socket.socket) -> None:
        message, ancillary, _, _ = notices.recvmsg(4096, socket.CMSG_SPACE(12))
        senders = [int.from_bytes(data[:4], sys.byteorder) for _, _, data in ancillary]
        for child in self._children.values():
            if b"READY=1" in message and child.process is not None and child.process.pid in senders:
                child.is_ready = True

    def _look_after(self, child: "_Child") -> None:
        if child.process is None:
            if time.monotonic() >= child.not_before:
                child.start()
            return
        status = child.process.poll()
        if status is None:
            return
        if status in PERMANENT:
            raise _given_up(child.name, status)
        delay = child.ended()
        self._say(f"{child.name} {_why(status)}; starting it again in {delay:.0f} s")

    def _stop(self) -> None:
        for name in reversed(PROCESSES):
            if name in self._children:
                self._children[name].stop()

    @contextmanager
    def _signals(self) -> Iterator[socket.socket]:
        """Turn signals into a socket to wait for."""
        ours, theirs = socket.socketpair()
        theirs.settimeout(0)  # a wake-up descriptor must never block

        def stop(_number: int, _frame: FrameType | None) -> None:
            self._stopping = True

        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        before = {number: signal.signal(number, stop) for number in numbers}
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        descriptor = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        try:
            yield ours
        finally:
            signal.set_wakeup_fd(descriptor)
            for number, handler in before.items():
                signal.signal(number, handler)
            ours.close()
            theirs.close()


class _Child:
    """One process: running, or waiting to be started again."""

    def __init__(self, name: str, folder: Path, notices: str) -> None:
        self.name, self._folder, self._notices = name, folder, notices
        self.process: subprocess.Popen[bytes] | None = None
        self.is_ready = False
        self.not_before, self._started, self._backoff = 0.0, 0.0, FIRST_BACKOFF_SECONDS

    def start(self) -> None:
        parent = os.getpid()

        def end_with_parent() -> None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != parent:  # it died before the line above
                os._exit(0)

        self._started, self.is_ready = time.monotonic(), False
        self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            # Isolated: otherwise a module that somebody left in the current folder runs in the signer.
            [sys.executable, "-I", "-m", "sealwright.wiring", self.name, str(self._folder)],
            stdin=subprocess.DEVNULL,
            env={**os.environ, VARIABLE: self._notices},
            start_new_session=True,  # Ctrl-C reaches us alone, and we end them in order
            preexec_fn=end_with_parent,  # noqa: PLW1509 - this process has one thread
        )

    def ended(self) -> float:
        """Note that the process is gone; return after how many seconds it starts again."""
        now = time.monotonic()
        self.process, self.is_ready = None, False
        if now - self._started > CALM_SECONDS:
            self._backoff = FIRST_BACKOFF_SECONDS
        delay, self._backoff = self._backoff, min(2 * self._backoff, MAX_BACKOFF_SECONDS)
        self.not_before = now + delay
        return delay

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()  # whatever it was doing: a crash is what all of this is made for
            self.process.wait()


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RefusedError(
                f"this instance is up already ({path} is locked)",
                code=Code.CONFLICT,
                hint="one `sealwright up` runs an instance; stop the other one first",
            ) from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _notices(path: Path) -> Iterator[socket.socket]:
    """Yield the socket on which children say that they serve; the kernel adds who says it."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        notices.bind(str(path))
        try:
            yield notices
        finally:
            with suppress(OSError):
                path.unlink()


def _why(status: int) -> str:
    if status >= 0:
        return f"ended with exit code {status}"
    name = next((known.name for known in signal.Signals if known == -status), "a real-time signal")
    return f"was ended by signal {-status} ({name})"


def _given_up(name: str, status: int) -> RefusedError | ConfigurationError:
    message = f"{name} cannot run (exit code {status}); its message is above"
    hint = "mend what it says, or let `sealwright doctor` look"
    if status == RefusedError.exit_code:
        return RefusedError(message, code=Code.LOG_INCONSISTENT, hint=hint)
    return ConfigurationError(message, setting=name, hint=hint)
