"""The desk: requests that are not finished, the votes on them, and which have their quorum."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import takewhile

from sealwright.core import records
from sealwright.core.envelopes import SignedDocument
from sealwright.core.errors import Code, RefusedError, SealwrightError, UnavailableError
from sealwright.core.keys import Algorithm
from sealwright.policy.documents import Checked, Decision, Vote
from sealwright.policy.quorum import Ballot
from sealwright.service.ledger import Ledger
from sealwright.service.live import Judge, Live, check_ready, final_state, is_final
from sealwright.service.ports import Clock, DocumentStore, RequestState
from sealwright.service.progress import Progress

SETTLE_SECONDS = 5.0
MAX_ROUND_SLOTS = 2000
"""So many signatures are made within the time a round may take, and fit its answer; large and slow ones count more."""
SLOW_WEIGHT = 100
"""A signature of seconds counts for so many."""


class Desk:
    """All unfinished requests.  Any thread may call anything."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        documents: DocumentStore,
        judge: Judge,
        clock: Clock,
        on_ready: Callable[[], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._ledger, self._documents, self._clock = ledger, documents, clock
        self.judge = judge
        self._on_ready, self._on_end = on_ready, on_end
        self._mutex = threading.RLock()
        self._live: dict[str, Live] = {}
        self._ready: dict[str, Live] = {}
        self._taken: dict[str, int] = {}
        """Those that the pump has now, and since when: no second intent is logged beside theirs, whatever changes."""
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
            live = self.judge.open(stored.request, stored.messages)
        except SealwrightError as e:
            if is_final(e.code) or e.code is Code.REVOKED:
                self.end(digest, final_state(e.code), f"{e.code}: {e.message}")
                return True
            return False
        approvals = [vote for _, _, decision, vote in stored.votes if decision == Decision.APPROVE]
        # Of two by one person the newer counts, as it did before.
        live.ballots = self.judge.valid(live, sorted(approvals, key=_age))
        self.place(live, is_new=True)
        return True

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

    def progress(self, digest: str) -> Progress | None:
        """Return how far the signatures of a request are that has its quorum; None for any other."""
        with self._mutex:
            live = self._live.get(digest)
            if live is None or live.state is not RequestState.SIGNING:
                return None
            in_round = [self._live[taken] for taken in self._taken if taken in self._live]
            making = sum(len(one.profiles) for one in in_round if not one.is_made)
            signatures, since = len(live.profiles), self._taken.get(digest)
            if since is not None:
                return Progress(signatures=signatures, is_made=live.is_made, since=since, in_round=making)
            before = takewhile(lambda one: one is not live, self._ready.values())
            return Progress(signatures=signatures, before=making + sum(len(one.profiles) for one in before))

    @property
    def is_idle(self) -> bool:
        """Whether no request waits to be signed, not even to be tried again."""
        return not self._ready

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
            self._taken.pop(digest, None)
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
                slots += sum(weight(profile.algorithm) for profile in live.profiles)
                if len(some) == limit or (some and slots > MAX_ROUND_SLOTS):
                    break
                some.append(live)
            for live in some:
                del self._ready[live.checked.digest]
                self._taken[live.checked.digest], live.is_made = now, False
        return [live for live in some if live.epoch == self._ledger.epoch or self._still_ready(live)]

    def _still_ready(self, live: Live) -> bool:
        """Look again at a request whose quorum was met before something changed."""
        try:
            with self._mutex:
                self.judge.refresh(live)
            check_ready(live)
        except SealwrightError as e:
            with self._mutex:
                self._taken.pop(live.checked.digest, None)
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
            self._taken.pop(live.checked.digest, None)
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
                        self.judge.refresh(live)
                except SealwrightError as e:
                    self._fall_back(live, e)
                    continue
                self.place(live)

    def ballot(self, live: Live, vote: SignedDocument) -> Ballot:
        """Check a vote on a request as it stands now; ``RefusedError`` with the rule it breaks."""
        with self._mutex:
            self.judge.refresh(live)
            return self.judge.ballot(live, vote)

    def count(self, live: Live, ballot: Ballot, vote: SignedDocument) -> None:
        """A vote that was checked is kept: count it."""
        with self._mutex:
            if live.checked.digest not in self._live:
                return
            live.ballots = {**live.ballots, ballot.person.id: (ballot, vote)}
            if ballot.vote.rules != live.rules:
                live.epoch = -1  # the rules changed while the vote was being written down
        self.place(live)

    def place(self, live: Live, *, is_new: bool = False) -> None:
        """Make a request known, and ready if it has its quorum.  One that has ended meanwhile stays ended."""
        digest = live.checked.digest
        try:
            check_ready(live)
            state, live.detail = RequestState.SIGNING, live.trouble
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


def weight(algorithm: Algorithm) -> int:
    """Return for how many slots of a round a signature counts: by its size, or by its time if it is slow."""
    return max(SLOW_WEIGHT if algorithm.is_slow else 1, algorithm.most_signature_bytes // 1024)
