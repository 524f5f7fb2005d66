"""What is done without any server: reading trust and evidence files, verifying an image with its evidence."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sealwright.client.files import FileSource, read_small, sidecar_path
from sealwright.client.images import digests
from sealwright.client.portions import left_over
from sealwright.core import records
from sealwright.core.canonical import MAX_DOCUMENT_BYTES
from sealwright.core.errors import Code, ConfigurationError, FormatError, VerificationError
from sealwright.core.patches import Patch, Sidecar
from sealwright.evidence.bundle import EVIDENCE_SUFFIX, MAX_EVIDENCE_BYTES, Evidence, TrustFile
from sealwright.evidence.verify import VerifiedEvidence, verify_evidence
from sealwright.formats import signature_files
from sealwright.formats.interface import Format, HasContent
from sealwright.formats.raw_outputs import SUFFIXES, Output, suffix_of
from sealwright.formats.signature_files import SignatureFile
from sealwright.formats.signed_data import MAX_DER_BYTES
from sealwright.policy.documents import KeySetRule

if TYPE_CHECKING:
    from sealwright.client.devices import DeviceCheck
    from sealwright.evidence.history import History

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedFile:
    """A file that its evidence proved, and what its holder may want to know."""

    verified: VerifiedEvidence
    evidence: Path
    notes: tuple[str, ...]
    history: "History | None" = None
    """What a copy of the log proved, where one was given."""
    device: "DeviceCheck | None" = None
    """What a device with the control devicetree finds, where one was given."""


def check_expected(verified: VerifiedEvidence, *, environment: str, product: str | None, release: str | None) -> None:
    """Refuse an image that was approved for something else; a development image may have been approved by nobody."""
    request = verified.approved.request
    for what, wanted, got in (
        ("environment", environment, str(request.environment)),
        ("product", product, request.product),
        ("release", release, request.release),
    ):
        if wanted is not None and wanted != got:
            raise VerificationError(
                f"signed for another {what}",
                expected=wanted,
                got=got,
                code=Code.EVIDENCE_MISMATCH,
                hint=f"if that is what you want: --{what} {got}",
            )


def load_trust(path: Path) -> TrustFile:
    """Read a trust file."""
    return _load(TrustFile, path, what="trust file", max_bytes=MAX_DOCUMENT_BYTES)


def load_evidence(path: Path, *, follow_links: bool = True) -> Evidence:
    """Read an evidence file."""
    return _load(Evidence, path, what="evidence", max_bytes=MAX_EVIDENCE_BYTES, follow_links=follow_links)


def verify_file(
    image: Path,
    evidence: Path | None,
    trust: TrustFile,
    formats: Mapping[str, Format],
    *,
    log: Path | None = None,
    control_dtb: Path | None = None,
) -> VerifiedFile:
    """Verify an image file with its evidence, by default the file beside it, and any sidecar that lies there.

    With ``log``, the folder of a copy of the log, what happened before the outcome is proven from it.
    With ``control_dtb``, the device that has it must take the image too.
    """
    with FileSource(image) as source:
        beside = sidecar_path(image, EVIDENCE_SUFFIX)
        if evidence is None and not os.path.lexists(beside):
            raise ConfigurationError(
                f"there is no evidence {beside}", setting="evidence", hint="name it with --evidence FILE"
            )
        record = load_evidence(evidence or beside, follow_links=evidence is not None)
        history = _history(record, trust, log) if log else None
        restrictions = history.restrictions if history else None
        verified = verify_evidence(record, source, trust, formats, restrictions=restrictions, digests=digests)
        verified, notes = _check_sidecars(image, record.patch, verified)
        notes = _missing_members(verified) + notes
        notes += left_over(verified, source, formats)
        device = _device(source, verified, control_dtb) if control_dtb else None
    if history:
        notes += history.notes(record, verified.approved)
    return VerifiedFile(verified=verified, evidence=evidence or beside, notes=notes, history=history, device=device)


def files_beside(image: Path) -> tuple[Path, ...]:
    """Return the signature and evidence files that lie beside an image, by their names alone."""
    paths = (sidecar_path(image, suffix) for suffix in (*SUFFIXES, EVIDENCE_SUFFIX))
    return tuple(path for path in paths if path.is_file())


def signatures_beside(
    image: Path, source: FileSource, image_format: Format
) -> tuple[tuple[Path, SignatureFile | FormatError], ...]:
    """Return what the signature files beside an image say, or why one cannot be read; nothing is verified."""
    paths = [(sidecar_path(image, suffix), suffix) for suffix in SUFFIXES]
    return tuple(
        (path, _signature_file(path, suffix, source, image_format)) for path, suffix in paths if path.is_file()
    )


def _signature_file(path: Path, suffix: str, source: FileSource, image_format: Format) -> SignatureFile | FormatError:
    try:
        content = read_small(path, max_bytes=MAX_DER_BYTES, what="signature file")
        return signature_files.read(suffix, content, source, image_format)
    except FormatError as e:
        return e


def known_contents(formats: Mapping[str, Format]) -> tuple[str, ...]:
    """Return the formats whose signature covers bytes that are not in the file as they stand."""
    return tuple(name for name, known in formats.items() if isinstance(known, HasContent))


def write_content(image_format: Format, image: FileSource, options: Sequence[str], destination: Path) -> None:
    """Write the bytes that a signature with these options covers, for other people's verifiers."""
    from sealwright.client.options import check_known, parse_options  # noqa: PLC0415 - seldom, and inspect starts fast
    from sealwright.client.outputs import Outputs, refuse_existing  # noqa: PLC0415

    if not isinstance(image_format, HasContent):
        raise ConfigurationError(
            f"a signature of {image_format.name} covers parts of the file itself",
            setting="content",
            hint="`sealwright inspect` lists them",
        )
    check_known([image_format], options)
    refuse_existing(destination, "name another file")
    with Outputs() as outputs:
        outputs.write(destination, image_format.content(image, parse_options(image_format, options)))
        outputs.publish()


def _history(evidence: Evidence, trust: TrustFile, directory: Path) -> "History":
    from sealwright.client.log_copy import open_copy  # noqa: PLC0415 - most verify without, and it must start fast
    from sealwright.evidence.history import check_history  # noqa: PLC0415

    copy = open_copy(directory)
    return check_history(evidence, trust, copy.entries(), copy.note)


def _device(image: FileSource, verified: VerifiedEvidence, control_dtb: Path) -> "DeviceCheck":
    from sealwright.client.devices import check_device  # noqa: PLC0415 - most verify without

    return check_device(image, verified.artifact.image_format, control_dtb)


def _missing_members(verified: VerifiedEvidence) -> tuple[str, ...]:
    return tuple(
        f"the signature of {profile.id} was not found; the rule of its key set asks for one of its members"
        for profile in verified.missing_keys
    )


def _check_sidecars(image: Path, patch: Patch, verified: VerifiedEvidence) -> tuple[VerifiedEvidence, tuple[str, ...]]:
    """A sidecar beside the image must be the one of the evidence; return what is left of the verification, and notes.

    Without a key set a missing one is only said.  With one of the rule ``all`` none may be missing; with ``any``, one
    member's must be there and right, and a member whose file is missing or another one does not count as found.
    """
    rules, notes, good = {key_set.rule for key_set in verified.key_sets}, list[str](), list[Sidecar]()
    proven = [sidecar for sidecar in patch.sidecars if sidecar not in verified.unproven]
    for sidecar in patch.sidecars:
        path = sidecar_path(image, sidecar.suffix)
        if sidecar in verified.unproven:
            if os.path.lexists(path):
                notes.append(f"{path.name} is not a file that the evidence proves; do not use it")
            continue
        if not os.path.lexists(path):
            if KeySetRule.ALL in rules:
                raise VerificationError(
                    f"{path} is missing, and the key set asks for the signatures of all its members",
                    code=Code.EVIDENCE_MISMATCH,
                    hint="the evidence holds a copy; get the file again from where the image came",
                )
            notes.append(f"{path.name} is not beside the image; the evidence holds a copy")
            continue
        with FileSource(path, follow_links=False) as file:
            is_same = file.size == len(sidecar.content) and file.read(0, file.size) == sidecar.content
        if is_same:
            good.append(sidecar)
        elif rules and KeySetRule.ALL not in rules:
            notes.append(f"{path.name} is not the file that the evidence proves; do not use it")
        else:
            raise VerificationError(
                f"{path} is not the file that the evidence proves",
                code=Code.EVIDENCE_MISMATCH,
                hint="it was exchanged: get it again from where the image came",
            )
    return (_with_files(verified, proven, good) if rules else verified), tuple(notes)


def _with_files(verified: VerifiedEvidence, proven: list[Sidecar], good: list[Sidecar]) -> VerifiedEvidence:
    """Leave the members found whose signature is in the image, or in a file beside it that is the right one."""
    absent = {sidecar.suffix for sidecar in proven} - {sidecar.suffix for sidecar in good}
    gone = [
        profile
        for profile in dict.fromkeys(verified.signing_keys)
        if any(suffix_of(output, profile.algorithm) in absent for output in Output)
    ]
    for key_set in verified.key_sets:
        if {profile.id for profile in (*gone, *verified.missing_keys)}.issuperset(key_set.members):
            raise VerificationError(
                f"no signature file beside the image is one that the evidence proves, and key set {key_set.id} asks "
                "for that of one member",
                code=Code.EVIDENCE_MISMATCH,
                hint="the evidence holds copies; get the files again from where the image came",
            )
    return replace(
        verified,
        signing_keys=tuple(profile for profile in verified.signing_keys if profile not in gone),
        missing_keys=(*verified.missing_keys, *gone),
    )


def _load(record: type[Record], path: Path, *, what: str, max_bytes: int, follow_links: bool = True) -> Record:
    data = read_small(path, max_bytes=max_bytes, what=what, follow_links=follow_links)
    try:
        return records.parse(record, data, max_bytes=max_bytes)
    except FormatError as e:
        raise FormatError(f"{what} {path}: {e.message}", code=Code.INVALID_DOCUMENT, hint=e.hint) from None
