"""UEFI capsules: firmware updates for the Firmware Management Protocol, with lowest supported version.

The image is the firmware itself, around which the capsule is built, or an unsigned capsule.  The signature covers
payload header, payload and monotonic count; the headers before them, which say what device it is for, are not covered.
Reference: UEFI 2.10, sections 23.1 and 23.2; ``capsule_layout``; ``docs/formats/uefi-capsule.md``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from sealwright.core import records
from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.images import ByteSource, Message, Range
from sealwright.core.patches import Edit, Patch
from sealwright.core.records import Bounds, Pattern
from sealwright.formats import bare_signature, capsule_layout, cms, uefi
from sealwright.formats.capsule_layout import BODY_AT, MONOTONIC_COUNT, PAYLOAD_HEADER, Capsule, Versions
from sealwright.formats.interface import Inspection, SigningKey, Slot, TargetProfile, Trust, Verified

name = "uefi-capsule"
Version = Annotated[int, Bounds(0, 0xFFFFFFFF)]
matches = capsule_layout.matches


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the caller chooses; of an unsigned capsule the image's own type, index and instance stay."""

    image_type: Annotated[str, Pattern(uefi.GUID_PATTERN)] | None = None
    image_index: Annotated[int, Bounds(1, 255)] | None = None
    hardware_instance: records.Count | None = None
    monotonic_count: records.Count = 0
    fw_version: Version | None = None
    lowest_supported_version: Version | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A capsule laid out; only the signature is missing."""

    size: int
    old_head: bytes
    capsule: Capsule
    """With its payload as a range of the image, without a payload header that is still to be written."""
    inserted: bytes
    """The payload header, if the image has none yet."""
    count: bytes
    draft: bare_signature.Draft
    options: Mapping[str, Any]

    @property
    def slots(self) -> tuple[Slot, ...]:
        return (self.draft.slot(),)

    def assemble(self, signatures: Mapping[str, bytes]) -> Patch:
        """Return one edit: everything before the payload."""
        authentication = self.count + uefi.certificate(self.draft.assemble(signatures)) + self.inserted
        payload_bytes = self.capsule.payload.stop - self.capsule.payload.start
        head = capsule_layout.head(
            image_type=self.capsule.image_type,
            image_index=self.capsule.image_index,
            hardware_instance=self.capsule.hardware_instance,
            body_bytes=len(authentication) + payload_bytes,
            is_authenticated=True,
        )
        return Patch(old_size=self.size, edits=(Edit(offset=0, old=self.old_head, new=head + authentication),))


def inspect(image: ByteSource) -> Inspection:
    """Describe a capsule, or firmware that is to become the payload of one."""
    if not matches(image):
        facts = {"Kind": "firmware, not yet in a capsule", "Size": f"{image.size} bytes"}
        facts |= _versions(capsule_layout.read_versions(image, 0))
        return Inspection(format=name, facts=facts, covered=(Range(0, image.size),))
    found = capsule_layout.read(image)
    facts = {
        "Kind": "FMP capsule, signed" if found.is_signed else "FMP capsule, unsigned",
        "Image type": found.image_type,
        "Image index": str(found.image_index),
        "Hardware instance": f"{found.hardware_instance:#x}",
        "Flags": f"{found.flags:#x}",
        **_versions(found.versions),
        "Payload": f"{found.payload.stop - found.payload.start} bytes at {found.payload.start:#x}",
    }
    head = (Range(0, BODY_AT), "headers: say what device the payload is for and how it is read")
    if found.signature is None:
        return Inspection(format=name, facts=facts, covered=(found.payload,), uncovered=(head,))
    count = Range(BODY_AT, BODY_AT + MONOTONIC_COUNT.size)
    facts["Monotonic count"] = str(int.from_bytes(found.monotonic_count, "little"))
    is_over = found.signature.is_claimed_over(image, _signed_message(found))
    facts["Signature"] = "by the key in it, over this payload and count" if is_over else "does not match this file"
    certificate = (Range(count.stop, found.payload.start), "certificate: holds the signature itself")
    return Inspection(
        format=name,
        facts=facts,
        signatures=(found.signature.describe(cms.SLOT),),
        covered=(count, found.payload),
        uncovered=(head, certificate),
    )


def prepare(
    image: ByteSource, keys: Sequence[SigningKey], options: Mapping[str, Any], target: TargetProfile
) -> Prepared:
    """Lay out the capsule and hash what the signature covers."""
    chosen = records.load(Options, dict(options))
    key = cms.only_key(keys, name)
    uefi.PKCS7.check(name, key)
    target.check(name, key)
    capsule = _unsigned(image, chosen) if matches(image) else _around(image, chosen)
    inserted = _payload_header(capsule, chosen)
    count = MONOTONIC_COUNT.pack(chosen.monotonic_count)
    most = BODY_AT + len(inserted) + uefi.MAX_CERTIFICATE_BYTES + image.size
    if most > capsule_layout.MAX_BYTES:
        raise FormatError(f"image of {image.size} bytes, and sizes in a capsule end at {capsule_layout.MAX_BYTES}")
    pieces = (*((inserted,) if inserted else ()), capsule.payload, count)
    return Prepared(
        size=image.size,
        old_head=image.read(0, capsule.payload.start),
        capsule=capsule,
        inserted=inserted,
        count=count,
        draft=bare_signature.draft(key, image, Message(pieces), has_content_info=True),
        options=records.dump(chosen),
    )


def verify(image: ByteSource, trust: Trust, sidecars: Mapping[str, bytes]) -> Verified:  # noqa: ARG001  (none here)
    """Check the signature over payload and monotonic count, and that the capsule holds nothing else."""
    found = capsule_layout.read(image)
    if found.signature is None:
        raise VerificationError("capsule carries no signature")
    key = found.signature.trusted_key(trust)
    if not found.signature.is_over(image, _signed_message(found), key):
        raise VerificationError("payload and monotonic count are not what was signed", code=Code.IMAGE_MISMATCH)
    return Verified(format=name, signatures=(found.signature.describe(cms.SLOT),), keys=(key,))


def _signed_message(found: Capsule) -> Message:
    return Message((found.payload, found.monotonic_count))


def _unsigned(image: ByteSource, chosen: Options) -> Capsule:
    """Return the capsule that is there; it says itself what device it is for."""
    found = capsule_layout.read(image)
    if found.signature is not None:
        raise FormatError(
            f"capsule is already signed by {found.signature.signer}",
            code=Code.ALREADY_SIGNED,
            hint="a capsule takes one signature: sign the firmware itself",
        )
    if found.flags != capsule_layout.CAPSULE_FLAGS_PERSIST_ACROSS_RESET:
        raise FormatError(
            f"capsule flags {found.flags:#x}, only {capsule_layout.CAPSULE_FLAGS_PERSIST_ACROSS_RESET:#x} is written",
            at=20,
            code=Code.UNSUPPORTED_IMAGE,
        )
    if (chosen.image_type, chosen.image_index, chosen.hardware_instance) != (None, None, None):
        raise _invalid("image_type, image_index and hardware_instance of a capsule stay what they are")
    return found


def _around(image: ByteSource, chosen: Options) -> Capsule:
    """Return the capsule that is to be built around firmware."""
    if chosen.image_type is None:
        raise _invalid("option image_type is missing: the GUID by which the device knows its firmware")
    if image.size == 0:
        raise FormatError("image is empty", at=0)
    return Capsule(
        flags=capsule_layout.CAPSULE_FLAGS_PERSIST_ACROSS_RESET,
        image_type=chosen.image_type,
        image_index=chosen.image_index or 1,
        hardware_instance=chosen.hardware_instance or 0,
        monotonic_count=b"",
        signature=None,
        payload=Range(0, image.size),
        versions=capsule_layout.read_versions(image, 0),
    )


def _payload_header(capsule: Capsule, chosen: Options) -> bytes:
    """Return the payload header to write: none where no version was chosen."""
    version, lowest = chosen.fw_version, chosen.lowest_supported_version
    if version is None and lowest is None:
        return b""
    if version is None or lowest is None or lowest > version:
        raise _invalid("fw_version and lowest_supported_version belong together, the second not above the first")
    if capsule.versions is not None:
        raise _invalid("the payload has a payload header already: leave fw_version and lowest_supported_version out")
    return Versions(fw_version=version, lowest_supported_version=lowest).pack()


def _versions(versions: Versions | None) -> dict[str, str]:
    if versions is None:
        return {"Firmware version": f"none: the payload has no {PAYLOAD_HEADER.size}-byte header against rollback"}
    return {
        "Firmware version": str(versions.fw_version),
        "Lowest supported version": str(versions.lowest_supported_version),
    }


def _invalid(message: str) -> FormatError:
    return FormatError(message, code=Code.INVALID_DOCUMENT)
