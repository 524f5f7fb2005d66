"""Take something away: veto, cancel, revoke. It counts once its entry is logged, and "done" comes with the proof."""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated

from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.envelopes import SignedDocument
from sealwright.core.errors import Code, FormatError, RefusedError, VerificationError
from sealwright.core.records import Bounds, Count
from sealwright.policy.counting import check_may_vote
from sealwright.policy.documents import (
    Authenticator,
    Decision,
    KeyProfile,
    Person,
    Pipeline,
    Restriction,
    RestrictionKind,
    Vote,
)
from sealwright.policy.entries import RestrictionEntry
from sealwright.policy.signatures import Namespace, fingerprint, the_envelope, verify_envelope
from sealwright.service.desk import Desk
from sealwright.service.ledger import Ledger
from sealwright.service.live import Live
from sealwright.service.messages import VoteBody
from sealwright.service.ports import DocumentStore, RequestState


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """Proof that an entry is in the log."""

    index: Count
    entry: bytes
    proof: Annotated[tuple[bytes, ...], Bounds(0, 63)]
    checkpoint: bytes


def veto(ledger: Ledger, desk: Desk, documents: DocumentStore, request: str, body: VoteBody, person: str) -> Logged:
    """Log the rejection of a request by one of its voters; its reason is told to whoever asks for the request."""
    digest, vote = _check_rejection(ledger, desk, request, body.vote, person)
    documents.add_restriction(digest, RestrictionKind.VETO, request, person, body.vote, "vote").result()
    logged = _log(ledger, documents, digest, RestrictionKind.VETO, request, person)
    desk.stop(request, RequestState.REJECTED, f"vetoed by {person} at log index {logged.index}: {vote.reason}")
    return logged


def restrict(ledger: Ledger, desk: Desk, documents: DocumentStore, signed: SignedDocument, person: str) -> Logged:
    """Log a restriction document of ``person``."""
    restriction = records.parse(Restriction, signed.document)
    if restriction.person != person:
        raise RefusedError(f"the document is {restriction.person}'s, you are {person}", code=Code.NOT_PERMITTED)
    digest = document_digest("restriction", ledger.instance, signed.document)
    envelope = the_envelope(signed, Code.NOT_PERMITTED)
    try:
        verify_envelope(envelope, digest, authenticators_of(ledger, person), Namespace.RESTRICTION)
    except (VerificationError, FormatError) as e:
        raise RefusedError(f"restriction: {e}", code=Code.NOT_PERMITTED) from None
    _check_entitled(ledger, desk, restriction)
    kind, subject = restriction.kind, restriction.subject
    documents.add_restriction(digest, kind, subject, person, signed, "restriction").result()
    logged = _log(ledger, documents, digest, kind, subject, person)
    if kind in (RestrictionKind.VETO, RestrictionKind.CANCEL):
        state = RequestState.CANCELLED if kind is RestrictionKind.CANCEL else RequestState.REJECTED
        desk.stop(subject, state, f"{kind} by {person} at log index {logged.index}")
    desk.review()
    return logged


def finish_interrupted(ledger: Ledger, documents: DocumentStore) -> None:
    """Log what was accepted before a crash and is not in the log: nothing accepted is lost."""
    for digest, kind, subject, person in documents.unlogged_restrictions():
        index = ledger.state.restrictions.find(RestrictionKind(kind), subject)
        entry = _entry(digest, RestrictionKind(kind), subject, person)
        if index is not None and ledger.log.entries(index, index + 1) == [records.serialise(entry)]:
            documents.restriction_logged(digest, index).result()  # only the note of it was lost
        else:
            _log(ledger, documents, digest, RestrictionKind(kind), subject, person)


def authenticators_of(ledger: Ledger, person: str) -> tuple[Authenticator, ...]:
    """Return the keys of a person, pipeline or administrator in force; empty when unknown."""
    state = ledger.state
    administrators = state.root.root.administrators if state.root else ()
    keys = [a for admin in administrators if admin.person == person for a in admin.authenticators]
    if state.policy is not None:
        sections = ledger.standing().sections
        for section in (sections.get(Person, person), sections.get(Pipeline, person)):
            if section is not None and section.state == "active":
                keys += section.authenticators
    revoked = ledger.state.restrictions
    if revoked.find(RestrictionKind.REVOKE_PERSON, person) is not None:
        return ()
    return tuple(k for k in keys if revoked.find(RestrictionKind.REVOKE_AUTHENTICATOR, fingerprint(k)) is None)


def owners_of(ledger: Ledger) -> dict[str, str]:
    """Return who holds which key (by fingerprint): people, pipelines and administrators in force."""
    owners: dict[str, str] = {}
    root = ledger.state.root
    names = [admin.person for admin in root.root.administrators] if root else []
    if ledger.state.policy is not None:
        sections = ledger.standing().sections
        names += [section.id for kind in (Person, Pipeline) for section in sections.all(kind)]
    for name in names:
        owners.update({fingerprint(a): name for a in authenticators_of(ledger, name)})
    return owners


def is_administrator(ledger: Ledger, person: str) -> bool:
    """Whether the root in force lists ``person``."""
    return ledger.state.root is not None and any(
        admin.person == person for admin in ledger.state.root.root.administrators
    )


def _check_rejection(ledger: Ledger, desk: Desk, request: str, signed: SignedDocument, person: str) -> tuple[str, Vote]:
    """Check a rejection by ``person``; return the vote and its digest.  Logging the veto is what makes it count."""
    live = desk.find(request)
    vote = records.parse(Vote, signed.document)
    if vote.person != person or vote.decision is not Decision.REJECT:
        raise RefusedError("not your rejection", code=Code.NOT_PERMITTED)
    if not (vote.reason or "").strip():
        raise RefusedError(
            "a veto says why: whoever asked, and whoever reads the log, needs it",
            code=Code.VOTE_INVALID,
            hint="`sealwright request reject ID --reason WHY`",
        )
    _check_may_veto(ledger, live, person)
    try:
        desk.judge.ballot(live, signed)
    except RefusedError as e:
        # The decision is looked at after the signature: a veto that comes so far is genuine.
        if e.code is not Code.VETOED:
            raise
    return document_digest("vote", ledger.instance, signed.document), vote


def _check_may_veto(ledger: Ledger, live: Live, person: str) -> None:
    """Who may approve may veto; requesters cancel, administrators restrict (docs/spec/restriction.md)."""
    section = ledger.standing().sections.get(Person, person)
    check_may_vote(person, section, live.scope, "requesters cancel their own requests; administrators may veto any")


def _check_entitled(ledger: Ledger, desk: Desk, restriction: Restriction) -> None:
    person = restriction.person
    if restriction.kind in (RestrictionKind.CANCEL, RestrictionKind.VETO):
        desk.find(restriction.subject)  # also of an administrator: what is finished stays as it ended
    else:
        _check_known(ledger, restriction)
    if is_administrator(ledger, person):
        return
    match restriction.kind:
        case RestrictionKind.CANCEL | RestrictionKind.VETO:
            allowed = person in desk.find(restriction.subject).checked.requesters
        case RestrictionKind.REVOKE_PERSON:
            allowed = restriction.subject == person
        case RestrictionKind.REVOKE_AUTHENTICATOR:
            allowed = restriction.subject in map(fingerprint, authenticators_of(ledger, person))
        case _:
            allowed = False
    if not allowed:
        raise RefusedError(
            f"{person} may not {restriction.kind} {restriction.subject}",
            code=Code.NOT_PERMITTED,
            hint="requesters cancel their own requests, people revoke their own keys, administrators do the rest",
        )


def _check_known(ledger: Ledger, restriction: Restriction) -> None:
    """A revocation cannot be taken back: refuse a misspelt one, and the same one twice."""
    kind, subject = restriction.kind, restriction.subject
    if (index := ledger.state.restrictions.find(kind, subject)) is not None:
        raise RefusedError(f"{subject} is revoked already, at log index {index}", code=Code.CONFLICT)
    sections = ledger.standing().sections
    what, where = "SSH key", "people list"
    if kind is RestrictionKind.REVOKE_KEY_PROFILE:
        known = [profile.id for profile in sections.all(KeyProfile)]
        what, where = "key", "key list"
    elif kind is RestrictionKind.REVOKE_PERSON:
        known = [section.id for holder in (Person, Pipeline) for section in sections.all(holder)]
        what = "person or pipeline"
    else:
        known = list(owners_of(ledger))
    if subject not in known:
        close = get_close_matches(subject, known, 1)
        raise RefusedError(
            f"the policy in force knows no {what} {subject[:80]}",
            code=Code.NOT_FOUND,
            hint=f"did you mean {close[0]}?" if close else f"list them with `sealwright {where}`",
        )


def _log(
    ledger: Ledger, documents: DocumentStore, digest: str, kind: RestrictionKind, subject: str, person: str
) -> Logged:
    entry = _entry(digest, kind, subject, person)
    index = ledger.append([entry])
    documents.restriction_logged(digest, index).result()
    checkpoint, note = ledger.log.head()
    proof = tuple(ledger.log.inclusion_proof(index, checkpoint.size))
    return Logged(index=index, entry=records.serialise(entry), proof=proof, checkpoint=note)


def _entry(digest: str, kind: RestrictionKind, subject: str, person: str) -> RestrictionEntry:
    return RestrictionEntry(entry="restriction", format=1, kind=kind, subject=subject, person=person, document=digest)
