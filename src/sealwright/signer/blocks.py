"""Blocks of signature numbers of stateful keys: announced with a session, in the log before a number of them is used.

A session's block begins above every block that the log holds for the key and above what the keystore counted.  So a
keystore that was put back from an old copy, a second signer and a signer that was cloned each get numbers that nobody
had; what a session does not use is burnt with it (RFC 8554, section 9.2; draft-ietf-pquip-hbs-state, section 6).
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from sealwright.core import lms
from sealwright.core.errors import Code, RefusedError, SealwrightError
from sealwright.core.keys import HssLmsPublicKey
from sealwright.policy.documents import MAX_MARKS, Mark
from sealwright.signer.ports import Partition, SigningTask

FIRST_NUMBER = 1
"""Number 0 is in the certificate that was made with the key."""
SHARE, SMALLEST, LARGEST = 128, 8, 1024
"""A block is this part of all numbers that a key has, but within these bounds."""
MAX_KEPT = 256
"""So many signatures are given again, each at most 64 KiB, when their request is to be signed once more."""


class Blocks:
    """What this session may use; and the keys for which the next one shall have a block."""

    def __init__(self) -> None:
        self._open: dict[str, list[int]] = {}
        """Key to first number and end of what is left of its block."""
        self._planned: dict[str, int] = {}
        """Key to how many signatures were promised in this round."""
        self._wanted: dict[str, tuple[int, int, int]] = {}
        """Key to how many signatures it shall make, the first number that its keystore has left, and its capacity."""
        self._sources: dict[str, tuple[int, int, int]] = {}
        self._spent: set[str] = set()
        self._kept: OrderedDict[tuple[str, str, bytes], bytes] = OrderedDict()
        """Request, key and payload to the signature that was made."""

    @property
    def wanted(self) -> bool:
        """Whether a new session is needed."""
        return bool(self._wanted)

    def begin_round(self) -> None:
        """Nothing is promised yet."""
        self._planned = {}

    def plan(self, partition: Partition | None, key: str, count: int) -> tuple[int, int]:
        """Promise ``count`` signatures of a stateful key and return its block; ``RefusedError`` if it lacks them.

        The keystore is asked first: a session that ends ends for all products, and must not for a key that is gone.
        """
        first, stop = self._open.get(key, (0, 0))
        planned = self._planned.get(key, 0)
        if key in self._spent:
            raise RefusedError(
                f"key {key[:16]} has no signature left", code=Code.STATE_EXHAUSTED, hint="rotate the key"
            )
        if stop - first < planned + count:
            self._wanted[key] = count, *_counter(partition, key)
            raise RefusedError(
                f"key {key[:16]} has {stop - first} signature numbers in this session, {planned + count} are needed",
                code=Code.SESSION_ENDED,
                hint="the signer announces a session with a new block",
            )
        self._planned[key] = planned + count
        return first, stop

    def made_before(self, request: str, task: SigningTask) -> bytes | None:
        """Return the signature that this process made of the same payload for a request (its digest), if it has it.

        Else a server could use a key up with one approved request, by logging intent after intent for it.
        """
        return self._kept.get((request, task.public_key.fingerprint, task.payload))

    def used(self, request: str, task: SigningTask, made: bytes | SealwrightError) -> bytes | SealwrightError:
        """Advance behind a signature; a number outside the block does not leave, a failure burns the rest."""
        key, fingerprint = task.public_key.key, task.public_key.fingerprint
        if not isinstance(key, HssLmsPublicKey):
            return made
        block = self._open.get(fingerprint, [0, 0])  # burnt by the task before it
        number = _number(key, made) if isinstance(made, bytes) else -1
        if not isinstance(made, bytes) or not block[0] <= number < block[1]:
            self._open.pop(fingerprint, None)
            return (
                made
                if not isinstance(made, bytes)
                else RefusedError(
                    f"the keystore used number {number}, its block is {block[0]} to below {block[1]}",
                    code=Code.STATE_EXHAUSTED,
                )
            )
        block[0] = number + 1
        self._kept[request, fingerprint, task.payload] = made
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return made

    def is_overtaken(self, logged: Mapping[str, int]) -> bool:
        """Whether another session's blocks were logged over one of ours; asked while ours is not in the log yet."""
        overtaken = {key for key, (first, _) in self._open.items() if first < logged.get(key, 0)}
        self._wanted |= {key: self._sources[key] for key in overtaken}
        return bool(overtaken)

    def announce(self, logged: Mapping[str, int]) -> tuple[Mark, ...]:
        """Begin anew with blocks for the keys that wanted one; return what the session document says of them."""
        wanted, self._wanted, self._open = self._wanted, {}, {}
        marks = []
        for key, (count, next_number, capacity) in list(wanted.items())[:MAX_MARKS]:
            first = max(FIRST_NUMBER, next_number, logged.get(key, 0))
            stop = min(capacity, first + max(count, min(max(capacity // SHARE, SMALLEST), LARGEST)))
            if stop - first < count:
                self._spent.add(key)
                continue
            marks.append(Mark(key=key, first=first, stop=stop))
            self._open[key] = [first, stop]
            self._sources[key] = count, next_number, capacity
        return tuple(marks)


def counts(tasks: Sequence[SigningTask]) -> dict[str, int]:
    """Return how often each stateful key shall sign, by fingerprint."""
    found: dict[str, int] = {}
    for task in tasks:
        if task.algorithm.is_stateful:
            found[task.public_key.fingerprint] = found.get(task.public_key.fingerprint, 0) + 1
    return found


def _counter(partition: Partition | None, key: str) -> tuple[int, int]:
    counter = partition.counters().get(key) if partition is not None else None
    if counter is None:
        raise RefusedError(f"this signer does not hold the stateful key {key[:16]}", code=Code.NOT_FOUND)
    return counter


def _number(key: HssLmsPublicKey, signature: bytes) -> int:
    """Return the number of a signature that verifies: its leaves, read as digits."""
    number = 0
    for leaf in lms.leaf_indices(key.hss, signature):
        number = number << key.hss.top.tree.height | leaf
    return number
