"""The five error families, named by who can act, and every stable error code.

Each code has a heading in ``docs/errors.md``; a code never changes its meaning.
Exit codes are those of ``sysexits.h``.
"""

from enum import StrEnum
from typing import ClassVar


class Code(StrEnum):
    """Every stable error code of the project."""

    # FormatError: the bytes are not what they should be
    INVALID_DOCUMENT = "invalid-document"
    INVALID_IMAGE = "invalid-image"
    UNSUPPORTED_IMAGE = "unsupported-image"
    ALREADY_SIGNED = "already-signed"
    TARGET_CANNOT_VERIFY = "target-cannot-verify"
    INVALID_FRAME = "invalid-frame"
    # RefusedError: a rule says no
    ROOT_INVALID = "root-invalid"
    ROOT_EXPIRED = "root-expired"
    POLICY_INVALID = "policy-invalid"
    POLICY_EXPIRED = "policy-expired"
    POLICY_NOT_CURRENT = "policy-not-current"
    POLICY_INCOMPLETE = "policy-incomplete"
    REQUEST_SIGNATURE = "request-signature"
    REQUEST_EXPIRED = "request-expired"
    REQUEST_NOT_YET_VALID = "request-not-yet-valid"
    REQUEST_INVALID = "request-invalid"
    REQUESTER_NOT_ALLOWED = "requester-not-allowed"
    WRONG_INSTANCE = "wrong-instance"
    WRONG_LOG = "wrong-log"
    RULES_CHANGED = "rules-changed"
    QUORUM_NOT_MET = "quorum-not-met"
    VOTE_INVALID = "vote-invalid"
    REQUESTER_VOTED = "requester-voted"
    VETOED = "vetoed"
    REVOKED = "revoked"
    GATES_NOT_MET = "gates-not-met"
    KEY_PROFILE_MISMATCH = "key-profile-mismatch"
    KEY_SET_INCOMPLETE = "key-set-incomplete"
    SLOT_INVALID = "slot-invalid"
    INTENT_MISMATCH = "intent-mismatch"
    INTENT_NOT_LOGGED = "intent-not-logged"
    INTENT_USED = "intent-used"
    SESSION_ENDED = "session-ended"
    LOG_INCONSISTENT = "log-inconsistent"
    OUTCOME_NOT_LOGGED = "outcome-not-logged"
    RELEASE_TOO_LATE = "release-too-late"
    CLOCK_UNTRUSTED = "clock-untrusted"
    STATE_EXHAUSTED = "state-exhausted"
    WITNESSES_MISSING = "witnesses-missing"
    CANARY_FAILED = "canary-failed"
    NOT_AUTHENTICATED = "not-authenticated"
    NOT_PERMITTED = "not-permitted"
    CONFLICT = "conflict"
    NOT_FOUND = "not-found"
    TOO_LARGE = "too-large"
    # VerificationError: a check of something signed failed
    SIGNATURE_MISMATCH = "signature-mismatch"
    IMAGE_MISMATCH = "image-mismatch"
    EVIDENCE_MISMATCH = "evidence-mismatch"
    NOT_TRUSTED = "not-trusted"
    SLOTS_DIFFER = "slots-differ"
    # UnavailableError: later, perhaps
    KEYSTORE_UNAVAILABLE = "keystore-unavailable"
    KEY_NOT_READY = "key-not-ready"
    SIGNER_UNAVAILABLE = "signer-unavailable"
    SERVER_UNAVAILABLE = "server-unavailable"
    STORAGE_UNAVAILABLE = "storage-unavailable"
    STILL_WAITING = "still-waiting"
    # ConfigurationError: the operator can mend it
    CONFIGURATION = "configuration"
    CREDENTIAL = "credential"
    USAGE = "usage"
    # a bug of ours
    INTERNAL = "internal"


class SealwrightError(Exception):
    """Base of the five families: a stable code, a sentence, and what would help."""

    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, *, code: Code, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.code, self.hint = message, code, hint


class FormatError(SealwrightError):
    """The bytes are not what they should be; ``at`` is the offset in bytes where it shows, if there is one."""

    exit_code = 65

    def __init__(self, message: str, *, at: int | None = None, code: Code = Code.INVALID_IMAGE, hint: str = "") -> None:
        super().__init__(message if at is None else f"{message} (at offset {at:#x})", code=code, hint=hint)
        self.at = at


class RefusedError(SealwrightError):
    """A rule says no: which rule (``code``), what was found, what would satisfy it (``hint``)."""

    exit_code = 77


class VerificationError(SealwrightError):
    """Something signed or hashed does not check out."""

    exit_code = 1

    def __init__(
        self, message: str, *, expected: str = "", got: str = "", code: Code = Code.SIGNATURE_MISMATCH, hint: str = ""
    ) -> None:
        detail = f": expected {expected}, got {got}" if expected or got else ""
        super().__init__(message + detail, code=code, hint=hint)
        self.expected, self.got = expected, got


class UnavailableError(SealwrightError):
    """Not now; the same call may succeed after ``retry_after_seconds``."""

    exit_code = 75

    def __init__(self, message: str, *, code: Code, retry_after_seconds: int = 1, hint: str = "") -> None:
        super().__init__(message, code=code, hint=hint)
        self.retry_after_seconds = retry_after_seconds


class ConfigurationError(SealwrightError):
    """A setting is wrong; ``setting`` names it."""

    exit_code = 78

    def __init__(self, message: str, *, setting: str, code: Code = Code.CONFIGURATION, hint: str = "") -> None:
        super().__init__(message, code=code, hint=hint)
        self.setting = setting


class ArgumentError(ConfigurationError):
    """What somebody wrote on the command line names nothing, or is no value: a typing error, which no rule forbids."""

    exit_code = 64

    def __init__(self, message: str, *, setting: str, hint: str = "") -> None:
        super().__init__(message, setting=setting, code=Code.USAGE, hint=hint)
