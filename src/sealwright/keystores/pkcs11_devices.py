"""What is particular about the PKCS#11 modules of vendors.  Data; the keystore reads all of it.

A module is known by its file name, or by ``x-device=`` in the URI.  ``is_tried`` says whether anybody ran this code
against the device itself: where it is False, docs/operate/keystores.md says of each fact whether it was read in the
vendor's documents, read in other people's programs for the device, or is from memory.
Common to all: one process, one thread and one session a token, never used after a fork; raw r||s from CKM_ECDSA.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import NamedTuple

from sealwright.core.errors import ConfigurationError
from sealwright.core.keys import Algorithm, Family
from sealwright.keystores import pkcs11_abi as abi

EVIDENCE = frozenset({"SENSITIVE", "ALWAYS_SENSITIVE", "NEVER_EXTRACTABLE", "LOCAL"})


class Mechanisms(NamedTuple):
    """Two mechanism numbers of an algorithm."""

    sign: int
    generate: int


class Edwards(NamedTuple):
    """How a module spells Ed25519 keys."""

    key_type: int
    parameters: bytes
    """CKA_EC_PARAMS, DER."""


BY_NAME = Edwards(abi.CKK_EC_EDWARDS, b"\x13\x0cedwards25519")  # PKCS#11 3.0, section 2.3.5
BY_IDENTIFIER = Edwards(abi.CKK_EC_EDWARDS, bytes.fromhex("06032b6570"))  # PKCS#11 3.1: id-Ed25519 of RFC 8410
BY_OTHER_NAME = Edwards(abi.CKK_EC_EDWARDS, b"\x13\x07Ed25519")  # seen in the field, read only
BY_LUNA = Edwards(0x80000012, bytes.fromhex("06092b06010401da470f01"))  # 1.3.6.1.4.1.11591.15.1
EDWARDS = (BY_NAME, BY_IDENTIFIER, BY_OTHER_NAME, BY_LUNA)

_ED25519 = Mechanisms(abi.CKM_EDDSA, abi.CKM_EC_EDWARDS_KEY_PAIR_GEN)
_STANDARD: Mapping[Family, Mechanisms] = {
    Family.RSA: Mechanisms(abi.CKM_RSA_PKCS, abi.CKM_RSA_PKCS_KEY_PAIR_GEN),
    Family.ECDSA: Mechanisms(abi.CKM_ECDSA, abi.CKM_EC_KEY_PAIR_GEN),
    Family.ED25519: _ED25519,
    Family.ML_DSA: Mechanisms(abi.CKM_ML_DSA, abi.CKM_ML_DSA_KEY_PAIR_GEN),
}
_CLASSICAL = frozenset({Family.RSA, Family.ECDSA, Family.ED25519})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Device:
    """One vendor's module."""

    name: str
    description: str
    modules: tuple[str, ...] = ()
    """File names by which it is known."""
    is_tried: bool = False
    pin_pattern: str = r"(?s).+"
    """A regular expression; what does not match it is not shown to the token."""
    pin_form: str = ""
    """What ``pin_pattern`` wants, for people."""
    makes_tokens: bool = False
    """Whether C_InitToken makes a token in a free slot; otherwise the vendor's tool does."""
    tool: str = ""
    """The vendor's tool that makes tokens and users."""
    families: frozenset[Family] = _CLASSICAL
    """What it signs with."""
    mechanisms: Mapping[Algorithm, Mechanisms] = field(default_factory=dict)
    """Where numbers are not those of the standard."""
    edwards: Edwards = BY_IDENTIFIER
    id_bytes: int = 32
    """Length of CKA_ID; 32 is the SHA-256 of the public key, set once it is known, and shorter ones stay as made."""
    unshown: frozenset[str] = frozenset()
    """Evidence attributes that it does not keep; a key is accepted without them, and recorded without them."""

    def numbers(self, algorithm: Algorithm) -> Mechanisms:
        """Return the mechanisms of an algorithm; ``ConfigurationError`` when the device has none."""
        if (special := self.mechanisms.get(algorithm)) is not None:
            return special
        if algorithm.family not in self.families or algorithm.family not in _STANDARD:
            raise ConfigurationError(
                f"{algorithm} is not used through PKCS#11 on {self.name}",
                setting="algorithm",
                hint="keep this key in the embedded keystore (files), or name the mechanisms with x-mechanisms=",
            )
        if algorithm.startswith("rsa-pss-"):
            return Mechanisms(abi.CKM_RSA_PKCS_PSS, abi.CKM_RSA_PKCS_KEY_PAIR_GEN)
        return _STANDARD[algorithm.family]


GENERIC = Device(
    name="generic",
    description="Any module that follows PKCS#11 3.2.",
    makes_tokens=True,
    families=frozenset(_STANDARD),
)
SOFTHSM_2 = Device(
    name="softhsm-2",
    description="SoftHSM 2.6 of Debian 12; software, for tests and evaluation.",
    modules=("libsofthsm2.so",),
    is_tried=True,
    makes_tokens=True,
    edwards=BY_NAME,
)
NSS = Device(
    name="nss",
    description="Softoken of NSS 3.132; software.  One token a database, given by NSS_LIB_PARAMS.",
    modules=("libsoftokn3.so",),
    is_tried=True,
    tool="certutil",
    families=frozenset({Family.ML_DSA}),
    unshown=frozenset({"LOCAL"}),
)
LUNA = Device(
    name="luna",
    description="Thales Luna 7; the partition's label is the token's; ChrystokiConfigurationPath names a folder.",
    modules=("libCryptoki2_64.so", "libCryptoki2.so"),
    tool="lunacm",
    families=frozenset(_STANDARD),  # ML-DSA from firmware 7.9.0 with client 10.9.0
    mechanisms={Algorithm.ED25519: Mechanisms(0x80000C03, 0x80000C01)},
    edwards=BY_LUNA,
)
NSHIELD = Device(
    name="nshield",
    description="Entrust nShield; the token is a card set or, with CKNFAST_LOADSHARING=1, a softcard by its name.",
    modules=("libcknfast.so",),
    tool="ppmk or createocs",
)
UTIMACO = Device(
    name="utimaco",
    description="Utimaco u.trust and SecurityServer; CS_PKCS11_R3_CFG names the device, KeepAlive keeps its sessions.",
    modules=("libcs_pkcs11_R3.so",),
    tool="p11tool2",
    families=frozenset({Family.RSA, Family.ECDSA}),  # Ed25519 by calls of its own: one made as usual does not sign
)
SECUROSYS = Device(
    name="securosys",
    description="Securosys Primus and CloudHSM; the token is the partition by its name, PKCS#11 password as PIN.",
    modules=("libprimusP11.so",),
    tool="ppin",
)
YUBIHSM_2 = Device(
    name="yubihsm-2",
    description="YubiHSM 2; 16 sessions in all, one token; YUBIHSM_PKCS11_CONF names the connector.",
    modules=("yubihsm_pkcs11.so", "libyubihsm_pkcs11.so"),
    pin_pattern=r"(?s)[0-9a-fA-F]{4}.{8,64}",
    pin_form="four hexadecimal digits (number of the authentication key), then its password of 8 to 64 characters",
    tool="yubihsm-shell",
    id_bytes=2,  # the object's number
)
AWS_CLOUDHSM = Device(
    name="aws-cloudhsm",
    description="AWS CloudHSM, Client SDK 5; the cluster is one token (hsm1), a crypto user sees its own keys.",
    modules=("libcloudhsm_pkcs11.so",),
    pin_pattern=r"(?s)[^:]+:.+",
    pin_form="USER:PASSWORD of a crypto user",
    tool="cloudhsm-cli",
    families=frozenset({Family.RSA, Family.ECDSA}),
)
DEVICES = (SOFTHSM_2, NSS, LUNA, NSHIELD, UTIMACO, SECUROSYS, YUBIHSM_2, AWS_CLOUDHSM, GENERIC)


def find_device(module_path: str, name: str = "") -> Device:
    """Return the device of this name, or the one whose module this is; ``GENERIC`` when nobody knows it."""
    if name:
        found = next((device for device in DEVICES if device.name == name), None)
        if found is None:
            known = ", ".join(device.name for device in DEVICES)
            raise ConfigurationError(f"x-device={name[:32]} is not known", setting="keystore", hint=f"known: {known}")
        return found
    return next((device for device in DEVICES if PurePath(module_path).name in device.modules), GENERIC)
