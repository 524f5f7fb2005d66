"""Makes signed files out of an image and the dossier of its request, and believes nothing before it is verified.

Signatures are checked one by one; the written files are verified again, by the format and with the whole evidence,
under temporary names.  Only then do they get their own.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sealwright.client.compose import PreparedArtifact
from sealwright.client.files import FileSource, sidecar_path
from sealwright.client.images import digests
from sealwright.client.outputs import Outputs
from sealwright.client.portions import left_over
from sealwright.client.recompute import check_same, rebuild
from sealwright.core import records
from sealwright.core.errors import Code, RefusedError, VerificationError
from sealwright.core.images import ByteSource, DigestedSource
from sealwright.core.keys import PublicKey
from sealwright.evidence.bundle import EVIDENCE_SUFFIX, MAX_EVIDENCE_BYTES, Dossier, Evidence, TrustFile
from sealwright.evidence.verify import VerifiedEvidence, verify_evidence
from sealwright.formats.interface import Format, SignsPortions, Trust
from sealwright.policy.documents import KeyProfile, Request
from sealwright.policy.sections import parse_section


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """Files that were written and verified."""

    image: Path
    """The signed image; the unsigned one itself where the format leaves it as it is."""
    evidence: Path
    sidecars: tuple[Path, ...]
    verified: VerifiedEvidence
    notes: tuple[str, ...] = ()
    """What its holder must know: parts that other requests sign."""


def assemble(
    dossier: Dossier,
    name: str,
    image: ByteSource,
    formats: Mapping[str, Format],
    *,
    prepared: PreparedArtifact | None = None,
) -> Evidence:
    """Make the patch and the evidence of artifact ``name``.

    ``prepared`` spares large images a second preparation in the process that requested.  Raises ``VerificationError``
    when the image is another one or a signature does not verify.
    """
    request = records.parse(Request, dossier.request.document)
    profiles = key_profiles(dossier)
    if prepared is None:
        prepared = rebuild(request, name, image, profiles, formats)
    else:
        check_same(request, prepared)
    signatures = _signatures_of(name, request, dossier)
    _check_signatures(prepared, signatures, profiles)
    patch = prepared.prepared.assemble(
        {slot.slot: signature for slot, signature in zip(prepared.slots, signatures, strict=True)}
    )
    return dossier.evidence(name, signatures, prepared.messages, patch)


def key_profiles(dossier: Dossier | Evidence) -> dict[str, KeyProfile]:
    """Return the key profiles in a dossier or evidence by id; what they are worth, ``verify_evidence`` says."""
    sections = [parse_section(section.document) for section in dossier.sections]
    return {section.id: section for section in sections if isinstance(section, KeyProfile)}


def default_output(image: Path, evidence: Evidence) -> Path:
    """Return where the signed image goes: ``<stem>.signed<suffix>``, or nowhere new if the image stays as it is."""
    if not evidence.patch.edits:
        return image
    return image.parent / signed_name(image)


def signed_name(image: Path) -> str:
    """Return the name of an image that its format changes: ``router.signed.bin`` of ``router.bin``."""
    return f"{image.stem}.signed{image.suffix}"


def deliver(
    evidence: Evidence,
    image: FileSource,
    output: Path | None,
    trust: TrustFile,
    formats: Mapping[str, Format],
    *,
    replace: bool = False,
) -> Delivered:
    """Write signed image, sidecars and evidence, verify what was written, then give the files their names.

    Without ``output`` they are named by ``default_output``.  On any failure nothing is left behind.
    """
    output = output or default_output(image.path, evidence)
    is_copied = evidence.patch.edits or output != image.path
    data = records.serialise(evidence)
    if len(data) > MAX_EVIDENCE_BYTES:
        raise RefusedError(
            f"evidence would have {len(data)} bytes, at most {MAX_EVIDENCE_BYTES} are possible", code=Code.TOO_LARGE
        )
    with Outputs(replace=replace) as outputs:
        written = outputs.write_patched(output, image, evidence.patch) if is_copied else image.path
        sidecars = tuple(sidecar_path(output, sidecar.suffix) for sidecar in evidence.patch.sidecars)
        parts = [
            outputs.write(path, [sidecar.content])
            for path, sidecar in zip(sidecars, evidence.patch.sidecars, strict=True)
        ]
        evidence_path = sidecar_path(output, EVIDENCE_SUFFIX)
        evidence_part = outputs.write(evidence_path, [data])
        image.check_unchanged()
        with FileSource(written) as signed:
            contents = {s.suffix: part.read_bytes() for s, part in zip(evidence.patch.sidecars, parts, strict=True)}
            verified = verify_written(evidence_part.read_bytes(), signed, contents, trust, formats)
            notes = left_over(verified, signed, formats)
        outputs.publish()
    return Delivered(image=output, evidence=evidence_path, sidecars=sidecars, verified=verified, notes=notes)


def verify_written(
    evidence: bytes,
    image: ByteSource,
    sidecars: Mapping[str, bytes],
    trust: TrustFile,
    formats: Mapping[str, Format],
) -> VerifiedEvidence:
    """Verify files as a stranger would: the whole evidence, and the image by its format alone."""
    read = records.parse(Evidence, evidence, max_bytes=MAX_EVIDENCE_BYTES)
    if sidecars != {sidecar.suffix: sidecar.content for sidecar in read.patch.sidecars}:
        raise VerificationError("the files beside the image are not those of the evidence", code=Code.EVIDENCE_MISMATCH)
    if not read.patch.edits:  # the image is the original: what names it is all that either look hashes
        named = digests(image)
        image = DigestedSource(image, lambda: bytes.fromhex(named.sha256))
        verified = verify_evidence(read, image, trust, formats, digests=lambda _: named)
        _verify_format(read, image, sidecars, formats)
        return verified
    with ThreadPoolExecutor(1, "second-look") as pool:  # both hash the whole image: one on each core
        second = pool.submit(_verify_format, read, image, sidecars, formats)
        verified = verify_evidence(read, image, trust, formats, digests=digests)
        second.result()
    return verified


def _verify_format(
    evidence: Evidence, image: ByteSource, sidecars: Mapping[str, bytes], formats: Mapping[str, Format]
) -> None:
    """Verify the image by its format, standing on the keys alone that the artifact's slots name.

    Of an image that is signed in portions, that of this request: others may still be missing.
    """
    request = records.parse(Request, evidence.request.document)
    profiles = key_profiles(evidence)
    artifact = next(a for a in request.artifacts if a.name == evidence.artifact)
    keys = {s.key_profile: profiles[s.key_profile] for s in request.slots if s.artifact == artifact.name}
    trust = Trust(keys=tuple(PublicKey(profile.public_key) for profile in keys.values()))
    module = formats[artifact.image_format]
    if isinstance(module, SignsPortions):
        module.verify_portion(image, trust, artifact.options)
    else:
        module.verify(image, trust, sidecars)


def _signatures_of(name: str, request: Request, dossier: Dossier) -> tuple[bytes, ...]:
    if len(dossier.signatures) != len(request.slots):
        raise VerificationError(
            "signatures in the dossier",
            expected=str(len(request.slots)),
            got=str(len(dossier.signatures)),
            code=Code.EVIDENCE_MISMATCH,
        )
    pairs = zip(request.slots, dossier.signatures, strict=True)
    return tuple(signature for slot, signature in pairs if slot.artifact == name)


def _check_signatures(
    prepared: PreparedArtifact, signatures: Sequence[bytes], profiles: Mapping[str, KeyProfile]
) -> None:
    made: dict[str | None, bytes] = {None: b""}
    for slot, signature in zip(prepared.prepared.slots, signatures, strict=True):
        if slot.key_profile not in profiles:
            raise VerificationError(f"the dossier lacks key profile {slot.key_profile}", code=Code.EVIDENCE_MISMATCH)
        payload = slot.digest if slot.whole_message is None else made[slot.after] + slot.whole_message
        made[slot.name] = signature
        try:
            PublicKey(profiles[slot.key_profile].public_key).verify(slot.algorithm, payload, signature)
        except VerificationError as e:
            raise VerificationError(f"slot {slot.name} of {prepared.artifact.name}: {e.message}") from None
