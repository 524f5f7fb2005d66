"""A request as its signed documents show it: who asked for what, under which rules, who voted, what is missing.

Nothing is taken from the server's tables but the state and its reason, which are the server's word.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sealwright.client.api import Api
from sealwright.client.files import FileSource
from sealwright.client.images import digests
from sealwright.client.settings import Settings
from sealwright.client.standing import fetch, needed
from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.envelopes import SignedDocument
from sealwright.core.errors import Code, RefusedError, SealwrightError, VerificationError
from sealwright.policy.authorise import (
    CheckedRequest,
    Standing,
    check_request,
    check_vote,
    rules_of,
)
from sealwright.policy.counting import may_vote, why_not
from sealwright.policy.documents import Checked, Decision, KeyProfile, Person, Request, Scope, Vote
from sealwright.policy.quorum import Ballot, check_quorum
from sealwright.service.messages import RequestAnswer, Status, StatusList
from sealwright.service.ports import RequestState

MAX_LISTED = 500
"""So many requests the server lists at a time."""
_BEGINNING = re.compile("r-[0-9a-f]{2,15}|[0-9a-f]{4,63}")
_TOO_SHORT = re.compile("r-?[0-9a-f]?|[0-9a-f]{0,3}")
OPEN = (RequestState.WAITING, RequestState.SIGNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a request stands under."""

    scope: Scope
    profiles: tuple[KeyProfile, ...]
    """Of each slot, in order."""
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """A vote that the server shows, and why it does not count if it does not."""

    vote: Vote
    ballot: Ballot | None
    """None for a veto, and for what does not count."""
    why: str = ""

    @property
    def counts(self) -> bool:
        return not self.why


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestView:
    """One request, with everything that could be checked checked."""

    status: Status
    request: Request
    signed: SignedDocument
    digest: str
    standing: Standing
    checked: CheckedRequest | None
    rules: Rules | None
    refusal: RefusedError | None
    """Why it cannot be approved as it is, apart from votes that are missing."""
    votes: tuple[Cast, ...]

    @property
    def ballots(self) -> tuple[Ballot, ...]:
        """The newest approval that counts of each person."""
        newest = {c.ballot.person.id: c.ballot for c in self.votes if c.ballot}
        return tuple(newest[person] for person in sorted(newest))

    @property
    def missing(self) -> str:
        """What the quorum still needs; empty when it is met."""
        if self.rules is None or self.checked is None:
            return ""
        try:
            check_quorum(self.rules.scope, self.checked.people, self.ballots)
        except RefusedError as e:
            return e.message
        return ""

    @property
    def progress(self) -> str:
        """How many approvals there are, and whose; empty where none is needed."""
        groups = self.rules.scope.quorum if self.rules else ()
        if not (need := sum(group.approvals for group in groups)):
            return ""
        people = [ballot.person.id for ballot in self.ballots]
        text = f"{len(people)} of {need} approval{'s' if need > 1 else ''}{': ' if people else ''}{', '.join(people)}"
        return f"{text}; not enough: {self.missing}" if len(people) >= need and self.missing else text

    def needed(self) -> tuple[CheckedRequest, Rules]:
        """Return what a vote stands on; raises why there can be none."""
        if self.checked is None or self.rules is None or self.refusal is not None:
            raise self.refusal or RefusedError("the request was not checked", code=Code.REQUEST_INVALID)
        return self.checked, self.rules


def look(settings: Settings, api: Api, name: str) -> RequestView:
    """Fetch a request by id or digest and check what the server shows.

    Raises when it is another request than asked for, or its requester's signature does not verify.
    """
    standing = needed(fetch(api, settings.trust))
    answer = api.get(RequestAnswer, f"/v1/requests/{_in_path(name)}")
    request = records.parse(Request, answer.request.document)
    digest = document_digest("request", settings.trust.instance, answer.request.document)
    if name not in (request.id, digest) or (answer.status.id, answer.status.digest) != (request.id, digest):
        raise VerificationError(
            "the server shows another request than was asked for", expected=name, got=f"{request.id} ({digest})"
        )
    now = int(time.time())
    checked, rules, refusal = _check(answer.request, request, standing, now)
    votes = sorted(((records.parse(Vote, s.document), s) for s in answer.votes), key=_age)
    return RequestView(
        status=answer.status,
        request=request,
        signed=answer.request,
        digest=digest,
        standing=standing,
        checked=checked,
        rules=rules,
        refusal=refusal,
        votes=_without_taken_back([_cast(signed, vote, checked, rules, standing, now) for vote, signed in votes]),
    )


def full_name(api: Api, name: str) -> str:
    """Return the digest of the one request whose id or digest begins so; a whole name comes back as it is."""
    if _TOO_SHORT.fullmatch(name):
        raise RefusedError(
            f"{name!r} is too short to say which request",
            code=Code.NOT_FOUND,
            hint="write more of its ID, as r-1a2b or 1a2b; `sealwright request list` shows them",
        )
    if not _BEGINNING.fullmatch(name):
        return name
    listed = api.get(StatusList, "/v1/requests", limit=MAX_LISTED).requests
    found = [s for s in listed if s.id.startswith((name, f"r-{name}")) or s.digest.startswith(name)]
    if len(found) != 1:
        which = ", ".join(f"{s.id} ({s.product} {s.release}, {s.environment})" for s in found[:8])
        raise RefusedError(
            f"{len(found)} requests begin with {name}: {which}" if found else f"there is no request {name}",
            code=Code.CONFLICT if found else Code.NOT_FOUND,
            hint="write more of it" if found else f"of the newest {MAX_LISTED}; older ones need their whole ID",
        )
    return found[0].digest


def find_by_image(api: Api, sources: Sequence[FileSource], states: Sequence[RequestState] = OPEN) -> str:
    """Return the digest of the one request in these states that has all these images; refuses none and several."""
    common: dict[str, Status] | None = None
    for source in sources:
        found = api.get(StatusList, "/v1/requests", image=digests(source).sha256, state=list(map(str, states))).requests
        here = {status.digest: status for status in found}
        common = here if common is None else {d: s for d, s in common.items() if d in here}
    if not common:
        raise _no_request_for(api, sources, states)
    if len(common) > 1:
        which = ", ".join(f"{s.id} ({s.product} {s.release}, {s.environment})" for s in common.values())
        raise RefusedError(
            f"{len(common)} requests are for this image: {which}", code=Code.CONFLICT, hint="name the ID first"
        )
    return next(iter(common))


def _no_request_for(api: Api, sources: Sequence[FileSource], states: Sequence[RequestState]) -> RefusedError:
    """Say so; a file with the name of an image that somebody requested is most likely another build of it."""
    listed = api.get(StatusList, "/v1/requests", state=list(map(str, states)), limit=MAX_LISTED).listed
    for source in sources:
        for one in listed:
            if source.path.name in one.images:
                status = one.status
                return RefusedError(
                    f"{source.path} is not the {source.path.name} of {status.id} "
                    f"({status.product} {status.release}, {status.environment}); "
                    f"no request that is {' or '.join(states)} is for these bytes",
                    code=Code.NOT_FOUND,
                    hint=f"ask {status.requester} for that file; `sealwright inspect {source.path} --against THEIRS` "
                    "says what differs",
                )
    return RefusedError(
        f"no request that is {' or '.join(states)} is for {' and '.join(str(s.path) for s in sources)}",
        code=Code.NOT_FOUND,
        hint="list them with `sealwright request list --state waiting`; with its ID you are told what differs",
    )


def _check(
    signed: SignedDocument, request: Request, standing: Standing, now: int
) -> tuple[CheckedRequest | None, Rules | None, RefusedError | None]:
    refusal = None
    if now >= request.expires:
        refusal = RefusedError(f"request {request.id} has expired", code=Code.REQUEST_EXPIRED, hint="request anew")
    checked = rules = None
    try:
        # What has expired can still be looked at, as it was.
        checked = check_request(signed, standing, min(now, request.expires - 1))
        scope, profiles, digest = rules_of(request, standing)
        rules = Rules(scope=scope, profiles=profiles, digest=digest)
    except RefusedError as e:
        if e.code is Code.REQUEST_SIGNATURE:
            raise VerificationError(
                f"the server shows a request that its requester did not sign so: {e.message}",
                code=Code.REQUEST_SIGNATURE,
                hint="somebody changed it; tell your administrators, and do not vote",
            ) from e
        refusal = refusal or e
    return checked, rules, refusal


def _without_taken_back(casts: list[Cast]) -> tuple[Cast, ...]:
    """Who rejects takes back what they approved."""
    rejected = {cast.vote.person for cast in casts if cast.counts and cast.vote.decision is Decision.REJECT}
    return tuple(
        Cast(vote=cast.vote, ballot=None, why="taken back by their veto")
        if cast.ballot and cast.vote.person in rejected
        else cast
        for cast in casts
    )


def _age(pair: tuple[Vote, SignedDocument]) -> tuple[int, bool]:
    """What orders votes: of two by one person in one second, the one that saw more is the newer."""
    return pair[0].time, pair[0].checked is Checked.RECOMPUTED


def _cast(
    signed: SignedDocument,
    vote: Vote,
    checked: CheckedRequest | None,
    rules: Rules | None,
    standing: Standing,
    now: int,
) -> Cast:
    if checked is None or rules is None:
        return Cast(vote=vote, ballot=None, why="not checked, since the request is not valid now")
    try:
        ballot = check_vote(signed, checked, rules.digest, standing, now=now)
    except SealwrightError as e:
        is_veto = e.code is Code.VETOED  # said after the signature was found good
        may = may_vote(standing.sections.get(Person, vote.person), rules.scope)
        why = "" if is_veto and may else f"{vote.person} has no role that votes here" if is_veto else e.message
        return Cast(vote=vote, ballot=None, why=why)
    if why := why_not(ballot, rules.scope):
        return Cast(vote=vote, ballot=None, why=why)
    return Cast(vote=vote, ballot=ballot)


def _in_path(name: str) -> str:
    if not name or not name.isascii() or not all(c.isalnum() or c in "._-" for c in name) or name.strip(".") == "":
        raise RefusedError(f"{name[:80]!r} is no request", code=Code.NOT_FOUND, hint="`sealwright request list`")
    return name
