"""The signer's side of a partition's worker process: start it, ask it, replace it when it hangs or dies.

A batch that fails as a whole raises ``UnavailableError`` and is not repeated here: whether a second signature may be
made is the signer's decision.  A first login that was refused, or died unanswered, is never tried again.
With ``user``, the process runs as that user and its group alone, which takes CAP_SETUID, CAP_SETGID and CAP_KILL.
"""

import pwd
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from socket import socket, socketpair

from sealwright.core.errors import Code, ConfigurationError, FormatError, UnavailableError
from sealwright.core.keys import PublicKey
from sealwright.keystores import frames
from sealwright.keystores.frames import Failure, Item
from sealwright.keystores.numbers import Counter
from sealwright.keystores.secrets import Secret

TIMEOUT_SECONDS = 30
_COMMAND = (sys.executable, "-I", "-m", "sealwright.keystores.worker")


class Worker:
    """One partition, served by a process of its own.  Calls of several threads take turns."""

    def __init__(
        self, uri: str, secret: Secret, *, timeout_seconds: float = TIMEOUT_SECONDS, user: int | None = None
    ) -> None:
        self._uri, self._secret, self._timeout_seconds, self._user = uri, secret, timeout_seconds, user
        self._lock = threading.RLock()
        self._running: tuple[subprocess.Popen[bytes], socket] | None = None
        self._failures, self._not_before = 0, 0.0
        self._login_worked, self._refusal = False, ""

    def sign(self, items: Sequence[Item]) -> list[bytes | Failure]:
        """Return for each item, in order, a signature in canonical encoding or why there is none."""
        return self._ask(frames.encode(frames.pack_items(items)), count=len(items))

    def public_keys(self) -> dict[str, PublicKey]:
        """Return the keys of the partition by fingerprint, asked of the store anew."""
        answers = self._ask(frames.encode([frames.KEYS]))
        if failures := [a for a in answers if isinstance(a, Failure)]:
            raise self._unavailable(failures[0].message)
        return {key.fingerprint: key for key in (PublicKey(a) for a in answers if isinstance(a, bytes))}

    def counters(self) -> dict[str, Counter]:
        """Return how far each stateful key of the partition is used up, by fingerprint."""
        answers = self._ask(frames.encode([frames.COUNTERS]))
        if failures := [a for a in answers if isinstance(a, Failure)]:
            raise self._unavailable(failures[0].message)
        return dict(frames.unpack_counter(a) for a in answers if isinstance(a, bytes))

    def health(self, expected: Collection[str]) -> None:
        """Raise unless the partition holds these keys now (fingerprints); if one is lost, the process is replaced."""
        with self._lock:
            if absent := set(expected) - self.public_keys().keys():
                raise self._lost(f"does not find key {min(absent)}")

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._stop()

    def _ask(self, request: bytes, *, count: int | None = None) -> list[bytes | Failure]:
        with self._lock:
            answers = self._exchange(self._channel(), request)
            if count not in (None, len(answers)):
                raise self._lost(f"answered {len(answers)} of {count} items")
            if gone := [a for a in answers if isinstance(a, Failure) and a.code is Code.KEYSTORE_UNAVAILABLE]:
                self._lost(gone[0].message)  # such a worker ends itself; signatures made before are good
            else:
                self._failures = 0
            return answers

    def _exchange(self, channel: socket, request: bytes) -> list[bytes | Failure]:
        try:
            channel.sendall(request)
            return [frames.unpack_answer(part) for part in frames.receive(channel)]
        except (OSError, EOFError, FormatError) as e:
            raise self._lost(f"{type(e).__name__} ({e})") from e

    def _channel(self) -> socket:
        if self._refusal:
            raise ConfigurationError(self._refusal, setting="keystore", code=Code.CREDENTIAL)
        if self._running and self._running[0].poll() is None:
            return self._running[1]
        self._stop()
        if time.monotonic() < self._not_before:
            raise self._unavailable(f"failed {self._failures} times and is not started again yet")
        try:
            ours, theirs = socketpair()
        except OSError as e:  # too many open files
            raise self._unavailable(f"no worker can be started: {e.strerror}") from e
        ours.settimeout(self._timeout_seconds)
        with theirs:
            self._running = self._start(theirs), ours
        self._log_in(ours)
        return ours

    def _start(self, channel: socket) -> subprocess.Popen[bytes]:
        user, group, groups = (None, None, None) if self._user is None else (self._user, group_of(self._user), ())
        try:
            return subprocess.Popen(  # noqa: S603 - our own command
                _COMMAND, stdin=channel.fileno(), stdout=subprocess.DEVNULL, user=user, group=group, extra_groups=groups
            )
        except OSError as e:
            raise ConfigurationError(
                f"no worker can be started as user {self._user}: {e.strerror}",
                setting="user",
                hint="it takes CAP_SETUID, CAP_SETGID and CAP_KILL (or root), and a Python that this user can read",
            ) from e

    def _log_in(self, channel: socket) -> None:
        if not self._login_worked:
            self._refusal = "the first login was not answered, so its secret is not tried again"
        answers = self._exchange(channel, frames.encode([self._uri.encode(), self._secret.reveal()]))
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
        self._stop(patience_seconds=0)
        return self._unavailable(why)

    def _unavailable(self, why: str) -> UnavailableError:
        wait = max(0, int(self._not_before - time.monotonic())) + 1
        return UnavailableError(f"{self._uri}: {why}", code=Code.KEYSTORE_UNAVAILABLE, retry_after_seconds=wait)

    def _stop(self, patience_seconds: float = 5.0) -> None:
        if self._running:
            (process, channel), self._running = self._running, None
            channel.close()  # a worker that is well ends by this
            for seconds in (patience_seconds, 5.0):  # one stuck in a driver for ever is not waited for
                with suppress(subprocess.TimeoutExpired):
                    process.wait(seconds)
                process.kill()


def group_of(user: int) -> int:
    """Return the group of a user: that of the password file, or the one of the same number."""
    try:
        return pwd.getpwuid(user).pw_gid
    except KeyError:
        return user
