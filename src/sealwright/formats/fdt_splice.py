"""Splices into flattened devicetrees: the tree grows, what is there is never written anew.

A signature over a tree covers its bytes as they lie, offsets into the string table included.  So new properties and
nodes are inserted between tokens, and new property names only appended to the string table.
"""

from collections.abc import Sequence
from dataclasses import replace

from sealwright.core.patches import Edit
from sealwright.formats.fdt import PROPERTY, TAG, Tag, Tree


class StringTable:
    """The string table of a tree and the names to append to it."""

    def __init__(self, strings: bytes) -> None:
        self._old, self.appended = strings, b""

    def offset_of(self, name: str) -> int:
        """Return where ``name`` lies, appending it when no string of the table ends with it."""
        wanted = name.encode() + b"\0"
        found = (self._old + self.appended).find(wanted)
        if found < 0:
            # A table that does not end in NUL would run into the new name.
            if self._old and self._old[-1] != 0 and not self.appended:
                self.appended = b"\0"
            found = len(self._old) + len(self.appended)
            self.appended += wanted
        return found


def encode_property(strings: StringTable, name: str, value: bytes) -> bytes:
    """Return the token of a property."""
    return _padded(PROPERTY.pack(Tag.PROP, len(value), strings.offset_of(name)) + value)


def encode_node(name: str, content: bytes) -> bytes:
    """Return the tokens of a node around its properties and children."""
    return _padded(TAG.pack(Tag.BEGIN_NODE) + name.encode() + b"\0") + content + TAG.pack(Tag.END_NODE)


def splice(tree: Tree, insertions: Sequence[tuple[int, bytes]], strings: StringTable, align: int) -> tuple[Edit, ...]:
    """Return the edits that put ``insertions`` (offset, whole tokens; ascending) and the new names into the tree.

    The tree grows by a multiple of ``align``; the rest of that is slack behind the string table.
    """
    header = tree.header
    grown = sum(len(content) for _, content in insertions)
    growth = grown + len(strings.appended)
    slack = -growth % align
    new_header = replace(
        header,
        totalsize=header.totalsize + growth + slack,
        off_dt_strings=header.off_dt_strings + grown,
        size_dt_struct=header.size_dt_struct + grown,
        size_dt_strings=header.size_dt_strings + len(strings.appended),
    )
    strings_stop = header.off_dt_strings + header.size_dt_strings
    edits = [
        Edit(offset=0, old=header.pack(), new=new_header.pack()),
        *(Edit(offset=at, old=b"", new=content) for at, content in insertions),
        Edit(offset=strings_stop, old=b"", new=strings.appended),
        Edit(offset=header.totalsize, old=b"", new=bytes(slack)),
    ]
    return tuple(edit for edit in edits if edit.old or edit.new)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % TAG.size)
