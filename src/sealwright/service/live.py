"""A request that is not finished, and what the server can say of it now, judged as the signer will judge it.

Nothing here decides: a vote that counts here is a document that counts everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sealwright.core.envelopes import SignedDocument
from sealwright.core.errors import Code, RefusedError, SealwrightError
from sealwright.policy.authorise import (
    CheckedRequest,
    check_request,
    check_standing,
    check_vote,
    rules_of,
)
from sealwright.policy.counting import check_may_vote
from sealwright.policy.documents import KeyProfile, Scope
from sealwright.policy.quorum import Ballot, check_quorum
from sealwright.service.ledger import Ledger
from sealwright.service.ports import Clock, RequestState

MAX_SLOW_SLOTS = 20
"""Of one request: by a slow algorithm each takes up to three seconds, and a round lasts two minutes at most."""


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
    trouble: str = ""
    """What went wrong when it was last tried; said for as long as it waits to be tried again."""
    is_made: bool = False
    """Whether its signatures are made, and wait in the signer for their outcome to be in the log."""


class Judge:
    """Checks requests and votes against what is in force in the log."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger, self._clock = ledger, clock

    def open(self, signed: SignedDocument, messages: tuple[bytes, ...]) -> Live:
        """Check a request and look its rules up; raises what says why it cannot be signed."""
        epoch, standing, now = self._ledger.epoch, self._ledger.standing(), self._clock.now()
        check_standing(standing, now)
        checked = check_request(signed, standing, now)
        scope, profiles, rules = rules_of(checked.request, standing)
        if scope.gates:
            raise RefusedError(f"scope {scope.id} demands gates, none runs here", code=Code.GATES_NOT_MET)
        if (slow := sum(profile.algorithm.is_slow for profile in profiles)) > MAX_SLOW_SLOTS:
            raise RefusedError(
                f"{slow} signatures by slow algorithms, at most {MAX_SLOW_SLOTS} in one request",
                code=Code.REQUEST_INVALID,
                hint="request fewer images at a time",
            )
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

    def refresh(self, live: Live) -> None:
        """Check a request and its votes anew if what is in force changed."""
        if live.epoch == self._ledger.epoch and self._clock.now() < live.checked.request.expires:
            return
        fresh = self.open(live.signed, live.messages)
        live.checked, live.scope, live.profiles = fresh.checked, fresh.scope, fresh.profiles
        live.rules, live.epoch = fresh.rules, fresh.epoch
        live.ballots = self.valid(live, [vote for _, vote in live.ballots.values()])

    def valid(self, live: Live, votes: Sequence[SignedDocument]) -> dict[str, tuple[Ballot, SignedDocument]]:
        """Return the votes that count now, by person; a new dictionary, because the pump may be reading the old one."""
        valid = {}
        for vote in votes:
            try:
                ballot = self.ballot(live, vote)
            except SealwrightError as e:
                live.detail = f"{e.code}: {e.message}"
                continue
            valid[ballot.person.id] = ballot, vote
        return valid

    def ballot(self, live: Live, vote: SignedDocument) -> Ballot:
        """Check one approval of a request; ``RefusedError`` with the rule it breaks, also for one that cannot count."""
        ballot = check_vote(vote, live.checked, live.rules, self._ledger.standing(), now=self._clock.now())
        check_may_vote(ballot.person.id, ballot.person, live.scope, "ask somebody with such a role")
        return ballot


def check_ready(live: Live) -> None:
    """Raise ``RefusedError`` unless the votes on a request meet its quorum."""
    check_quorum(live.scope, live.checked.people, tuple(ballot for ballot, _ in live.ballots.values()))


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
        Code.KEY_NOT_READY,
        Code.WITNESSES_MISSING,
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
