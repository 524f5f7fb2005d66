"""The rate that a library itself allows: one process, one thread, a key in memory, nothing but sign.

``python -m benchmarks.library_loop ALGORITHM SIZE_BITS SECONDS``.  HSS/LMS is our own: the keystore without a worker.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils

from benchmarks.keystores import BLOCK, HSS_LMS, template
from sealwright.core.keys import Algorithm, hash_of, rsa_padding
from sealwright.keystores import private_keys
from sealwright.keystores.opening import create_partition, open_ceremony, open_keystore
from sealwright.keystores.secrets import Secret


def rate(sign: Callable[[], object], seconds: float) -> float:
    """Return signatures a second; the first one is not counted, since it prepares what later ones use."""
    sign()
    count, start = 0, time.perf_counter()
    while (taken := time.perf_counter() - start) < seconds:
        sign()
        count += 1
    return count / taken


def signer(algorithm: Algorithm, size_bits: int) -> Callable[[], object]:
    """Return the bare call of the library, everything that can be made before already made."""
    key, payload = private_keys.generate(algorithm, size_bits), os.urandom(64)
    if isinstance(key, rsa.RSAPrivateKey):
        digest, padding, how = payload[:32], rsa_padding(algorithm), utils.Prehashed(hash_of(algorithm))
        return lambda: key.sign(digest, padding, how)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        digest = payload[: hash_of(algorithm).digest_size]
        ecdsa = ec.ECDSA(utils.Prehashed(hash_of(algorithm)))
        return lambda: key.sign(digest, ecdsa)
    other = key  # the others take a message
    return lambda: other.sign(payload)  # type: ignore[union-attr, call-arg]


def hss_lms(folder: Path) -> Callable[[], object]:
    """Return the call of an open keystore, its state on the disk."""
    uri, secret = f"files:{folder / 'partition'}", Secret(os.urandom(16))
    create_partition(uri, secret)
    ceremony = open_ceremony(uri, secret)
    key = ceremony.create_key("bench", Algorithm.HSS_LMS, 0, template(), HSS_LMS).public_key.fingerprint
    ceremony.close()
    keystore, payload = open_keystore(uri, secret), os.urandom(64)
    return lambda: keystore.sign(key, Algorithm.HSS_LMS, payload, BLOCK)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        chosen = Algorithm(sys.argv[1])
        sign = hss_lms(Path(name)) if chosen.is_stateful else signer(chosen, int(sys.argv[2]))
        print(rate(sign, float(sys.argv[3])))
