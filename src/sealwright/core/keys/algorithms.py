"""The names of the signature algorithms, and what follows from a name alone."""

from enum import StrEnum
from functools import cached_property


class Family(StrEnum):
    """Algorithms whose keys and signatures are handled alike."""

    RSA = "rsa"
    ECDSA = "ecdsa"
    ED25519 = "ed25519"
    ML_DSA = "ml-dsa"
    SLH_DSA = "slh-dsa"
    HSS_LMS = "hss-lms"


class Algorithm(StrEnum):
    """One exact signature algorithm; what is asked of it for every signature is computed once."""

    RSA_PKCS1_SHA256 = "rsa-pkcs1-sha256"
    RSA_PKCS1_SHA384 = "rsa-pkcs1-sha384"
    RSA_PKCS1_SHA512 = "rsa-pkcs1-sha512"
    RSA_PSS_SHA256 = "rsa-pss-sha256"  # MGF1 with the same hash, salt as long as the hash
    RSA_PSS_SHA384 = "rsa-pss-sha384"
    RSA_PSS_SHA512 = "rsa-pss-sha512"
    ECDSA_P256_SHA256 = "ecdsa-p256-sha256"
    ECDSA_P384_SHA384 = "ecdsa-p384-sha384"
    ECDSA_P521_SHA512 = "ecdsa-p521-sha512"
    ED25519 = "ed25519"  # PureEdDSA: signs the message itself
    ML_DSA_44 = "ml-dsa-44"  # FIPS 204, pure, empty context: signs the message itself
    ML_DSA_65 = "ml-dsa-65"
    ML_DSA_87 = "ml-dsa-87"
    SLH_DSA_SHA2_128S = "slh-dsa-sha2-128s"  # FIPS 205, pure, empty context: signs the message itself
    SLH_DSA_SHA2_128F = "slh-dsa-sha2-128f"
    SLH_DSA_SHA2_192S = "slh-dsa-sha2-192s"
    SLH_DSA_SHA2_192F = "slh-dsa-sha2-192f"
    SLH_DSA_SHA2_256S = "slh-dsa-sha2-256s"
    SLH_DSA_SHA2_256F = "slh-dsa-sha2-256f"
    SLH_DSA_SHAKE_128S = "slh-dsa-shake-128s"
    SLH_DSA_SHAKE_128F = "slh-dsa-shake-128f"
    SLH_DSA_SHAKE_192S = "slh-dsa-shake-192s"
    SLH_DSA_SHAKE_192F = "slh-dsa-shake-192f"
    SLH_DSA_SHAKE_256S = "slh-dsa-shake-256s"
    SLH_DSA_SHAKE_256F = "slh-dsa-shake-256f"
    HSS_LMS = "hss-lms"  # RFC 8554; the key says its parameters: signs the message itself, uses itself up

    @cached_property
    def family(self) -> Family:
        """Return the family, with which every name begins."""
        return next(family for family in Family if self.startswith(family))

    @cached_property
    def hash_name(self) -> str:
        """The hash of the message as hashlib names it; where the message itself is signed, the hash that names it.

        That name is SHA-256 for Ed25519 and HSS/LMS and, so that it is as strong as the strongest parameter set,
        SHA-512 for ML-DSA and SLH-DSA.
        """
        if self.is_prehashed:
            return self.rsplit("-", 1)[1]
        return "sha256" if self in (Algorithm.ED25519, Algorithm.HSS_LMS) else "sha512"

    @cached_property
    def is_prehashed(self) -> bool:
        """Whether the keystore gets the digest of the message; otherwise it gets the message."""
        return self.family in (Family.RSA, Family.ECDSA)

    @property
    def is_stateful(self) -> bool:
        """Whether a key has a fixed number of signatures, none of which may be made twice."""
        return self is Algorithm.HSS_LMS

    @property
    def most_signature_bytes(self) -> int:
        """The length of the longest signature (FIPS 204, table 2; FIPS 205, table 2)."""
        sizes = {"44": 2420, "65": 3309, "87": 4627, "128s": 7856, "128f": 17088, "192s": 16224, "192f": 35664}
        sizes |= {"256s": 29792, "256f": 49856, "lms": 49152}
        return sizes.get(self.rsplit("-", 1)[1], 1024) if self.is_post_quantum else 1024  # RSA of 8192 bits

    @property
    def is_slow(self) -> bool:
        """Whether a signature takes up to seconds: the small sets of SLH-DSA.  It is then asked for one at a time."""
        return self.family is Family.SLH_DSA and self.endswith("s")

    @property
    def is_post_quantum(self) -> bool:
        """Whether the algorithm is meant to resist a quantum computer."""
        return self.family not in (Family.RSA, Family.ECDSA, Family.ED25519)

    @property
    def key_size_bits(self) -> int | None:
        """``PublicKey.size_bits`` of every key of this algorithm; None where the key says it."""
        match self.family:
            case Family.RSA | Family.HSS_LMS:
                return None
            case Family.ECDSA:
                return int(self.split("-")[1].removeprefix("p"))
            case Family.ED25519:
                return 256
            case Family.ML_DSA:
                return 8 * {"44": 1312, "65": 1952, "87": 2592}[self.rsplit("-", 1)[1]]
            case Family.SLH_DSA:
                return 2 * int(self[-4:-1])  # PK.seed and PK.root, n bytes each
