"""Makes the documents that a person or pipeline signs: artifacts and slots from images, requests, votes, restrictions.

Time and entropy come from the caller.  A vote says ``recomputed`` only on the strength of a ``Recomputed``, which only
``client.recompute`` makes.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sealwright.client import ssh
from sealwright.client.images import SMALL_BYTES, digests
from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.envelopes import Envelope, SignatureKind, SignedDocument
from sealwright.core.errors import Code, FormatError, RefusedError
from sealwright.core.images import ByteSource, DigestedSource
from sealwright.evidence.signed_image import signing_keys
from sealwright.formats import raw
from sealwright.formats.interface import Format, Prepared, TargetProfile
from sealwright.formats.targets import ANY
from sealwright.policy.documents import (
    MAX_REQUEST_SECONDS,
    MAX_SLOTS,
    Artifact,
    Checked,
    Claim,
    Decision,
    Environment,
    KeyProfile,
    Mode,
    Request,
    RequestSlot,
    Restriction,
    RestrictionKind,
    State,
    Vote,
)
from sealwright.policy.signatures import Namespace

Entropy = Callable[[int], bytes]
Record = TypeVar("Record")
SALT_BYTES = 16
ID_BYTES = 8
MAX_NAME = 200

_NAMESPACES = {
    "root": Namespace.ROOT,
    "policy": Namespace.POLICY,
    "request": Namespace.REQUEST,
    "vote": Namespace.VOTE,
    "restriction": Namespace.RESTRICTION,
    "minutes": Namespace.MINUTES,
    "login": Namespace.LOGIN,
}
_NAME = re.compile(r"[A-Za-z0-9_+@=,-][A-Za-z0-9_.+@=,-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedArtifact:
    """An image ready to be requested: what goes into the request, what travels beside it, what assembles it later."""

    artifact: Artifact
    slots: tuple[RequestSlot, ...]
    messages: tuple[bytes, ...]
    """Whole messages of the slots whose key signs messages, in the order of the slots."""
    prepared: Prepared


@dataclass(frozen=True, slots=True, kw_only=True)
class Recomputed:
    """A request whose every slot was rebuilt from the approver's own files.  Only ``recompute`` makes one."""

    request: Request
    artifacts: tuple[PreparedArtifact, ...]


def artifact_name(path: Path) -> str:
    """Return the name of an image in a request: its file name; ``FormatError`` where that cannot be one."""
    if not _NAME.fullmatch(path.name) or len(path.name) > MAX_NAME:
        raise FormatError(
            f"file name {path.name!r} cannot name an artifact",
            code=Code.INVALID_DOCUMENT,
            hint=f"copy the image to a name of up to {MAX_NAME} ASCII letters, digits and _ . + @ = , - "
            "that does not begin with a dot",
        )
    return path.name


def prepare_artifact(
    image: ByteSource,
    name: str,
    image_format: Format,
    keys: Sequence[KeyProfile],
    options: Mapping[str, Any],
    target: TargetProfile = ANY,
) -> PreparedArtifact:
    """Hash an image and lay out its slots for these keys; ``options`` are chosen ones, or frozen ones again."""
    _check_keys(keys, image_format.name)
    if image.size <= SMALL_BYTES:
        named = digests(image)
        prepared = image_format.prepare(image, signing_keys(keys), options, target)
    else:
        with ThreadPoolExecutor(1, "digests") as pool:  # hashing leaves the interpreter: both cores are at work
            hashing = pool.submit(digests, image)
            digested = DigestedSource(image, lambda: bytes.fromhex(hashing.result().sha256))
            prepared = image_format.prepare(digested, signing_keys(keys), options, target)
            named = hashing.result()
    artifact = Artifact(
        name=name,
        sha256=named.sha256,
        sha512=named.sha512,
        size=named.size,
        image_format=image_format.name,
        options=dict(prepared.options),
    )
    slots = tuple(
        RequestSlot(
            artifact=name, slot=slot.name, key_profile=slot.key_profile, digest=slot.digest.hex(), after=slot.after
        )
        for slot in prepared.slots
    )
    messages = tuple(slot.whole_message for slot in prepared.slots if slot.whole_message is not None)
    return PreparedArtifact(artifact=artifact, slots=slots, messages=messages, prepared=prepared)


def new_request(
    artifacts: Sequence[PreparedArtifact],
    *,
    log: str,
    requester: str,
    product: str,
    release: str,
    environment: Environment,
    now: int,
    lifetime_seconds: int,
    entropy: Entropy,
    is_pipeline: bool = False,
    claims: Sequence[Claim] = (),
) -> Request:
    """Compose a request; ``FormatError`` where no server or signer would take it."""
    _check_artifacts(artifacts)
    if not 0 < lifetime_seconds <= MAX_REQUEST_SECONDS:
        raise _invalid(f"a request lives at most {MAX_REQUEST_SECONDS} seconds, not {lifetime_seconds}")
    request = Request(
        type="request",
        format=1,
        salt=new_salt(entropy),
        id=f"r-{entropy(ID_BYTES).hex()}",
        log=log,
        requester_kind="pipeline" if is_pipeline else "person",
        requester=requester,
        product=product,
        release=release,
        environment=environment,
        mode=Mode.UPLOAD,
        artifacts=tuple(a.artifact for a in artifacts),
        slots=tuple(slot for a in artifacts for slot in a.slots),
        claims=tuple(claims),
        created=now,
        expires=now + lifetime_seconds,
    )
    return _checked(request)


def new_vote(
    request: Request,
    *,
    instance: str,
    rules: str,
    decision: Decision,
    person: str,
    now: int,
    entropy: Entropy,
    recomputed: Recomputed | None = None,
    reason: str = "",
) -> Vote:
    """Compose a vote on ``request`` under the rules with this digest; a rejection may say its reason."""
    if recomputed is not None and recomputed.request != request:
        raise _invalid("another request was recomputed than is voted on")
    vote = Vote(
        type="vote",
        format=1,
        salt=new_salt(entropy),
        request=document_digest("request", instance, records.serialise(request)),
        rules=rules,
        reports=(),
        decision=decision,
        person=person,
        checked=Checked.DISPLAYED if recomputed is None else Checked.RECOMPUTED,
        time=now,
        reason=reason or None,
    )
    return _checked(vote)


def new_restriction(
    kind: RestrictionKind, subject: str, *, person: str, reason: str, now: int, entropy: Entropy
) -> Restriction:
    """Compose a cancellation or revocation."""
    restriction = Restriction(
        type="restriction",
        format=1,
        salt=new_salt(entropy),
        kind=kind,
        subject=subject,
        person=person,
        reason=reason,
        time=now,
    )
    return _checked(restriction)


def sign_document(record: Any, *, instance: str, identity: Path, signer: str) -> SignedDocument:
    """Sign a root, policy, request, vote or restriction with an SSH identity, in the namespace of its type."""
    document = records.serialise(record)
    return SignedDocument(
        document=document,
        signatures=(sign_bytes(document, record.type, instance=instance, identity=identity, signer=signer),),
    )


def sign_bytes(document: bytes, document_type: str, *, instance: str, identity: Path, signer: str) -> Envelope:
    """Return ``signer``'s signature over a document that exists already, such as a proposed policy."""
    digest = bytes.fromhex(document_digest(document_type, instance, document))
    return Envelope(
        signer=signer,
        authenticator=ssh.public_key(identity).fingerprint,
        kind=SignatureKind.SSHSIG,
        signature=ssh.sign(digest, namespace=_NAMESPACES[document_type], identity=identity),
    )


def new_salt(entropy: Entropy) -> str:
    """Return a fresh salt."""
    return entropy(SALT_BYTES).hex()


def _check_keys(keys: Sequence[KeyProfile], image_format: str) -> None:
    """Say early what the signer would refuse late."""
    for profile in keys:
        if profile.state is not State.ACTIVE:
            found = f"is {profile.state}"
        elif profile.image_format not in (None, image_format):
            found = f"signs {profile.image_format} images, this one is {image_format}"
        else:
            continue
        hint = f"list the keys with `sealwright key list --product {profile.product}`"
        if image_format == raw.name and profile.image_format is not None:  # raw is what no format claimed
            hint = f"if it is one without a header yet: --format {profile.image_format}; or {hint}"
        raise RefusedError(f"key profile {profile.id} {found}", code=Code.KEY_PROFILE_MISMATCH, hint=hint)


def _check_artifacts(artifacts: Sequence[PreparedArtifact]) -> None:
    names = Counter(a.artifact.name for a in artifacts)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise _invalid(f"two images are named {twice[0]}", hint="give every image of a request its own file name")
    count = sum(len(a.slots) for a in artifacts)
    if not 1 <= count <= MAX_SLOTS:
        raise _invalid(f"{count} signatures in one request, 1 to {MAX_SLOTS} are possible", hint="request in portions")
    bare = [a.artifact.name for a in artifacts if not a.slots]
    if bare:
        raise _invalid(f"image {bare[0]} asks for no signature")
    partly = {(s.artifact, s.key_profile, s.digest) for a in artifacts for s in a.slots}
    if len(partly) != count:
        raise _invalid("an image asks for the same signature twice")


def _checked(record: Record) -> Record:
    """Read the record as everybody else will, so that a wrong id or release is told to its author."""
    return records.parse(type(record), records.serialise(record))


def _invalid(message: str, *, hint: str = "") -> FormatError:
    return FormatError(message, code=Code.INVALID_DOCUMENT, hint=hint)
