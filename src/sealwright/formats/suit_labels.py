"""Numbers of SUIT manifests and their names, as data.

References: IANA registry "SUIT" of 2026-02-17, which cites draft-ietf-suit-manifest-34 and
draft-ietf-suit-trust-domains-12; draft-ietf-suit-update-management-10 and draft-ietf-suit-firmware-encryption-26 for
what they add.
"""

from enum import IntEnum

ENVELOPE_TAG = 107
AUTHENTICATION, MANIFEST = 2, 3
"""Members of an envelope beside the severable ones (draft-ietf-suit-manifest, section 8.2)."""


class Member(IntEnum):
    """Members of a manifest (section 8.4)."""

    VERSION = 1
    SEQUENCE_NUMBER = 2
    COMMON = 3
    REFERENCE_URI = 4
    COMPONENT_ID = 5  # trust domains, section 5
    SET_VERSION = 6  # update management
    VALIDATE = 7
    LOAD = 8
    INVOKE = 9
    COSWID = 14  # update management
    DEPENDENCY_RESOLUTION = 15  # trust domains
    PAYLOAD_FETCH = 16
    CANDIDATE_VERIFICATION = 18  # trust domains
    INSTALL = 20
    TEXT = 23
    UNINSTALL = 24  # trust domains

    @property
    def title(self) -> str:
        """The name as the drafts write it, ``payload-fetch``."""
        return self.name.lower().replace("_", "-")


SEVERABLE = (
    Member.COSWID,
    Member.DEPENDENCY_RESOLUTION,
    Member.PAYLOAD_FETCH,
    Member.CANDIDATE_VERIFICATION,
    Member.INSTALL,
    Member.TEXT,
)
SEQUENCES = (
    Member.DEPENDENCY_RESOLUTION,
    Member.PAYLOAD_FETCH,
    Member.CANDIDATE_VERIFICATION,
    Member.INSTALL,
    Member.VALIDATE,
    Member.LOAD,
    Member.INVOKE,
    Member.UNINSTALL,
)
"""Members that are command sequences, in the order in which a device runs them."""
UPDATE, INVOCATION = SEQUENCES[:5], SEQUENCES[4:7]
"""The two procedures, which have validate in common (section 8.4.6); parameters last as long as one of them."""
DEPENDENCIES, COMPONENTS, SHARED = 1, 2, 4
"""Members of SUIT_Common (section 8.4.5)."""

DIGESTS = {-16: "sha256", -43: "sha384", -44: "sha512", -18: "shake_128", -45: "shake_256"}
"""COSE numbers of hashes (RFC 9054) as hashlib names them."""
DIGEST_BYTES = {-16: 32, -43: 48, -44: 64, -18: 32, -45: 64}


class Parameter(IntEnum):
    """Parameters (section 8.4.8), those that are looked into."""

    VENDOR_ID = 1
    CLASS_ID = 2
    IMAGE_DIGEST = 3
    USE_BEFORE = 4
    COMPONENT_SLOT = 5
    SOFT_FAILURE = 13
    IMAGE_SIZE = 14
    CONTENT = 18
    ENCRYPTION_INFO = 19
    URI = 21
    SOURCE_COMPONENT = 22
    DEVICE_ID = 24
    VERSION = 28


PARAMETERS = {
    1: "vendor-id",
    2: "class-id",
    3: "image-digest",
    4: "use-before",
    5: "component-slot",
    12: "strict-order",
    13: "soft-failure",
    14: "image-size",
    18: "content",
    19: "encryption-info",
    21: "uri",
    22: "source-component",
    23: "invoke-args",
    24: "device-id",
    25: "fetch-args",
    26: "minimum-battery",
    27: "update-priority",
    28: "version",
    29: "wait-info",
    30: "component-metadata",
}
COMPARISONS = {1: "greater", 2: "greater or equal", 3: "equal", 4: "lesser or equal", 5: "lesser"}
"""Of the parameter version (update management)."""


class Command(IntEnum):
    """Conditions and directives (sections 8.4.9 and 8.4.10), those that are looked into."""

    VENDOR_IDENTIFIER = 1
    CLASS_IDENTIFIER = 2
    IMAGE_MATCH = 3
    COMPONENT_SLOT = 5
    CHECK_CONTENT = 6
    DEPENDENCY_INTEGRITY = 7
    PROCESS_DEPENDENCY = 11
    SET_COMPONENT_INDEX = 12
    TRY_EACH = 15
    WRITE = 18
    SET_PARAMETERS = 19
    OVERRIDE_PARAMETERS = 20
    FETCH = 21
    COPY = 22
    INVOKE = 23
    SWAP = 31
    RUN_SEQUENCE = 32
    OVERRIDE_MULTIPLE = 34
    COPY_PARAMS = 35


CONDITIONS = {
    1: "vendor-identifier",
    2: "class-identifier",
    3: "image-match",
    4: "use-before",
    5: "component-slot",
    6: "check-content",
    7: "dependency-integrity",
    8: "is-dependency",
    14: "abort",
    24: "device-identifier",
    25: "image-not-match",
    26: "minimum-battery",
    27: "update-authorized",
    28: "version",
}
DIRECTIVES = {
    11: "process-dependency",
    12: "set-component-index",
    15: "try-each",
    18: "write",
    19: "set-parameters",
    20: "override-parameters",
    21: "fetch",
    22: "copy",
    23: "invoke",
    29: "wait",
    31: "swap",
    32: "run-sequence",
    33: "unlink",
    34: "override-multiple",
    35: "copy-params",
}
TEXT_MEMBERS = {1: "manifest description", 2: "update description", 3: "JSON source", 4: "YAML source"}
COMPONENT_TEXT_MEMBERS = {
    1: "vendor name",
    2: "model name",
    3: "vendor domain",
    4: "model info",
    5: "description",
    6: "version",
    7: "version required",
    8: "current version",
}
