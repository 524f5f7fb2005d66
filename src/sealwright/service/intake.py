"""What people hand in: requests and approvals.

Everything is checked as the signer will check it, so that people get their answer early, and kept before it is
acknowledged.
"""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from sealwright.core import records
from sealwright.core.envelopes import SignedDocument
from sealwright.core.errors import Code, RefusedError
from sealwright.core.keys import PublicKey
from sealwright.policy.documents import Mode, Vote
from sealwright.service.desk import Desk
from sealwright.service.ledger import Ledger
from sealwright.service.live import Live
from sealwright.service.ports import DocumentStore, Images, RequestRow, RequestState, SlotRow, StoredRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What will be kept once ``durable`` is done, and then happens."""

    digest: str
    durable: "Future[None]"


class Intake:
    """Takes documents in and lays them on the desk.  Any thread may call anything."""

    def __init__(self, *, ledger: Ledger, desk: Desk, documents: DocumentStore, images: Images) -> None:
        self._ledger, self._desk, self._documents = ledger, desk, documents
        self._images, self._judge = images, desk.judge

    def submit(
        self, signed: SignedDocument, messages: tuple[bytes, ...], votes: Sequence[SignedDocument], person: str
    ) -> Accepted:
        """Accept a request of ``person``, with votes cast elsewhere if there are any."""
        live = self._judge.open(signed, messages)
        if live.checked.request.requester != person:
            raise RefusedError(
                f"the request is {live.checked.request.requester}'s, you are {person}", code=Code.NOT_PERMITTED
            )
        if live.checked.request.mode is Mode.UPLOAD:
            for artifact in live.checked.request.artifacts:
                if not self._images.has(artifact.sha256):
                    raise RefusedError(
                        f"image {artifact.name} ({artifact.sha256[:16]}) was not uploaded",
                        code=Code.CONFLICT,
                        hint="upload every image before its request",
                    )
        kept = []
        for vote in votes:
            ballot = self._judge.ballot(live, vote)
            live.ballots[ballot.person.id] = ballot, vote
            kept.append((ballot.digest, ballot.person.id, str(ballot.vote.decision), vote))
        stored = StoredRequest(request=signed, votes=tuple(kept), messages=messages)
        durable = self._documents.add_request(_row(live), stored)
        durable.add_done_callback(lambda done: None if done.exception() else self._desk.place(live, is_new=True))
        return Accepted(digest=live.checked.digest, durable=durable)

    def has(self, digest: str, signed: SignedDocument, votes: Sequence[SignedDocument]) -> bool:
        """Whether exactly this was accepted before: its client had no answer and asks again."""
        stored = self._documents.stored(digest) if self._documents.row(digest) else None
        return stored is not None and stored.request == signed and {v for *_, v in stored.votes} >= set(votes)

    def approve(self, digest: str, signed: SignedDocument, person: str) -> Accepted:
        """Accept an approval by ``person``."""
        live = self._desk.find(digest)
        vote = records.parse(Vote, signed.document)
        if vote.person != person:
            raise RefusedError(f"the vote is {vote.person}'s, you are {person}", code=Code.NOT_PERMITTED)
        ballot = self._desk.ballot(live, signed)
        durable = self._documents.add_vote(digest, ballot.digest, person, ballot.vote.decision, signed)
        durable.add_done_callback(lambda done: None if done.exception() else self._desk.count(live, ballot, signed))
        return Accepted(digest=ballot.digest, durable=durable)


def _row(live: Live) -> RequestRow:
    request = live.checked.request
    images = {artifact.name: artifact.sha256 for artifact in request.artifacts}
    keys = {key: PublicKey(key).fingerprint for key in {profile.public_key for profile in live.profiles}}
    return RequestRow(
        digest=live.checked.digest,
        id=request.id,
        product=request.product,
        environment=request.environment,
        release=request.release,
        requester=request.requester,
        created=request.created,
        expires=request.expires,
        state=RequestState.WAITING,
        detail="",
        slots=tuple(
            SlotRow(
                artifact=slot.artifact,
                sha256=images[slot.artifact],
                key_profile=slot.key_profile,
                key=keys[profile.public_key],
            )
            for slot, profile in zip(request.slots, live.profiles, strict=True)
        ),
    )
