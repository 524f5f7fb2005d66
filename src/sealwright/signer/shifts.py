"""The signatures of one round, partition by partition: while a worker signs a portion, the one before is verified.

A signature that does not verify never leaves: a fault, a wrong slot or a lying token.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from sealwright.core.errors import Code, RefusedError, SealwrightError, VerificationError
from sealwright.signer.ports import Partition, SigningTask

PORTION = 64
"""So many tasks at least go to a worker in one frame, if a round has them; slow ones go alone, since a worker that does
not answer for half a minute is taken for dead."""


class Shift:
    """The work of one partition in one round; its worker is asked from a thread of its own."""

    def __init__(self, partition: Partition | None, name: str) -> None:
        self._partition, self._name = partition, name
        self._thread = ThreadPoolExecutor(1, f"partition-{name}")
        self._waiting: list[SigningTask] = []
        self._portions: list[tuple[list[SigningTask], Future[Sequence[bytes | SealwrightError]]]] = []

    def add(self, task: SigningTask) -> None:
        """Take one task; the worker begins when there are enough of them."""
        self._waiting.append(task)
        if len(self._waiting) >= PORTION or task.algorithm.is_slow:
            self._begin()

    def results(self) -> Iterator[bytes | SealwrightError]:
        """Yield a signature that verifies, or why there is none, for each task in order."""
        self._begin()
        self._thread.shutdown(wait=False)
        for tasks, portion in self._portions:
            yield from map(_verified, tasks, portion.result())

    def _begin(self) -> None:
        tasks, self._waiting = self._waiting, []
        self._portions.append((tasks, self._thread.submit(self._sign, tasks)))

    def _sign(self, tasks: Sequence[SigningTask]) -> Sequence[bytes | SealwrightError]:
        if self._partition is None:
            return [RefusedError(f"this signer holds no partition {self._name}", code=Code.NOT_FOUND)] * len(tasks)
        try:
            return self._partition.sign(tasks)
        except SealwrightError as e:
            return [e] * len(tasks)


class Shifts:
    """The work of all partitions in one round, or in the second half of it."""

    def __init__(self, partitions: Mapping[str, Partition]) -> None:
        self._partitions = partitions
        self._shifts: dict[str, Shift] = {}

    def add(self, name: str, task: SigningTask) -> None:
        """Take one task of a partition."""
        if name not in self._shifts:
            self._shifts[name] = Shift(self._partitions.get(name), name)
        self._shifts[name].add(task)

    def results(self) -> dict[str, Iterator[bytes | SealwrightError]]:
        """Return the results of each partition, in the order of its tasks."""
        return {name: shift.results() for name, shift in self._shifts.items()}


def _verified(task: SigningTask, result: bytes | SealwrightError) -> bytes | SealwrightError:
    if isinstance(result, bytes):
        try:
            task.public_key.verify(task.algorithm, task.payload, result)
        except VerificationError as e:
            return e
    return result
