"""The signatures of one round, partition by partition: while a worker signs a portion, the one before is verified.

A worker has the next portion at hand when it has signed one.  A signature that does not verify never leaves: a fault, a
wrong slot or a lying token.  Each partition has a thread to verify in: the library lets others work meanwhile.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from sealwright.core.errors import Code, RefusedError, SealwrightError
from sealwright.core.keys import Algorithm, Family
from sealwright.signer.ports import Partition, SigningTask

Result = bytes | SealwrightError


class Shift:
    """The work of one partition in one round; its worker is asked from a thread of its own, in order."""

    def __init__(self, partition: Partition | None, name: str) -> None:
        self._partition, self._name = partition, name
        self._thread = ThreadPoolExecutor(1, f"partition-{name}")
        self._waiting: list[SigningTask] = []
        self._begun: list[tuple[list[SigningTask], Future[Iterable[Result]]]] = []
        self._portions: list[Future[list[Result]]] = []

    def add(self, task: SigningTask) -> None:
        """Take one task; the worker begins when there are enough of them."""
        self._waiting.append(task)
        if len(self._waiting) >= portion_of(task.algorithm):
            self._begin()

    def results(self) -> Iterator[Result]:
        """Begin what is left; return a signature that verifies, or why there is none, for each task in order."""
        self._begin()
        self._finish()
        self._thread.shutdown(wait=False)
        return (result for portion in self._portions for result in portion.result())

    def _begin(self) -> None:
        """Ask for a portion, then wait for the one before it."""
        if not self._waiting:
            return
        tasks, self._waiting = self._waiting, []
        begun = self._thread.submit(self._sign, tasks)
        self._finish()
        self._begun.append((tasks, begun))

    def _finish(self) -> None:
        for tasks, begun in self._begun:
            self._portions.append(self._thread.submit(_verify, tasks, begun))
        self._begun.clear()

    def _sign(self, tasks: Sequence[SigningTask]) -> Iterable[Result]:
        if self._partition is None:
            return [RefusedError(f"this signer holds no partition {self._name}", code=Code.NOT_FOUND)] * len(tasks)
        return self._partition.sign(tasks)


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

    def results(self) -> dict[str, Iterator[Result]]:
        """Return the results of each partition, in the order of its tasks."""
        return {name: shift.results() for name, shift in self._shifts.items()}


def portion_of(algorithm: Algorithm) -> int:
    """So many go to a worker in one frame, if a round has them.

    Slow ones go alone or nearly so, since a worker that does not answer for half a minute is taken for dead.
    """
    if algorithm.is_slow:
        return 1
    return 4 if algorithm.family is Family.SLH_DSA else 64


def _verify(tasks: Sequence[SigningTask], begun: Future[Iterable[Result]]) -> list[Result]:
    """Wait for the answer and look at each signature; what was raised instead stands for each task."""
    try:
        return [*map(_verified, tasks, begun.result())]
    except SealwrightError as e:
        return [e] * len(tasks)


def _verified(task: SigningTask, result: Result) -> Result:
    if isinstance(result, bytes):
        try:
            task.public_key.verify(task.algorithm, task.payload, result)
        except SealwrightError as e:
            return e
    return result
