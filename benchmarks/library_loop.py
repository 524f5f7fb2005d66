"""The rate that a library itself allows: one process, one thread, a key in memory, nothing but sign, or verify.

``python -m benchmarks.library_loop sign|verify ALGORITHM SIZE_BITS SECONDS``.  HSS/LMS is our own code, here without
its state: no number is written down.
"""

import os
import sys
import time
from collections.abc import Callable
from itertools import count as numbers

from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils

from benchmarks.keystores import HSS_LMS
from sealwright.core.keys import Algorithm, Family, classical, hash_of, hss_lms, ml_dsa, rsa_padding, slh_dsa
from sealwright.keystores import private_keys
from sealwright.keystores.hss_lms_keys import HssLmsPrivateKey
from sealwright.keystores.private_keys import PrivateKey

MODULES = {Family.ML_DSA: ml_dsa, Family.SLH_DSA: slh_dsa, Family.HSS_LMS: hss_lms}
SAME_WORK = {Family.HSS_LMS: 64}
"""So many signatures in a row are counted as one: they need as many new trees as any other 64."""


def rate(call: Callable[[], object], seconds: float, at_once: int | None = None) -> float:
    """Return calls a second; the first one is not counted, since it prepares what later ones use.

    The clock is read after as many calls as take a thousandth of a second, or after ``at_once``.
    """
    call()
    start = time.perf_counter()
    call()
    at_once = at_once or max(1, int(0.001 / (time.perf_counter() - start)))
    count, start = 0, time.perf_counter()
    while (taken := time.perf_counter() - start) < seconds:
        for _ in range(at_once):
            call()
        count += at_once
    return count / taken


def signer(key: PrivateKey, algorithm: Algorithm, payload: bytes) -> Callable[[], bytes]:
    """Return the bare call of the library, everything that can be made before already made."""
    if isinstance(key, rsa.RSAPrivateKey):
        digest, padding, how = payload[:32], rsa_padding(algorithm), utils.Prehashed(hash_of(algorithm))
        return lambda: key.sign(digest, padding, how)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        digest = payload[: hash_of(algorithm).digest_size]
        ecdsa = ec.ECDSA(utils.Prehashed(hash_of(algorithm)))
        return lambda: key.sign(digest, ecdsa)
    if isinstance(key, HssLmsPrivateKey):
        tree, number, randomizer = key.hypertree(), numbers(1), os.urandom(key.seed.one_time.size)
        return lambda: tree.sign(next(number), randomizer, payload)
    other = key  # the others take a message
    return lambda: other.sign(payload)


def verifier(key: PrivateKey, algorithm: Algorithm, payload: bytes) -> Callable[[], object]:
    """Return the bare verification of a signature that was just made."""
    if algorithm.is_prehashed:
        payload = payload[: hash_of(algorithm).digest_size]
    public, module = private_keys.public_half(key).key, MODULES.get(algorithm.family, classical)
    signature = signer(key, algorithm, payload)()
    return lambda: module.verify(public, algorithm, payload, signature)


if __name__ == "__main__":
    what, chosen = sys.argv[1], Algorithm(sys.argv[2])
    made = private_keys.generate(chosen, int(sys.argv[3]), HSS_LMS if chosen.is_stateful else "")
    make = signer if what == "sign" else verifier
    print(rate(make(made, chosen, os.urandom(64)), float(sys.argv[4]), SAME_WORK.get(chosen.family)))
