"""The end of a verification: the signatures that the signer's outcome names, and the image that they are of.

Specification: ``docs/spec/evidence.md``, steps 24 to 36.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.images import ByteSource, DigestedSource, ImageDigests
from sealwright.core.keys import PublicKey
from sealwright.core.patches import Patch, PatchedSource
from sealwright.evidence.bundle import Evidence, TrustFile
from sealwright.evidence.in_the_log import mismatch
from sealwright.formats.interface import Format, SigningKey
from sealwright.formats.targets import ANY
from sealwright.policy import key_sets
from sealwright.policy.authorise import Approved
from sealwright.policy.documents import Artifact, KeyProfile, KeySetRule, Outcome, OutcomeSlot, RequestSlot


def found_signatures(
    evidence: Evidence, outcome: Outcome, approved: Approved, artifact: Artifact
) -> tuple[bytes | None, ...]:
    """Return the signatures of the artifact's slots in order; None for one that may be missing, and is.

    It may where all its keys belong to sets of the rule ``any``, and one member's signatures are there.
    """
    mine = [
        (done.signature, profile)
        for slot, done, profile in zip(approved.request.slots, outcome.slots, approved.profiles, strict=False)
        if slot.artifact == artifact.name
    ]
    sets = key_sets.sets_of(approved.scope, artifact, [profile for _, profile in mine])
    if not sets or any(key_set.rule is not KeySetRule.ANY for key_set in sets):
        return evidence.signatures
    there = {hashlib.sha256(signature).hexdigest(): signature for signature in evidence.signatures}
    signatures = tuple(there.get(digest or "") for digest, _ in mine)
    absent = {profile.id for (_, profile), found in zip(mine, signatures, strict=True) if found is None}
    if any(absent.issuperset(key_set.members) for key_set in sets):
        raise mismatch("signatures", "those of one member of each key set", "of none")
    # A member counts with all its signatures or not at all.
    return tuple(None if profile.id in absent else found for (_, profile), found in zip(mine, signatures, strict=True))


def verify_signatures(
    evidence: Evidence,
    outcome: Outcome,
    approved: Approved,
    trust: TrustFile,
    given: Sequence[bytes | None],
) -> tuple[KeyProfile, ...]:
    """Every slot of the artifact has its signature, whose digest the signer's outcome names, by the slot's key."""
    if len(outcome.slots) != len(approved.request.slots):
        raise mismatch("slots in the outcome", str(len(approved.request.slots)), str(len(outcome.slots)))
    signatures, messages = iter(given), iter(evidence.messages)
    made: dict[str | None, bytes] = {None: b""}
    profiles = []
    for slot, done, profile in zip(approved.request.slots, outcome.slots, approved.profiles, strict=True):
        key = PublicKey(profile.public_key)
        if (done.key, done.algorithm) != (key.fingerprint, profile.algorithm):
            raise mismatch(f"key of slot {slot.slot}", key.fingerprint[:16], done.key[:16])
        if slot.artifact != evidence.artifact:
            continue
        signature = next(signatures, b"")
        message = next(messages, b"") if profile.signs == "message" else b""
        if signature is None:
            continue
        if (
            done.signature is None
            or done.failure is not None
            or hashlib.sha256(signature).hexdigest() != done.signature
        ):
            raise mismatch(f"signature of slot {slot.slot}", str(done.signature), "another or none")
        _check_certificate(slot, done, profile)
        if key.fingerprint in trust.distrusted:
            raise VerificationError(f"key {key.fingerprint} is distrusted by the trust file", code=Code.NOT_TRUSTED)
        payload = bytes.fromhex(slot.digest)
        if profile.signs == "message":
            if hashlib.new(profile.algorithm.hash_name, message).digest() != payload:
                raise mismatch(f"message of slot {slot.slot}", slot.digest[:16], "another or none")
            payload = made[slot.after] + message
        made[slot.slot] = signature
        key.verify(profile.algorithm, payload, signature)
        profiles.append(profile)
    if next(signatures, b"") != b"" or next(messages, None) is not None or not profiles:
        raise mismatch("signatures", "one for each slot of the artifact", "others")
    return tuple(profiles)


def _check_certificate(slot: RequestSlot, done: OutcomeSlot, profile: KeyProfile) -> None:
    certificate = hashlib.sha256(profile.certificates[0]).hexdigest() if profile.certificates else None
    if done.certificate != certificate:
        raise mismatch(f"certificate of slot {slot.slot}", str(certificate), str(done.certificate))


def verify_image(
    evidence: Evidence,
    artifact: Artifact,
    mine: Sequence[tuple[RequestSlot, KeyProfile, bytes | None]],
    image: ByteSource,
    formats: Mapping[str, Format],
    digests: Callable[[ByteSource], ImageDigests],
) -> Patch:
    """The image is the approved one, patched exactly as its format asks with these signatures; return that patch."""
    original = PatchedSource(image, evidence.patch.inverse())
    named = digests(original)
    if named != (artifact.sha256, artifact.sha512, artifact.size):
        raise VerificationError(
            "this is not the approved image", expected=artifact.sha256, got=named.sha256, code=Code.IMAGE_MISMATCH
        )
    module = formats.get(artifact.image_format)
    if module is None:
        raise FormatError(f"format {artifact.image_format} is unknown here", code=Code.UNSUPPORTED_IMAGE)
    digested = DigestedSource(original, lambda: bytes.fromhex(named.sha256))
    prepared = module.prepare(digested, signing_keys([p for _, p, _ in mine]), artifact.options, ANY)
    wanted = [(s.slot, s.key_profile, s.digest, s.after) for s, _, _ in mine]
    slots = [(s.name, s.key_profile, s.digest.hex(), s.after) for s in prepared.slots]
    if slots != wanted:
        raise VerificationError(
            f"the image has other slots ({[s[0] for s in slots]}) than were approved ({[w[0] for w in wanted]})",
            code=Code.SLOTS_DIFFER,
        )
    found = [(slot, profile, value) for slot, profile, value in mine if value]
    if len(found) < len(mine):
        # The format lays out what the members found would have made alone; each signs what was approved.
        prepared = module.prepare(digested, signing_keys([p for _, p, _ in found]), artifact.options, ANY)
        if [(s.key_profile, s.digest.hex(), s.after is None) for s in prepared.slots] != [
            (s.key_profile, s.digest, s.after is None) for s, _, _ in found
        ]:
            raise VerificationError("the members found sign other slots alone than together", code=Code.SLOTS_DIFFER)
    values = {slot.name: value for slot, (_, _, value) in zip(prepared.slots, found, strict=True)}
    made = prepared.assemble(values)
    if not _is_made_of(evidence.patch, made, is_whole=len(found) == len(mine)):
        raise VerificationError("the patch is not what the format makes of these signatures", code=Code.IMAGE_MISMATCH)
    return made


def _is_made_of(patch: Patch, made: Patch, *, is_whole: bool) -> bool:
    """Whether a patch is the one made anew; beside one of some members alone there may stand other files."""
    if is_whole:
        return patch == made
    return replace(patch, sidecars=made.sidecars) == made and set(made.sidecars) <= set(patch.sidecars)


def signing_keys(profiles: Sequence[KeyProfile]) -> list[SigningKey]:
    """Return the distinct keys of these profiles, in order, as a format wants them."""
    distinct = {profile.id: profile for profile in profiles}
    return [
        SigningKey(
            profile=profile.id,
            public_key=PublicKey(profile.public_key),
            algorithm=profile.algorithm,
            certificates=profile.certificates,
        )
        for profile in distinct.values()
    ]
