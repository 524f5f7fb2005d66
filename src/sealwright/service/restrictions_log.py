"""The restrictions in the log with the documents that say why: what makes a revocation visible to people."""

from dataclasses import dataclass
from typing import Annotated

from sealwright.core.envelopes import SignedDocument
from sealwright.core.errors import Code, RefusedError
from sealwright.core.records import Bounds, Count
from sealwright.policy.documents import RestrictionKind
from sealwright.policy.entries import RestrictionEntry, parse_entry
from sealwright.service.ledger import Ledger
from sealwright.service.ports import DocumentStore

REVOCATIONS = (
    RestrictionKind.REVOKE_PERSON,
    RestrictionKind.REVOKE_AUTHENTICATOR,
    RestrictionKind.REVOKE_KEY_PROFILE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRestriction:
    """A restricting entry with the proof that it is in the log, and its signed document if the server has it."""

    index: Count
    entry: bytes
    proof: Annotated[tuple[bytes, ...], Bounds(0, 63)]
    signed: SignedDocument | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestrictionsAnswer:
    """Restrictions in the order of the log, and the checkpoint that their proofs lead to."""

    checkpoint: bytes
    restrictions: tuple[LoggedRestriction, ...]


def revocations(ledger: Ledger, documents: DocumentStore) -> RestrictionsAnswer:
    """Return the first revocation of everybody and everything that is revoked."""
    by_kind = ledger.state.restrictions.by_kind
    return _answer(ledger, documents, sorted(index for kind in REVOCATIONS for index in tuple(by_kind[kind].values())))


def at_index(ledger: Ledger, documents: DocumentStore, index: int) -> RestrictionsAnswer:
    """Return the restriction at one index, of any kind; ``RefusedError`` (``not-found``) where there is none."""
    answer = _answer(ledger, documents, [index])
    if not answer.restrictions:
        raise RefusedError(f"log index {index} restricts nothing", code=Code.NOT_FOUND)
    return answer


def _answer(ledger: Ledger, documents: DocumentStore, indices: list[int]) -> RestrictionsAnswer:
    checkpoint, note = ledger.log.head()
    found = []
    for index in indices:
        if index >= checkpoint.size:
            continue  # logged since the head was read: the next answer has it
        (data,) = ledger.log.entries(index, index + 1)
        entry = parse_entry(data)
        if isinstance(entry, RestrictionEntry):
            proof = tuple(ledger.log.inclusion_proof(index, checkpoint.size))
            found.append(
                LoggedRestriction(index=index, entry=data, proof=proof, signed=_document(documents, entry.document))
            )
    return RestrictionsAnswer(checkpoint=note, restrictions=tuple(found))


def _document(documents: DocumentStore, digest: str) -> SignedDocument | None:
    """An entry that somebody else wrote into the log may have no document: it restricts all the same."""
    try:
        return documents.document(digest)
    except RefusedError:
        return None
