"""What server and signer say to each other: one frame a round, bounded, canonical JSON.

A frame is a 4-byte big-endian length and that many bytes of canonical JSON.  The server sends a ``Round``: new log
entries with a checkpoint over them, then what shall be signed and released; the signer answers with a ``RoundResult``.
Nothing the server says *about* documents is in it: only the documents.
Specification: ``docs/spec/signer-protocol.md``.
"""

from dataclasses import dataclass
from typing import Annotated

from sealwright.core.envelopes import SignedDocument
from sealwright.core.errors import Code, FormatError
from sealwright.core.records import Bounds, Count, Digest, Id
from sealwright.policy.documents import MAX_SLOTS

MAX_FRAME_BYTES = 16 << 20
LENGTH_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOrder:
    """The documents of one intent, and the messages of the slots whose key signs messages, by slot order."""

    intent_index: Count
    request: SignedDocument
    votes: Annotated[tuple[SignedDocument, ...], Bounds(0, 64)]
    reports: Annotated[tuple[SignedDocument, ...], Bounds(0, 256)]
    messages: Annotated[tuple[Annotated[bytes, Bounds(0, 65536)], ...], Bounds(0, MAX_SLOTS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One exchange: follow these entries, then sign, then release."""

    start: Count
    """Log index of the first entry given: what the signer said last that it has taken."""
    entries: Annotated[tuple[Annotated[bytes, Bounds(0, 65535)], ...], Bounds(0, 65536)] = ()
    checkpoint: Annotated[bytes, Bounds(0, 65536)] = b""
    """A signed note over exactly the entries sent so far; empty while more entries are to come."""
    sections: Annotated[tuple[bytes, ...], Bounds(0, 65536)] = ()
    """The complete newest policy, after its entry was followed."""
    sign: Annotated[tuple[SignOrder, ...], Bounds(0, 1024)] = ()
    release: Annotated[tuple[Count, ...], Bounds(0, 1024)] = ()
    """Intent indices whose outcomes are in the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why not: the rule's code, what was found, what would satisfy it."""

    code: Code
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """The outcome of one intent, or the refusal; the signatures stay with the signer until it is logged."""

    intent_index: Count
    outcome: SignedDocument | None = None
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """The signatures of one logged outcome, in slot order (empty where a slot failed), or the refusal."""

    intent_index: Count
    signatures: tuple[bytes, ...] = ()
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundResult:
    """The signer's answer: how far it follows, and what became of each order."""

    signer: Id
    size: Count
    """Entries taken so far; the server goes on from here."""
    needs_policy: bool
    """Whether the sections of the newest policy are wanted."""
    session: Digest
    announcement: SignedDocument | None = None
    """A session document to be logged, while the log does not hold it."""
    refusal: Refusal | None = None
    """Why the entries or sections were not taken; the orders of this round were not looked at then."""
    signed: tuple[Signed, ...] = ()
    released: tuple[Released, ...] = ()


def frame(payload: bytes) -> bytes:
    """Return a payload with its length in front."""
    if len(payload) > MAX_FRAME_BYTES:
        raise FormatError(f"frame of {len(payload)} bytes, at most {MAX_FRAME_BYTES}", code=Code.INVALID_FRAME)
    return len(payload).to_bytes(LENGTH_BYTES, "big") + payload


def frame_length(header: bytes) -> int:
    """Return the announced payload length; ``FormatError`` when it is absurd."""
    length = int.from_bytes(header, "big")
    if not 2 <= length <= MAX_FRAME_BYTES:
        raise FormatError(f"frame of {length} bytes, 2..{MAX_FRAME_BYTES} are accepted", code=Code.INVALID_FRAME)
    return length
