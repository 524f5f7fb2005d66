"""Has images signed: chooses format and keys, prepares here, uploads, submits, waits.

Everything that server and signer would refuse is refused before an image travels.
"""

import os
import time
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass

from sealwright.client.api import Api
from sealwright.client.compose import PreparedArtifact, artifact_name, new_request, prepare_artifact, sign_document
from sealwright.client.files import FileSource
from sealwright.client.images import also_claimed, choose_format, naming
from sealwright.client.options import check_known, check_values, parse_options, with_time
from sealwright.client.request_view import look
from sealwright.client.resuming import Wanted, find
from sealwright.client.settings import Settings
from sealwright.client.standing import fetch, needed
from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.envelopes import SignedDocument
from sealwright.core.errors import ArgumentError, Code, FormatError, RefusedError, UnavailableError
from sealwright.formats import FORMATS
from sealwright.formats.interface import TargetProfile
from sealwright.formats.targets import ANY, TARGETS
from sealwright.policy.authorise import Standing, check_request, check_standing, check_times, rules_of
from sealwright.policy.documents import (
    Environment,
    KeyProfile,
    Pipeline,
    Purpose,
    Request,
    RestrictionKind,
    Scope,
    State,
)
from sealwright.policy.key_sets import sets_for
from sealwright.service.messages import MAX_WAIT_SECONDS, Result, Status, SubmitBody
from sealwright.service.ports import RequestState

Tell = Callable[[str], None]
RETRY_SECONDS = 1.0
PROGRESS_SECONDS = 5
"""How soon somebody who watches hears of a vote, or of what the signer does."""
ROTATE = "too few numbers are left, so rotate the key: `sealwright key create`, then `sealwright policy propose`"
LARGE_BYTES = 16 << 20  # takes long enough to say so


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What somebody wants signed."""

    product: str
    release: str
    environment: Environment
    lifetime_seconds: int
    key_profiles: tuple[str, ...] = ()
    """Ids, or the last part of ids; chosen by format when empty."""
    image_format: str | None = None
    options: tuple[str, ...] = ()
    target: str = ANY.name
    is_new: bool = False
    """Ask anew, also where one's own request for the very same is open or signed."""

    @property
    def scope(self) -> str:
        """Id of the scope."""
        return f"{self.product}/{self.environment}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A request that the server keeps, with what assembles its images later."""

    request: Request
    digest: str
    artifacts: tuple[PreparedArtifact, ...]
    status: Status
    is_resumed: bool = False
    """Whether it was made before, by an earlier run."""


def submit(
    settings: Settings,
    api: Api,
    order: Order,
    sources: Sequence[FileSource],
    tell: Tell,
    check: Callable[[Sequence[PreparedArtifact]], None] = lambda _: None,
) -> Submitted:
    """Prepare the images, upload each once, and submit the signed request; or take up one's own earlier one.

    ``check`` may still refuse a new request when it is known what would be asked for.
    """
    now = int(time.time())
    standing = needed(fetch(api, settings.trust))
    check_standing(standing, now)
    artifacts = prepare(order, sources, standing, now)
    _tell_claims(order, sources, artifacts, tell)
    if not order.is_new:
        wanted = Wanted(
            requester=api.who(),
            product=order.product,
            release=order.release,
            environment=order.environment,
            artifacts=artifacts,
        )
        found = find(settings, api, wanted, lambda then: prepare(order, sources, standing, then))
        if found is not None:
            view, prepared = found
            return Submitted(
                request=view.request, digest=view.digest, artifacts=prepared, status=view.status, is_resumed=True
            )
    check(artifacts)
    signed = _sign_request(settings, api.who(), order, artifacts, standing, now)
    _upload(api, sources, artifacts, tell)
    body = SubmitBody(request=signed, messages=tuple(m for a in artifacts for m in a.messages))
    return Submitted(
        request=records.parse(Request, signed.document),
        digest=document_digest("request", settings.trust.instance, signed.document),
        artifacts=artifacts,
        status=api.post(Result, "/v1/requests", body).status,
    )


def _tell_claims(
    order: Order, sources: Sequence[FileSource], artifacts: Sequence[PreparedArtifact], tell: Tell
) -> None:
    """Tell of images that other formats claim too, unless somebody said which it is."""
    if order.image_format:
        return
    for source, made in zip(sources, artifacts, strict=True):
        if claims := also_claimed(source, FORMATS[made.artifact.image_format]):
            tell(f"{made.artifact.name}: {claims}")


def _sign_request(
    settings: Settings, who: str, order: Order, artifacts: Sequence[PreparedArtifact], standing: Standing, now: int
) -> SignedDocument:
    """Compose and sign the request; refuses what server and signer would refuse."""
    request = new_request(
        artifacts,
        log=settings.trust.log,
        requester=who,
        product=order.product,
        release=order.release,
        environment=order.environment,
        now=now,
        lifetime_seconds=order.lifetime_seconds,
        entropy=os.urandom,
        is_pipeline=standing.sections.get(Pipeline, who) is not None,
    )
    rules_of(request, standing)
    check_times(request)
    signed = sign_document(request, instance=settings.trust.instance, identity=settings.identity, signer=who)
    check_request(signed, standing, now)
    return signed


def _upload(api: Api, sources: Sequence[FileSource], artifacts: Sequence[PreparedArtifact], tell: Tell) -> None:
    named = {made.artifact.sha256: (source, made.artifact) for source, made in zip(sources, artifacts, strict=True)}
    for source, artifact in named.values():
        if artifact.size >= LARGE_BYTES:
            tell(f"uploading {artifact.name}, {artifact.size >> 20} MiB")
        api.upload(source, artifact.sha256)


def prepare(order: Order, sources: Sequence[FileSource], standing: Standing, now: int) -> tuple[PreparedArtifact, ...]:
    """Lay out every image for its keys."""
    names = [artifact_name(source.path) for source in sources]
    formats = [choose_format(source, order.image_format) for source in sources]
    check_known(formats, order.options)
    target = find_target(order.target)
    keys = choose_keys(order, [known.name for known in formats], standing)
    prepared = []
    for source, name, known in zip(sources, names, formats, strict=True):
        options = with_time(known, parse_options(known, order.options), now)
        check_values(known, options)
        with naming(source.path if len(sources) > 1 else None):
            prepared.append(prepare_artifact(source, name, known, keys[known.name], options, target))
    return tuple(prepared)


def choose_keys(order: Order, formats: Iterable[str], standing: Standing) -> dict[str, tuple[KeyProfile, ...]]:
    """Return the keys for each format: those named, else its key set, else the only one that can sign it."""
    scope = standing.sections.get(Scope, order.scope)
    if scope is None:
        known = ", ".join(scope.id for scope in standing.sections.all(Scope)) or "none"
        raise ArgumentError(
            f"the policy has no {order.product} in {order.environment}", setting="--product", hint=f"it has: {known}"
        )
    profiles = [k for k in standing.sections.all(KeyProfile) if f"{k.product}/{k.environment}" == order.scope]
    if not order.key_profiles:
        revoked = standing.restrictions.by_kind[RestrictionKind.REVOKE_KEY_PROFILE]
        return {
            name: _the_set(order, name, scope, profiles) or (_the_only(order, name, profiles, revoked),)
            for name in formats
        }
    sets = {key_set.id: key_set.members for key_set in scope.key_sets or ()}
    names = [member for name in order.key_profiles for member in sets.get(name, (name,))]
    named = [_named(order, name, profiles) for name in dict.fromkeys(names)]
    chosen = {name: tuple(k for k in named if k.image_format in (None, name)) or tuple(named) for name in formats}
    for profile in named:
        if all(profile not in keys for keys in chosen.values()):
            raise RefusedError(
                f"key profile {profile.id} signs {profile.image_format}, none of the images is that",
                code=Code.KEY_PROFILE_MISMATCH,
            )
    return chosen


def _the_set(order: Order, image_format: str, scope: Scope, profiles: Sequence[KeyProfile]) -> tuple[KeyProfile, ...]:
    """Return the members of the one key set for a format, nothing if there is none."""
    fitting = sets_for(scope, image_format)
    if len(fitting) > 1:
        raise RefusedError(
            f"{len(fitting)} key sets of {order.scope} sign {image_format}: {', '.join(s.id for s in fitting)}",
            code=Code.KEY_PROFILE_MISMATCH,
            hint="choose with --key-profile SET",
        )
    return tuple(_named(order, member, profiles) for key_set in fitting for member in key_set.members)


def _the_only(order: Order, image_format: str, profiles: Sequence[KeyProfile], revoked: Container[str]) -> KeyProfile:
    fitting = [
        k
        for k in profiles
        if k.id not in revoked
        and k.state is State.ACTIVE
        and k.purpose is Purpose.FIRMWARE
        and k.image_format in (None, image_format)
    ]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise RefusedError(
            f"{len(fitting)} keys of {order.scope} sign {image_format}: {', '.join(k.id for k in fitting)}",
            code=Code.KEY_PROFILE_MISMATCH,
            hint="choose with --key-profile; named several times, all of them sign",
        )
    others = ", ".join(
        f"{k.id} ({'revoked' if k.id in revoked else k.state}, {k.purpose}, {k.image_format or 'any format'})"
        for k in profiles
    )
    raise RefusedError(
        f"no active key of {order.scope} signs {image_format}",
        code=Code.KEY_PROFILE_MISMATCH,
        hint=f"its keys: {others or 'none'}; is the image what you think (`sealwright inspect`), or name its --format",
    )


def _named(order: Order, name: str, profiles: Sequence[KeyProfile]) -> KeyProfile:
    for profile in profiles:
        if profile.id in (name, f"{order.scope}/{name}"):
            return profile
    raise ArgumentError(
        f"{order.scope} has no key {name[:96]}",
        setting="--key-profile",
        hint=f"its keys: {', '.join(k.id for k in profiles) or 'none'}",
    )


def find_target(name: str) -> TargetProfile:
    """Return a target profile by name."""
    if name == ANY.name:
        return ANY
    if name not in TARGETS:
        raise ArgumentError(
            f"there is no target {name[:60]}", setting="--target", hint=f"targets: {', '.join(sorted(TARGETS))}"
        )
    return TARGETS[name]


def watch(settings: Settings, api: Api, digest: str, seconds: float, tell: Tell) -> Status:
    """Wait, and tell of each vote that comes meanwhile, by the votes themselves, then of what the signer does.

    That is the server's word.
    """
    said = ""

    def changed(status: Status) -> None:
        nonlocal said
        is_signing = state_of(status) is RequestState.SIGNING
        text = (status.detail if is_signing else "") or look(settings, api, digest).progress
        if text and text != said:
            tell(text)
            said = text

    return wait(api, digest, seconds, changed)


def wait(api: Api, digest: str, seconds: float, changed: Callable[[Status], None] | None = None) -> Status:
    """Return where a request stands once that is final, or after ``seconds``; a restart of the server is bridged.

    ``changed`` is called with the first state and whenever the server says another one that is not final.
    """
    deadline = time.monotonic() + seconds
    seen: Status | None = None
    while True:
        left = deadline - time.monotonic()
        try:
            longest = 0 if changed and not seen else PROGRESS_SECONDS if changed else MAX_WAIT_SECONDS
            patience = min(longest, max(0, -int(-left // 1)))
            status = api.get(Result, f"/v1/requests/{digest}/result", wait=patience).status
        except UnavailableError:
            if left <= 0:
                raise
            time.sleep(min(RETRY_SECONDS, left))
            continue
        is_final = state_of(status).is_final
        if changed and status != seen and not is_final:
            changed(status)
        seen = status
        if left <= 0 or is_final:
            return status


def state_of(status: Status) -> RequestState:
    """Return the state that the server gives; ``FormatError`` if it is none."""
    try:
        return RequestState(status.state)
    except ValueError:
        raise FormatError(f"the server speaks of a state {status.state[:40]!r}", code=Code.INVALID_DOCUMENT) from None


def check_signed(status: Status, resume: str) -> None:
    """Return if the request is signed; ``UnavailableError`` while that can come, ``RefusedError`` once it cannot."""
    state = state_of(status)
    if state is RequestState.SIGNED:
        return
    detail = f": {status.detail}" if status.detail else ""
    if not state.is_final:
        raise UnavailableError(
            f"request {status.id} is still {state}{detail}",
            code=Code.STILL_WAITING,
            retry_after_seconds=MAX_WAIT_SECONDS,
            hint=f"resume with `{resume}`",
        )
    code = _code_of(state, status.detail)
    hint = ROTATE if code is Code.STATE_EXHAUSTED else "request anew"
    raise RefusedError(f"request {status.id} is {state}{detail}", code=code, hint=hint)


def _code_of(state: RequestState, detail: str) -> Code:
    if state is RequestState.EXPIRED:
        return Code.REQUEST_EXPIRED
    said = detail.partition(":")[0]
    return Code(said) if state is RequestState.REFUSED and said in set(Code) else Code.VETOED
