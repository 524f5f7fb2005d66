"""Log entries: granting, restricting and signing ones.

An entry is canonical JSON with the members ``entry`` (its kind) and ``format``, at most 65,535 bytes (C2SP tlog-tiles).
Granting entries carry document and signatures; the rest hold ids, digests, indices and times only.
Specification: ``docs/spec/log-entries.md``.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from sealwright.core import canonical, records
from sealwright.core.envelopes import SignedDocument
from sealwright.core.errors import Code, FormatError
from sealwright.core.records import Bounds, Count, Digest, Id, Time
from sealwright.policy.documents import RestrictionKind

MAX_ENTRY_BYTES = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantingEntry:
    """A root, policy or session document with its signatures; whoever follows the log checks them."""

    entry: Literal["root", "policy", "session"]
    format: Literal[1]
    signed: SignedDocument


@dataclass(frozen=True, slots=True, kw_only=True)
class RestrictionEntry:
    """A veto, cancellation or revocation: acts from the entry alone, so that forging one only refuses service."""

    entry: Literal["restriction"]
    format: Literal[1]
    kind: RestrictionKind
    subject: Annotated[str, Bounds(1, 128)]
    person: Id
    document: Digest
    """Digest of the vote (veto) or restriction document that says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentEntry:
    """What the server means to have signed, on exactly which documents, by which session of which signer."""

    entry: Literal["intent"]
    format: Literal[1]
    request: Digest
    votes: Annotated[tuple[Digest, ...], Bounds(0, 64)]
    reports: Annotated[tuple[Digest, ...], Bounds(0, 256)]
    rules: Digest
    signer: Id
    session: Digest
    time: Time


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeEntry:
    """The digest of the signer's outcome document for one intent."""

    entry: Literal["outcome"]
    format: Literal[1]
    intent_index: Count
    document: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class TimestampedEntry:
    """A timestamp token over one signature of an outcome."""

    entry: Literal["timestamped"]
    format: Literal[1]
    outcome_index: Count
    slot: Count
    token: Digest


Entry = GrantingEntry | RestrictionEntry | IntentEntry | OutcomeEntry | TimestampedEntry
_KINDS: dict[str, type[Any]] = {
    "root": GrantingEntry,
    "policy": GrantingEntry,
    "session": GrantingEntry,
    "restriction": RestrictionEntry,
    "intent": IntentEntry,
    "outcome": OutcomeEntry,
    "timestamped": TimestampedEntry,
}


def parse_entry(data: bytes) -> Entry:
    """Read one entry; ``FormatError`` for garbage and kinds this version does not know."""
    value = canonical.decode(data, max_bytes=MAX_ENTRY_BYTES)
    kind = value.get("entry") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        raise FormatError(f"unknown log entry {str(kind)[:40]!r}", code=Code.INVALID_DOCUMENT)
    entry: Entry = records.load(_KINDS[kind], value)
    return entry
