"""What the server's use cases need from outside, and the values that cross."""

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from sealwright.core.envelopes import SignedDocument
from sealwright.signer.protocol import Round, RoundResult
from sealwright.translog.checkpoints import Checkpoint


class RequestState(StrEnum):
    """Where a request stands."""

    WAITING = "waiting"  # for approvals
    SIGNING = "signing"  # has its quorum
    SIGNED = "signed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    REFUSED = "refused"  # by the signer, for good
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen."""
        return self not in (RequestState.WAITING, RequestState.SIGNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotRow:
    """One slot of a request, for look-ups."""

    artifact: str
    sha256: str
    key_profile: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """A request as the lists show it."""

    digest: str
    id: str
    product: str
    environment: str
    release: str
    requester: str
    created: int
    expires: int
    state: RequestState
    detail: str
    slots: tuple[SlotRow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRequest:
    """Everything that was sent for a request: (digest, person, decision, vote) for each vote."""

    request: SignedDocument
    votes: tuple[tuple[str, str, str, SignedDocument], ...] = ()
    messages: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One intent of a request and its outcome, and where that is logged, once it is."""

    intent_index: int
    request: str
    votes: tuple[str, ...] = ()
    outcome: str | None = None
    outcome_index: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A root or policy that collects signatures until it can be logged."""

    digest: str
    kind: str
    signed: SignedDocument
    state: str
    created: int


class DocumentStore(Protocol):
    """The server's memory; every write is durable when its future is done."""

    def add_request(self, row: RequestRow, stored: StoredRequest) -> "Future[None]": ...
    def add_vote(
        self, request: str, digest: str, person: str, decision: str, vote: SignedDocument
    ) -> "Future[None]": ...
    def set_state(self, request: str, state: RequestState, detail: str) -> "Future[None]": ...
    def row(self, request: str) -> RequestRow | None: ...
    def rows(
        self, *, states: Iterable[str] = (), product: str = "", image: str = "", limit: int = 100, before: int = 1 << 53
    ) -> list[RequestRow]: ...
    def images(self, requests: Sequence[str]) -> dict[str, tuple[str, ...]]: ...
    def voters(self, requests: Sequence[str]) -> dict[str, tuple[str, ...]]: ...
    def vetoed_by(self, requests: Sequence[str]) -> dict[str, tuple[str, ...]]: ...
    def vetoes(self, request: str) -> tuple[SignedDocument, ...]: ...
    def stored(self, request: str) -> StoredRequest: ...
    def document(self, digest: str) -> SignedDocument: ...
    def requests_by_key(self, name: str, since: int) -> list[str]: ...
    def add_outcomes(self, outcomes: Sequence[tuple[Attempt, SignedDocument]]) -> "Future[None]": ...
    def finish(
        self, finished: Sequence[tuple[str, int, int, Sequence[bytes], RequestState, str]]
    ) -> "Future[None]": ...
    def signatures(self, request: str) -> tuple[int, tuple[bytes, ...]] | None: ...
    def attempt(self, intent_index: int) -> Attempt | None: ...
    def add_sections(self, policy: str, sections: Sequence[bytes]) -> "Future[None]": ...
    def sections(self, policy: str) -> tuple[bytes, ...]: ...
    def put_proposal(self, proposal: Proposal) -> "Future[None]": ...
    def proposals(self) -> list[Proposal]: ...
    def add_restriction(
        self, digest: str, kind: str, subject: str, person: str, signed: SignedDocument, document_type: str
    ) -> "Future[None]": ...
    def restriction_logged(self, digest: str, index: int) -> "Future[None]": ...
    def unlogged_restrictions(self) -> list[tuple[str, str, str, str]]: ...
    def set_name(self, person: str, name: str, contact: str) -> "Future[None]": ...
    def erase_name(self, person: str) -> "Future[None]": ...
    def names(self) -> dict[str, tuple[str, str]]: ...


class Log(Protocol):
    """The sequenced log."""

    @property
    def origin(self) -> str: ...
    def head(self) -> tuple[Checkpoint, bytes]: ...
    def append(self, entries: Sequence[bytes]) -> tuple[int, bytes]: ...
    def entries(self, start: int, stop: int) -> list[bytes]: ...
    def inclusion_proof(self, index: int, size: int) -> list[bytes]: ...
    def consistency_proof(self, old_size: int, new_size: int) -> list[bytes]: ...


class Images(Protocol):
    """The images that were uploaded."""

    def has(self, sha256: str) -> bool: ...


class SignerLink(Protocol):
    """The way to a signer."""

    def exchange(self, order: Round) -> RoundResult:
        """Carry out one round; ``UnavailableError`` when the signer cannot be reached."""


class Clock(Protocol):
    """The server's clock."""

    def now(self) -> int:
        """POSIX seconds."""


class Entropy(Protocol):
    """Salts, challenges, tokens."""

    def token(self, size_bytes: int) -> bytes:
        """Return unpredictable bytes."""
