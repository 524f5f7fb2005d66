"""What the signer needs from outside: a durable head, keystores, a clock, entropy."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sealwright.core.errors import SealwrightError
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.core.records import Count, Digest, Time


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """How far a signer has followed the log, and when: what it must never fall behind."""

    size: Count
    root_hash: Digest
    time: Time


class HeadStore(Protocol):
    """Keeps the head over restarts."""

    def load(self) -> Head:
        """Return the stored head; ``ConfigurationError`` when there is none (an administrator gives the first)."""

    def store(self, head: Head) -> None:
        """Make ``head`` durable before returning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningTask:
    """One signature wanted from a partition: digest or whole message as the algorithm asks."""

    public_key: PublicKey
    algorithm: Algorithm
    payload: bytes
    block: tuple[int, int] | None = None
    """The signature numbers, first and end, of which a stateful key takes one."""


class Partition(Protocol):
    """The worker that holds one partition's login."""

    def sign(self, tasks: Sequence[SigningTask]) -> Iterable[bytes | SealwrightError]:
        """Begin to sign each task once, in order; what is returned may wait for the signatures when it is read.

        A failure stands in the place of its signature; that of all tasks may be raised, at once or when it is read.
        """

    def counters(self) -> Mapping[str, tuple[int, int]]:
        """Return of each stateful key, by fingerprint, the first number not taken and how many it has in its life."""


class Clock(Protocol):
    """The signer's own clock."""

    def now(self) -> int:
        """POSIX seconds."""


class Entropy(Protocol):
    """Salts and session ids."""

    def token(self, size_bytes: int) -> bytes:
        """Return unpredictable bytes."""
