"""Signatures a second through workers, two partitions busy, beside two processes with the bare library or a C loop.

First the workers alone, each asked by a thread of its own for portions as the signer asks; nothing is verified on
either side.  Then as the signer does it, which verifies each signature before it leaves; beside it what the bare loops
for signing and for verifying take together, one after the other.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from tests.simulators.softhsm import SoftHsm

from benchmarks.measuring import Figure, alternate
from sealwright.core.keys import Algorithm, Family, PublicKey
from sealwright.keystores import pkcs11_keys
from sealwright.keystores.frames import Failure, Item
from sealwright.keystores.interface import CertificateTemplate
from sealwright.keystores.numbers import Block
from sealwright.keystores.opening import create_partition, open_ceremony
from sealwright.keystores.pkcs11_devices import SOFTHSM_2
from sealwright.keystores.secrets import Secret
from sealwright.keystores.worker_client import Request, Worker
from sealwright.signer.ports import SigningTask
from sealwright.signer.shifts import Shift, portion_of
from sealwright.wiring.signer import WorkerPartition

PARTITIONS = 2
PORTIONS = 4
"""A round of the signer, for each partition."""
PIN = "12345678"
BLOCK = Block(1, 1 << 15)
HSS_LMS = "3xsha256-n24-h5-w8"
ON_TOKEN = (
    Algorithm.ECDSA_P256_SHA256,
    Algorithm.ECDSA_P384_SHA384,
    Algorithm.RSA_PKCS1_SHA256,
    Algorithm.ED25519,
)
IN_FILES = (
    *ON_TOKEN,
    Algorithm.ML_DSA_44,
    Algorithm.ML_DSA_65,
    Algorithm.ML_DSA_87,
    *(a for a in Algorithm if a.family is Family.SLH_DSA and not a.is_slow),
    Algorithm.HSS_LMS,
)
FEW = (Algorithm.ECDSA_P256_SHA256, Algorithm.ML_DSA_44)
AIM = ">= 0.9 of it"


def figures(folder: Path, *, runs: int, seconds: float, is_quick: bool) -> list[Figure]:
    """Measure key files, then SoftHSM."""
    files = tuple(f"files:{folder / str(number)}" for number in range(PARTITIONS))
    chosen = FEW if is_quick else IN_FILES
    found = _keystore("files", files, chosen, runs, seconds, lambda a, _keys: _library("sign", a, seconds))
    hsm = SoftHsm(folder)
    loop = folder / "c_sign_loop"
    source = Path(__file__).with_name("c_sign_loop.c")
    subprocess.run(["cc", "-O2", "-w", "-o", loop, source, "-ldl"], check=True)
    try:
        tokens = tuple(hsm.uri(f"bench-{number}") for number in range(PARTITIONS))
        chosen = FEW[:1] if is_quick else ON_TOKEN

        def c_loop(algorithm: Algorithm, keys: Sequence[PublicKey]) -> list[list[str]]:
            return [
                [str(loop), hsm.module_path, f"bench-{i}", PIN, key.fingerprint, *_mechanism(algorithm), str(seconds)]
                for i, key in enumerate(keys)
            ]

        return found + _keystore("softhsm", tokens, chosen, runs, seconds, c_loop)
    finally:
        hsm.close()


def _keystore(
    name: str, uris: Sequence[str], algorithms: Sequence[Algorithm], runs: int, seconds: float,
    bare: Callable[[Algorithm, Sequence[PublicKey]], list[list[str]]],
) -> list[Figure]:  # fmt: skip
    secret = Secret(PIN.encode())
    keys: list[dict[Algorithm, PublicKey]] = []
    for uri in uris:
        create_partition(uri, secret, secret)
        ceremony = open_ceremony(uri, secret)
        keys.append(
            {
                a: ceremony.create_key(a, a, _size(a), template(), HSS_LMS if a.is_stateful else "").public_key
                for a in algorithms
            }
        )
        ceremony.close()
    workers = [Worker(uri, secret) for uri in uris]
    found = []
    for algorithm in algorithms:
        its = [made[algorithm] for made in keys]
        medians = alternate(
            runs,
            ours=lambda algorithm=algorithm, its=its: _through(workers, its, algorithm, seconds),
            bare=lambda algorithm=algorithm, its=its: _together(bare(algorithm, its)),
            verified=lambda algorithm=algorithm, its=its: _verified(workers, its, algorithm, seconds),
            bare_verify=lambda algorithm=algorithm: _together(_library("verify", algorithm, seconds)),
        )
        beside = "C_Sign in C" if name == "softhsm" else "the library"
        if algorithm.is_stateful:
            beside = "our code without its state"
        both = 1 / (1 / medians["bare"] + 1 / medians["bare_verify"])
        found += [
            Figure(name=f"{algorithm}, {name}, two partitions", ours=medians["ours"], other=medians["bare"],
                   unit="signatures/s", beside=f"two processes, {beside}", aim=AIM),
            Figure(name=f"{algorithm}, {name}, two partitions, each verified", ours=medians["verified"], other=both,
                   unit="signatures/s", beside="the same, and then verified"),
        ]  # fmt: skip
    for worker in workers:
        worker.close()
    return found


def _through(workers: Sequence[Worker], keys: Sequence[PublicKey], algorithm: Algorithm, seconds: float) -> float:
    """Return the rate of all workers together."""

    def work(worker: Worker, key: PublicKey) -> float:
        block = BLOCK if algorithm.is_stateful else None
        items = [Item(key.fingerprint, algorithm, _payload(algorithm), block)] * portion_of(algorithm)
        worker.sign(items[:1])  # it is there and logged in
        count, start = 0, time.perf_counter()
        request = worker.begin(items)
        while time.perf_counter() - start < seconds:
            before, request = request, worker.begin(items)
            count += _made(before)
        count += _made(request)
        return count / (time.perf_counter() - start)

    with ThreadPoolExecutor(len(workers)) as pool:
        return sum(pool.map(work, workers, keys))


def _verified(workers: Sequence[Worker], keys: Sequence[PublicKey], algorithm: Algorithm, seconds: float) -> float:
    """Return the rate of rounds as the signer carries them out: one thread that gives work and verifies."""
    partitions = [WorkerPartition(worker) for worker in workers]
    block = BLOCK if algorithm.is_stateful else None
    tasks = [SigningTask(public_key=key, algorithm=algorithm, payload=_payload(algorithm), block=block) for key in keys]
    count, start = 0, time.perf_counter()
    while (taken := time.perf_counter() - start) < seconds:
        shifts = [Shift(partition, "bench") for partition in partitions]
        for _ in range(PORTIONS * portion_of(algorithm)):
            for shift, task in zip(shifts, tasks, strict=True):
                shift.add(task)
        for made in zip(*(shift.results() for shift in shifts), strict=True):
            if failed := [one for one in made if not isinstance(one, bytes)]:
                raise failed[0]
            count += len(made)
    return count / taken


def _made(request: Request) -> int:
    answers = request.answers()
    if failed := [answer for answer in answers if isinstance(answer, Failure)]:
        raise RuntimeError(failed[0].message)
    return len(answers)


def _payload(algorithm: Algorithm) -> bytes:
    return os.urandom(32 if algorithm.hash_name == "sha256" else 48 if algorithm.is_prehashed else 64)


def _together(commands: Sequence[Sequence[str]]) -> float:
    """Run all at once and return the sum of what they print."""
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    printed = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise RuntimeError(f"{commands[0][0]} failed")
    return sum(map(float, printed))


def _library(what: str, algorithm: Algorithm, seconds: float) -> list[list[str]]:
    command = [sys.executable, "-m", "benchmarks.library_loop", what, algorithm, str(_size(algorithm)), str(seconds)]
    return [command] * PARTITIONS


def _mechanism(algorithm: Algorithm) -> tuple[str, str]:
    """Return the mechanism and a payload as the keystore gives them to the module."""
    mechanism, prefix = pkcs11_keys.mechanism(SOFTHSM_2, algorithm)
    size = 48 if algorithm is Algorithm.ECDSA_P384_SHA384 else 32
    return str(mechanism.number), (prefix + os.urandom(size)).hex()


def _size(algorithm: Algorithm) -> int:
    return algorithm.key_size_bits or 3072


def template() -> CertificateTemplate:
    """Return the least that a certificate needs."""
    year = datetime.now(UTC).year
    return CertificateTemplate(
        common_name="TEST ONLY bench",
        not_before=datetime(year - 1, 1, 1, tzinfo=UTC),
        not_after=datetime(year + 1, 1, 1, tzinfo=UTC),
    )
