"""The pump: intents into the log, rounds with the signer, outcomes into the log, signatures to those who wait.

One thread, one round at a time.  A single commit carries the outcomes of one round and the intents of the next; one
frame to the signer carries the new entries, what is to be signed, and what may be released.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.envelopes import SignedDocument
from sealwright.core.errors import Code, SealwrightError, UnavailableError
from sealwright.policy.documents import Outcome
from sealwright.policy.entries import Entry, GrantingEntry, IntentEntry, OutcomeEntry
from sealwright.service.desk import Desk
from sealwright.service.ledger import Ledger
from sealwright.service.live import Live, final_state, is_final
from sealwright.service.ports import Attempt, Clock, DocumentStore, RequestState, SignerLink
from sealwright.signer.protocol import Round, RoundResult, Signed, SignOrder

log = logging.getLogger(__name__)
MAX_INTENTS = 256
MAX_ORDER_BYTES = 4 << 20
CATCH_UP_ENTRIES = 4096
CATCH_UP_BYTES = 8 << 20
IDLE_SECONDS = 1.0
MAX_BACKOFF_SECONDS = 60


@dataclass(slots=True, kw_only=True)
class _Flight:
    """An intent that is logged and not finished."""

    live: Live
    intent_index: int
    votes: tuple[SignedDocument, ...]
    outcome: SignedDocument | None = None
    outcome_digest: str = ""
    outcome_index: int = -1


class Pump:
    """Runs until ``close``."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        desk: Desk,
        documents: DocumentStore,
        signer: SignerLink,
        clock: Clock,
        wake: threading.Event,
        on_trouble: Callable[[SealwrightError], None],
    ) -> None:
        self._ledger, self._desk, self._documents = ledger, desk, documents
        self._signer, self._clock, self._on_trouble = signer, clock, on_trouble
        self._wake = wake
        self._stopping = False
        self._signer_id, self._session, self._size = "", "", -1
        self._unlogged: list[_Flight] = []
        self._open: dict[str, Live] = {}
        """What was taken from the desk and neither finished nor given back: nothing falls between."""
        self.trouble: SealwrightError | None = None
        """Why nothing is signed at present, if so."""
        self._thread = threading.Thread(target=self._run, name="pump", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """There is something to do."""
        self._wake.set()

    def close(self) -> None:
        """Finish the round at hand and stop."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping:
            try:
                if not self._cycle():
                    self._wake.wait(IDLE_SECONDS)
                    self._wake.clear()
                    self._desk.review()
            except SealwrightError as e:
                self._stumble(e)
            except Exception:
                # A bug, or an answer that makes no sense: said aloud, and no reason to stop signing for good.
                log.exception("the pump stumbled")
                self._stumble(UnavailableError("the server's log says what went wrong", code=Code.INTERNAL))

    def _stumble(self, error: SealwrightError) -> None:
        """The signer's session or the way to it broke, or our own storage: what was open starts over."""
        self._size, self._unlogged = -1, []
        for live in tuple(self._open.values()):
            self._retry(live, error)
        self.trouble = error
        self._on_trouble(error)
        self._wake.wait(IDLE_SECONDS)
        self._wake.clear()

    def _retry(self, live: Live, error: SealwrightError) -> None:
        self._open.pop(live.checked.digest, None)
        live.failures += 1
        live.trouble = f"{error.code}: {error.message}"
        delay = min(MAX_BACKOFF_SECONDS, 2 ** min(live.failures, 6) // 2)
        self._desk.retry(live, live.trouble, after_seconds=delay)

    def _cycle(self) -> bool:
        """Do one round if there is anything to do; return whether there was."""
        self._catch_up()
        ready = self._desk.take_ready(MAX_INTENTS)
        self._open.update({live.checked.digest: live for live in ready})
        finished, self._unlogged = self._unlogged, []
        if not ready and not finished:
            if self._desk.is_idle:
                self.trouble = None  # the signer was reached, and nobody waits for it
            return False
        flights = self._log(ready, finished)
        orders, held = _within_limit(flights)
        result = self._round(sign=orders, release=[f.intent_index for f in finished])
        self.trouble = None
        for flight in held:
            self._open.pop(flight.live.checked.digest)
            self._desk.retry(flight.live, "waits for the next round", after_seconds=0)
        outcomes = self._outcomes({f.intent_index: f for f in flights}, result.signed)
        released = self._released({f.intent_index: f for f in finished}, result)
        self._keep(outcomes, released)
        self._give_back_unanswered()
        return True

    def _give_back_unanswered(self) -> None:
        """Start over with what the signer said nothing about."""
        answered = {flight.live.checked.digest for flight in self._unlogged}
        for digest, live in tuple(self._open.items()):
            if digest not in answered:
                self._retry(live, UnavailableError("the signer gave no answer", code=Code.SIGNER_UNAVAILABLE))

    def _log(self, ready: Sequence[Live], finished: Sequence[_Flight]) -> list[_Flight]:
        """Commit the outcomes of the last round and the intents of this one together."""
        entries: list[Entry] = [
            OutcomeEntry(entry="outcome", format=1, intent_index=f.intent_index, document=f.outcome_digest)
            for f in finished
        ]
        votes = [tuple(signed for _, signed in live.ballots.values()) for live in ready]
        entries += [self._intent(live, signed) for live, signed in zip(ready, votes, strict=True)]
        first = self._ledger.append(entries)
        for i, flight in enumerate(finished):
            flight.outcome_index = first + i
        return [
            _Flight(live=live, intent_index=first + len(finished) + i, votes=signed)
            for i, (live, signed) in enumerate(zip(ready, votes, strict=True))
        ]

    def _intent(self, live: Live, votes: Sequence[SignedDocument]) -> IntentEntry:
        return IntentEntry(
            entry="intent",
            format=1,
            request=live.checked.digest,
            votes=tuple(self._vote_digest(v) for v in votes),
            reports=(),
            rules=live.rules,
            signer=self._signer_id,
            session=self._session,
            time=self._clock.now(),
        )

    def _vote_digest(self, vote: SignedDocument) -> str:
        return document_digest("vote", self._ledger.instance, vote.document)

    def _outcomes(self, flights: dict[int, _Flight], signed: Sequence[Signed]) -> list[tuple[Attempt, SignedDocument]]:
        outcomes = []
        for answer in signed:
            flight = _asked(flights, answer.intent_index)
            if answer.outcome is None:
                self._refused(flight.live, answer)
                continue
            flight.outcome = answer.outcome
            flight.outcome_digest = document_digest("outcome", self._ledger.instance, answer.outcome.document)
            attempt = Attempt(
                intent_index=flight.intent_index,
                request=flight.live.checked.digest,
                votes=tuple(self._vote_digest(vote) for vote in flight.votes),
                outcome=flight.outcome_digest,
            )
            outcomes.append((attempt, answer.outcome))
            flight.live.is_made = True
            self._unlogged.append(flight)
        return outcomes

    def _end(self, live: Live, state: RequestState, detail: str, *, keep: bool = True) -> None:
        self._open.pop(live.checked.digest, None)
        self._desk.end(live.checked.digest, state, detail, keep=keep)

    def _refused(self, live: Live, answer: Signed) -> None:
        refusal = answer.refusal
        code = refusal.code if refusal else Code.INTERNAL
        message = refusal.message if refusal else "the signer gave neither outcome nor refusal"
        if is_final(code):
            self._end(live, final_state(code), f"{code}: {message}")
        else:
            self._retry(live, UnavailableError(message, code=code))

    def _released(self, flights: dict[int, _Flight], result: RoundResult) -> list[tuple[_Flight, tuple[bytes, ...]]]:
        done = []
        for released in result.released:
            flight = _asked(flights, released.intent_index)
            if released.refusal is not None:
                self._refused(flight.live, Signed(intent_index=released.intent_index, refusal=released.refusal))
            elif not all(released.signatures) or len(released.signatures) != len(flight.live.profiles):
                self._failed(flight)
            else:
                done.append((flight, released.signatures))
        return done

    def _failed(self, flight: _Flight) -> None:
        """A keystore did not sign: try again later, and tell whoever reads the server's output, once a request."""
        error = _slot_failure(flight)
        if not flight.live.failures:
            log.warning("request %s: %s", flight.live.checked.request.id, error.message)
        self._retry(flight.live, error)

    def _keep(
        self,
        outcomes: Sequence[tuple[Attempt, SignedDocument]],
        released: Sequence[tuple[_Flight, tuple[bytes, ...]]],
    ) -> None:
        """Write down what the signer gave, in one flush, and tell those who wait for signatures.

        The digests of the outcomes go into the log next: their words must be here by then.
        """
        finished = [
            (f.live.checked.digest, f.intent_index, f.outcome_index, signatures, RequestState.SIGNED, "")
            for f, signatures in released
        ]
        writes = [self._documents.add_outcomes(outcomes)] if outcomes else []
        writes += [self._documents.finish(finished)] if finished else []
        for write in writes:
            write.result()
        for flight, _ in released:
            self._end(flight.live, RequestState.SIGNED, "", keep=False)

    def _catch_up(self) -> None:
        """Bring the signer to the end of the log, with its policy and its session logged."""
        if self._size == self._ledger.log.head()[0].size:
            return
        if self._size < 0:
            self._exchange(Round(start=0))  # asks where it stands; its size is in the answer, whatever it says
        self._round()

    def _round(self, *, sign: Sequence[SignOrder] = (), release: Sequence[int] = ()) -> RoundResult:
        """Send what the signer lacks of the log, then the orders; log its session when it announces one."""
        checkpoint, note = self._ledger.log.head()
        while checkpoint.size - self._size > CATCH_UP_ENTRIES:
            self._check(self._exchange(Round(start=self._size, entries=self._some_entries(checkpoint.size))))
        entries = tuple(self._ledger.log.entries(self._size, checkpoint.size)) if self._size < checkpoint.size else ()
        order = Round(
            start=self._size,
            entries=entries,
            checkpoint=note if entries else b"",
            sign=tuple(sign),
            release=tuple(release),
        )
        result = self._check(self._exchange(order))
        if result.needs_policy:
            sections = self._ledger.policy_sections()
            result = self._check(self._exchange(Round(start=self._size, sections=sections)))
        if result.announcement is not None:
            self._ledger.append([GrantingEntry(entry="session", format=1, signed=result.announcement)])
            self._round()
        return result  # what was released before the session ended is good

    def _some_entries(self, size: int) -> tuple[bytes, ...]:
        entries = self._ledger.log.entries(self._size, min(size, self._size + CATCH_UP_ENTRIES))
        total = 0
        for i, entry in enumerate(entries):
            total += len(entry)
            if total > CATCH_UP_BYTES:
                return tuple(entries[: max(i, 1)])
        return tuple(entries)

    def _exchange(self, order: Round) -> RoundResult:
        result = self._signer.exchange(order)
        self._signer_id, self._session, self._size = result.signer, result.session, result.size
        return result

    @staticmethod
    def _check(result: RoundResult) -> RoundResult:
        if result.refusal is not None:
            raise UnavailableError(
                f"signer {result.signer}: {result.refusal.message}", code=result.refusal.code, hint=result.refusal.hint
            )
        return result


def _within_limit(flights: Sequence[_Flight]) -> tuple[list[SignOrder], list[_Flight]]:
    """Turn flights into orders that fit one frame; the rest waits for another round."""
    orders: list[SignOrder] = []
    held: list[_Flight] = []
    total = 0
    for flight in flights:
        live = flight.live
        total += len(live.signed.document) + sum(map(len, live.messages)) + sum(len(v.document) for v in flight.votes)
        if orders and total > MAX_ORDER_BYTES:
            held.append(flight)
            continue
        orders.append(
            SignOrder(
                intent_index=flight.intent_index,
                request=live.signed,
                votes=flight.votes,
                reports=(),
                messages=live.messages,
            )
        )
    return orders, held


def _asked(flights: dict[int, _Flight], intent_index: int) -> _Flight:
    """Return the flight that an answer is about."""
    flight = flights.get(intent_index)
    if flight is None:
        raise UnavailableError(
            f"the signer answers for intent {intent_index}, which it was not asked for", code=Code.SIGNER_UNAVAILABLE
        )
    return flight


def _slot_failure(flight: _Flight) -> UnavailableError:
    assert flight.outcome is not None  # noqa: S101 - it was released
    slots = records.parse(Outcome, flight.outcome.document).slots
    failed = {p.id: str(s.failure) for s, p in zip(slots, flight.live.profiles, strict=True) if s.failure is not None}
    said = (
        "; ".join(f"key {profile}: {failure}" for profile, failure in sorted(failed.items())) or "no keystore says why"
    )
    return UnavailableError(
        f"not signed, and tried again by itself: {said}",
        code=Code.KEYSTORE_UNAVAILABLE,
        hint=f"`sealwright doctor` on the signer's machine says more; see entry {flight.outcome_index} of the log",
    )
