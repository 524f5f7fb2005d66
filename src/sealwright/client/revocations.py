"""What is revoked, by whom and why: restricting entries of the log, each proven to be in it before it is believed.

A restriction counts from its entry alone (docs/spec/restriction.md); who asked for it and why stands in the document
whose digest the entry names.  A server that hides one is not found out here: ``log verify`` follows every entry, and
the signer does (docs/adr/0025).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from sealwright.client import log_view
from sealwright.client.api import Api
from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.envelopes import SignedDocument
from sealwright.core.errors import Code, FormatError, RefusedError, VerificationError
from sealwright.evidence.bundle import TrustFile
from sealwright.policy.documents import (
    Authenticator,
    Decision,
    Person,
    Pipeline,
    Restriction,
    RestrictionKind,
    Root,
    State,
    Vote,
)
from sealwright.policy.entries import RestrictionEntry
from sealwright.policy.fold import LogState, Restrictions
from sealwright.policy.sections import Sections
from sealwright.policy.signatures import Namespace, fingerprint, the_envelope, verify_envelope
from sealwright.service.restrictions_log import REVOCATIONS, LoggedRestriction, RestrictionsAnswer

Document = Literal["signed", "unchecked", "missing"]
"""``unchecked``: the key of its author is not in force any more, or the signature is not theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One restriction of the log, with what its document says."""

    kind: RestrictionKind
    subject: str
    index: int
    person: str
    document: Document
    reason: str = ""
    time: int | None = None
    """When its author says they signed it; the log index is what orders it."""


@dataclass(frozen=True, slots=True)
class Revocations:
    """Everything that is revoked, by kind and subject."""

    _taken: dict[tuple[RestrictionKind, str], Taken] = field(default_factory=dict, repr=False)

    def find(self, kind: RestrictionKind, subject: str) -> Taken | None:
        """Return the revocation of ``subject``, or None."""
        return self._taken.get((kind, subject))

    def key(self, profile: str) -> Taken | None:
        """Return the revocation of a key profile, or None."""
        return self.find(RestrictionKind.REVOKE_KEY_PROFILE, profile)

    def person(self, person: str) -> Taken | None:
        """Return the revocation of a person or pipeline, or None."""
        return self.find(RestrictionKind.REVOKE_PERSON, person)

    def authenticator(self, fingerprint: str) -> Taken | None:
        """Return the revocation of one authenticator, or None."""
        return self.find(RestrictionKind.REVOKE_AUTHENTICATOR, fingerprint)

    def is_able(self, holder: Person | Pipeline) -> bool:
        """Whether somebody can still sign: active, not revoked, and with a key that is not."""
        keys = [a for a in holder.authenticators if self.authenticator(fingerprint(a)) is None]
        return holder.state is State.ACTIVE and self.person(holder.id) is None and bool(keys)

    def with_one_more(self, kind: RestrictionKind, subject: str) -> "Revocations":
        """Return these and one that is not logged yet, to see what it would do."""
        taken = Taken(kind=kind, subject=subject, index=0, person="", document="missing")
        return Revocations({**self._taken, (kind, subject): taken})

    @classmethod
    def of(cls, restrictions: Restrictions) -> "Revocations":
        """Return what the log itself says: since when, and not by whom or why."""
        taken = {
            (kind, subject): Taken(kind=kind, subject=subject, index=index, person="", document="missing")
            for kind in REVOCATIONS
            for subject, index in restrictions.by_kind[kind].items()
        }
        return cls(taken)

    @property
    def restrictions(self) -> Restrictions:
        """The same as ``authorise`` takes them."""
        folded = Restrictions()
        for taken in self._taken.values():
            folded.add(taken.kind, taken.subject, taken.index)
        return folded


def fetch(api: Api, trust: TrustFile, root: Root, sections: Sections | None) -> Revocations:
    """Ask for all revocations and check each; ``VerificationError`` for one that the log does not hold."""
    answer = api.get(RestrictionsAnswer, "/v1/restrictions")
    taken: dict[tuple[RestrictionKind, str], Taken] = {}
    for one in sorted(_opened(api, trust, answer, root, sections), key=lambda one: one.index):
        taken.setdefault((one.kind, one.subject), one)  # the first one counts
    return Revocations(taken)


def fetch_one(api: Api, trust: TrustFile, index: int, root: Root, sections: Sections | None) -> Taken:
    """Ask for the restriction at one index, of any kind, and check it."""
    answer = api.get(RestrictionsAnswer, "/v1/restrictions", index=index)
    for one in _opened(api, trust, answer, root, sections):
        if one.index == index:
            return one
    raise VerificationError(f"the server answered without the restriction at log index {index}")


def check_complete(shown: Revocations, state: LogState) -> None:
    """Compare with the log as it was followed: ``VerificationError`` where one is left out, or a later one is shown."""
    for kind in REVOCATIONS:
        for subject, index in state.restrictions.by_kind[kind].items():
            taken = shown.find(kind, subject)
            if taken is None or taken.index != index:
                raise VerificationError(
                    f"the server does not show that the log holds {kind} {subject[:96]} at index {index}",
                    code=Code.LOG_INCONSISTENT,
                )


def _opened(
    api: Api, trust: TrustFile, answer: RestrictionsAnswer, root: Root, sections: Sections | None
) -> Iterator[Taken]:
    head = log_view.open_head(api, trust, answer.checkpoint)
    for logged in answer.restrictions:
        log_view.check_included(logged.entry, logged.index, logged.proof, head.checkpoint)
        yield _taken(logged, records.parse(RestrictionEntry, logged.entry), trust.instance, root, sections)


def _taken(
    logged: LoggedRestriction, entry: RestrictionEntry, instance: str, root: Root, sections: Sections | None
) -> Taken:
    said = _said(logged.signed, entry, instance) if logged.signed else None
    if said is None or logged.signed is None:
        return Taken(
            kind=entry.kind, subject=entry.subject, index=logged.index, person=entry.person, document="missing"
        )
    author = _authenticators(entry.person, root, sections)
    return Taken(
        kind=entry.kind,
        subject=entry.subject,
        index=logged.index,
        person=entry.person,
        document="signed" if _is_signed(logged.signed, entry.document, author, said) else "unchecked",
        reason=said.reason or "",
        time=said.time,
    )


def _said(signed: SignedDocument, entry: RestrictionEntry, instance: str) -> Restriction | Vote | None:
    """Return the document of an entry; None unless it is the one that the entry names, and says the same."""
    try:
        document = _parse(signed.document)
    except FormatError:
        return None
    said = (_kind(document), _subject(document), document.person)
    same = said == (entry.kind, entry.subject, entry.person)
    return document if same and document_digest(document.type, instance, signed.document) == entry.document else None


def _kind(document: Restriction | Vote) -> RestrictionKind | None:
    """What a document takes away; None for an approval, which takes nothing."""
    if isinstance(document, Restriction):
        return document.kind
    return RestrictionKind.VETO if document.decision is Decision.REJECT else None


def _subject(document: Restriction | Vote) -> str:
    return document.subject if isinstance(document, Restriction) else document.request


def _parse(data: bytes) -> Restriction | Vote:
    """A veto is a vote that rejects; everything else is a restriction."""
    try:
        return records.parse(Restriction, data)
    except FormatError:
        return records.parse(Vote, data)


def _authenticators(person: str, root: Root, sections: Sections | None) -> list[Authenticator]:
    own = [a for admin in root.administrators if admin.person == person for a in admin.authenticators]
    for holder in (sections.get(Person, person), sections.get(Pipeline, person)) if sections else ():
        own += holder.authenticators if holder else ()
    return own


def _is_signed(
    signed: SignedDocument, digest: str, authenticators: list[Authenticator], said: Restriction | Vote
) -> bool:
    namespace = Namespace.VOTE if isinstance(said, Vote) else Namespace.RESTRICTION
    try:
        verify_envelope(the_envelope(signed, Code.NOT_PERMITTED), digest, authenticators, namespace)
    except (VerificationError, FormatError, RefusedError):
        return False
    return True
