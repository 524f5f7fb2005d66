"""The bare rate of a keystore: one process, one thread, one login, nothing but sign.

``python -m benchmarks.keystore_loop URI SECRET SECONDS``.
"""

import json
import os
import sys
import time

from sealwright.core.keys import Algorithm
from sealwright.keystores.opening import open_keystore
from sealwright.keystores.secrets import read_secret

AT_ONCE = 100


def rate(uri: str, secret: str, seconds: float) -> float:
    """Return signatures a second."""
    keystore = open_keystore(uri, read_secret(secret))
    fingerprint, digest, count = next(iter(keystore.public_keys())), os.urandom(32), 0
    start = time.perf_counter()
    while (taken := time.perf_counter() - start) < seconds:
        for _ in range(AT_ONCE):
            keystore.sign(fingerprint, Algorithm.ECDSA_P256_SHA256, digest)
        count += AT_ONCE
    keystore.close()
    return count / taken


if __name__ == "__main__":
    print(json.dumps({"rate": rate(sys.argv[1], sys.argv[2], float(sys.argv[3]))}))
