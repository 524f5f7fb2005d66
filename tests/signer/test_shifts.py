"""The work of a round: portions in order, one ahead of the worker, each signature verified, failures in their place."""

import threading
from collections.abc import Iterator, Sequence

import pytest
from tests.simulators.instance import MemoryPartition

from sealwright.core.errors import Code, FormatError, SealwrightError, UnavailableError, VerificationError
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.signer.ports import SigningTask
from sealwright.signer.shifts import Shift, Shifts, portion_of

ECDSA = Algorithm.ECDSA_P256_SHA256


class Recording(MemoryPartition):
    """A partition that says when it was asked and when its answer was read."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.public = self.create(ECDSA)

    def sign(self, tasks: Sequence[SigningTask]) -> Iterator[bytes | SealwrightError]:
        number = sum(line.startswith("asked") for line in self.seen)
        self.seen.append(f"asked {number}")
        return self._answer(number, super().sign(tasks))

    def _answer(self, number: int, made: Sequence[bytes | SealwrightError]) -> Iterator[bytes | SealwrightError]:
        self.seen.append(f"read {number}")
        yield from made


@pytest.fixture
def partition() -> Recording:
    return Recording()


def task(key: PublicKey, number: int = 0, algorithm: Algorithm = ECDSA) -> SigningTask:
    return SigningTask(public_key=key, algorithm=algorithm, payload=b"%032d" % number)


def test_a_worker_has_the_next_portion_before_the_answer_to_the_one_before_is_read(partition: Recording) -> None:
    shift, tasks = Shift(partition, "p"), [task(partition.public, i) for i in range(3 * 64 + 5)]
    for one in tasks:
        shift.add(one)
    for one, made in zip(tasks, shift.results(), strict=True):
        assert isinstance(made, bytes)
        partition.public.verify(ECDSA, one.payload, made)
    expected = ["asked 0", "asked 1", "read 0", "asked 2", "read 1", "asked 3", "read 2", "read 3"]
    assert partition.seen == expected


def test_a_round_without_work_asks_for_nothing_and_one_of_whole_portions_for_no_empty_one(partition: Recording) -> None:
    assert [*Shift(partition, "p").results()] == []
    shift = Shift(partition, "p")
    for i in range(64):
        shift.add(task(partition.public, i))
    assert len([*shift.results()]) == 64
    assert partition.seen == ["asked 0", "read 0"]


def test_what_fails_when_it_is_read_fails_for_its_portion_alone() -> None:
    class Failing(Recording):
        def _answer(self, number: int, made: Sequence[bytes | SealwrightError]) -> Iterator[bytes | SealwrightError]:
            if number == 1:
                raise UnavailableError("gone", code=Code.KEYSTORE_UNAVAILABLE)
            yield from made

    failing = Failing()
    shift = Shift(failing, "p")
    for i in range(3 * 64):
        shift.add(task(failing.public, i))
    made = [*shift.results()]
    assert [isinstance(one, bytes) for one in made] == [True] * 64 + [False] * 64 + [True] * 64
    assert all(isinstance(one, bytes) or one.code is Code.KEYSTORE_UNAVAILABLE for one in made)


def test_a_signature_that_does_not_verify_and_one_that_cannot_are_errors_in_their_place(partition: Recording) -> None:
    class Lying(MemoryPartition):
        def sign(self, tasks: Sequence[SigningTask]) -> list[bytes | SealwrightError]:
            return [b"signature"] * len(tasks)

    shift = Shift(Lying(), "p")
    shift.add(task(partition.public))
    shift.add(task(partition.public, algorithm=Algorithm.ED25519))
    assert [type(one) for one in shift.results()] == [VerificationError, FormatError]


def test_every_partition_begins_before_the_first_result_of_any_is_waited_for() -> None:
    both = threading.Barrier(2, timeout=20)

    class Waiting(Recording):
        def _answer(self, number: int, made: Sequence[bytes | SealwrightError]) -> Iterator[bytes | SealwrightError]:
            both.wait()  # broken if the other is not at work by then
            yield from super()._answer(number, made)

    partitions = {"a": Waiting(), "b": Waiting()}
    shifts = Shifts(partitions)
    for name, partition in partitions.items():
        shifts.add(name, task(partition.public))
    results = shifts.results()
    assert all(isinstance(next(results[name]), bytes) for name in partitions)


def test_a_partition_that_is_not_held_here_is_refused() -> None:
    shift = Shift(None, "elsewhere")
    shift.add(task(Recording().public))
    (refusal,) = shift.results()
    assert isinstance(refusal, SealwrightError)
    assert (refusal.code, refusal.message) == (Code.NOT_FOUND, "this signer holds no partition elsewhere")


def test_slow_signatures_go_alone_or_nearly_so() -> None:
    sizes = {algorithm: portion_of(algorithm) for algorithm in Algorithm}
    assert {a for a, size in sizes.items() if size == 1} == {a for a in Algorithm if a.is_slow}
    assert {a for a, size in sizes.items() if size == 4} == {
        a for a in Algorithm if a.startswith("slh-dsa") and not a.is_slow
    }
    assert {sizes[a] for a in Algorithm if not a.startswith("slh-dsa")} == {64}
