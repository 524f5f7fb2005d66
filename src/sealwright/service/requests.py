"""The desk: requests that are not finished, the votes on them, and which have their quorum.

Everything is checked as the signer will check it, so that people get their answer early, and kept before it is
acknowledged.  Nothing here decides: a vote that counts here is a document that counts everywhere.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field

from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.envelopes import SignedDocument
from sealwright.core.errors import Code, RefusedError, SealwrightError, UnavailableError
from sealwright.core.keys import PublicKey
from sealwright.policy.authorise import (
    Ballot,
    CheckedRequest,
    check_quorum,
    check_request,
    check_standing,
    check_vote,
    rules_of,
)
from sealwright.policy.documents import Checked, Decision, KeyProfile, Mode, Person, Scope, Vote
from sealwright.service.ledger import Ledger
from sealwright.service.ports import Clock, DocumentStore, Images, RequestRow, RequestState, SlotRow, StoredRequest

SETTLE_SECONDS = 5.0
MAX_ROUND_SLOTS = 2000
"""So many signatures are made within the time a round may take, and fit its answer, whatever the keys."""


@dataclass(slots=True, kw_only=True)
class Live:
    """A request that is not finished, as the server works with it."""

    checked: CheckedRequest
    signed: SignedDocument
    messages: tuple[bytes, ...]
    scope: Scope
    profiles: tuple[KeyProfile, ...]
    rules: str
    epoch: int
    state: RequestState
    detail: str = ""
    ballots: dict[str, tuple[Ballot, SignedDocument]] = field(default_factory=dict)
    """The newest valid approval of each person."""
    not_before: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What will be kept once ``durable`` is done, and then happens."""

    digest: str
    durable: "Future[None]"


class Desk:
    """All unfinished requests.  Any thread may call anything."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        documents: DocumentStore,
        images: Images,
        clock: Clock,
        on_ready: Callable[[], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._ledger, self._documents, self._images, self._clock = ledger, documents, images, clock
        self._on_ready, self._on_end = on_ready, on_end
        self._mutex = threading.RLock()
        self._live: dict[str, Live] = {}
        self._ready: dict[str, Live] = {}
        self._taken: set[str] = set()
        """Those that the pump has now: whatever changes meanwhile, no second intent is logged beside theirs."""
        self._dormant: list[str] = []
        """Unfinished requests of the time before a restart that cannot be judged now, as without a policy."""
        self._dormant_epoch = 0

    def restore(self) -> None:
        """Take up what was unfinished when the server stopped."""
        self._dormant_epoch = self._ledger.epoch
        rows = self._documents.rows(states=(RequestState.WAITING, RequestState.SIGNING), limit=1 << 31)
        self._dormant = [row.digest for row in rows if not self._restore(row.digest)]

    def _restore(self, digest: str) -> bool:
        """Take up one request; False while what is in force does not allow to judge it."""
        stored = self._documents.stored(digest)
        try:
            live = self._check(stored.request, stored.messages)
        except SealwrightError as e:
            if is_final(e.code) or e.code is Code.REVOKED:
                self.end(digest, final_state(e.code), f"{e.code}: {e.message}")
                return True
            return False
        approvals = [vote for _, _, decision, vote in stored.votes if decision == Decision.APPROVE]
        # Of two by one person the newer counts, as it did before.
        live.ballots = self._valid(live, sorted(approvals, key=_age))
        self._place(live, is_new=True)
        return True

    def submit(
        self, signed: SignedDocument, messages: tuple[bytes, ...], votes: Sequence[SignedDocument], person: str
    ) -> Accepted:
        """Accept a request of ``person``, with votes cast elsewhere if there are any."""
        live = self._check(signed, messages)
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
            ballot = check_vote(vote, live.checked, live.rules, self._ledger.standing(), now=self._clock.now())
            live.ballots[ballot.person.id] = ballot, vote
            kept.append((ballot.digest, ballot.person.id, str(ballot.vote.decision), vote))
        stored = StoredRequest(request=signed, votes=tuple(kept), messages=messages)
        durable = self._documents.add_request(_row(live), stored)
        durable.add_done_callback(lambda done: None if done.exception() else self._place(live, is_new=True))
        return Accepted(digest=live.checked.digest, durable=durable)

    def has(self, digest: str, signed: SignedDocument, votes: Sequence[SignedDocument]) -> bool:
        """Whether exactly this was accepted before: its client had no answer and asks again."""
        stored = self._documents.stored(digest) if self._documents.row(digest) else None
        return stored is not None and stored.request == signed and {v for *_, v in stored.votes} >= set(votes)

    def approve(self, digest: str, signed: SignedDocument, person: str) -> Accepted:
        """Accept an approval by ``person``."""
        live = self.find(digest)
        vote = records.parse(Vote, signed.document)
        if vote.person != person:
            raise RefusedError(f"the vote is {vote.person}'s, you are {person}", code=Code.NOT_PERMITTED)
        with self._mutex:
            self._refresh(live)
            ballot = check_vote(signed, live.checked, live.rules, self._ledger.standing(), now=self._clock.now())
        durable = self._documents.add_vote(digest, ballot.digest, person, ballot.vote.decision, signed)
        durable.add_done_callback(lambda done: None if done.exception() else self._count(live, ballot, signed))
        return Accepted(digest=ballot.digest, durable=durable)

    def check_rejection(self, digest: str, signed: SignedDocument, person: str) -> str:
        """Check a rejection by ``person``; return the vote's digest.  Logging the veto is what makes it count."""
        live = self.find(digest)
        vote = records.parse(Vote, signed.document)
        if vote.person != person or vote.decision is not Decision.REJECT:
            raise RefusedError("not your rejection", code=Code.NOT_PERMITTED)
        self._check_may_veto(live, person)
        try:
            check_vote(signed, live.checked, live.rules, self._ledger.standing(), now=self._clock.now())
        except RefusedError as e:
            # The decision is looked at after the signature: a veto that comes so far is genuine.
            if e.code is not Code.VETOED:
                raise
        return document_digest("vote", self._ledger.instance, signed.document)

    def _check_may_veto(self, live: Live, person: str) -> None:
        """Who may approve may veto; requesters cancel, administrators restrict (PROTOCOL, section 4)."""
        section = self._ledger.standing().sections.get(Person, person)
        roles = {role for group in live.scope.quorum for role in group.roles}
        if section is None or roles.isdisjoint(section.roles):
            raise RefusedError(
                f"{person} has none of the roles {sorted(roles)} that vote on {live.scope.id}",
                code=Code.NOT_PERMITTED,
                hint="requesters cancel their own requests; administrators may veto any",
            )

    def find(self, digest: str) -> Live:
        """Return an unfinished request; ``RefusedError`` when there is none of that digest."""
        with self._mutex:
            live = self._live.get(digest)
        if live is None:
            row = self._documents.row(digest)
            state = f"request {digest[:16]} is {row.state}" if row else f"there is no request {digest[:80]}"
            raise RefusedError(state, code=Code.CONFLICT if row else Code.NOT_FOUND)
        return live

    def look(self, digest: str) -> Live | None:
        """Return an unfinished request, or None."""
        return self._live.get(digest)

    def stop(self, digest: str, state: RequestState, detail: str) -> None:
        """End a request by a restriction that was logged; ``RefusedError`` (``conflict``) when its signatures are out.

        What the pump has in hand may be signed already, or will be refused by the signer: that is waited for.
        """
        deadline = time.monotonic() + SETTLE_SECONDS
        while digest in self._taken and time.monotonic() < deadline:
            time.sleep(0.01)
        self.end(digest, state, detail)
        row = self._documents.row(digest)
        if row is not None and row.state is RequestState.SIGNED:
            raise RefusedError(
                f"request {digest[:16]} was signed before this was logged ({detail})",
                code=Code.CONFLICT,
                hint="the signature counts: stop its delivery, or have the key profile revoked",
            )

    def end(self, digest: str, state: RequestState, detail: str, *, keep: bool = True) -> None:
        """A request is finished; ``keep`` writes it down too."""
        with self._mutex:
            self._live.pop(digest, None)
            self._ready.pop(digest, None)
            self._taken.discard(digest)
        if keep:
            self._documents.set_state(digest, state, detail).result()
        self._on_end(digest)

    def take_ready(self, limit: int) -> list[Live]:
        """Return requests with their quorum, for the next round; they come back by ``retry`` or end."""
        now, slots, some = self._clock.now(), 0, list[Live]()
        with self._mutex:
            for live in self._ready.values():
                if live.not_before > now:
                    continue
                slots += len(live.profiles)
                if len(some) == limit or (some and slots > MAX_ROUND_SLOTS):
                    break
                some.append(live)
            for live in some:
                del self._ready[live.checked.digest]
                self._taken.add(live.checked.digest)
        return [live for live in some if live.epoch == self._ledger.epoch or self._still_ready(live)]

    def _still_ready(self, live: Live) -> bool:
        """Look again at a request whose quorum was met before something changed."""
        try:
            with self._mutex:
                self._refresh(live)
            check_quorum(live.scope, live.checked, tuple(ballot for ballot, _ in live.ballots.values()))
        except SealwrightError as e:
            with self._mutex:
                self._taken.discard(live.checked.digest)
            self._fall_back(live, e)
            return False
        return True

    def _fall_back(self, live: Live, error: SealwrightError) -> None:
        digest, detail = live.checked.digest, f"{error.code}: {error.message}"
        if error.code is Code.REVOKED or is_final(error.code):
            with suppress(UnavailableError):  # not written down now: judged again after the next start
                self.end(digest, final_state(error.code), detail)
        else:
            with self._mutex:
                self._ready.pop(digest, None)
                live.state, live.detail = RequestState.WAITING, detail

    def retry(self, live: Live, why: str, *, after_seconds: int) -> None:
        """Put a request back that could not be signed now."""
        with self._mutex:
            self._taken.discard(live.checked.digest)
            if live.checked.digest in self._live:
                live.detail, live.not_before = why, self._clock.now() + after_seconds
                live.epoch = -1  # whatever the signer disliked is looked for again before the next try
                self._ready[live.checked.digest] = live

    def review(self) -> None:
        """Look at every request again after root, policy or restrictions changed, or time went on."""
        if self._dormant and self._dormant_epoch != self._ledger.epoch:
            self._dormant_epoch = self._ledger.epoch
            self._dormant = [digest for digest in self._dormant if not self._restore(digest)]
        with self._mutex:
            everything = list(self._live.values())
        now = self._clock.now()
        for live in everything:
            if live.epoch != self._ledger.epoch or now >= live.checked.request.expires:
                try:
                    with self._mutex:
                        self._refresh(live)
                except SealwrightError as e:
                    self._fall_back(live, e)
                    continue
                self._place(live)

    def _check(self, signed: SignedDocument, messages: tuple[bytes, ...]) -> Live:
        epoch, standing, now = self._ledger.epoch, self._ledger.standing(), self._clock.now()
        check_standing(standing, now)
        checked = check_request(signed, standing, now)
        scope, profiles, rules = rules_of(checked.request, standing)
        if scope.gates:
            raise RefusedError(f"scope {scope.id} demands gates, none runs here", code=Code.GATES_NOT_MET)
        if len(messages) != sum(profile.signs == "message" for profile in profiles):
            raise RefusedError("one message belongs to each slot whose key signs messages", code=Code.SLOT_INVALID)
        return Live(
            checked=checked,
            signed=signed,
            messages=messages,
            scope=scope,
            profiles=profiles,
            rules=rules,
            epoch=epoch,
            state=RequestState.WAITING,
        )

    def _refresh(self, live: Live) -> None:
        """Check a request and its votes anew if what is in force changed."""
        if live.epoch == self._ledger.epoch and self._clock.now() < live.checked.request.expires:
            return
        fresh = self._check(live.signed, live.messages)
        live.checked, live.scope, live.profiles = fresh.checked, fresh.scope, fresh.profiles
        live.rules, live.epoch = fresh.rules, fresh.epoch
        live.ballots = self._valid(live, [vote for _, vote in live.ballots.values()])

    def _valid(self, live: Live, votes: Sequence[SignedDocument]) -> dict[str, tuple[Ballot, SignedDocument]]:
        """Return the votes that count now, by person; a new dictionary, because the pump may be reading the old one."""
        valid = {}
        for vote in votes:
            try:
                ballot = check_vote(vote, live.checked, live.rules, self._ledger.standing(), now=self._clock.now())
            except SealwrightError as e:
                live.detail = f"{e.code}: {e.message}"
                continue
            valid[ballot.person.id] = ballot, vote
        return valid

    def _count(self, live: Live, ballot: Ballot, vote: SignedDocument) -> None:
        with self._mutex:
            if live.checked.digest not in self._live:
                return
            live.ballots = {**live.ballots, ballot.person.id: (ballot, vote)}
            if ballot.vote.rules != live.rules:
                live.epoch = -1  # the rules changed while the vote was being written down
        self._place(live)

    def _place(self, live: Live, *, is_new: bool = False) -> None:
        """Make a request known, and ready if it has its quorum.  One that has ended meanwhile stays ended."""
        digest = live.checked.digest
        try:
            check_quorum(live.scope, live.checked, tuple(ballot for ballot, _ in live.ballots.values()))
            state, live.detail = RequestState.SIGNING, ""
        except RefusedError as e:
            state, live.detail = RequestState.WAITING, f"{e.code}: {e.message}"
        with self._mutex:
            if not is_new and digest not in self._live:
                return
            self._live[digest] = live
            live.state = state
            if state is RequestState.WAITING:
                self._ready.pop(digest, None)
            elif digest not in self._taken:
                self._ready[digest] = live
        if state is RequestState.SIGNING:
            self._on_ready()


def _age(signed: SignedDocument) -> tuple[int, bool]:
    vote = records.parse(Vote, signed.document)
    return vote.time, vote.checked is Checked.RECOMPUTED  # in one second, the one that saw more is the newer


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


_CAN_PASS = frozenset(
    {
        # Something that an administrator or time can mend while the request lives.
        Code.POLICY_EXPIRED,
        Code.POLICY_NOT_CURRENT,
        Code.POLICY_INCOMPLETE,
        Code.ROOT_EXPIRED,
        Code.RULES_CHANGED,
        Code.QUORUM_NOT_MET,
        Code.CLOCK_UNTRUSTED,
        Code.SESSION_ENDED,
        Code.INTENT_USED,
        Code.INTENT_NOT_LOGGED,
        Code.LOG_INCONSISTENT,
        Code.RELEASE_TOO_LATE,
        Code.OUTCOME_NOT_LOGGED,
        Code.KEYSTORE_UNAVAILABLE,
        Code.SIGNER_UNAVAILABLE,
        Code.STORAGE_UNAVAILABLE,
        Code.CREDENTIAL,
        Code.NOT_FOUND,
        Code.SIGNATURE_MISMATCH,
        # Somebody may vote in the place of whose vote does not count any more.
        Code.REVOKED,
        Code.VOTE_INVALID,
    }
)


def is_final(code: Code) -> bool:
    """Whether a refusal with this code can never turn into an approval of the same request."""
    return code not in _CAN_PASS


def final_state(code: Code) -> RequestState:
    """Return the state in which a refusal with this code leaves a request."""
    if code is Code.REQUEST_EXPIRED:
        return RequestState.EXPIRED
    return RequestState.REJECTED if code is Code.VETOED else RequestState.REFUSED
