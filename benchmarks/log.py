"""The log and the decision alone, in this process: append, follow, authorise."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from tests.simulators.instance import Instance

from benchmarks.measuring import Figure, alternate
from sealwright.core import records
from sealwright.policy.authorise import Documents, authorise
from sealwright.policy.fold import LogState
from sealwright.storage.log import LogStore
from sealwright.translog.merkle import CompactRange, leaf_hash
from sealwright.translog.notes import NoteSigner

ENTRY_BYTES = 500
BLOCK_BYTES = 4096
RUNS = 3


def figures(folder: Path, *, seconds: float) -> list[Figure]:
    """Measure each as a rate."""
    return [*_append(folder, seconds), _follow(seconds), _authorise(seconds)]


def _append(folder: Path, seconds: float) -> list[Figure]:
    signer = NoteSigner("log.example/bench", Ed25519PrivateKey.generate(), MLDSA44PrivateKey.generate())
    entry, block = os.urandom(ENTRY_BYTES), folder / "block"
    block.write_bytes(bytes(BLOCK_BYTES))
    descriptor = os.open(block, os.O_RDWR)

    def flush() -> None:
        os.pwrite(descriptor, entry, 0)
        os.fdatasync(descriptor)

    with LogStore.create(folder / "log.db", signer=signer, guard_directory=folder) as store:
        medians = alternate(
            RUNS,
            flush=lambda: _rate(flush, seconds),
            one=lambda: _rate(lambda: store.append([entry]), seconds),
            many=lambda: 100 * _rate(lambda: store.append([entry] * 100), seconds),
        )
    os.close(descriptor)
    return [
        Figure(name="log, append one by one", ours=medians["one"], other=medians["flush"], unit="entries/s",
               beside="fdatasync of one block"),
        Figure(name="log, append by hundreds", ours=medians["many"], other=medians["flush"], unit="entries/s",
               beside="fdatasync of one block"),
    ]  # fmt: skip


def _follow(seconds: float) -> Figure:
    """What a signer does with each entry: hash it into the tree and fold it into its state."""
    instance = Instance()
    entry = records.serialise(instance.make_intent(instance.approved()))
    state, tree = LogState(instance=instance.instance, origin=instance.log.origin), CompactRange()

    def follow() -> None:
        tree.append(leaf_hash(entry))
        state.apply(entry)

    medians = alternate(
        RUNS, follow=lambda: _rate(follow, seconds), hash=lambda: _rate(lambda: leaf_hash(entry), seconds)
    )
    return Figure(name="log, follow intents", ours=medians["follow"], other=medians["hash"], unit="entries/s",
                  beside="their leaf hashes")  # fmt: skip


def _authorise(seconds: float) -> Figure:
    """A request with two votes: three signatures to verify, beside three bare verifications."""
    instance = Instance()
    submission = instance.approved()
    documents = Documents(request=submission.request, votes=tuple(submission.votes))
    intent, standing, now = instance.make_intent(submission), instance.standing(), instance.clock.now()
    key = Ed25519PrivateKey.generate()
    public, signature = key.public_key(), key.sign(b"message")

    def verify_three() -> None:
        for _ in range(3):
            public.verify(signature, b"message")

    medians = alternate(
        RUNS,
        authorise=lambda: _rate(lambda: authorise(documents, intent, standing, now=now), seconds),
        bare=lambda: _rate(verify_three, seconds),
    )
    return Figure(name="authorise, two votes", ours=medians["authorise"], other=medians["bare"], unit="decisions/s",
                  beside="three Ed25519 verifications")  # fmt: skip


def _rate(job: Callable[[], object], seconds: float) -> float:
    count, start = 0, time.perf_counter()
    while (taken := time.perf_counter() - start) < seconds:
        job()
        count += 1
    return count / taken
