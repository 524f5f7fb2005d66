"""Finds the request that somebody made before for the very same: a job that runs again does not ask twice.

The server names candidates; what they are is read from their signed documents (docs/adr/0028).
"""

from collections.abc import Callable
from dataclasses import dataclass

from sealwright.client.api import Api
from sealwright.client.compose import PreparedArtifact
from sealwright.client.request_view import OPEN, RequestView, look
from sealwright.client.settings import Settings
from sealwright.policy.documents import Environment, Request, RestrictionKind
from sealwright.service.messages import StatusList
from sealwright.service.ports import RequestState

MAX_LOOKED_AT = 16
Artifacts = tuple[PreparedArtifact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What somebody would request now."""

    requester: str
    product: str
    release: str
    environment: Environment
    artifacts: Artifacts


def find(
    settings: Settings, api: Api, wanted: Wanted, prepare_at: Callable[[int], Artifacts]
) -> tuple[RequestView, Artifacts] | None:
    """Return the newest request that can still be signed, or is, and its artifacts as they were prepared for it.

    ``prepare_at`` lays the images out as at another time: a time that was filled in differs from run to run.
    """
    states = [str(state) for state in (*OPEN, RequestState.SIGNED)]
    image = wanted.artifacts[0].artifact.sha256
    listed = api.get(StatusList, "/v1/requests", image=image, product=wanted.product, state=states).requests
    likely = [s for s in listed if (s.requester, s.release) == (wanted.requester, wanted.release)]
    for status in likely[:MAX_LOOKED_AT]:
        view = look(settings, api, status.digest)
        if not _is_useful(view) or not _is_alike(view.request, wanted):
            continue
        if _is_same(view.request, wanted.artifacts):
            return view, wanted.artifacts
        earlier = prepare_at(view.request.created)
        if _is_same(view.request, earlier):
            return view, earlier
    return None


def _is_useful(view: RequestView) -> bool:
    """Whether it can be signed, or is, and no key of it was revoked since: such signatures are not fetched unseen."""
    if view.status.state != RequestState.SIGNED:
        return view.refusal is None
    revoked = view.standing.restrictions.by_kind[RestrictionKind.REVOKE_KEY_PROFILE]
    return all(slot.key_profile not in revoked for slot in view.request.slots)


def _is_alike(request: Request, wanted: Wanted) -> bool:
    """Whether all is the same that costs no second look at the images."""
    slots = [slot for made in wanted.artifacts for slot in made.slots]
    return (
        (request.requester, request.product, request.release, request.environment)
        == (wanted.requester, wanted.product, wanted.release, wanted.environment)
        and [(a.name, a.sha256, a.image_format) for a in request.artifacts]
        == [(a.artifact.name, a.artifact.sha256, a.artifact.image_format) for a in wanted.artifacts]
        and [(s.artifact, s.slot, s.key_profile) for s in request.slots]
        == [(s.artifact, s.slot, s.key_profile) for s in slots]
    )


def _is_same(request: Request, artifacts: Artifacts) -> bool:
    return request.artifacts == tuple(a.artifact for a in artifacts) and request.slots == tuple(
        slot for made in artifacts for slot in made.slots
    )
