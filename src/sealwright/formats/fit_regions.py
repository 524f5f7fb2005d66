"""Which bytes of a FIT a configuration's signature covers.

Listed nodes: the root, the configuration, each image it refers to with that image's ``hash*`` and ``cipher`` nodes.
Covered are their tags, names and properties except four, the begin and end tags of their direct children, the end tag
of the tree, and the string table up to a length kept beside the signature.  The list is rebuilt from the tree, never
read from ``hashed-nodes`` (CVE-2026-46728).
Reference: U-Boot boot/image-fit-sig.c (fit_config_check_sig), boot/fdt_region.c (fdt_find_regions).
"""

import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from sealwright.core.errors import Code, FormatError
from sealwright.core.images import Message, Range
from sealwright.core.patches import Patch
from sealwright.formats.fdt import Node, Token
from sealwright.formats.fit_contents import Configuration, Fit

HASHED_STRINGS = struct.Struct(">2I")  # always 0, length from the start of the string table
EXCLUDED_PROPERTIES = frozenset(("data", "data-size", "data-position", "data-offset"))

MAX_LISTED_NODES = 100  # IMAGE_MAX_HASHED_NODES
MAX_LISTED_PATH_BYTES = 4096  # FIT_MAX_HASH_PATH_BUF
MAX_COVERED_BYTES = 4 << 20
"""Of one signature."""


def listed_nodes(fit: Fit, configuration: Configuration) -> tuple[Node, ...]:
    """Rebuild the list of nodes that the signature of a configuration covers; ``FormatError`` where U-Boot gives up."""
    nodes = [fit.tree.root, configuration.node]
    for _, image in configuration.references:
        nodes += [image.node, *(item.node for item in image.hashes)]
        nodes += [image.node.children["cipher"]] if "cipher" in image.node.children else []
    if len(nodes) > MAX_LISTED_NODES or sum(len(node.path) + 1 for node in nodes) > MAX_LISTED_PATH_BYTES:
        raise FormatError(
            f"configuration {configuration.name!a} covers {len(nodes)} nodes, U-Boot verifies {MAX_LISTED_NODES} with"
            f" paths of {MAX_LISTED_PATH_BYTES} bytes together",
            at=configuration.node.start,
            code=Code.UNSUPPORTED_IMAGE,
        )
    return tuple(nodes)


class Structure(NamedTuple):
    """What every signature of one configuration covers, whatever it says of the string table."""

    ranges: tuple[Range, ...]
    """Of the structure block, in the order in which they are hashed."""
    names_stop: int
    """The offset in the image where the last name of a covered property ends."""


class Regions:
    """The covered parts of one FIT; what a node adds is worked out once, however many configurations list it."""

    def __init__(self, fit: Fit) -> None:
        self._fit = fit
        self._of_node: dict[int, tuple[Range, ...]] = {}

    def structure(self, configuration: Configuration) -> Structure:
        """Work out what signatures of a configuration cover; ``FormatError`` where U-Boot gives up."""
        nodes = listed_nodes(self._fit, configuration)
        end = self._fit.tree.tokens[-1]
        ranges = merged([*(r for node in nodes for r in self._ranges(node)), Range(end.start, end.stop)])
        if len(ranges) >= 20 + 7 * len(nodes) - 1:
            raise FormatError(
                f"configuration {configuration.name!a} covers {len(ranges)} regions, more than U-Boot hashes",
                at=configuration.node.start,
                code=Code.UNSUPPORTED_IMAGE,
            )
        used = (
            item.name_offset + len(item.name) + 1
            for node in nodes
            for item in node.properties.values()
            if item.name not in EXCLUDED_PROPERTIES
        )
        return Structure(ranges, self._fit.tree.header.off_dt_strings + max(used, default=0))

    def covered(self, structure: Structure, strings_size: int) -> tuple[Range, ...]:
        """Return the covered parts of the image in the order in which they are hashed."""
        strings_start = self._fit.tree.header.off_dt_strings
        ranges = (*structure.ranges, Range(strings_start, strings_start + strings_size))
        if (size := sum(r.stop - r.start for r in ranges)) > MAX_COVERED_BYTES:
            raise FormatError(f"one signature covers {size} bytes of metadata, at most {MAX_COVERED_BYTES}", at=0)
        return ranges

    def together(self, configurations: Iterable[Configuration]) -> tuple[Range, ...]:
        """Return what signatures of these configurations cover of the structure block; what they share is kept once."""
        nodes: dict[int, Node] = {}
        for configuration in configurations:
            self.structure(configuration)  # refuses what U-Boot would
            nodes |= {node.start: node for node in listed_nodes(self._fit, configuration)}
        end = self._fit.tree.tokens[-1]
        return merged([*(r for node in nodes.values() for r in self._ranges(node)), Range(end.start, end.stop)])

    def _ranges(self, node: Node) -> tuple[Range, ...]:
        if node.start not in self._of_node:
            self._of_node[node.start] = merged(Range(token.start, token.stop) for token in _covered_tokens(node))
        return self._of_node[node.start]


def hashed_strings(fit: Fit, signature: Node) -> int:
    """Return how much of the string table a signature says it covers; ``FormatError`` if it cannot be."""
    item = signature.properties.get("hashed-strings")
    value = fit.tree.value(item) if item else b""
    if item is None or len(value) != HASHED_STRINGS.size:
        raise FormatError(f"{signature.path}: hashed-strings is missing or not 8 bytes", at=signature.start)
    offset, size = HASHED_STRINGS.unpack(value)
    if offset != 0 or size > fit.tree.header.size_dt_strings:
        raise FormatError(
            f"{signature.path}: hashed-strings {offset:#x} and {size:#x}, the table has"
            f" {fit.tree.header.size_dt_strings:#x} bytes",
            at=item.start,
        )
    return int(size)


def _covered_tokens(node: Node) -> Iterator[Token]:
    for token in node.tokens:
        if token.property is None or token.property.name not in EXCLUDED_PROPERTIES:
            yield token
    for child in node.children.values():
        yield from (child.tokens[0], child.tokens[-1])  # its begin and end tags


def merged(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Sort ranges and join those that touch or overlap."""
    result: list[Range] = []
    for part in sorted(ranges, key=lambda r: (r.start, r.stop)):
        if result and part.start <= result[-1].stop:
            result[-1] = Range(result[-1].start, max(result[-1].stop, part.stop))
        elif part.start < part.stop:
            result.append(part)
    return tuple(result)


class PullBack:
    """Says ranges of a patched image in terms of the unpatched one: its own ranges, and the bytes that are new."""

    def __init__(self, patch: Patch) -> None:
        self._segments = tuple(_segments(patch))
        self._stops = [stop for _, stop, _ in self._segments]

    def message(self, ranges: Sequence[Range]) -> Message:
        """Return the bytes of ``ranges``, in their order, as a message over the unpatched image."""
        pieces: list[Range | bytes] = []
        for part in ranges:
            for start, stop, origin in self._segments[bisect_right(self._stops, part.start) :]:
                if start >= part.stop:
                    break
                low, high = max(part.start, start) - start, min(part.stop, stop) - start
                _append(pieces, origin[low:high] if isinstance(origin, bytes) else Range(origin + low, origin + high))
        return Message(tuple(pieces))


def _segments(patch: Patch) -> Iterator[tuple[int, int, int | bytes]]:
    """Yield the patched image as (start, stop, where it was or the bytes that are new), without empty parts."""
    old = new = 0
    for edit in patch.edits:
        if edit.offset > old:
            yield new, new + edit.offset - old, old
        new += edit.offset - old
        if edit.new:
            yield new, new + len(edit.new), edit.new
        old, new = edit.offset + len(edit.old), new + len(edit.new)
    if patch.new_size > new:
        yield new, patch.new_size, old


def _append(pieces: list[Range | bytes], piece: Range | bytes) -> None:
    last = pieces[-1] if pieces else None
    if isinstance(last, bytes) and isinstance(piece, bytes):
        pieces[-1] = last + piece
    elif isinstance(last, Range) and isinstance(piece, Range) and last.stop == piece.start:
        pieces[-1] = Range(last.start, piece.stop)
    else:
        pieces.append(piece)
