"""Flattened devicetrees: a strict reader that streams.

Values are located, not loaded: a tree that embeds 200 MiB of payload costs what its few hundred tags cost.

Stricter than libfdt where two readers could disagree: blocks in their usual order without overlap, no two properties
or sibling nodes of one name, only the characters the specification allows, nothing after the end tag.
Reference: Devicetree Specification v0.4, chapter 5 (flattened devicetree format).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from sealwright.core.errors import Code, FormatError
from sealwright.core.images import ByteSource, Range

MAGIC = 0xD00DFEED
HEADER = struct.Struct(
    ">10I"
)  # magic totalsize off_struct off_strings off_rsvmap version last_comp cpu size_strings/struct
PROPERTY = struct.Struct(">3I")  # tag, len, nameoff
TAG = struct.Struct(">I")
RESERVATION = struct.Struct(">QQ")
VERSION = 17

MAX_TREE_BYTES = 256 << 20  # FIT_SIGNATURE_MAX_SIZE of U-Boot, the only reader of big trees
MAX_STRINGS_BYTES = 1 << 20
MAX_TAGS = 100_000
MAX_RESERVATIONS = 4096
MAX_DEPTH = 32  # FDT_MAX_DEPTH of U-Boot's region walk
MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 1024

_NODE_CHARACTERS = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ,._+-@")
_PROPERTY_CHARACTERS = _NODE_CHARACTERS | frozenset(b"?#")


class Tag(IntEnum):
    """Tokens of the structure block."""

    BEGIN_NODE = 1
    END_NODE = 2
    PROP = 3
    NOP = 4
    END = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The ten words at the start of a tree, by the specification's names."""

    totalsize: int
    off_dt_struct: int
    off_dt_strings: int
    off_mem_rsvmap: int
    version: int
    last_comp_version: int
    boot_cpuid_phys: int
    size_dt_strings: int
    size_dt_struct: int

    def pack(self) -> bytes:
        return HEADER.pack(
            MAGIC,
            self.totalsize,
            self.off_dt_struct,
            self.off_dt_strings,
            self.off_mem_rsvmap,
            self.version,
            self.last_comp_version,
            self.boot_cpuid_phys,
            self.size_dt_strings,
            self.size_dt_struct,
        )


@dataclass(frozen=True, slots=True)
class Property:
    """A property where it lies: ``start`` is its tag, ``value`` its bytes without the padding."""

    name: str
    start: int
    value: Range
    name_offset: int
    """Into the string table."""

    @property
    def size(self) -> int:
        return self.value.stop - self.value.start

    @property
    def stop(self) -> int:
        return _aligned(self.value.stop)


@dataclass(slots=True)
class Node:
    """A node: properties and children by name, in their order."""

    name: str
    path: str
    start: int
    properties: dict[str, Property] = field(default_factory=dict)
    children: dict[str, "Node"] = field(default_factory=dict)
    properties_stop: int = 0
    """Where a further property may be spliced in: behind the last one."""
    end: int = 0
    """Where the END_NODE tag lies: a further child may be spliced in before it."""
    tokens: list["Token"] = field(default_factory=list)
    """Its own tokens in order, those of its children left out."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token of the structure block with the node it belongs to (the root, for the end of the tree)."""

    tag: Tag
    start: int
    stop: int
    node: Node
    property: Property | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A tree that passed every structural check."""

    source: ByteSource
    header: Header
    strings: bytes
    root: Node
    tokens: tuple[Token, ...]

    def value(self, item: Property, *, max_bytes: int = 1 << 14) -> bytes:
        """Load the value of a property; ``FormatError`` when it is longer than ``max_bytes``."""
        if item.size > max_bytes:
            raise FormatError(f"property {item.name} of {item.size} bytes, at most {max_bytes} expected", at=item.start)
        return self.source.read(item.value.start, item.size)

    def word(self, node: Node, name: str) -> int | None:
        """Return a one-cell property, None when it is absent."""
        item = node.properties.get(name)
        if item is None:
            return None
        if item.size != TAG.size:
            raise FormatError(f"{node.path}: {name} of {item.size} bytes, 4 expected", at=item.start)
        return int(TAG.unpack(self.value(item))[0])

    def text(self, node: Node, name: str) -> str | None:
        """Return a property that is one string, None when it is absent."""
        if name not in node.properties:
            return None
        strings = self.string_list(node, name)
        if strings is None or len(strings) != 1:
            raise FormatError(f"{node.path}: {name} is not one string", at=node.properties[name].start)
        return strings[0]

    def string_list(self, node: Node, name: str) -> tuple[str, ...] | None:
        """Return a property as its list of strings, None when its bytes are no string list."""
        value = self.value(node.properties[name])
        if value == b"":
            return ()
        if value[-1] != 0:
            return None
        return tuple(part.decode("utf-8", "surrogateescape") for part in value[:-1].split(b"\0"))


def is_tree(image: ByteSource) -> bool:
    """Whether the image begins with the magic number of a flattened devicetree."""
    return image.size >= HEADER.size and image.read(0, TAG.size) == TAG.pack(MAGIC)


def parse(source: ByteSource, *, max_path_bytes: int = MAX_PATH_BYTES) -> Tree:
    """Read the tree at the start of ``source``; ``FormatError`` with the offset where it is broken."""
    header = _header(source)
    _check_reservations(source, header)
    strings = source.read(header.off_dt_strings, header.size_dt_strings)
    tokens = tuple(_tokens(source, header, strings, max_path_bytes))
    return Tree(source=source, header=header, strings=strings, root=tokens[-1].node, tokens=tokens)


def _header(source: ByteSource) -> Header:
    if not is_tree(source):
        raise FormatError(
            "no flattened devicetree: magic number d00dfeed missing or image shorter than its header", at=0
        )
    header = Header(
        **dict(zip(Header.__dataclass_fields__, HEADER.unpack(source.read(0, HEADER.size))[1:], strict=True))
    )
    # dtc writes 16 for the version it stays compatible to, libfdt's sequential writer (mkimage -f auto) writes 2.
    if header.version != VERSION or header.last_comp_version > VERSION:
        raise FormatError(
            f"devicetree version {header.version}, compatible to {header.last_comp_version}; version {VERSION} is read",
            at=20,
            code=Code.UNSUPPORTED_IMAGE,
        )
    if header.totalsize > source.size:
        raise FormatError(f"devicetree claims {header.totalsize} bytes, the image has {source.size}", at=4)
    if header.totalsize > MAX_TREE_BYTES:
        raise FormatError(
            f"devicetree of {header.totalsize} bytes, U-Boot verifies at most {MAX_TREE_BYTES}",
            at=4,
            code=Code.UNSUPPORTED_IMAGE,
            hint="keep the payloads outside the tree: mkimage -E",
        )
    if header.size_dt_strings > MAX_STRINGS_BYTES:
        raise FormatError(f"string table of {header.size_dt_strings} bytes, at most {MAX_STRINGS_BYTES}", at=32)
    edges = (
        HEADER.size,
        header.off_mem_rsvmap,
        header.off_mem_rsvmap + RESERVATION.size,
        header.off_dt_struct,
        header.off_dt_struct + header.size_dt_struct,
        header.off_dt_strings,
        header.off_dt_strings + header.size_dt_strings,
        header.totalsize,
    )
    if list(edges) != sorted(edges) or header.off_dt_struct % TAG.size or header.off_mem_rsvmap % 8:
        # libfdt reads blocks in any order; two readers must not find two trees in one file.
        raise FormatError("devicetree blocks overlap, are misaligned, out of order or leave the tree", at=8)
    return header


def _check_reservations(source: ByteSource, header: Header) -> None:
    at = header.off_mem_rsvmap
    for _ in range(MAX_RESERVATIONS):
        if at + RESERVATION.size > header.off_dt_struct:
            break
        if source.read(at, RESERVATION.size) == bytes(RESERVATION.size):
            return
        at += RESERVATION.size
    raise FormatError("memory reservation block does not end", at=at)


def _tokens(source: ByteSource, header: Header, strings: bytes, max_path_bytes: int) -> Iterator[Token]:
    """Walk the structure block once, build the nodes, and yield every token."""
    at, stop = header.off_dt_struct, header.off_dt_struct + header.size_dt_struct
    open_nodes: list[Node] = []
    root: Node | None = None
    for _ in range(MAX_TAGS):
        tag, node = _tag(source, at, stop), open_nodes[-1] if open_nodes else None
        if tag is Tag.BEGIN_NODE and (node is not None or root is None):
            token = _begin(source, at, stop, open_nodes, max_path_bytes)
            root = root or token.node
        elif tag is Tag.PROP and node is not None:
            token = _property(source, at, stop, strings, node)
        elif tag is Tag.NOP and node is not None:
            token = Token(tag, at, at + TAG.size, node)
        elif tag is Tag.END_NODE and node is not None:
            token = Token(tag, at, at + TAG.size, node)
            node.end = at
            open_nodes.pop()
        elif tag is Tag.END and node is None and root is not None:
            if at + TAG.size != stop:
                raise FormatError("structure block goes on after its end tag", at=at + TAG.size)
            yield Token(tag, at, stop, root)
            return
        else:
            raise FormatError(f"devicetree tag {tag.name} where it cannot stand", at=at)
        token.node.tokens.append(token)
        yield token
        at = token.stop
    raise FormatError(f"devicetree has more than {MAX_TAGS} tags", at=at)


def _begin(source: ByteSource, at: int, stop: int, open_nodes: list[Node], max_path_bytes: int) -> Token:
    name, after = _node_name(source, at, stop)
    # Before the path is made: a node keeps its own, and 100,000 of them below a long one would fill the memory.
    size = len(name) + (len(open_nodes[-1].path.rstrip("/")) + 1 if open_nodes else 0)
    if size > max_path_bytes:
        raise FormatError(f"node path of {size} bytes, at most {max_path_bytes} are read", at=at)
    node = _open(name, at, after, open_nodes)
    open_nodes.append(node)
    return Token(Tag.BEGIN_NODE, at, after, node)


def _tag(source: ByteSource, at: int, stop: int) -> Tag:
    if at + TAG.size > stop:
        raise FormatError("structure block ends without its end tag", at=at)
    (value,) = TAG.unpack(source.read(at, TAG.size))
    if value not in Tag._value2member_map_:
        raise FormatError(f"unknown devicetree tag {value:#x}", at=at)
    return Tag(value)


def _node_name(source: ByteSource, at: int, stop: int) -> tuple[str, int]:
    start = at + TAG.size
    name, nul, _ = source.read(start, min(MAX_NAME_BYTES + 1, stop - start)).partition(b"\0")
    if not nul:
        raise FormatError(f"node name does not end within {MAX_NAME_BYTES} bytes", at=start)
    if not _NODE_CHARACTERS.issuperset(name):
        raise FormatError(f"node name {name!a} holds a character that none may hold", at=start)
    after = _aligned(start + len(name) + 1)
    if after > stop:
        raise FormatError("node name leaves the structure block", at=start)
    return name.decode(), after


def _open(name: str, at: int, after: int, open_nodes: list[Node]) -> Node:
    parent = open_nodes[-1] if open_nodes else None
    if (parent is None) != (name == ""):
        raise FormatError("only the root node has an empty name", at=at)
    if len(open_nodes) >= MAX_DEPTH:
        raise FormatError(f"devicetree nested deeper than {MAX_DEPTH}", at=at)
    if parent is None:
        return Node("", "/", at, properties_stop=after)
    if name in parent.children:
        raise FormatError(f"{parent.path} has two nodes named {name}", at=at)
    node = Node(name, f"{parent.path.rstrip('/')}/{name}", at, properties_stop=after)
    parent.children[name] = node
    return node


def _property(source: ByteSource, at: int, stop: int, strings: bytes, node: Node) -> Token:
    if node.children:
        raise FormatError(f"{node.path} has a property after a child node", at=at)
    if at + PROPERTY.size > stop:
        raise FormatError("property leaves the structure block", at=at)
    _, length, name_offset = PROPERTY.unpack(source.read(at, PROPERTY.size))
    start = at + PROPERTY.size
    if _aligned(start + length) > stop:
        raise FormatError(f"property of {length} bytes leaves the structure block", at=at)
    end = strings.find(b"\0", name_offset, name_offset + MAX_NAME_BYTES + 1)
    name = strings[name_offset : max(end, name_offset)]
    if not name or not _PROPERTY_CHARACTERS.issuperset(name):
        raise FormatError(f"property name at {name_offset:#x} of the string table is none", at=at + 8)
    if name.decode() in node.properties:
        raise FormatError(f"{node.path} has two properties named {name.decode()}", at=at)
    item = Property(name.decode(), at, Range(start, start + length), name_offset)
    node.properties[item.name] = item
    node.properties_stop = item.stop
    return Token(Tag.PROP, at, item.stop, node, item)


def _aligned(at: int) -> int:
    return (at + 3) & ~3
