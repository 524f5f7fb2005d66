"""U-Boot's names: signature algorithms (``sha256,rsa2048``), their padding, and keys."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils

from sealwright.core.errors import Code, FormatError
from sealwright.core.keys import Algorithm, PublicKey, hash_of

PKCS1, PSS = "pkcs-1.5", "pss"
PADDINGS = {
    Algorithm.RSA_PKCS1_SHA256: PKCS1,
    Algorithm.RSA_PKCS1_SHA384: PKCS1,
    Algorithm.RSA_PKCS1_SHA512: PKCS1,
    Algorithm.RSA_PSS_SHA256: PSS,
    Algorithm.RSA_PSS_SHA384: PSS,
    Algorithm.RSA_PSS_SHA512: PSS,
}
"""What U-Boot verifies with RSA, and the ``padding`` of its signature nodes."""
KEY_SIZES_BITS = (2048, 3072, 4096)
KEY_NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""A key's name; in the control devicetree its node is ``key-<name>``."""

WORD_BITS = 32
"""Of U-Boot's Montgomery multiplication."""

_ALGORITHMS = {
    (f"{algorithm.hash_name},rsa{bits}", name): algorithm
    for algorithm, name in PADDINGS.items()
    for bits in KEY_SIZES_BITS
}


def algo_of(key: PublicKey, algorithm: Algorithm) -> str:
    """Return U-Boot's name of hash, key type and size; ``FormatError`` for what this format does not sign with."""
    key.check_algorithm(algorithm)
    if algorithm not in PADDINGS or key.size_bits not in KEY_SIZES_BITS:
        raise FormatError(
            f"a U-Boot FIT cannot be signed with {algorithm} and a key of {key.size_bits} bits",
            code=Code.TARGET_CANNOT_VERIFY,
            hint="use RSA of 2048, 3072 or 4096 bits with SHA-256, SHA-384 or SHA-512, PKCS#1 v1.5 or PSS",
        )
    return f"{algorithm.hash_name},rsa{key.size_bits}"


def algorithm_of(algo: str | None, padding_name: str | None) -> Algorithm | None:
    """Return what a signature node's ``algo`` and ``padding`` mean, None where U-Boot would not know them."""
    return _ALGORITHMS.get((algo or "", padding_name or PKCS1))  # where there is no padding, U-Boot takes PKCS#1 v1.5


def shown(algo: str, padding_name: str | None) -> str:
    """Return both names for people, the padding where it is not the usual one."""
    return algo if padding_name in {None, PKCS1} else f"{algo} ({padding_name})"


def montgomery(modulus: int, size_bits: int) -> dict[str, bytes]:
    """Return the properties of a key node that spare U-Boot long division; it believes them.

    Reference: U-Boot lib/rsa/rsa-sign.c (rsa_get_params), lib/rsa/rsa-mod-exp.c.
    """
    word = 1 << WORD_BITS
    return {
        "rsa,r-squared": pow(2, 2 * size_bits, modulus).to_bytes(size_bits // 8),
        "rsa,n0-inverse": (word - pow(modulus, -1, word)).to_bytes(WORD_BITS // 8),
    }


def verifies(key: PublicKey, algo: str, algorithm: Algorithm, digest: bytes, signature: bytes) -> bool:
    """Whether U-Boot with this key would take the signature: in PSS it takes a salt of any length.

    Ours is as long as the hash, mkimage's as long as fits.
    Reference: U-Boot lib/rsa/rsa-verify.c (padding_pss_verify).
    """
    public = key.key
    if not isinstance(public, rsa.RSAPublicKey) or f"{algorithm.hash_name},rsa{public.key_size}" != algo:
        return False
    hashed = hash_of(algorithm)
    is_pss = PADDINGS[algorithm] == PSS
    scheme = padding.PSS(padding.MGF1(hashed), padding.PSS.AUTO) if is_pss else padding.PKCS1v15()
    try:
        public.verify(signature, digest, scheme, utils.Prehashed(hashed))
    except (InvalidSignature, ValueError):
        return False
    return True
