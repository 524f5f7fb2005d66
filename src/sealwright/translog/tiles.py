"""Tiles and entry bundles: how a log is cut into files that never change.

A tile holds up to 256 hashes of one level, a bundle up to 256 entries; only the last of a level is narrower.
Reference: C2SP tlog-tiles; ``docs/spec/log.md``.
"""

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from sealwright.core.errors import Code, FormatError, RefusedError
from sealwright.translog.merkle import HASH_BYTES

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
TILE_BYTES = TILE_WIDTH * HASH_BYTES
MAX_ENTRY_BYTES = 65_535

_LENGTH = struct.Struct(">H")
# tile/<L or "entries">/<N>[.p/<W>]; N in groups of three digits, all but the last with an x.
_PATH = re.compile(r"tile/(entries|[0-9]|[1-5][0-9]|6[0-3])/((?:x[0-9]{3}/){0,4}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """``width`` hashes of ``level`` from number ``index * 256`` on; a bundle of entries where ``level`` is None."""

    level: int | None
    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        if not (0 <= (self.level or 0) <= 63 and self.index >= 0 and 1 <= self.width <= TILE_WIDTH):
            raise FormatError(
                f"not the place of a tile: level {self.level}, index {self.index}, width {self.width}",
                code=Code.INVALID_DOCUMENT,
            )

    @property
    def path(self) -> str:
        """Where the file lies below the log's prefix."""
        groups = []
        rest = self.index
        while True:
            rest, group = divmod(rest, 1000)
            groups.append(f"{group:03}")
            if not rest:
                break
        number = "/".join([f"x{group}" for group in reversed(groups[1:])] + [groups[0]])
        partial = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{'entries' if self.level is None else self.level}/{number}{partial}"


def parse_path(path: str) -> Tile:
    """Read the path of a tile or bundle; ``FormatError`` unless it is the only spelling of one."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise FormatError("not the path of a tile or entry bundle", code=Code.INVALID_DOCUMENT)
    level, number, width = match.groups()
    tile = Tile(
        None if level == "entries" else int(level),
        int(number.replace("x", "").replace("/", "")),
        TILE_WIDTH if width is None else int(width),
    )
    if tile.path != path:  # leading groups of zeros, or a partial width of 256
        raise FormatError("not the only spelling of this tile's path", code=Code.INVALID_DOCUMENT)
    return tile


def partial_width(size: int, level: int) -> int:
    """Return how many hashes the partial tile of ``level`` has in a log of ``size``; 0 where there is none."""
    return (size >> (TILE_HEIGHT * level)) % TILE_WIDTH


def tiles_between(old_size: int, new_size: int) -> Iterator[Tile]:
    """Yield the tiles and bundles that growth from ``old_size`` to ``new_size`` brings, full or partial, as published.

    With old size 0 that is every file a reader of ``new_size`` may ask for.
    """
    yield from _of_level(None, old_size, new_size)
    level = 0
    while new_size >> (TILE_HEIGHT * level):
        yield from _of_level(level, old_size >> (TILE_HEIGHT * level), new_size >> (TILE_HEIGHT * level))
        level += 1


def _of_level(level: int | None, old_count: int, new_count: int) -> Iterator[Tile]:
    for index in range(old_count // TILE_WIDTH, new_count // TILE_WIDTH):
        yield Tile(level, index)
    if new_count % TILE_WIDTH and new_count != old_count:
        yield Tile(level, new_count // TILE_WIDTH, new_count % TILE_WIDTH)


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Write entries as a bundle: each with its length in two bytes before it."""
    if not 1 <= len(entries) <= TILE_WIDTH:
        raise RefusedError(f"a bundle has 1 to {TILE_WIDTH} entries, not {len(entries)}", code=Code.TOO_LARGE)
    for entry in entries:
        check_entry(entry)
    return b"".join(_LENGTH.pack(len(entry)) + entry for entry in entries)


def decode_bundle(data: bytes, count: int) -> list[bytes]:
    """Read a bundle of exactly ``count`` entries; ``FormatError`` with the offset otherwise."""
    entries, at = [], 0
    for number in range(count):
        if len(data) - at < _LENGTH.size:
            raise FormatError(f"bundle ends before entry {number} of {count}", at=at, code=Code.INVALID_DOCUMENT)
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if length > len(data) - at:
            raise FormatError(
                f"entry {number} has {length} bytes, the bundle ends after {len(data) - at}",
                at=at,
                code=Code.INVALID_DOCUMENT,
            )
        entries.append(data[at : at + length])
        at += length
    if at != len(data):
        raise FormatError(f"{len(data) - at} bytes after the last entry", at=at, code=Code.INVALID_DOCUMENT)
    return entries


def check_entry(entry: bytes) -> None:
    """Refuse an entry whose length does not fit into two bytes."""
    if len(entry) > MAX_ENTRY_BYTES:
        raise RefusedError(
            f"log entry of {len(entry)} bytes, at most {MAX_ENTRY_BYTES} fit",
            code=Code.TOO_LARGE,
            hint="large things go into the log by their digest",
        )


def perfect_root(hashes: bytes) -> bytes:
    """Return the root over the hashes of a tile, or of an aligned part of it; their number is a power of two."""
    while len(hashes) > HASH_BYTES:
        pairs = [hashes[at : at + 2 * HASH_BYTES] for at in range(0, len(hashes), 2 * HASH_BYTES)]
        hashes = b"".join([sha256(b"\x01" + pair).digest() for pair in pairs])
    return hashes


class Edge:
    """The unfinished tile of each level: what growing a tiled tree needs to remember."""

    __slots__ = ("_partial", "_size")

    def __init__(self, size: int = 0, partial: Sequence[bytes] = ()) -> None:
        """Start empty, or from the partial tiles of a log of ``size``, level 0 first, an empty one where none is."""
        self._size, self._partial = size, tuple(partial)

    @property
    def partial(self) -> tuple[bytes, ...]:
        """The partial tiles, level 0 first; empty where the level ends with a full one."""
        return self._partial

    def grown(self, leaves: Sequence[bytes]) -> "tuple[Edge, list[tuple[Tile, bytes]]]":
        """Return the edge after ``leaves`` (leaf hashes), and each tile that is new or wider now with its content."""
        partial, changed = list(self._partial), []
        level, count, fresh = 0, self._size, list(leaves)
        while fresh:
            if level == len(partial):
                partial.append(b"")
            data, index = partial[level] + b"".join(fresh), count // TILE_WIDTH
            fresh = []
            for at in range(0, len(data), TILE_BYTES):
                content = data[at : at + TILE_BYTES]
                changed.append((Tile(level, index + at // TILE_BYTES, len(content) // HASH_BYTES), content))
                if len(content) == TILE_BYTES:
                    fresh.append(perfect_root(content))
            partial[level] = data[len(data) - len(data) % TILE_BYTES :]
            level, count = level + 1, count // TILE_WIDTH
        return Edge(self._size + len(leaves), partial), changed
