"""U-Boot's names: signature algorithms (``sha256,rsa2048``) and keys."""

from sealwright.core.errors import Code, FormatError
from sealwright.core.keys import Algorithm, PublicKey

ALGORITHMS = {
    f"{algorithm.hash_name},rsa{bits}": (algorithm, bits)
    for algorithm in (Algorithm.RSA_PKCS1_SHA256, Algorithm.RSA_PKCS1_SHA384, Algorithm.RSA_PKCS1_SHA512)
    for bits in (2048, 3072, 4096)
}
KEY_NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""A key's name; in the control devicetree its node is ``key-<name>``."""
PADDINGS = (None, "pkcs-1.5")
"""What a signature node's ``padding`` may say; U-Boot takes PKCS#1 v1.5 where there is none."""


def algo_of(key: PublicKey, algorithm: Algorithm) -> str:
    """Return U-Boot's name of hash, key type and size; ``FormatError`` for what this format does not sign with."""
    key.check_algorithm(algorithm)
    algo = f"{algorithm.hash_name},rsa{key.size_bits}"
    if ALGORITHMS.get(algo) != (algorithm, key.size_bits):
        raise FormatError(
            f"a U-Boot FIT cannot be signed with {algorithm} and a key of {key.size_bits} bits",
            code=Code.TARGET_CANNOT_VERIFY,
            hint="use RSA PKCS#1 v1.5 of 2048, 3072 or 4096 bits with SHA-256, SHA-384 or SHA-512",
        )
    return algo
