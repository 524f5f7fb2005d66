"""The body of a DfuSe file: a prefix, targets (alternate settings of the interface), and elements with addresses.

dfu-suffix checks none of this, so a good suffix proves nothing about it.  Every length is checked against what is
there, and elements of one target must not overlap.
Reference: STMicroelectronics UM0391, "DfuSe File Format Specification", revision 1.
"""

import struct
from dataclasses import dataclass
from itertools import pairwise

from sealwright.core.errors import Code, FormatError
from sealwright.core.images import ByteSource, Range

PREFIX = struct.Struct("<5sBIB")  # szSignature, bVersion, DFUImageSize, bTargets
TARGET = struct.Struct("<6sBI255sII")  # szSignature, bAlternateSetting, bTargetNamed, szTargetName, size, elements
ELEMENT = struct.Struct("<II")  # dwElementAddress, dwElementSize
MAGIC, TARGET_MAGIC, VERSION = b"DfuSe", b"Target", 1
IMAGE_SIZE_AT = 6
TARGET_SIZE_AT, ELEMENT_COUNT_AT = 266, 270  # in the target prefix
MAX_ELEMENTS = 4096
ADDRESS_END = 1 << 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """Data for one address; ``header`` is where its address and size stand in the file."""

    header: int
    address: int
    data: Range

    @property
    def stop(self) -> int:
        """The first address behind it."""
        return self.address + self.data.stop - self.data.start


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One alternate setting; ``start`` is where its prefix stands in the file."""

    start: int
    alternate: int
    name: str
    size: int
    elements: tuple[Element, ...]


def read(image: ByteSource, stop: int) -> tuple[Target, ...]:
    """Read the body, which ends at ``stop``; ``FormatError`` wherever a length lies."""
    if stop < PREFIX.size:
        raise FormatError("body is too short for a DfuSe prefix", at=0)
    magic, version, size, count = PREFIX.unpack(image.read(0, PREFIX.size))
    if (magic, version) != (MAGIC, VERSION):
        raise FormatError("suffix says DfuSe, the body has no DfuSe prefix of version 1", at=0)
    if size != stop:
        raise FormatError(f"DFUImageSize is {size}, the body has {stop} bytes", at=IMAGE_SIZE_AT)
    if count == 0:
        raise FormatError("no targets", at=IMAGE_SIZE_AT + 4)
    targets: list[Target] = []
    at = PREFIX.size
    for _ in range(count):
        target = _target(image, at, stop)
        if target.alternate in {other.alternate for other in targets}:
            raise FormatError(f"second target for alternate setting {target.alternate}", at=at)
        targets.append(target)
        at += TARGET.size + target.size
    if at != stop:
        raise FormatError(f"{stop - at} bytes behind the last target", at=at)
    return tuple(targets)


def check_overlaps(elements: tuple[Element, ...]) -> None:
    """Raise ``FormatError`` where two elements of a target are for the same address."""
    ordered = sorted(elements, key=lambda element: element.address)
    for low, high in pairwise(ordered):
        if low.stop > high.address:
            raise FormatError(f"elements overlap at address {high.address:#x}", at=max(low.header, high.header))


def _target(image: ByteSource, start: int, stop: int) -> Target:
    if start + TARGET.size > stop:
        raise FormatError("body ends within a target prefix", at=start)
    magic, alternate, is_named, name, size, count = TARGET.unpack(image.read(start, TARGET.size))
    if magic != TARGET_MAGIC:
        raise FormatError("no target prefix where one is due", at=start)
    if start + TARGET.size + size > stop:
        raise FormatError(f"target of {size} bytes goes beyond the body", at=start + TARGET_SIZE_AT)
    if not 0 < count <= MAX_ELEMENTS:
        raise FormatError(
            f"target of {count} elements, 1 to {MAX_ELEMENTS} are possible",
            at=start + ELEMENT_COUNT_AT,
            code=Code.UNSUPPORTED_IMAGE,
        )
    elements = _elements(image, start + TARGET.size, start + TARGET.size + size, count)
    check_overlaps(elements)
    text = name.partition(b"\0")[0].decode("latin-1") if is_named else ""
    shown = "".join(c if c.isprintable() else "?" for c in text)
    return Target(start=start, alternate=alternate, name=shown, size=size, elements=elements)


def _elements(image: ByteSource, at: int, stop: int, count: int) -> tuple[Element, ...]:
    found = []
    for _ in range(count):
        if at + ELEMENT.size > stop:
            raise FormatError("target ends within an element", at=at)
        address, size = ELEMENT.unpack(image.read(at, ELEMENT.size))
        data = Range(at + ELEMENT.size, at + ELEMENT.size + size)
        if size == 0 or data.stop > stop or address + size > ADDRESS_END:
            raise FormatError(f"element of {size} bytes at {address:#x} does not fit", at=at)
        found.append(Element(header=at, address=address, data=data))
        at = data.stop
    if at != stop:
        raise FormatError(f"{stop - at} bytes behind the last element of a target", at=at)
    return tuple(found)
