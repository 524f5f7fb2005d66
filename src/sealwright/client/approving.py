"""What people do with a request: recompute it, vote on it with their own key, reject or cancel it with proof."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sealwright.client.administration import restrict
from sealwright.client.api import Api
from sealwright.client.compose import Recomputed, new_vote, sign_document
from sealwright.client.delivery import match_files
from sealwright.client.files import FileSource
from sealwright.client.log_view import check_logged
from sealwright.client.recompute import recompute
from sealwright.client.request_view import RequestView
from sealwright.client.settings import Settings
from sealwright.client.signing import state_of
from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.errors import Code, FormatError, RefusedError
from sealwright.formats import FORMATS
from sealwright.formats.interface import Inspection
from sealwright.policy.authorise import check_standing, check_vote
from sealwright.policy.counting import check_may_vote
from sealwright.policy.documents import Checked, Decision, KeyProfile, Person, RestrictionKind, State, Vote
from sealwright.service.messages import Result, Status, VoteBody
from sealwright.service.restrictions import Logged


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """A request that came out the same from a person's own files."""

    recomputed: Recomputed
    files: dict[str, FileSource]
    """By artifact name."""
    inspections: dict[str, Inspection]
    """What each file is, read from the person's own copy."""


def check(view: RequestView, sources: Sequence[FileSource]) -> Checkup:
    """Rebuild every slot of the request from these files; ``VerificationError`` says what differs."""
    files = match_files(view.request, sources)
    profiles = {profile.id: profile for profile in view.standing.sections.all(KeyProfile)}
    view.needed()
    recomputed = recompute(view.request, files, profiles, FORMATS)
    inspections = {a.name: _inspect(a.image_format, files[a.name]) for a in view.request.artifacts}
    return Checkup(recomputed=recomputed, files=files, inspections=inspections)


def _inspect(image_format: str, source: FileSource) -> Inspection:
    """Read a file as the format that it is signed as, and as no other: a file can claim to be two things at once."""
    try:
        return FORMATS[image_format].inspect(source)
    except FormatError as e:
        raise FormatError(
            f"{source.path.name} would be signed as {image_format}, but cannot be shown as that: {e.message}",
            code=e.code,
            hint="what cannot be shown cannot be approved with a file; reject the request, or ask its maker",
        ) from e


def compose_vote(
    settings: Settings,
    view: RequestView,
    person: str,
    decision: Decision,
    checkup: Checkup | None = None,
    *,
    reason: str = "",
) -> Vote:
    """Return the vote to be signed; refuses what would not count."""
    checked, rules = view.needed()
    now = int(time.time())
    check_standing(view.standing, now)
    _check_open(view)
    if person in checked.requesters:
        raise RefusedError(
            f"you are {person} and requested this yourself, or control the pipeline that did",
            code=Code.REQUESTER_VOTED,
            hint="ask somebody else to approve; to withdraw it: `sealwright request cancel`",
        )
    voter = view.standing.sections.get(Person, person)
    if voter is None or voter.state is not State.ACTIVE:
        raise RefusedError(
            f"{person} is not an active person of the policy",
            code=Code.VOTE_INVALID,
            hint="people with an approver's role vote; an administrator who shall is added as a person too: "
            f"`sealwright people add {person} --key FILE.pub --role approver`",
        )
    check_may_vote(person, voter, rules.scope, "ask somebody who has such a role; `sealwright people list` says who")
    if decision is Decision.APPROVE:
        _check_first(view, person, is_recomputed=checkup is not None)
    return new_vote(
        view.request,
        instance=settings.trust.instance,
        rules=rules.digest,
        decision=decision,
        person=person,
        now=now,
        entropy=os.urandom,
        recomputed=checkup.recomputed if checkup else None,
        reason=reason,
    )


def approve(settings: Settings, api: Api, view: RequestView, vote: Vote) -> Status:
    """Sign the vote and hand it in."""
    checked, rules = view.needed()
    signed = sign_document(vote, instance=settings.trust.instance, identity=settings.identity, signer=vote.person)
    check_vote(signed, checked, rules.digest, view.standing, now=vote.time)
    return api.post(Result, f"/v1/requests/{view.digest}/approve", VoteBody(vote=signed)).status


def reject(settings: Settings, api: Api, view: RequestView, vote: Vote) -> Logged:
    """Sign the rejection and hand it in; return only with proof that the veto is in the log."""
    instance = settings.trust.instance
    signed = sign_document(vote, instance=instance, identity=settings.identity, signer=vote.person)
    logged = api.post(Logged, f"/v1/requests/{view.digest}/reject", VoteBody(vote=signed))
    check_logged(
        api,
        settings.trust,
        logged,
        kind=RestrictionKind.VETO,
        subject=view.digest,
        person=vote.person,
        document=document_digest("vote", instance, records.serialise(vote)),
    )
    return logged


def cancel(settings: Settings, api: Api, view: RequestView, reason: str) -> Logged:
    """Withdraw a request; return only with proof that it is in the log."""
    _check_open(view)
    return restrict(settings, api, RestrictionKind.CANCEL, view.digest, reason)


def _check_open(view: RequestView) -> None:
    if state_of(view.status).is_final:
        detail = f": {view.status.detail}" if view.status.detail else ""
        raise RefusedError(f"request {view.request.id} is {view.status.state} already{detail}", code=Code.CONFLICT)


def _check_first(view: RequestView, person: str, *, is_recomputed: bool) -> None:
    mine = next((ballot for ballot in view.ballots if ballot.person.id == person), None)
    if mine is None or (is_recomputed and mine.vote.checked is Checked.DISPLAYED):
        return
    raise RefusedError(
        f"you approved request {view.request.id} already ({mine.vote.checked}); a second approval counts no more",
        code=Code.CONFLICT,
        hint="ask somebody else" if is_recomputed else "name the images to approve it as recomputed",
    )
