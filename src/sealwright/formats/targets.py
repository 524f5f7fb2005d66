"""Target profiles: what each verifier or bootloader that has been tried accepts.  Data, one line a fact."""

from sealwright.core.keys import Algorithm, Family
from sealwright.formats.interface import TargetProfile

CLASSICAL = frozenset(algorithm for algorithm in Algorithm if not algorithm.is_post_quantum)

ANY = TargetProfile(name="any", description="No device is named: the format's own limits are the only ones.")

OPENSSL_3_0 = TargetProfile(
    name="openssl-3.0",
    description="`openssl cms -verify` of Debian 12.",
    formats=frozenset({"raw", "intel-hex", "s-record", "uf2", "dfu", "dfuse"}),
    algorithms=CLASSICAL - {Algorithm.ED25519},  # it says "invalid digest"
    limits={"outputs": "cms"},
)
OPENSSL_3_5 = TargetProfile(
    name="openssl-3.5",
    description="`openssl cms -verify` of Debian 13: ML-DSA and SLH-DSA too.",
    formats=frozenset({"raw", "intel-hex", "s-record", "uf2", "dfu", "dfuse"}),
    algorithms=frozenset(a for a in Algorithm if a.family is not Family.HSS_LMS),
    limits={"outputs": "cms"},
)
PYHSSLMS_2_0 = TargetProfile(
    name="pyhsslms-2.0",
    description="pyhsslms over the signed attributes of the CMS, or over the Sig_structure of the COSE: HSS/LMS alone.",
    formats=frozenset({"raw"}),
    algorithms=frozenset({Algorithm.HSS_LMS}),
    limits={"outputs": "cms cose"},
)
GNUTLS_3_7 = TargetProfile(
    name="gnutls-3.7",
    description="`certtool --p7-verify` of Debian 12.",
    formats=frozenset({"raw"}),
    algorithms=CLASSICAL - {Algorithm.RSA_PSS_SHA384, Algorithm.RSA_PSS_SHA512},
    limits={"outputs": "cms"},
)
UEFI_ALGORITHMS = frozenset({Algorithm.RSA_PKCS1_SHA256})
UEFI_KEY_SIZES = frozenset({2048, 3072, 4096})
OVMF = TargetProfile(
    name="ovmf",
    description="edk2 in virtual machines: one signature in db is enough unless dbx names another; no ECDSA.",
    formats=frozenset({"uefi-pe", "uefi-variable"}),
    algorithms=UEFI_ALGORITHMS,
    key_sizes_bits=UEFI_KEY_SIZES,
    limits={"certificate_keys": "rsa"},  # it says "Invalid Parameter" to variables with others
)
SBVERIFY_0_9 = TargetProfile(
    name="sbverify-0.9",
    description="`sbverify --cert` of Debian 12: SHA-256 only; one of several signatures will do.",
    formats=frozenset({"uefi-pe"}),
    algorithms=UEFI_ALGORITHMS,
    key_sizes_bits=UEFI_KEY_SIZES,
)
OSSLSIGNCODE_2_9 = TargetProfile(
    name="osslsigncode-2.9",
    description="`osslsigncode verify`: 2.9 calls a table of several WIN_CERTIFICATEs corrupted.",
    formats=frozenset({"uefi-pe"}),
    algorithms=UEFI_ALGORITHMS,
    key_sizes_bits=UEFI_KEY_SIZES,
    limits={"signatures": "1"},
)
_RSA_PKCS1 = frozenset({Algorithm.RSA_PKCS1_SHA256, Algorithm.RSA_PKCS1_SHA384, Algorithm.RSA_PKCS1_SHA512})
_RSA_PSS = frozenset({Algorithm.RSA_PSS_SHA256, Algorithm.RSA_PSS_SHA384, Algorithm.RSA_PSS_SHA512})
UBOOT_CAPSULE = TargetProfile(
    name="u-boot-capsule",
    description="U-Boot built with EFI_CAPSULE_AUTHENTICATE: one RSA signature, SHA-256.",
    formats=frozenset({"uefi-capsule"}),
    algorithms=UEFI_ALGORITHMS,
    key_sizes_bits=UEFI_KEY_SIZES,
)
UBOOT_QEMU_ARM64 = TargetProfile(
    name="u-boot-2023.01-qemu-arm64",
    description="U-Boot of Debian 12 for QEMU's arm64 machine; no PSS, no ECDSA.",
    formats=frozenset({"u-boot-fit"}),
    algorithms=_RSA_PKCS1,
    key_sizes_bits=frozenset({2048, 3072, 4096}),
)
UBOOT_PSS_QEMU_ARM64 = TargetProfile(
    name="u-boot-2023.01-pss-qemu-arm64",
    description="The same built with FIT_RSASSA_PSS; it takes a salt of any length.",
    formats=frozenset({"u-boot-fit"}),
    algorithms=_RSA_PKCS1 | _RSA_PSS,
    key_sizes_bits=frozenset({2048, 3072, 4096}),
)
UBOOT_VERIFYING_QEMU_RISCV64 = TargetProfile(
    name="u-boot-2023.01-fit-signature-qemu-riscv64",
    description="U-Boot for QEMU's riscv64 machine built with FIT_SIGNATURE, RSA_VERIFY and FIT_RSASSA_PSS.",
    formats=frozenset({"u-boot-fit"}),
    algorithms=_RSA_PKCS1 | _RSA_PSS,
    key_sizes_bits=frozenset({2048, 3072, 4096}),
)
UBOOT_QEMU_RISCV64 = TargetProfile(
    name="u-boot-2023.01-qemu-riscv64",
    description="U-Boot of Debian 12 for QEMU's riscv64 machine: without FIT_SIGNATURE it verifies nothing, no target.",
    formats=frozenset({"u-boot-fit"}),
    algorithms=frozenset(),  # a signature for it would promise what it does not do
)

_MCUBOOT_KEYS = {
    "rsa-2048": (Algorithm.RSA_PSS_SHA256, 2048, "MCUBOOT_SIGN_RSA with MCUBOOT_SIGN_RSA_LEN 2048"),
    "rsa-3072": (Algorithm.RSA_PSS_SHA256, 3072, "MCUBOOT_SIGN_RSA with MCUBOOT_SIGN_RSA_LEN 3072"),
    "ecdsa-p256": (Algorithm.ECDSA_P256_SHA256, 256, "MCUBOOT_SIGN_EC256"),
    "ecdsa-p384": (Algorithm.ECDSA_P384_SHA384, 384, "MCUBOOT_SIGN_EC384"),
    "ed25519": (Algorithm.ED25519, 256, "MCUBOOT_SIGN_ED25519"),
}
MCUBOOT = TargetProfile(
    name="mcuboot",
    description="MCUboot; which of the algorithms is decided when it is built (judged by imgtool 2.5).",
    formats=frozenset({"mcuboot"}),
    algorithms=frozenset(algorithm for algorithm, _, _ in _MCUBOOT_KEYS.values()),
    key_sizes_bits=frozenset(bits for _, bits, _ in _MCUBOOT_KEYS.values()),
)
MCUBOOT_BUILDS = {
    name: TargetProfile(
        name=f"mcuboot-{name}",
        description=f"MCUboot built with {option} (judged by imgtool 2.5).",
        formats=frozenset({"mcuboot"}),
        algorithms=frozenset({algorithm}),
        key_sizes_bits=frozenset({bits}),
    )
    for name, (algorithm, bits, option) in _MCUBOOT_KEYS.items()
}

_ESP32_KEY_SIZES = {
    Algorithm.RSA_PSS_SHA256: 3072,
    Algorithm.ECDSA_P256_SHA256: 256,
    Algorithm.ECDSA_P384_SHA384: 384,
}
_ESP32_RSA = frozenset({Algorithm.RSA_PSS_SHA256})
_ESP32_RSA_OR_P256 = frozenset({Algorithm.RSA_PSS_SHA256, Algorithm.ECDSA_P256_SHA256})
_ESP32_P384 = frozenset({Algorithm.ECDSA_P384_SHA384})


def _esp32(name: str, chip: int, algorithms: frozenset[Algorithm], blocks: int, known: str) -> TargetProfile:
    return TargetProfile(
        name=name,
        description=f"Secure Boot v2, {known}; no chip was tried.",
        formats=frozenset({"esp32-secure-boot-v2"}),
        algorithms=algorithms,
        key_sizes_bits=frozenset(_ESP32_KEY_SIZES[algorithm] for algorithm in algorithms),
        limits={"chip": str(chip), "blocks": str(blocks)},
    )


_DOCUMENTED = "as the ESP-IDF documentation says"
_SHA384 = "with SECURE_BOOT_SHA384_EN burnt, as the source of ESP-IDF 6.0 says (its documentation is silent)"
ESP32_CHIPS = (
    _esp32("esp32-v3.0", 0, _ESP32_RSA, 1, f"from chip revision v3.0 (ECO3), {_DOCUMENTED}"),
    _esp32("esp32-s2", 2, _ESP32_RSA, 3, _DOCUMENTED),
    _esp32("esp32-s3", 9, _ESP32_RSA, 3, _DOCUMENTED),
    _esp32("esp32-c3", 5, _ESP32_RSA, 3, f"from chip revision v0.3 (ECO3), {_DOCUMENTED}"),
    _esp32("esp32-c2", 12, frozenset({Algorithm.ECDSA_P256_SHA256}), 1, f"{_DOCUMENTED} (P-192 is not signed here)"),
    # One scheme per device: which of the two is burnt into it.
    _esp32("esp32-c6", 13, _ESP32_RSA_OR_P256, 3, _DOCUMENTED),
    _esp32("esp32-h2", 16, _ESP32_RSA_OR_P256, 3, _DOCUMENTED),
    _esp32("esp32-p4", 18, _ESP32_RSA_OR_P256, 3, _DOCUMENTED),
    _esp32("esp32-p4-sha384", 18, _ESP32_P384, 3, _SHA384),
    # Its ECDSA "is not functional for certain input vectors" until a later chip revision: RSA alone.
    _esp32("esp32-c5", 23, _ESP32_RSA, 3, f"{_DOCUMENTED} (which warns of this chip's ECDSA)"),
    _esp32("esp32-c5-sha384", 23, _ESP32_P384, 3, f"{_SHA384} and a chip revision whose ECDSA works"),
)

_ECDSA_P256 = frozenset({Algorithm.ECDSA_P256_SHA256})
LIBCSUIT = TargetProfile(
    name="libcsuit",
    description="kentakayama/libcsuit, by its published vectors: ESP256 or ES256; blocks it does not know are skipped.",
    formats=frozenset({"suit"}),
    algorithms=_ECDSA_P256 | {Algorithm.ML_DSA_44, Algorithm.ML_DSA_65, Algorithm.ML_DSA_87},
    limits={"cose_numbers": "-9 -7", "cose_numbers_skipped": "-48 -49 -50"},
)
_COSE_CURVES = frozenset(
    {Algorithm.ECDSA_P256_SHA256, Algorithm.ECDSA_P384_SHA384, Algorithm.ECDSA_P521_SHA512, Algorithm.ED25519}
)
PYCOSE_1_1 = TargetProfile(
    name="pycose-1.1",
    description="pycose over the SUIT_Digest as detached payload: ES256, ES384, ES512 and EdDSA, no newer numbers.",
    formats=frozenset({"suit"}),
    algorithms=_COSE_CURVES,
    limits={"cose_numbers": "-7 -8 -35 -36"},
)
CWT_3_3 = TargetProfile(
    name="cwt-3.3",
    description="python-cwt over the SUIT_Digest as detached payload: classical keys, by old and new numbers.",
    formats=frozenset({"suit"}),
    algorithms=_COSE_CURVES,
    limits={"cose_numbers": "-7 -8 -9 -19 -35 -36 -51 -52"},
)

TARGETS: dict[str, TargetProfile] = {
    target.name: target
    for target in (
        OPENSSL_3_0,
        OPENSSL_3_5,
        PYHSSLMS_2_0,
        GNUTLS_3_7,
        UBOOT_QEMU_ARM64,
        UBOOT_PSS_QEMU_ARM64,
        UBOOT_VERIFYING_QEMU_RISCV64,
        UBOOT_QEMU_RISCV64,
        OVMF,
        UBOOT_CAPSULE,
        SBVERIFY_0_9,
        OSSLSIGNCODE_2_9,
        MCUBOOT,
        *MCUBOOT_BUILDS.values(),
        *ESP32_CHIPS,
        LIBCSUIT,
        PYCOSE_1_1,
        CWT_3_3,
    )
}
