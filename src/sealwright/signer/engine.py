"""The signer's decisions: which intents it signs, and when signatures leave it.

A round is: follow the log, sign what ``authorise`` allows, release what is logged.  At most one signature a slot and
intent; signatures wait here until the outcome is in the log and nothing has taken the approval back.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.envelopes import Envelope, SignatureKind, SignedDocument
from sealwright.core.errors import Code, RefusedError, SealwrightError
from sealwright.core.keys import MAX_WHOLE_MESSAGE_BYTES, PublicKey
from sealwright.policy.authorise import Approved, Documents, authorise, evaluate
from sealwright.policy.documents import (
    MAX_CLOCK_SKEW_SECONDS,
    MAX_RELEASE_DELAY_SECONDS,
    KeyProfile,
    Outcome,
    OutcomeSlot,
    RestrictionKind,
    Session,
    State,
)
from sealwright.policy.fold import REMEMBERED_INTENTS
from sealwright.signer.blocks import Blocks
from sealwright.signer.canary import ActiveKey
from sealwright.signer.follower import Follower
from sealwright.signer.ports import Entropy, Partition, SigningTask
from sealwright.signer.protocol import Refusal, Released, Round, RoundResult, Signed, SignOrder
from sealwright.signer.shifts import Shifts

MAX_PENDING = 20_000
_SIGNATURE_BYTES = 64
"""Of Ed25519: ``authorise`` lets no other signature be signed."""
_Work = SigningTask | bytes | SealwrightError
"""What a slot asks for, or what became of it."""
_Results = Mapping[str, Iterator[bytes | SealwrightError]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pending:
    """Signatures that wait for their outcome to be logged."""

    documents: Documents
    outcome_digest: str
    signatures: tuple[bytes, ...]
    time: int
    expires: int
    epoch: int
    root_version: int


class Engine:
    """One signer session: from the start of the process to its end."""

    def __init__(
        self,
        *,
        signer_id: str,
        identity: Ed25519PrivateKey,
        follower: Follower,
        partitions: Mapping[str, Partition],
        entropy: Entropy,
    ) -> None:
        self._id, self._identity, self._follower, self._partitions = signer_id, identity, follower, partitions
        self._entropy = entropy
        self._session = entropy.token(32).hex()
        self._announcement: SignedDocument | None = None
        self._first_size = 0
        self._used: set[int] = set()
        self._pending: dict[int, _Pending] = {}
        self._blocks = Blocks()
        self._is_ending = False
        """A round ago a stateful key wanted numbers: nothing is signed any more, so that nothing waits when it ends."""

    def handle(self, order: Round) -> RoundResult:
        """Carry out one round; refusals are part of the answer, never an exception."""
        follower = self._follower
        try:
            if order.start != follower.state.size or order.entries or order.checkpoint:
                follower.take(order.start, order.entries, order.checkpoint)
            if order.sections:
                follower.take_sections(order.sections)
        except SealwrightError as e:
            return self._result(refusal=_refusal(e))
        self._is_ending = self._blocks.wanted
        signed = self._sign_all(order.sign)
        released = tuple(self._release(index) for index in order.release)
        if self._blocks.wanted and (signed or released) and not any(answer.outcome for answer in signed):
            self._renew()
        return self._result(signed=signed, released=released)

    def active_keys(self) -> list[ActiveKey]:
        """Return the keys that the policy in force lets sign, of the partitions held here."""
        follower = self._follower
        if not follower.is_current or follower.state.policy is None or follower.needs_policy:
            return []
        standing = follower.standing()
        revoked = standing.restrictions.by_kind[RestrictionKind.REVOKE_KEY_PROFILE]
        return [
            ActiveKey(profile.partition, _public_key(profile.public_key), profile.algorithm)
            for profile in standing.sections.all(KeyProfile)
            if profile.state is State.ACTIVE and profile.id not in revoked and profile.partition in self._partitions
        ]

    def _result(
        self,
        *,
        refusal: Refusal | None = None,
        signed: tuple[Signed, ...] = (),
        released: tuple[Released, ...] = (),
    ) -> RoundResult:
        announcement = self._announce()  # may begin another session
        return RoundResult(
            signer=self._id,
            size=self._follower.state.size,
            needs_policy=self._follower.needs_policy,
            session=self._session,
            announcement=announcement,
            refusal=refusal,
            signed=signed,
            released=released,
        )

    def _renew(self) -> None:
        """Begin another session; what waits in this one for its outcome is asked for again."""
        self._session, self._announcement = self._entropy.token(32).hex(), None
        self._pending.clear()

    def _announce(self) -> SignedDocument | None:
        """Return the session document while it is not in the log.  It is made once: a session never comes back."""
        follower = self._follower
        if not follower.is_current or not self._is_listed(follower.state.size):
            return None
        _, newest = follower.state.sessions.get(self._id, ("", -1))
        if self._announcement is not None and newest >= self._first_size:
            return None  # it is in the log, or one that ended it
        if self._announcement is not None and self._blocks.is_overtaken(follower.state.marks):
            self._renew()
        if self._announcement is None:
            marks = self._blocks.announce(follower.state.marks)
            session = Session(
                type="session",
                format=1,
                salt=self._entropy.token(16).hex(),
                signer=self._id,
                session=self._session,
                size=follower.head.size,
                root_hash=follower.head.root_hash,
                time=follower.head.time,
                marks=marks or None,
            )
            self._announcement = self._signed("session", records.serialise(session))
            self._first_size = session.size
        return self._announcement

    def _signed(self, document_type: str, document: bytes) -> SignedDocument:
        digest = document_digest(document_type, self._follower.state.instance, document)
        public = self._identity.public_key().public_bytes_raw()
        envelope = Envelope(
            signer=self._id,
            authenticator=hashlib.sha256(public).hexdigest(),
            kind=SignatureKind.ED25519,
            signature=self._identity.sign(bytes.fromhex(digest)),
        )
        return SignedDocument(document=document, signatures=(envelope,))

    def _sign_all(self, orders: Sequence[SignOrder]) -> tuple[Signed, ...]:
        """Authorise every order, and have each partition sign what is authorised meanwhile."""
        decided: list[tuple[SignOrder, tuple[Approved, int, list[_Work]] | SealwrightError]] = []
        first, second = Shifts(self._partitions), Shifts(self._partitions)
        self._blocks.begin_round()
        for order in orders:
            try:
                # One time for decision and outcome: what an auditor decides anew is what was decided here.
                now = self._follower.now()
                approved = self._authorise(order, now)
                tasks = self._numbered(approved, _tasks(approved, order.messages), now)
            except SealwrightError as e:
                decided.append((order, e))
                continue
            self._remember_used(order.intent_index)
            decided.append((order, (approved, now, tasks)))
            for slot, profile, task in zip(approved.request.slots, approved.profiles, tasks, strict=True):
                if isinstance(task, SigningTask) and slot.after is None:
                    first.add(profile.partition, task)
        results = first.results()
        for _, what in decided:
            if not isinstance(what, SealwrightError):
                self._begin_second(what[0], what[2], results, second)
        results = second.results()
        answers = []
        for order, what in decided:
            if isinstance(what, SealwrightError):
                answers.append(Signed(intent_index=order.intent_index, refusal=_refusal(what)))
            else:
                approved, now, tasks = what
                made = [
                    next(results[profile.partition]) if isinstance(task, SigningTask) else task
                    for profile, task in zip(approved.profiles, tasks, strict=True)
                ]
                answers.append(self._outcome(order, approved, made, now))
        return tuple(answers)

    def _begin_second(self, approved: Approved, tasks: list[_Work], results: _Results, second: Shifts) -> None:
        """Put what was made in the place of its task, and before the tails of the slots that come after it.

        A slot comes after an earlier one, which ``authorise`` holds; where that failed, it fails with the same reason.
        """
        made: dict[tuple[str, str], _Work] = {}
        for at, (slot, profile) in enumerate(zip(approved.request.slots, approved.profiles, strict=True)):
            task = tasks[at]
            if slot.after is None:
                if isinstance(task, SigningTask):
                    tasks[at] = self._blocks.used(approved, task, next(results[profile.partition]))
                made[slot.artifact, slot.slot] = tasks[at]
            elif isinstance(task, SigningTask):
                before = made[slot.artifact, slot.after]
                if isinstance(before, bytes):
                    before = replace(task, payload=before + task.payload)
                    second.add(profile.partition, before)
                tasks[at] = before

    def _numbered(self, approved: Approved, tasks: list[SigningTask], now: int) -> list[_Work]:
        """Give the tasks of stateful keys their blocks; what they signed before stands as made then."""
        if not any(task.algorithm.is_stateful for task in tasks):
            return [*tasks]
        again = [self._blocks.made_before(approved.request_digest, task) for task in tasks]
        new = [
            (task, self._partitions.get(profile.partition))
            for profile, task, made in zip(approved.profiles, tasks, again, strict=True)
            if task.algorithm.is_stateful and made is None
        ]
        blocks = self._blocks.plan(new, self._follower.state, now) if new else {}
        return [
            made or replace(task, block=blocks.get(task.public_key.fingerprint))
            for task, made in zip(tasks, again, strict=True)
        ]

    def _check_session(self, index: int) -> int:
        """This session is the newest, and the root in force lists its identity for log index ``index``.

        Returns the index of the session's entry.
        """
        session, session_index = self._follower.state.sessions.get(self._id, ("", -1))
        if session != self._session or not self._is_listed(index):
            raise RefusedError(
                f"session of signer {self._id} is not the newest in the log, or the root no longer lists it",
                code=Code.SESSION_ENDED,
                hint="restart the signer that shall go on; another one with its identity is running or was",
            )
        return session_index

    def _is_listed(self, index: int) -> bool:
        listed = self._follower.state.signer(self._id, index)
        return listed is not None and listed.key == self._identity.public_key().public_bytes_raw()

    def _authorise(self, order: SignOrder, now: int) -> Approved:
        state, index = self._follower.state, order.intent_index
        session_index = self._check_session(index)
        if self._is_ending:
            raise RefusedError("the session ends, for one with numbers of a stateful key", code=Code.SESSION_ENDED)
        intent, _ = state.intents.get(index, (None, ""))
        if intent is None:
            raise RefusedError(f"no intent is logged at index {index}", code=Code.INTENT_NOT_LOGGED)
        if (intent.signer, intent.session) != (self._id, self._session) or index < session_index:
            raise RefusedError("the intent is for another signer or session", code=Code.SESSION_ENDED)
        if index in self._used:
            raise RefusedError(f"the intent at index {index} was used", code=Code.INTENT_USED, hint="log a new one")
        if abs(intent.time - now) > MAX_CLOCK_SKEW_SECONDS:
            raise RefusedError(
                f"the intent's time is {abs(intent.time - now)} s off the signer's clock", code=Code.CLOCK_UNTRUSTED
            )
        documents = Documents(request=order.request, votes=order.votes, reports=order.reports)
        return authorise(documents, intent, self._follower.standing(), now=now)

    def _remember_used(self, index: int) -> None:
        self._used.add(index)
        if len(self._used) > 2 * REMEMBERED_INTENTS:
            # Only what the fold has forgotten too may be forgotten here, or an intent could be used again.
            oldest = next(iter(self._follower.state.intents))
            self._used = {used for used in self._used if used >= oldest}

    def _outcome(
        self, order: SignOrder, approved: Approved, made: Sequence[bytes | SealwrightError], now: int
    ) -> Signed:
        state, follower = self._follower.state, self._follower
        root, policy = state.root, state.policy
        assert root is not None and policy is not None  # noqa: S101, PT018 - authorise had both
        outcome = Outcome(
            type="outcome",
            format=1,
            salt=self._entropy.token(16).hex(),
            intent=state.intents[order.intent_index][1],
            intent_index=order.intent_index,
            signer=self._id,
            session=self._session,
            size=follower.head.size,
            root_hash=follower.head.root_hash,
            root_index=root.index,
            policy_index=policy.index,
            slots=tuple(_outcome_slot(p, result) for p, result in zip(approved.profiles, made, strict=True)),
            time=now,
        )
        document = records.serialise(outcome)
        self._forget_old(now)
        self._pending[order.intent_index] = _Pending(
            documents=Documents(request=order.request, votes=order.votes, reports=order.reports),
            outcome_digest=document_digest("outcome", state.instance, document),
            signatures=tuple(result if isinstance(result, bytes) else b"" for result in made),
            time=now,
            expires=approved.request.expires,
            epoch=follower.epoch,
            root_version=root.root.version,
        )
        return Signed(intent_index=order.intent_index, outcome=self._signed("outcome", document))

    def _forget_old(self, now: int) -> None:
        while self._pending:
            index, oldest = next(iter(self._pending.items()))
            if now - oldest.time <= MAX_RELEASE_DELAY_SECONDS and len(self._pending) < MAX_PENDING:
                return
            del self._pending[index]

    def _release(self, index: int) -> Released:
        try:
            return Released(intent_index=index, signatures=self._releasable(index))
        except SealwrightError as e:
            return Released(intent_index=index, refusal=_refusal(e))

    def _releasable(self, index: int) -> tuple[bytes, ...]:
        follower, pending = self._follower, self._pending.get(index)
        if pending is None:
            raise RefusedError(f"nothing is kept for the intent at {index}", code=Code.RELEASE_TOO_LATE)
        standing, now = follower.standing(), follower.now()
        outcome_index, outcome_digest = follower.state.outcomes.get(index, (index, ""))
        self._check_session(outcome_index)
        if outcome_digest != pending.outcome_digest:
            raise RefusedError("the outcome is not in the log", code=Code.OUTCOME_NOT_LOGGED)
        if standing.root.version != pending.root_version:
            raise RefusedError("a newer root was logged since", code=Code.RELEASE_TOO_LATE, hint="sign again")
        if now - pending.time > MAX_RELEASE_DELAY_SECONDS:
            raise RefusedError("signed more than ten minutes ago", code=Code.RELEASE_TOO_LATE, hint="sign again")
        if now >= min(pending.expires, standing.root.expires, standing.policy.expires) or (
            follower.epoch != pending.epoch
        ):
            # Something that can take an approval back was logged since: decide anew, from the documents.
            evaluate(pending.documents, standing, now=now)
        return pending.signatures


def _tasks(approved: Approved, messages: Sequence[bytes]) -> list[SigningTask]:
    """Turn slots into work; messages belong, in order, to the slots whose key signs messages."""
    given = iter(messages)
    tasks = []
    for slot, profile in zip(approved.request.slots, approved.profiles, strict=True):
        payload = bytes.fromhex(slot.digest)
        if profile.signs == "message":
            message = next(given, None)
            before = 0 if slot.after is None else _SIGNATURE_BYTES
            if message is None or before + len(message) > MAX_WHOLE_MESSAGE_BYTES:
                raise RefusedError(f"the message of slot {slot.slot} is missing", code=Code.SLOT_INVALID)
            if hashlib.new(profile.algorithm.hash_name, message).digest() != payload:
                raise RefusedError(f"the message of slot {slot.slot} is another one", code=Code.SLOT_INVALID)
            payload = message
        public_key = _public_key(profile.public_key)
        tasks.append(SigningTask(public_key=public_key, algorithm=profile.algorithm, payload=payload))
    if next(given, None) is not None:
        raise RefusedError("more messages than slots that want one", code=Code.SLOT_INVALID)
    return tasks


@lru_cache(maxsize=4096)
def _public_key(spki_der: bytes) -> PublicKey:
    """One object a key, so that its fingerprint is computed once."""
    return PublicKey(spki_der)


def _outcome_slot(profile: KeyProfile, result: bytes | SealwrightError) -> OutcomeSlot:
    certificate = hashlib.sha256(profile.certificates[0]).hexdigest() if profile.certificates else None
    made = isinstance(result, bytes)
    return OutcomeSlot(
        key=_public_key(profile.public_key).fingerprint,
        algorithm=profile.algorithm,
        signature=hashlib.sha256(result).hexdigest() if isinstance(result, bytes) else None,
        certificate=certificate if made else None,
        failure=None if isinstance(result, bytes) else str(result.code),
    )


def _refusal(error: SealwrightError) -> Refusal:
    # A message can quote what was refused; what canonical JSON cannot hold must not cost the answer.
    message = "".join(c if c.isascii() and c.isprintable() else "?" for c in error.message)
    return Refusal(code=error.code, message=message, hint=error.hint)
