"""Memory images: which bytes a device shall hold at which addresses, apart from the text that says so.

Intel HEX, S-record and UF2 are read into one; two signed contents are made of it: the canonical stream, which is the
same for every spelling of the same firmware, and the flat window, which is what a boot loader sees in its flash.
Reference: ``docs/spec/memory-image.md``.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from sealwright.core.errors import Code, FormatError
from sealwright.core.images import CHUNK_BYTES

MAGIC = b"Sealwright memory image 1\n"
SEGMENT = struct.Struct(">4sQQ")  # tag, address, length; the data follows
NUMBER = struct.Struct(">4sQ")  # tag, value
MAX_DATA_BYTES = 64 << 20
"""Decoded bytes that are held in memory."""
MAX_PIECES = 1 << 16
"""Jumps of the address while a file is read."""
MAX_FLAT_BYTES = 1 << 30
ADDRESS_END = 1 << 32


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes without a gap from ``address`` on, in one or more parts."""

    address: int
    parts: tuple[bytes | bytearray, ...]

    @property
    def size(self) -> int:
        return sum(map(len, self.parts))

    @property
    def stop(self) -> int:
        return self.address + self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Where execution begins: ``linear``, an address, or ``segment``, CS and IP of a real-mode processor."""

    kind: str
    value: int

    @property
    def text(self) -> str:
        if self.kind == "linear":
            return f"{self.value:#010x}"
        return f"CS:IP {self.value >> 16:04x}:{self.value & 0xFFFF:04x}"


ENTRY_TAGS = {"linear": b"ENTL", "segment": b"ENTS"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryImage:
    """Segments in ascending order that do not touch, and the entry; UF2 has segments for each family of devices."""

    families: tuple[tuple[int | None, tuple[Segment, ...]], ...]
    entry: Entry | None = None

    @property
    def segments(self) -> tuple[Segment, ...]:
        return tuple(segment for _, segments in self.families for segment in segments)

    @property
    def size(self) -> int:
        return sum(segment.size for segment in self.segments)

    def canonical(self) -> Iterator[bytes]:
        """Yield the canonical stream (``docs/spec/memory-image.md``)."""
        yield MAGIC
        for family, segments in self.families:
            if family is not None:
                yield NUMBER.pack(b"FAM ", family)
            for segment in segments:
                yield SEGMENT.pack(b"SEG ", segment.address, segment.size)
                for part in segment.parts:
                    yield from _chunks(part)
        if self.entry:
            yield NUMBER.pack(ENTRY_TAGS[self.entry.kind], self.entry.value)

    def flat(self, base: int, size: int, fill: int) -> Iterator[bytes]:
        """Yield the window of ``size`` bytes at ``base``, gaps filled; ``FormatError`` for data outside of it."""
        if len(self.families) != 1:
            raise _invalid(f"image is for {len(self.families)} families, a flat window shows one")
        for segment in self.segments:
            if segment.address < base or segment.stop > base + size:
                raise FormatError(
                    f"data at {segment.address:#x}-{segment.stop:#x} is outside the window {base:#x}-{base + size:#x}",
                    hint="give the base and size of the memory that the boot loader looks at",
                )
        return self._flat(base, size, bytes([fill]))

    def _flat(self, base: int, size: int, fill: bytes) -> Iterator[bytes]:
        at = base
        for segment in self.segments:
            yield from _filled(fill, segment.address - at)
            for part in segment.parts:
                yield from _chunks(part)
            at = segment.stop
        yield from _filled(fill, base + size - at)


@dataclass(slots=True)
class _Piece:
    address: int
    data: bytearray
    at: int
    """Offset in the file where it begins."""


@dataclass(slots=True)
class Builder:
    """Collects data in the order of a file; ``segments`` sorts it and refuses overlaps."""

    _pieces: list[_Piece] = field(default_factory=list)
    _size: int = 0

    def add(self, address: int, data: bytes | bytearray, at: int) -> None:
        """Add bytes found at file offset ``at``."""
        self._size += len(data)
        if self._size > MAX_DATA_BYTES:
            raise FormatError(f"more than {MAX_DATA_BYTES} bytes of data", at=at, code=Code.UNSUPPORTED_IMAGE)
        last = self._pieces[-1] if self._pieces else None
        if last and last.address + len(last.data) == address:
            last.data += data
            return
        if len(self._pieces) == MAX_PIECES:
            raise FormatError(f"address jumps more than {MAX_PIECES} times", at=at, code=Code.UNSUPPORTED_IMAGE)
        self._pieces.append(_Piece(address, bytearray(data), at))

    def segments(self) -> tuple[Segment, ...]:
        """Return the segments, joined where they touch."""
        ordered = sorted(self._pieces, key=lambda piece: piece.address)
        for low, high in pairwise(ordered):
            if low.address + len(low.data) > high.address:
                raise FormatError(f"data overlaps at address {high.address:#x}", at=max(low.at, high.at))
        found: list[list[_Piece]] = []
        for piece in ordered:
            if found and found[-1][-1].address + len(found[-1][-1].data) == piece.address:
                found[-1].append(piece)
            else:
                found.append([piece])
        return tuple(Segment(group[0].address, tuple(piece.data for piece in group)) for group in found)


def gaps(segments: Sequence[Segment]) -> list[tuple[int, int]]:
    """Return start and stop of the holes between the segments."""
    return [(low.stop, high.address) for low, high in pairwise(segments)]


def _chunks(data: bytes | bytearray) -> Iterator[bytes]:
    view = memoryview(data)
    for at in range(0, len(data), CHUNK_BYTES):
        yield bytes(view[at : at + CHUNK_BYTES])


def _filled(fill: bytes, count: int) -> Iterator[bytes]:
    block = fill * min(count, CHUNK_BYTES)
    for at in range(0, count, CHUNK_BYTES):
        yield block[: count - at]


def _invalid(message: str) -> FormatError:
    return FormatError(message, code=Code.INVALID_DOCUMENT)
