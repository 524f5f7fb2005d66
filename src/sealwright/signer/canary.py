"""Canaries: each key signs a fixed text on a schedule, and one whose signature does not verify signs nothing else.

A key signs its canary before its first task of a process, then every ten minutes; after a failure it is refused until a
canary succeeds.  The text names its purpose and the key, is longer than any digest and begins like no format's message,
so that no verifier takes its signature for firmware; it never leaves the signer (``docs/adr/0057``).  Stateful keys
have none: each canary would use up a number.
"""

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

from sealwright.core.errors import (
    Code,
    ConfigurationError,
    RefusedError,
    SealwrightError,
    UnavailableError,
    VerificationError,
)
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.core.records import Bounds, Digest, Id, Text, Time
from sealwright.signer.ports import Clock, Partition, SigningTask

INTERVAL_SECONDS, RETRY_SECONDS = 600, 30
TEXT = b"sealwright canary v1: signed to see whether a key works; this is no firmware and authorises nothing: "


class ActiveKey(NamedTuple):
    """A key that may sign, and where it is."""

    partition: str
    public_key: PublicKey
    algorithm: Algorithm


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How the newest canary of a key went; ``failure`` is absent when it verified."""

    partition: Id
    key: Digest
    algorithm: Algorithm
    time: Time
    failure: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What a signer tells its operator of its keys."""

    type: Literal["canaries"]
    format: Literal[1]
    time: Time
    keys: Annotated[tuple[Condition, ...], Bounds(0, 10_000)]


def task_of(key: ActiveKey) -> SigningTask:
    """Return the canary of a key: the text, or its digest where the key signs digests."""
    text = TEXT + key.public_key.fingerprint.encode()
    payload = hashlib.new(key.algorithm.hash_name, text).digest() if key.algorithm.is_prehashed else text
    return SigningTask(public_key=key.public_key, algorithm=key.algorithm, payload=payload)


class Canaries(Mapping[str, Partition]):
    """The partitions as the engine wants them, behind the canaries of their keys."""

    def __init__(
        self, partitions: Mapping[str, Partition], clock: Clock, tell: Callable[[Conditions], None] = lambda _: None
    ) -> None:
        self._partitions, self._clock, self._tell = partitions, clock, tell
        self._known: dict[ActiveKey, Condition] = {}
        self._errors: dict[ActiveKey, SealwrightError] = {}
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> Partition:
        return _Guarded(self, name, self._partitions[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._partitions)

    def __len__(self) -> int:
        return len(self._partitions)

    def sing(self, keys: Iterable[ActiveKey]) -> None:
        """Have the keys sign whose canary is due, forget all others, and tell how all are."""
        active = [key for key in keys if not key.algorithm.is_stateful]
        with self._lock:
            for key in self._known.keys() - set(active):
                del self._known[key]
                self._errors.pop(key, None)
        for key in active:
            if self._is_due(key):
                self.try_key(key)
        with self._lock:
            found = tuple(sorted(self._known.values(), key=lambda c: (c.partition, c.key, c.algorithm)))
        self._tell(Conditions(type="canaries", format=1, time=self._clock.now(), keys=found))

    def check(self, key: ActiveKey) -> None:
        """Raise for a key whose canary fails: ``UnavailableError`` (``canary-failed``) if it signed wrongly.

        A keystore that gave no signature is asked again at once, since it may be back, and its own error is raised.
        """
        with self._lock:
            is_known, error = key in self._known, self._errors.get(key)
        is_liar = isinstance(error, VerificationError)
        if not is_known or (error is not None and (not is_liar or self._is_due(key))):
            error = self.try_key(key)
        if isinstance(error, VerificationError):
            raise UnavailableError(
                f"the canary of key {key.public_key.fingerprint[:16]} failed: {error.message}",
                code=Code.CANARY_FAILED,
                retry_after_seconds=RETRY_SECONDS,
                hint="it is tried again by itself; see docs/operate/keystores.md",
            )
        if error is not None:
            raise error

    def try_key(self, key: ActiveKey) -> SealwrightError | None:
        """Have a key sign its canary now, remember how that went, and return what went wrong."""
        error = self._failure(key)
        self.note(key, error)
        return error

    def note(self, key: ActiveKey, error: SealwrightError | None) -> None:
        """Remember how a key that has a canary is now: also what went wrong when it was to sign something else."""
        if key.algorithm.is_stateful:
            return
        made = Condition(
            partition=key.partition,
            key=key.public_key.fingerprint,
            algorithm=key.algorithm,
            time=self._clock.now(),
            failure=None if error is None else _plain(error),
        )
        with self._lock:
            self._known[key] = made
            self._errors.pop(key, None)
            if error is not None:
                self._errors[key] = error

    def _failure(self, key: ActiveKey) -> SealwrightError | None:
        task = task_of(key)
        try:
            (made,) = self._partitions[key.partition].sign([task])
            if not isinstance(made, bytes):
                raise made
            key.public_key.verify(task.algorithm, task.payload, made)
        except KeyError:
            return RefusedError(f"this signer holds no partition {key.partition}", code=Code.NOT_FOUND)
        except SealwrightError as e:
            return e
        return None

    def _is_due(self, key: ActiveKey) -> bool:
        with self._lock:
            known = self._known.get(key)
        wait = INTERVAL_SECONDS if known is None or known.failure is None else RETRY_SECONDS
        return known is None or not 0 <= self._clock.now() - known.time < wait


def _plain(error: SealwrightError) -> str:
    text = f"{error.code}: {error.message}"[:200]
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text)


class _Guarded:
    """One partition; tasks of a key that is not well get the refusal in place of a signature."""

    def __init__(self, canaries: Canaries, name: str, partition: Partition) -> None:
        self._canaries, self._name, self._partition = canaries, name, partition

    def sign(self, tasks: Sequence[SigningTask]) -> Iterable[bytes | SealwrightError]:
        """Begin to sign what keys in good health may sign."""
        ill: dict[tuple[PublicKey, Algorithm], SealwrightError] = {}
        for key in {ActiveKey(self._name, t.public_key, t.algorithm) for t in tasks if not t.algorithm.is_stateful}:
            try:
                self._canaries.check(key)
            except SealwrightError as e:
                ill[key.public_key, key.algorithm] = e
        well = [task for task in tasks if (task.public_key, task.algorithm) not in ill]
        try:
            made = iter(self._partition.sign(well) if well else ())
        except SealwrightError as e:
            for task in well:
                self._canaries.note(ActiveKey(self._name, task.public_key, task.algorithm), e)
            raise
        return (ill.get((t.public_key, t.algorithm)) or self._noted(t, made) for t in tasks)

    def _noted(self, task: SigningTask, made: Iterator[bytes | SealwrightError]) -> bytes | SealwrightError:
        key = ActiveKey(self._name, task.public_key, task.algorithm)
        try:
            result = next(made)
        except SealwrightError as e:
            self._canaries.note(key, e)
            raise
        if isinstance(result, UnavailableError | ConfigurationError):
            self._canaries.note(key, result)
        return result

    def counters(self) -> Mapping[str, tuple[int, int]]:
        """Ask the partition."""
        return self._partition.counters()
