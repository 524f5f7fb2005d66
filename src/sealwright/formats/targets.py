"""Target profiles: what each verifier or bootloader that has been tried accepts.  Data, one line a fact."""

from sealwright.core.keys import Algorithm
from sealwright.formats.interface import TargetProfile

ANY = TargetProfile(name="any", description="No device is named: the format's own limits are the only ones.")

OPENSSL_3_0 = TargetProfile(
    name="openssl-3.0",
    description="`openssl cms -verify` of Debian 12.",
    formats=frozenset({"raw"}),
    algorithms=frozenset(Algorithm) - {Algorithm.ED25519},  # it says "invalid digest"
)
GNUTLS_3_7 = TargetProfile(
    name="gnutls-3.7",
    description="`certtool --p7-verify` of Debian 12.",
    formats=frozenset({"raw"}),
    algorithms=frozenset(Algorithm) - {Algorithm.RSA_PSS_SHA384, Algorithm.RSA_PSS_SHA512},
)
UBOOT_QEMU_ARM64 = TargetProfile(
    name="u-boot-2023.01-qemu-arm64",
    description="U-Boot of Debian 12 for QEMU's arm64 machine; no PSS, no ECDSA.",
    formats=frozenset({"u-boot-fit"}),
    algorithms=frozenset({Algorithm.RSA_PKCS1_SHA256, Algorithm.RSA_PKCS1_SHA384, Algorithm.RSA_PKCS1_SHA512}),
    key_sizes_bits=frozenset({2048, 3072, 4096}),
)

TARGETS: dict[str, TargetProfile] = {target.name: target for target in (OPENSSL_3_0, GNUTLS_3_7, UBOOT_QEMU_ARM64)}
