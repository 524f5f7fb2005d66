"""DfuSe files: the CMS signature is one more element, at an address of the maker's choice, so it reaches the device.

The element stands last in the last target; the sizes and counts above it grow, and the suffix gets a new CRC.  Signed
is the file as it was before, up to its CRC.  Reference: STMicroelectronics UM0391; ``docs/formats/dfuse.md``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from sealwright.core import records
from sealwright.core.errors import Code, FormatError
from sealwright.core.images import ByteSource, Message, Range, uncovered
from sealwright.core.keys import Algorithm
from sealwright.core.patches import Edit, Patch, PatchedSource
from sealwright.formats import dfu_signing, dfu_suffix, dfuse_layout
from sealwright.formats.dfu_signing import Block, Prepared
from sealwright.formats.dfu_suffix import Suffix
from sealwright.formats.dfuse_layout import Element, Target
from sealwright.formats.interface import Inspection, SigningKey, TargetProfile, Trust, Verified

name = "dfuse"
MAX_SHOWN = 16
CLASSICAL_BYTES, POST_QUANTUM_BYTES = 2048, 1 << 16
"""At most what a signature block has besides its certificates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the caller chooses."""

    signing_time: records.Time
    signature_address: Annotated[int, records.Bounds(0, dfuse_layout.ADDRESS_END - 1)]
    """Where the device keeps the signature block: no element may be there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """A file as read; ``block`` is the signature in its last element."""

    suffix: Suffix
    targets: tuple[Target, ...]
    block: Block | None

    @property
    def last(self) -> Target:
        return self.targets[-1]

    @property
    def signature_element(self) -> Element:
        return self.last.elements[-1]


def matches(image: ByteSource) -> bool:
    """Whether the file ends with a DFU suffix of version 1.1a."""
    return dfu_suffix.version(image) == dfu_suffix.DFUSE_VERSION


def inspect(image: ByteSource) -> Inspection:
    """Show device, targets and elements, and what of it is signed."""
    found = _read(image)
    unsigned = [(Range(image.size - dfu_suffix.CRC_BYTES, image.size), "CRC: anybody can recompute it")]
    if found.block:
        sizes = "counts the signature element; the value without it is covered"
        unsigned = [
            (Range(dfuse_layout.IMAGE_SIZE_AT, dfuse_layout.IMAGE_SIZE_AT + 4), f"DFUImageSize {sizes}"),
            (_sizes(found.last), f"size and number of elements of the last target {sizes}"),
            (
                Range(found.signature_element.header, found.suffix.start),
                "the signature element; its address is in the signed attributes",
            ),
            *unsigned,
        ]
    return Inspection(
        format=name,
        facts=_facts(image, found),
        signatures=(found.block.signature,) if found.block else (),
        covered=uncovered(image.size, [part for part, _ in unsigned]),
        uncovered=tuple(unsigned),
    )


def prepare(
    image: ByteSource, keys: Sequence[SigningKey], options: Mapping[str, Any], target: TargetProfile
) -> Prepared:
    """Check suffix and body, hash them, and lay out the signed attributes."""
    chosen = records.load(Options, dict(options))
    found = _read(image)
    dfu_signing.refuse_signed(found.block)

    def embed(signature_block: bytes) -> list[Edit]:
        return _edits(image, found, chosen.signature_address, signature_block)

    embed(bytes(_room(keys)))  # an address that is taken is refused before anybody signs
    return dfu_signing.prepare(
        image,
        keys,
        chosen,
        target,
        format_name=name,
        embed=embed,
        description=_description(chosen.signature_address),
    )


def verify(image: ByteSource, trust: Trust, sidecars: Mapping[str, bytes]) -> Verified:  # noqa: ARG001  (the interface names it)
    """Take the signature element out, put the sizes back, and check the signature against that."""
    found = _read(image)
    if found.block is None:
        return dfu_signing.verify(image, None, trust, format_name=name)
    element = found.signature_element
    for target in found.targets[:-1]:  # in its own target it was looked at when that was read
        _check_free(element, target)
    unsigned = PatchedSource(image, _without(image, found))
    description = _description(element.address)
    return dfu_signing.verify(unsigned, found.block, trust, format_name=name, description=description)


def _description(address: int) -> str:
    """Say in the signed attributes where the block goes: else it could be moved over something else."""
    return f"DfuSe file: signature at {address:#010x}"


def _room(keys: Sequence[SigningKey]) -> int:
    """Return at most how many bytes a signature block of these keys has."""
    is_classical = all(key.algorithm.is_prehashed or key.algorithm is Algorithm.ED25519 for key in keys)
    values = CLASSICAL_BYTES if is_classical else POST_QUANTUM_BYTES
    return values + sum(len(certificate) for key in keys for certificate in key.certificates)


def _read(image: ByteSource) -> Contents:
    suffix = dfu_suffix.read(image)
    if suffix.version != dfu_suffix.DFUSE_VERSION:
        raise FormatError(f"bcdDFU is {suffix.version:#06x}, which is not DfuSe", at=suffix.start)
    targets = dfuse_layout.read(image, suffix.start)
    data = targets[-1].elements[-1].data
    block = dfu_signing.find(image, data.start, data.stop)
    if block and (block.range != data or len(targets[-1].elements) == 1):
        raise FormatError("signature block is not an element of its own behind others", at=data.start)
    return Contents(suffix=suffix, targets=targets, block=block)


def _edits(image: ByteSource, found: Contents, address: int, signature_block: bytes) -> list[Edit]:
    """Put the element in and grow the sizes above it."""
    data = Range(found.suffix.start, found.suffix.start + len(signature_block))
    element = Element(header=found.suffix.start, address=address, data=data)
    if element.stop > dfuse_layout.ADDRESS_END:
        raise FormatError(f"signature of {len(signature_block)} bytes at {address:#x} does not fit")
    for target in found.targets:  # alternate settings may be views of one memory
        _check_free(element, target)
    inserted = dfuse_layout.ELEMENT.pack(address, len(signature_block)) + signature_block
    return [
        *_resized(image, found, len(inserted), 1),
        Edit(offset=found.suffix.start, old=b"", new=inserted),
    ]


def _check_free(element: Element, target: Target) -> None:
    for other in target.elements:
        if element.address < other.stop and other.address < element.stop:
            raise FormatError(
                f"signature at {element.address:#x} would overlap the element at {other.address:#x}",
                code=Code.INVALID_DOCUMENT,
                hint="choose a signature_address that no element uses",
            )


def _without(image: ByteSource, found: Contents) -> Patch:
    """Return the patch that takes the signature element out again (the CRC stays: it is not signed)."""
    start, stop = found.signature_element.header, found.suffix.start
    taken = Edit(offset=start, old=image.read(start, stop - start), new=b"")
    return Patch(old_size=image.size, edits=(*_resized(image, found, start - stop, -1), taken))


def _resized(image: ByteSource, found: Contents, size: int, elements: int) -> list[Edit]:
    last = found.last
    return [
        _counted(image, dfuse_layout.IMAGE_SIZE_AT, size),
        _counted(image, last.start + dfuse_layout.TARGET_SIZE_AT, size),
        _counted(image, last.start + dfuse_layout.ELEMENT_COUNT_AT, elements),
    ]


def _counted(image: ByteSource, at: int, change: int) -> Edit:
    old = image.read(at, 4)
    value = int.from_bytes(old, "little") + change
    if value >= 1 << 32:
        raise FormatError("signature makes the file larger than DfuSe can say", at=at)
    return Edit(offset=at, old=old, new=value.to_bytes(4, "little"))


def _sizes(target: Target) -> Range:
    return Range(target.start + dfuse_layout.TARGET_SIZE_AT, target.start + dfuse_layout.TARGET.size)


def _facts(image: ByteSource, found: Contents) -> dict[str, str]:
    facts = {**found.suffix.facts, "Targets": str(len(found.targets))}
    for target in found.targets[:MAX_SHOWN]:
        label = f"Target {target.alternate}"
        facts[label] = f"{target.name or 'unnamed'}, {len(target.elements)} elements"
        for element in target.elements[:MAX_SHOWN]:
            size = element.data.stop - element.data.start
            facts[f"{label}, {element.address:#010x}"] = f"{element.address:#010x}-{element.stop:#010x}, {size} bytes"
        if left_out := target.elements[MAX_SHOWN:]:
            highest = max(element.stop for element in left_out)
            span = f"{min(element.address for element in left_out):#010x}-{highest:#010x}"
            rest = _spell_rest(image, left_out[0].header, left_out[-1].data.stop)
            facts[f"{label}, elements not listed"] = f"{len(left_out)} in {span}, {rest}"
    if others := found.targets[MAX_SHOWN:]:
        rest = _spell_rest(image, others[0].start, others[-1].elements[-1].data.stop)
        facts["Targets not listed"] = f"{len(others)}, {rest}"
    if found.block:
        facts["Signature address"] = f"{found.signature_element.address:#010x}"
    return facts


def _spell_rest(image: ByteSource, start: int, stop: int) -> str:
    """Spell what is not listed, so that nothing of it can change without a word."""
    return f"{stop - start} bytes of the file, SHA-256 {Message((Range(start, stop),)).digest(image, 'sha256').hex()}"
