"""Rebuilds the slots of a request from files of the person's own: finds evil slots under a clean image.

This is what an approver stands on instead of what a server shows.  Every artifact needs its file, and every slot of
the request must come out again, in order, from the frozen options.
"""

from collections.abc import Mapping

from sealwright.client.compose import PreparedArtifact, Recomputed, prepare_artifact
from sealwright.core.errors import Code, FormatError, RefusedError, VerificationError
from sealwright.core.images import ByteSource
from sealwright.formats.interface import Format
from sealwright.policy.authorise import check_times
from sealwright.policy.documents import Artifact, KeyProfile, Request, RequestSlot


def recompute(
    request: Request,
    images: Mapping[str, ByteSource],
    profiles: Mapping[str, KeyProfile],
    formats: Mapping[str, Format],
) -> Recomputed:
    """Rebuild every slot of ``request`` from ``images``, by artifact name; raises ``VerificationError``."""
    check_times(request)
    names = [artifact.name for artifact in request.artifacts]
    for name in images:
        if name not in names:
            raise _mismatch(f"the request has no artifact {name}, it has {', '.join(names)}", Code.IMAGE_MISMATCH)
    for slot in request.slots:
        if slot.artifact not in names:
            raise _mismatch(f"slot {slot.slot} belongs to no artifact", Code.SLOTS_DIFFER)
    rebuilt = []
    for artifact in request.artifacts:
        if artifact.name not in images:
            raise VerificationError(
                f"no file of your own was given for artifact {artifact.name}",
                code=Code.IMAGE_MISMATCH,
                hint="all images of a request are checked together: name a file for each",
            )
        rebuilt.append(rebuild(request, artifact.name, images[artifact.name], profiles, formats))
    return Recomputed(request=request, artifacts=tuple(rebuilt))


def rebuild(
    request: Request,
    name: str,
    image: ByteSource,
    profiles: Mapping[str, KeyProfile],
    formats: Mapping[str, Format],
) -> PreparedArtifact:
    """Rebuild the slots of one artifact; raises ``VerificationError`` naming what differs."""
    artifact = next((a for a in request.artifacts if a.name == name), None)
    if artifact is None:
        raise _mismatch(f"the request has no artifact {name}", Code.IMAGE_MISMATCH)
    wanted = [slot for slot in request.slots if slot.artifact == name]
    if image.size != artifact.size:  # before a large file is read in vain
        raise _other_image(artifact, f"{artifact.size} bytes", f"{image.size} bytes")
    keys = {slot.key_profile: _profile(slot, profiles) for slot in wanted}
    if artifact.image_format not in formats:
        raise FormatError(f"format {artifact.image_format} is unknown here", code=Code.UNSUPPORTED_IMAGE)
    try:
        found = prepare_artifact(image, name, formats[artifact.image_format], tuple(keys.values()), artifact.options)
    except (FormatError, RefusedError) as e:
        raise VerificationError(
            f"artifact {name}: the slots cannot be rebuilt: {e.message}", code=Code.SLOTS_DIFFER, hint=e.hint
        ) from e
    check_same(request, found)
    return found


def check_same(request: Request, found: PreparedArtifact) -> None:
    """Compare an image as prepared here with what ``request`` says of it; raises ``VerificationError``."""
    name = found.artifact.name
    artifact = next((a for a in request.artifacts if a.name == name), None)
    if artifact is None:
        raise _mismatch(f"the request has no artifact {name}", Code.IMAGE_MISMATCH)
    for digest, own in ((artifact.sha256, found.artifact.sha256), (artifact.sha512, found.artifact.sha512)):
        if digest != own:
            raise _other_image(artifact, digest, own)
    if found.artifact.image_format != artifact.image_format or found.artifact.size != artifact.size:
        raise _other_image(artifact, artifact.image_format, found.artifact.image_format)
    _compare_slots(name, [slot for slot in request.slots if slot.artifact == name], found.slots)
    if found.artifact.options != artifact.options:
        differing = sorted(
            option
            for option in found.artifact.options.keys() | artifact.options.keys()
            if found.artifact.options.get(option) != artifact.options.get(option)
        )
        raise _mismatch(f"artifact {name}: options {', '.join(differing)} are not frozen as they are used")


def _compare_slots(name: str, wanted: list[RequestSlot], found: tuple[RequestSlot, ...]) -> None:
    theirs, ours = {slot.slot: slot for slot in wanted}, {slot.slot: slot for slot in found}
    for slot in found:
        if slot.slot not in theirs:
            raise _mismatch(f"artifact {name}: the request leaves out slot {slot.slot}, which this image needs")
    for slot in wanted:
        own = ours.get(slot.slot)
        if own is None:
            raise _mismatch(f"artifact {name}: the request asks for slot {slot.slot}, which this image does not have")
        if own.key_profile != slot.key_profile:
            raise _mismatch(
                f"key of slot {slot.slot} of artifact {name}", expected=own.key_profile, got=slot.key_profile
            )
        if own.digest != slot.digest:
            raise _mismatch(f"digest of slot {slot.slot} of artifact {name}", expected=own.digest, got=slot.digest)
        if own.after != slot.after:
            raise _mismatch(
                f"slot whose signature slot {slot.slot} of artifact {name} signs",
                expected=own.after or "none",
                got=slot.after or "none",
            )
    if wanted != list(found):
        raise _mismatch(f"artifact {name}: the request has its slots in another order, or one of them twice")


def _profile(slot: RequestSlot, profiles: Mapping[str, KeyProfile]) -> KeyProfile:
    if slot.key_profile not in profiles:
        raise _mismatch(f"slot {slot.slot} names key profile {slot.key_profile}, which the policy does not have")
    return profiles[slot.key_profile]


def _other_image(artifact: Artifact, expected: str, got: str) -> VerificationError:
    return VerificationError(
        f"this file is not artifact {artifact.name} of the request",
        code=Code.IMAGE_MISMATCH,
        expected=expected,
        got=got,
        hint="`sealwright inspect YOURS --against THEIRS` says what differs from the requester's file",
    )


def _mismatch(message: str, code: Code = Code.SLOTS_DIFFER, *, expected: str = "", got: str = "") -> VerificationError:
    return VerificationError(message, code=code, expected=expected, got=got)
