"""Images as read-only byte sources, and messages: the parts of an image that a signature covers."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from sealwright.core.errors import FormatError

CHUNK_BYTES = 1 << 20


class ByteSource(Protocol):
    """Read-only random access to an image of any size; formats see nothing else of a file."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes; ``FormatError`` with the offset when the image ends before."""


@dataclass(frozen=True, slots=True)
class MemorySource:
    """A byte source over bytes in memory."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        check_inside(self, offset, length)
        return self.data[offset : offset + length]


@dataclass(frozen=True, slots=True)
class DigestedSource:
    """An image whose SHA-256 somebody works out anyway: a large file is not hashed twice for the same digest."""

    image: ByteSource
    sha256: Callable[[], bytes]
    """Returns the digest, waiting for it if need be."""

    @property
    def size(self) -> int:
        return self.image.size

    def read(self, offset: int, length: int) -> bytes:
        return self.image.read(offset, length)


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes ``start`` (inclusive) to ``stop`` (exclusive) of an image."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Message:
    """What one signature covers: ranges of the image and literal bytes, in order."""

    pieces: tuple[Range | bytes, ...]

    @property
    def size(self) -> int:
        return sum(len(p) if isinstance(p, bytes) else p.stop - p.start for p in self.pieces)

    def chunks(self, image: ByteSource) -> Iterator[bytes]:
        """Yield the message in pieces of at most ``CHUNK_BYTES``."""
        for piece in self.pieces:
            if isinstance(piece, bytes):
                yield piece
            else:
                yield from read_chunks(image, piece.start, piece.stop)

    def digest(self, image: ByteSource, algorithm: str) -> bytes:
        """Hash the message (``algorithm`` as hashlib names it) without holding it in memory."""
        if isinstance(image, DigestedSource) and (algorithm, self.pieces) == ("sha256", (Range(0, image.size),)):
            return image.sha256()
        state = hashlib.new(algorithm)
        for chunk in self.chunks(image):
            state.update(chunk)
        return state.digest()


class ImageDigests(NamedTuple):
    """The digests by which requests and evidence name an image, lower-case hex, and its size in bytes."""

    sha256: str
    sha512: str
    size: int


def digests(image: ByteSource) -> ImageDigests:
    """Hash an image with SHA-256 and SHA-512 while it is read once."""
    sha256, sha512 = hashlib.sha256(), hashlib.sha512()
    for chunk in read_chunks(image, 0, image.size):
        sha256.update(chunk)
        sha512.update(chunk)
    return ImageDigests(sha256.hexdigest(), sha512.hexdigest(), image.size)


def read_chunks(image: ByteSource, start: int, stop: int) -> Iterator[bytes]:
    """Yield ``image[start:stop]`` in pieces of at most ``CHUNK_BYTES``."""
    for at in range(start, stop, CHUNK_BYTES):
        yield image.read(at, min(CHUNK_BYTES, stop - at))


def check_inside(image: ByteSource, offset: int, length: int) -> None:
    """Raise ``FormatError`` unless ``offset`` and ``length`` lie inside the image."""
    if offset < 0 or length < 0 or offset + length > image.size:
        raise FormatError(f"{length} bytes wanted, the image ends at {image.size:#x}", at=max(offset, 0))


def uncovered(size: int, covered: Sequence[Range]) -> tuple[Range, ...]:
    """Return the parts of an image of ``size`` bytes that no range in ``covered`` touches, in order."""
    gaps, at = [], 0
    for part in sorted(covered, key=lambda r: r.start):
        if part.start > at:
            gaps.append(Range(at, part.start))
        at = max(at, part.stop)
    if at < size:
        gaps.append(Range(at, size))
    return tuple(gaps)
