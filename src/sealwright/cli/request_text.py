"""How a request is shown: readable, every line from the signed documents, the server's word named as such."""

from typing import Any

from sealwright.cli.option_text import option_rows
from sealwright.cli.output import counted, iso, show, show_table, utc
from sealwright.client.request_view import Cast, RequestView
from sealwright.core import records
from sealwright.core.errors import Code
from sealwright.policy.documents import Artifact, QuorumGroup, RequestSlot, Vote


def show_request(view: RequestView) -> None:
    """Print one request."""
    request, status = view.request, view.status
    show(f"request {request.id}")
    # That votes are missing is said below, from the votes themselves.
    is_waiting = status.detail.startswith(Code.QUORUM_NOT_MET)
    state = f"{status.state}: {status.detail}" if status.detail and not is_waiting else status.state
    rows = [
        ("state", f"{state} (says the server)"),
        ("product", f"{request.product} {request.release}"),
        ("environment", request.environment),
        ("requested by", f"{request.requester} ({_kind(view)}), {_signature(view)}"),
        ("created", utc(request.created)),
        ("expires", utc(request.expires)),
    ]
    rows += [(f"claim {claim.name}", claim.value) for claim in request.claims]
    if view.rules is not None:
        rows += [("needs", "; ".join(map(_spell, view.rules.scope.quorum)) or "no approval")]
        rows += [("so far", view.progress)] if view.progress else []
    if view.refusal is not None:
        rows += [("refused", view.refusal.message)]
    rows += [("digest", view.digest)]
    show_table(rows)
    for artifact in request.artifacts:
        _show_artifact(view, artifact)
    for cast in view.votes:
        show(f"vote of {cast.vote.person}: {_spell_vote(cast)}")


def _signature(view: RequestView) -> str:
    return "signature verified" if view.checked else "signature NOT verified"


def _kind(view: RequestView) -> str:
    """Spell what the requester is; the controllers of a pipeline requested with it, and cannot approve."""
    controllers = sorted(view.checked.requesters - {view.request.requester}) if view.checked else []
    return f"{view.request.requester_kind}{' controlled by ' + ', '.join(controllers) if controllers else ''}"


def _show_artifact(view: RequestView, artifact: Artifact) -> None:
    show(f"artifact {artifact.name}")
    rows = [
        ("format", artifact.image_format),
        ("size", f"{artifact.size} bytes"),
        ("sha256", artifact.sha256),
        ("sha512", artifact.sha512),
    ]
    rows += option_rows(artifact)
    profiles = {profile.id: profile for profile in view.rules.profiles} if view.rules else {}
    for slot in view.request.slots:
        if slot.artifact == artifact.name:
            profile = profiles.get(slot.key_profile)
            key = f"{slot.key_profile}, {profile.algorithm}, {profile.grade} key" if profile else slot.key_profile
            rows += [(f"slot {slot.slot}", key), ("", spell_digest(slot))]
    show_table(rows)


def spell_digest(slot: RequestSlot) -> str:
    """Spell what a slot signs."""
    return slot.digest if slot.after is None else f"the signature of slot {slot.after}, then {slot.digest}"


def slot_json(slot: RequestSlot) -> dict[str, Any]:
    """Return a slot of a known artifact."""
    return {name: value for name, value in records.dump(slot).items() if name != "artifact"}


def _spell_vote(cast: Cast) -> str:
    vote = cast.vote
    said = f"{vote.decision}, {vote.checked}, {utc(vote.time)}" + (f", because: {vote.reason}" if vote.reason else "")
    return said if cast.counts else f"{said}; does not count: {cast.why}"


def vote_rows(vote: Vote) -> list[tuple[str, str]]:
    """Return every member of a vote: together they are exactly the canonical document that is signed."""
    spelt = {"time": f"{vote.time} ({utc(vote.time)})", "reports": ", ".join(vote.reports) or "none"}
    return [(name, spelt.get(name, str(value))) for name, value in sorted(records.dump(vote).items())]


def _spell(group: QuorumGroup) -> str:
    recomputed = f", {group.recomputed} of them recomputed" if group.recomputed else ""
    return f"{counted(group.approvals, 'approval')} by {' or '.join(group.roles)}{recomputed}"


def request_json(view: RequestView) -> dict[str, Any]:
    """Return the same for programs."""
    request, status = view.request, view.status
    return {
        "id": request.id,
        "digest": view.digest,
        "state": status.state,
        "detail": status.detail,
        "product": request.product,
        "release": request.release,
        "environment": request.environment,
        "requester": request.requester,
        "requesters": sorted(view.checked.requesters) if view.checked else [request.requester],
        "requester_verified": view.checked is not None,
        "created": iso(request.created),
        "expires": iso(request.expires),
        "refused": view.refusal.message if view.refusal else "",
        "missing": view.missing,
        "quorum": [records.dump(group) for group in view.rules.scope.quorum] if view.rules else [],
        "votes": [
            {
                "person": cast.vote.person,
                "decision": cast.vote.decision,
                "checked": cast.vote.checked,
                "time": iso(cast.vote.time),
                "reason": cast.vote.reason or "",
                "counts": cast.counts,
                "why_not": cast.why,
            }
            for cast in view.votes
        ],
        "request": records.dump(request),
    }
