"""The signed documents: root, policy and its sections, request, report, vote, restriction, session, outcome.

Each is a strict record (``core.records``); its canonical bytes are what is signed, hashed and kept.
Specification: ``docs/spec/``, a page each.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

from sealwright.core.keys import Algorithm
from sealwright.core.records import Bounds, Count, Digest, Digest512, Id, Pattern, Salt, Text, Time
from sealwright.translog.log_keys import LogKeys, parse_log_keys

DAY_SECONDS = 86_400
# Greatest lifetimes.  They are in code so that no signed document can stretch them.
MAX_ROOT_SECONDS = 1830 * DAY_SECONDS
MAX_POLICY_SECONDS = 400 * DAY_SECONDS
MAX_REQUEST_SECONDS = 30 * DAY_SECONDS
MAX_RELEASE_DELAY_SECONDS = 600
MAX_CLOCK_SKEW_SECONDS = 600
MAX_SLOTS = 200
MAX_MARKS = 64

FileName = Annotated[str, Pattern(r"[A-Za-z0-9_+@=,-][A-Za-z0-9_.+@=,-]{0,199}")]
"""A name without directories; cannot be ``.``, ``..`` or hidden."""
Origin = Annotated[str, Pattern(r"[a-z0-9][a-z0-9./-]{0,127}")]
VerifierKey = Annotated[str, Pattern(r"[a-z0-9][a-z0-9./-]{0,127}\+[0-9a-f]{8}\+[A-Za-z0-9+/=]{44,4096}")]
"""A signed-note verifier key (C2SP signed-note)."""
Release = Annotated[str, Pattern(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,79}")]


class Environment(StrEnum):
    """Where signed images go; keys of two environments are never mixed."""

    DEVELOPMENT = "development"
    TEST = "test"
    PRODUCTION = "production"


class Grade(StrEnum):
    """How serious an installation is; ``production`` needs a root threshold of two."""

    EVALUATION = "evaluation"
    PRODUCTION = "production"


class KeyGrade(StrEnum):
    """What is known of where a private key lives."""

    SOFTWARE = "software"
    HARDWARE_CLAIMED = "hardware-claimed"
    HARDWARE_ATTESTED = "hardware-attested"


class Purpose(StrEnum):
    """What a key is for."""

    FIRMWARE = "firmware"
    UPDATE_METADATA = "update-metadata"
    ENDORSEMENT = "endorsement"
    TIMESTAMP = "timestamp"


class Mode(StrEnum):
    """Whether the server holds the image (gates see it) or only digests (blind, only under a grant)."""

    UPLOAD = "upload"
    DIGEST = "digest"


class Decision(StrEnum):
    """What a vote says."""

    APPROVE = "approve"
    REJECT = "reject"


class Checked(StrEnum):
    """What a voter did before voting; ``recomputed``: rebuilt every slot from a file of their own."""

    DISPLAYED = "displayed"
    RECOMPUTED = "recomputed"


class State(StrEnum):
    """Whether a section is in use."""

    ACTIVE = "active"
    REVOKED = "revoked"


class RestrictionKind(StrEnum):
    """What a restricting log entry takes away."""

    VETO = "veto"  # subject: request digest
    CANCEL = "cancel"  # subject: request digest
    REVOKE_PERSON = "revoke-person"  # subject: person id
    REVOKE_AUTHENTICATOR = "revoke-authenticator"  # subject: SHA-256 of the public key blob
    REVOKE_KEY_PROFILE = "revoke-key-profile"  # subject: key profile id


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticator:
    """A public key that signs for a person or pipeline."""

    key: Annotated[str, Bounds(20, 4096)]
    """OpenSSH public key line without comment."""
    user_verification: bool = False
    """FIDO keys: whether the PIN or fingerprint is demanded besides presence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Administrator:
    """A person whose signature counts towards the root's threshold."""

    person: Id
    authenticators: Annotated[tuple[Authenticator, ...], Bounds(1, 16)]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogMlDsaKey:
    """A log's second key, which signs every checkpoint over ``first_size`` entries or more."""

    key: VerifierKey
    first_size: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class LogIdentity:
    """A log that may carry this installation's entries, from the size on at which it took over."""

    origin: Origin
    key: VerifierKey
    first_size: Count
    ml_dsa: LogMlDsaKey | None = None

    @property
    def keys(self) -> LogKeys:
        """Its keys as what opens its checkpoints takes them."""
        return log_keys_of(self.key, self.ml_dsa)


def log_keys_of(key: str, ml_dsa: LogMlDsaKey | None) -> LogKeys:
    """Return a log's keys from where a document names them."""
    return parse_log_keys(key) if ml_dsa is None else parse_log_keys(key, ml_dsa.key, ml_dsa.first_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerIdentity:
    """A signer: its Ed25519 identity key, valid for log indices from ``valid_from`` up to below ``valid_until``."""

    id: Id
    key: Annotated[bytes, Bounds(32, 32)]
    valid_from: Count
    valid_until: Count | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """Who must have cosigned a checkpoint before a signer follows it."""

    name: Origin
    key: VerifierKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """Who stands above everything: administrators, logs, signers, witnesses. Version 1 names the installation."""

    type: Literal["root"]
    format: Literal[1]
    salt: Annotated[str, Pattern("[0-9a-f]{64}")]
    version: Annotated[int, Bounds(1, 1 << 31)]
    previous: Digest
    """Digest of the version before; zeros in version 1."""
    administrators: Annotated[tuple[Administrator, ...], Bounds(1, 64)]
    threshold: Annotated[int, Bounds(1, 64)]
    logs: Annotated[tuple[LogIdentity, ...], Bounds(1, 16)]
    signers: Annotated[tuple[SignerIdentity, ...], Bounds(1, 64)]
    witnesses: Annotated[tuple[Witness, ...], Bounds(0, 32)]
    witness_quorum: Annotated[int, Bounds(0, 32)]
    timestamp_anchors: Annotated[tuple[Annotated[bytes, Bounds(1, 16384)], ...], Bounds(0, 16)]
    grade: Grade
    created: Time
    expires: Time


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The head of a policy: small, signed by the root's threshold; its sections travel beside it."""

    type: Literal["policy"]
    format: Literal[1]
    salt: Salt
    version: Annotated[int, Bounds(1, 1 << 31)]
    root: Digest
    created: Time
    expires: Time
    section_count: Annotated[int, Bounds(0, 1 << 20)]
    sections_root: Digest
    """RFC 6962 root over the sorted digests of all sections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody with authenticators and roles; names live in an erasable directory, never here."""

    type: Literal["person"]
    format: Literal[1]
    salt: Salt
    id: Id
    authenticators: Annotated[tuple[Authenticator, ...], Bounds(0, 16)]
    roles: Annotated[tuple[Id, ...], Bounds(0, 32)]
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A build system that may request; its controllers count as requesters."""

    type: Literal["pipeline"]
    format: Literal[1]
    salt: Salt
    id: Id
    authenticators: Annotated[tuple[Authenticator, ...], Bounds(1, 16)]
    controllers: Annotated[tuple[Id, ...], Bounds(0, 64)]
    roles: Annotated[tuple[Id, ...], Bounds(0, 32)]
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class GateKey:
    """A key that signs gate reports."""

    type: Literal["gate-key"]
    format: Literal[1]
    salt: Salt
    id: Id
    key: Annotated[bytes, Bounds(32, 32)]
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyProfile:
    """What one signing key is for."""

    type: Literal["key-profile"]
    format: Literal[1]
    salt: Salt
    id: Id
    product: Id
    environment: Environment
    purpose: Purpose
    partition: Id
    public_key: Annotated[bytes, Bounds(32, 8192)]
    """SubjectPublicKeyInfo, DER."""
    algorithm: Algorithm
    signs: Literal["digest", "message"]
    """``digest``: the signer passes the message's digest on; ``message``: it gets and hashes the whole message."""
    certificates: Annotated[tuple[Annotated[bytes, Bounds(1, 65536)], ...], Bounds(0, 8)]
    grade: KeyGrade
    origin: Literal["generated", "imported"]
    state: State
    image_format: Id | None = None
    """The one format this key signs; may be absent outside production."""
    minutes: Digest | None = None
    """Digest of the minutes of the ceremony that made it; absent without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuorumGroup:
    """So many approvals by distinct people with one of these roles, so many of them recomputed."""

    roles: Annotated[tuple[Id, ...], Bounds(1, 16)]
    approvals: Annotated[int, Bounds(1, 16)]
    recomputed: Annotated[int, Bounds(0, 16)]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRule:
    """A gate that must have passed, with a report not older than this."""

    gate: Id
    greatest_age_seconds: Count


class KeySetRule(StrEnum):
    """How many of a key set's signatures a verifier must find; all members sign in either case."""

    ALL = "all"
    ANY = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySet:
    """Keys of a scope that sign together: hybrid, rotation bridge, second provider."""

    id: Id
    members: Annotated[tuple[Id, ...], Bounds(1, 8)]
    """Ids of key profiles, in the order in which they sign."""
    rule: KeySetRule
    image_format: Id | None = None
    """Of the images that it signs, and of each member; may be absent outside production."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The rules of one product in one environment."""

    type: Literal["scope"]
    format: Literal[1]
    salt: Salt
    id: Id
    """``<product>/<environment>``."""
    product: Id
    environment: Environment
    requesters: Annotated[tuple[Id, ...], Bounds(1, 16)]
    """Roles that may request."""
    quorum: Annotated[tuple[QuorumGroup, ...], Bounds(0, 4)]
    gates: Annotated[tuple[GateRule, ...], Bounds(0, 16)]
    modes: Annotated[tuple[Mode, ...], Bounds(1, 2)]
    key_grades: Annotated[tuple[KeyGrade, ...], Bounds(1, 3)]
    member_states: Annotated[tuple[Annotated[str, Pattern("[A-Z]{2}")], ...], Bounds(0, 32)]
    support_until: Time | None = None
    key_sets: Annotated[tuple[KeySet, ...], Bounds(1, 16)] | None = None
    """What signs together; images of a format that a set names are signed by whole sets alone."""


Section = Person | Pipeline | GateKey | KeyProfile | Scope
SECTION_KINDS: dict[str, type[Section]] = {
    "person": Person,
    "pipeline": Pipeline,
    "gate-key": GateKey,
    "key-profile": KeyProfile,
    "scope": Scope,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """An image with a name in a request; ``options`` are the frozen options of its format."""

    name: FileName
    sha256: Digest
    sha512: Digest512
    size: Count
    image_format: Id
    options: dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSlot:
    """One signature wanted: the digest of the message that ``key_profile`` shall sign for ``artifact``."""

    artifact: FileName
    slot: Id
    key_profile: Id
    digest: Annotated[str, Pattern("([0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})")]
    """Of the message, with the algorithm's hash; with ``after`` of what follows that slot's signature in it."""
    after: Id | None = None
    """The slot, an earlier one of the same artifact and key, whose signature the message begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a pipeline says of a build (``repository``, ``commit``, ``run``)."""

    name: Id
    value: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What shall be signed, for which product and release, by whom asked, until when."""

    type: Literal["request"]
    format: Literal[1]
    salt: Salt
    id: Id
    log: Origin
    requester_kind: Literal["person", "pipeline"]
    requester: Id
    product: Id
    release: Release
    environment: Environment
    mode: Mode
    artifacts: Annotated[tuple[Artifact, ...], Bounds(1, MAX_SLOTS)]
    slots: Annotated[tuple[RequestSlot, ...], Bounds(1, MAX_SLOTS)]
    claims: Annotated[tuple[Claim, ...], Bounds(0, 32)]
    created: Time
    expires: Time


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A gate's verdict on one artifact."""

    type: Literal["report"]
    format: Literal[1]
    salt: Salt
    gate: Id
    gate_version: Text
    configuration: Digest
    artifact: Digest
    snapshots: Annotated[tuple[Claim, ...], Bounds(0, 32)]
    verdict: Literal["pass", "fail"]
    findings: Digest
    time: Time
    greatest_age_seconds: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One person's decision on one request under exactly these rules."""

    type: Literal["vote"]
    format: Literal[1]
    salt: Salt
    request: Digest
    rules: Digest
    reports: Annotated[tuple[Digest, ...], Bounds(0, 64)]
    decision: Decision
    person: Id
    checked: Checked
    time: Time
    reason: Text | None = None
    """Why, of a rejection; an approval with an "if" is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restriction:
    """A cancellation or revocation as its author signed it; a veto is a vote that rejects."""

    type: Literal["restriction"]
    format: Literal[1]
    salt: Salt
    kind: RestrictionKind
    subject: Annotated[str, Bounds(1, 128)]
    person: Id
    reason: Text
    time: Time


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The block of signature numbers that a session may use of a stateful key: ``first`` <= number < ``stop``."""

    key: Digest
    """Fingerprint of the public key."""
    first: Count
    stop: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A signer's announcement that it works from here on; the newest of a signer ends the older ones."""

    type: Literal["session"]
    format: Literal[1]
    salt: Salt
    signer: Id
    session: Digest
    size: Count
    root_hash: Digest
    """Size and root hash of the log that the signer had followed."""
    time: Time
    marks: Annotated[tuple[Mark, ...], Bounds(1, MAX_MARKS)] | None = None
    """What it may use of stateful keys; each begins at or above the end of every earlier one of its key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeSlot:
    """What became of one slot of the request, in its order: the signature's digest, or why there is none."""

    key: Digest
    algorithm: Algorithm
    signature: Digest | None = None
    certificate: Digest | None = None
    failure: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The signer's signed word on one intent: on what it rested and what it signed."""

    type: Literal["outcome"]
    format: Literal[1]
    salt: Salt
    intent: Digest
    intent_index: Count
    signer: Id
    session: Digest
    size: Count
    root_hash: Digest
    root_index: Count
    policy_index: Count
    slots: Annotated[tuple[OutcomeSlot, ...], Bounds(1, MAX_SLOTS)]
    time: Time
