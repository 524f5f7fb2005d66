"""``authorise``: raw documents in, ``Approved`` or a refusal out. The one place that decides; no format, no I/O.

The signer runs it before it signs (``now`` is its clock), clients and auditors with the time of the outcome.
Every refusal names the rule, what was found, and what would satisfy it.  Specification: ``docs/spec/authorise.md``.
"""

from dataclasses import dataclass
from itertools import groupby

from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.envelopes import SignedDocument
from sealwright.core.errors import Code, FormatError, RefusedError, VerificationError
from sealwright.core.keys import Algorithm
from sealwright.policy import key_sets
from sealwright.policy.documents import (
    MAX_CLOCK_SKEW_SECONDS,
    MAX_REQUEST_SECONDS,
    Decision,
    KeyProfile,
    Mode,
    Person,
    Pipeline,
    Policy,
    Purpose,
    Request,
    RequestSlot,
    RestrictionKind,
    Root,
    Scope,
    State,
    Vote,
)
from sealwright.policy.entries import IntentEntry
from sealwright.policy.fold import Restrictions
from sealwright.policy.quorum import Ballot, check_quorum
from sealwright.policy.sections import Sections
from sealwright.policy.signatures import Namespace, the_envelope, verify_envelope

SIGNING_PURPOSES = frozenset({Purpose.FIRMWARE, Purpose.UPDATE_METADATA})
TIME_OPTIONS = frozenset({"signing_time", "timestamp"})
"""Frozen options that hold a time, in seconds since 1970, that ends up in signed bytes."""
_HASH_HEX_DIGITS = {"sha256": 64, "sha384": 96, "sha512": 128}


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """What one intent stands on, as signed: nothing anybody says about them is believed."""

    request: SignedDocument
    votes: tuple[SignedDocument, ...]
    reports: tuple[SignedDocument, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is in force at one point of a log."""

    instance: str
    origin: str
    root: Root
    policy: Policy
    sections: Sections
    restrictions: Restrictions


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedRequest:
    """A request that its requester signed and may still be voted on."""

    request: Request
    digest: str
    requesters: frozenset[str]
    """Everybody who counts as its requester: the person, or the pipeline and its controllers."""

    @property
    def people(self) -> frozenset[str]:
        """The people among the requesters."""
        is_pipeline = self.request.requester_kind == "pipeline"
        return self.requesters - {self.request.requester} if is_pipeline else self.requesters


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """A request that met its rules. Only ``authorise`` makes one."""

    request: Request
    request_digest: str
    rules_digest: str
    scope: Scope
    profiles: tuple[KeyProfile, ...]
    """The key profile of each slot, in the order of ``request.slots``."""
    ballots: tuple[Ballot, ...]


def authorise(documents: Documents, intent: IntentEntry, standing: Standing, *, now: int) -> Approved:
    """Decide whether these documents allow the signatures that ``intent`` announces, at POSIX time ``now``."""
    approved = evaluate(documents, standing, now=now)
    if intent.request != approved.request_digest:
        raise RefusedError("the intent is for another request", code=Code.INTENT_MISMATCH)
    if intent.rules != approved.rules_digest:
        raise RefusedError("the intent names other rules", code=Code.RULES_CHANGED)
    if intent.votes != tuple(b.digest for b in approved.ballots) or intent.reports:
        raise RefusedError("the intent names other votes or reports than were given", code=Code.INTENT_MISMATCH)
    return approved


def evaluate(documents: Documents, standing: Standing, *, now: int) -> Approved:
    """Everything of ``authorise`` but the intent: also what tells a server that a request has its quorum."""
    check_standing(standing, now)
    checked = check_request(documents.request, standing, now)
    scope, profiles, rules = rules_of(checked.request, standing)
    if scope.gates or documents.reports:
        raise RefusedError(
            f"scope {scope.id} demands gates {[g.gate for g in scope.gates]}, none can be checked here",
            code=Code.GATES_NOT_MET,
        )
    ballots = tuple(check_vote(vote, checked, rules, standing, now=now) for vote in documents.votes)
    check_quorum(scope, checked.people, ballots)
    return Approved(
        request=checked.request,
        request_digest=checked.digest,
        rules_digest=rules,
        scope=scope,
        profiles=profiles,
        ballots=ballots,
    )


def check_standing(standing: Standing, now: int) -> None:
    """Raise ``RefusedError`` when root or policy is expired at ``now``, or not yet made: lifetimes begin there."""
    if now >= standing.root.expires:
        raise RefusedError(f"root version {standing.root.version} has expired", code=Code.ROOT_EXPIRED)
    if now >= standing.policy.expires:
        raise RefusedError(
            f"policy version {standing.policy.version} has expired",
            code=Code.POLICY_EXPIRED,
            hint="renew it with `sealwright policy propose --renew`",
        )
    for document, code in ((standing.root, Code.ROOT_INVALID), (standing.policy, Code.POLICY_INVALID)):
        if document.created > now + MAX_CLOCK_SKEW_SECONDS:
            raise RefusedError(f"{document.type} version {document.version} was created in the future", code=code)


def check_request(signed: SignedDocument, standing: Standing, now: int) -> CheckedRequest:
    """Check a signed request: of this log, alive, signed by its requester, well formed, not vetoed."""
    request = records.parse(Request, signed.document)
    digest = document_digest("request", standing.instance, signed.document)
    if request.log != standing.origin:
        raise RefusedError(f"request is for log {request.log}, not {standing.origin}", code=Code.WRONG_LOG)
    if request.created > now + MAX_CLOCK_SKEW_SECONDS:
        raise RefusedError("request was created in the future", code=Code.REQUEST_NOT_YET_VALID)
    if now >= request.expires:
        raise RefusedError("request has expired", code=Code.REQUEST_EXPIRED, hint="request anew")
    if not request.created < request.expires <= request.created + MAX_REQUEST_SECONDS:
        raise RefusedError("request lives longer than 30 days", code=Code.REQUEST_INVALID)
    for kind in (RestrictionKind.VETO, RestrictionKind.CANCEL):
        if (index := standing.restrictions.find(kind, digest)) is not None:
            raise RefusedError(f"request met a {kind} at log index {index}", code=Code.VETOED, hint="request anew")
    _check_slots(request)
    check_times(request)
    requesters = _check_requester(signed, request, digest, standing)
    return CheckedRequest(request=request, digest=digest, requesters=requesters)


def _check_requester(signed: SignedDocument, request: Request, digest: str, standing: Standing) -> frozenset[str]:
    kind: type[Person] | type[Pipeline] = Person if request.requester_kind == "person" else Pipeline
    requester = standing.sections.get(kind, request.requester)
    if not isinstance(requester, Person | Pipeline) or requester.state is not State.ACTIVE:
        raise RefusedError(
            f"{request.requester_kind} {request.requester} is not in the policy or not active",
            code=Code.REQUESTER_NOT_ALLOWED,
        )
    _check_not_revoked(RestrictionKind.REVOKE_PERSON, requester.id, standing)
    envelope = the_envelope(signed, Code.REQUEST_SIGNATURE)
    if envelope.signer != requester.id:
        raise RefusedError(f"signed by {envelope.signer}, not by its requester", code=Code.REQUEST_SIGNATURE)
    try:
        verify_envelope(envelope, digest, requester.authenticators, Namespace.REQUEST)
    except (VerificationError, FormatError) as e:
        raise RefusedError(f"request signature: {e}", code=Code.REQUEST_SIGNATURE) from None
    _check_not_revoked(RestrictionKind.REVOKE_AUTHENTICATOR, envelope.authenticator, standing)
    controllers = requester.controllers if isinstance(requester, Pipeline) else ()
    return frozenset({requester.id, *controllers})


def _check_slots(request: Request) -> None:
    names = {artifact.name for artifact in request.artifacts}
    if len(names) < len(request.artifacts):
        raise RefusedError("an artifact name is there twice", code=Code.SLOT_INVALID)
    places = [(s.artifact, s.slot) for s in request.slots]
    messages = [(s.artifact, s.key_profile, s.digest) for s in request.slots]
    for alike in (places, messages):
        if len(set(alike)) < len(alike):
            twice = next(i for i, one in enumerate(alike) if one in alike[:i])
            raise RefusedError(f"slot {request.slots[twice].slot} is there twice", code=Code.SLOT_INVALID)
    if {s.artifact for s in request.slots} != names:
        raise RefusedError("an artifact has no slot, or a slot no artifact", code=Code.SLOT_INVALID)
    if [name for name, _ in groupby(s.artifact for s in request.slots)] != [a.name for a in request.artifacts]:
        raise RefusedError("the slots do not stand in the order of their artifacts", code=Code.SLOT_INVALID)
    _check_after(request)


def _check_after(request: Request) -> None:
    """A signature may be over one of an earlier slot of its artifact and key, itself over none, once."""
    free: set[tuple[str, str, str]] = set()
    for slot in request.slots:
        place = slot.artifact, slot.after or slot.slot, slot.key_profile
        if slot.after is None:
            free.add(place)
        elif place in free:
            free.remove(place)
        else:
            raise RefusedError(f"slot {slot.slot} cannot sign a signature of {slot.after}", code=Code.SLOT_INVALID)


def check_times(request: Request) -> None:
    """A time that ends up in signed bytes may not be chosen far from when it was asked for.

    Whatever the format: an option of one of these names is such a time everywhere.
    """
    least = request.created - MAX_CLOCK_SKEW_SECONDS
    for artifact in request.artifacts:
        for option in TIME_OPTIONS & artifact.options.keys():
            time = artifact.options[option]
            if not isinstance(time, int) or not least <= time < request.expires:
                raise RefusedError(
                    f"artifact {artifact.name}: option {option} is {str(time)[:40]}, outside the request's life "
                    f"({least} to {request.expires})",
                    code=Code.REQUEST_INVALID,
                    hint="prepare the image anew with the time of now",
                )


def rules_of(request: Request, standing: Standing) -> tuple[Scope, tuple[KeyProfile, ...], str]:
    """Return the scope of a request, the key profile of each slot, and the rules digest that votes refer to."""
    scope_id = f"{request.product}/{request.environment}"
    scope = standing.sections.get(Scope, scope_id)
    if scope is None:
        raise RefusedError(f"the policy has no scope {scope_id}", code=Code.REQUEST_INVALID)
    requester = standing.sections.get(Person, request.requester) or standing.sections.get(Pipeline, request.requester)
    if requester is None or not set(requester.roles) & set(scope.requesters):
        raise RefusedError(
            f"{request.requester} may not request for {scope_id}",
            code=Code.REQUESTER_NOT_ALLOWED,
            hint=f"it takes the role {' or '.join(scope.requesters)}",
        )
    if request.mode not in scope.modes or request.mode is not Mode.UPLOAD:
        raise RefusedError(f"mode {request.mode} needs a grant", code=Code.REQUEST_INVALID)
    _check_slots(request)
    formats = {artifact.name: artifact.image_format for artifact in request.artifacts}
    profiles = tuple(_profile_of(slot, formats[slot.artifact], scope, standing) for slot in request.slots)
    if any(s.after and p.algorithm is not Algorithm.ED25519 for s, p in zip(request.slots, profiles, strict=True)):
        raise RefusedError(f"only a key of {Algorithm.ED25519} signs a signature", code=Code.SLOT_INVALID)
    key_sets.check_request(scope, request)
    return scope, profiles, rules_digest(scope, profiles, standing)


def rules_digest(scope: Scope, profiles: tuple[KeyProfile, ...], standing: Standing) -> str:
    """Digest of the scope and key-profile sections alone: edits elsewhere do not void pending votes."""
    rules = {
        "type": "rules",
        "format": 1,
        "scope": standing.sections.digest_of(scope),
        "key_profiles": sorted({standing.sections.digest_of(profile) for profile in profiles}),
    }
    return document_digest("rules", standing.instance, records.serialise(rules))


def _profile_of(slot: RequestSlot, image_format: str, scope: Scope, standing: Standing) -> KeyProfile:
    profile = standing.sections.get(KeyProfile, slot.key_profile)
    if profile is None or profile.state is not State.ACTIVE:
        raise RefusedError(f"key profile {slot.key_profile} is not active", code=Code.KEY_PROFILE_MISMATCH)
    _check_not_revoked(RestrictionKind.REVOKE_KEY_PROFILE, profile.id, standing)
    if (profile.product, profile.environment) != (scope.product, scope.environment):
        found = f"is for {profile.product}/{profile.environment}, the request for {scope.id}"
    elif profile.purpose not in SIGNING_PURPOSES:
        found = f"is for {profile.purpose}"
    elif profile.image_format not in (None, image_format):
        found = f"signs {profile.image_format}, the artifact is {image_format}"
    elif profile.grade not in scope.key_grades:
        found = f"is graded {profile.grade}, the scope takes {list(map(str, scope.key_grades))}"
    elif len(slot.digest) != _HASH_HEX_DIGITS[profile.algorithm.hash_name]:
        found = f"signs {profile.algorithm}, the digest has {len(slot.digest) // 2} bytes"
    else:
        return profile
    raise RefusedError(f"key profile {profile.id} {found}", code=Code.KEY_PROFILE_MISMATCH)


def check_vote(signed: SignedDocument, checked: CheckedRequest, rules: str, standing: Standing, *, now: int) -> Ballot:
    """Check one vote on a request; return the ballot, or raise ``RefusedError`` with the rule it breaks."""
    vote = records.parse(Vote, signed.document)
    digest = document_digest("vote", standing.instance, signed.document)
    envelope = the_envelope(signed, Code.VOTE_INVALID)
    if vote.request != checked.digest:
        raise RefusedError(f"vote of {vote.person} is for another request", code=Code.VOTE_INVALID)
    if vote.person in checked.requesters:
        raise RefusedError(f"{vote.person} requested or controls the pipeline", code=Code.REQUESTER_VOTED)
    person = standing.sections.get(Person, vote.person)
    if person is None or person.state is not State.ACTIVE or envelope.signer != vote.person:
        raise RefusedError(f"vote of {vote.person}: not an active person of the policy", code=Code.VOTE_INVALID)
    _check_not_revoked(RestrictionKind.REVOKE_PERSON, vote.person, standing)
    _check_not_revoked(RestrictionKind.REVOKE_AUTHENTICATOR, envelope.authenticator, standing)
    try:
        authenticator = verify_envelope(envelope, digest, person.authenticators, Namespace.VOTE)
    except (VerificationError, FormatError) as e:
        raise RefusedError(f"vote of {vote.person}: {e}", code=Code.VOTE_INVALID) from None
    if vote.decision is Decision.REJECT:
        raise RefusedError(f"{vote.person} rejected the request", code=Code.VETOED, hint="request anew")
    if vote.rules != rules:
        raise RefusedError(f"the rules changed after {vote.person} voted", code=Code.RULES_CHANGED, hint="vote again")
    if vote.reports:
        raise RefusedError(f"vote of {vote.person} names reports unknown here", code=Code.GATES_NOT_MET)
    if not checked.request.created - MAX_CLOCK_SKEW_SECONDS <= vote.time <= now + MAX_CLOCK_SKEW_SECONDS:
        raise RefusedError(f"vote of {vote.person} lies outside the request's life", code=Code.VOTE_INVALID)
    if vote.reason is not None:
        raise RefusedError(f"{vote.person} approves and says why; only rejections do", code=Code.VOTE_INVALID)
    return Ballot(vote=vote, digest=digest, person=person, authenticator=authenticator)


def _check_not_revoked(kind: RestrictionKind, subject: str, standing: Standing) -> None:
    if (index := standing.restrictions.find(kind, subject)) is not None:
        what = kind.removeprefix("revoke-")
        raise RefusedError(f"{what} {subject} was revoked at log index {index}", code=Code.REVOKED)
