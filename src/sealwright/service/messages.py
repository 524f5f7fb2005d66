"""What client and server say to each other: the bodies of the HTTP API as records, as strict as signed documents."""

from dataclasses import dataclass
from typing import Annotated, Literal

from sealwright.core.envelopes import Envelope, SignedDocument
from sealwright.core.records import Bounds, Count, Digest, Id, Text, Time
from sealwright.policy.documents import MAX_SLOTS, Origin

MAX_BODY_BYTES = 8 << 20
MAX_WAIT_SECONDS = 60
NOBODY = "nobody"
"""Whom a challenge is for when no key of that fingerprint is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """What somebody signs to log in, under the namespace for logins only."""

    type: Literal["login"]
    format: Literal[1]
    nonce: Digest
    log: Origin
    person: Id
    time: Time


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeBody:
    """Ask for a login challenge for whoever holds the key with this fingerprint."""

    authenticator: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeAnswer:
    """The challenge to sign, exact bytes."""

    challenge: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginBody:
    """A challenge and its signature under the login namespace."""

    challenge: Annotated[bytes, Bounds(2, 4096)]
    envelope: Envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginAnswer:
    """A session token and how long it lasts."""

    token: str
    seconds: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitBody:
    """A signed request, the messages of its message-signing slots, and votes cast elsewhere if there are any."""

    request: SignedDocument
    messages: Annotated[tuple[Annotated[bytes, Bounds(0, 65536)], ...], Bounds(0, MAX_SLOTS)] = ()
    votes: Annotated[tuple[SignedDocument, ...], Bounds(0, 64)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteBody:
    """A signed vote."""

    vote: SignedDocument


@dataclass(frozen=True, slots=True, kw_only=True)
class RestrictBody:
    """A signed restriction."""

    restriction: SignedDocument


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposeBody:
    """A root, or a policy with its complete sections, signed by at least one administrator."""

    kind: Annotated[str, Bounds(1, 16)]
    signed: SignedDocument
    sections: Annotated[tuple[bytes, ...], Bounds(0, 65536)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SignBody:
    """One more signature on a proposal."""

    envelope: Envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyBody:
    """Proposals to log together, in this order."""

    proposals: Annotated[tuple[Digest, ...], Bounds(1, 4)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalAnswer:
    """A proposal with the signatures it has."""

    digest: Digest
    kind: str
    state: str
    created: Count
    signed: SignedDocument
    sections: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalsAnswer:
    """All proposals, the newest first, without sections."""

    proposals: tuple[ProposalAnswer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NameBody:
    """The name behind a person id, or nothing to erase it."""

    person: Id
    name: Text | None = None
    contact: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonName:
    """A name of the directory."""

    person: Id
    name: str
    contact: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NamesAnswer:
    """The directory."""

    names: tuple[PersonName, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Where a request stands."""

    digest: Digest
    id: Id
    product: Id
    environment: str
    release: str
    requester: Id
    created: Count
    expires: Count
    state: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A request as a list shows it: where it stands, its images' names, and who voted, by the server's word."""

    status: Status
    images: tuple[Annotated[str, Bounds(1, 200)], ...]
    voters: tuple[Id, ...]
    """Whose approvals count."""
    vetoed_by: tuple[Id, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusList:
    """Requests, the newest first."""

    listed: tuple[Listed, ...]

    @property
    def requests(self) -> tuple[Status, ...]:
        """Where each of them stands."""
        return tuple(one.status for one in self.listed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Where a request stands and, once it is signed, its signatures in slot order."""

    status: Status
    signatures: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestAnswer:
    """A request with its votes, exact bytes, for whoever checks or approves it."""

    status: Status
    request: SignedDocument
    votes: tuple[SignedDocument, ...]
    messages: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyAnswer:
    """All root versions and the policy in force as signed, and the complete sections."""

    roots: Annotated[tuple[SignedDocument, ...], Bounds(1, 4096)]
    root_index: Count
    policy: SignedDocument | None = None
    policy_index: Count | None = None
    sections: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointAnswer:
    """The newest checkpoint, exact bytes."""

    checkpoint: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EntriesAnswer:
    """Log entries, exact bytes, from the index asked for."""

    start: Count
    entries: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofAnswer:
    """Hashes of a proof."""

    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """Log index of the first entry logged."""

    index: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether the server works; details only for those who are logged in."""

    status: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """RFC 9457 problem details with the stable code of the error."""

    type: str
    title: str
    status: Count
    code: str
    detail: str
    hint: str = ""
    retry_after_seconds: Count | None = None
