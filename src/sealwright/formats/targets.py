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

TARGETS: dict[str, TargetProfile] = {target.name: target for target in (OPENSSL_3_0, GNUTLS_3_7)}
