"""Devicetrees: what dtc writes is read, what lies about itself is refused, and nothing random crashes the reader."""

import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.formats.fits import Recipe
from tests.formats.flips import flipped
from tests.verifiers import uboot

from sealwright.core.errors import Code, FormatError
from sealwright.core.images import MemorySource
from sealwright.core.patches import Patch
from sealwright.formats import fdt
from sealwright.formats.fdt_splice import StringTable, encode_node, encode_property, splice

WORD = struct.Struct(">I")


def tree(structure: bytes, strings: bytes = b"a\0b\0", **changed: int) -> bytes:
    """Lay out a devicetree around a structure block; header fields can be changed to lies."""
    off_struct = 40 + 16
    fields = {
        "totalsize": off_struct + len(structure) + len(strings),
        "off_dt_struct": off_struct,
        "off_dt_strings": off_struct + len(structure),
        "off_mem_rsvmap": 40,
        "version": 17,
        "last_comp_version": 16,
        "boot_cpuid_phys": 0,
        "size_dt_strings": len(strings),
        "size_dt_struct": len(structure),
    }
    return fdt.Header(**(fields | changed)).pack() + bytes(16) + structure + strings


def words(*values: int) -> bytes:
    return b"".join(map(WORD.pack, values))


BEGIN, END_NODE, PROP, NOP, END = 1, 2, 3, 4, 9
EMPTY_ROOT = words(BEGIN, 0, END_NODE, END)


def child(name: bytes, *content: bytes) -> bytes:
    return words(BEGIN) + name + bytes(4 - len(name) % 4) + b"".join(content) + words(END_NODE)


def root(*content: bytes) -> bytes:
    return words(BEGIN, 0) + b"".join(content) + words(END_NODE, END)


def parse(data: bytes) -> fdt.Tree:
    return fdt.parse(MemorySource(data))


def test_nodes_properties_and_values_are_found() -> None:
    found = parse(tree(root(words(PROP, 2, 0), b"x\0\0\0", words(NOP), child(b"n-1", words(PROP, 4, 2, 7)))))
    assert found.text(found.root, "a") == "x"
    assert found.word(found.root.children["n-1"], "b") == 7
    assert found.root.children["n-1"].path == "/n-1"
    assert [token.tag for token in found.tokens] == [BEGIN, PROP, NOP, BEGIN, PROP, END_NODE, END_NODE, END]


def test_what_dtc_and_qemu_write_is_read_like_fdtget_reads_it(tmp_path: Path) -> None:
    for data in (uboot.control_dtb(), uboot.small_dtb()):
        found = parse(data)
        pl011 = found.root.children["pl011@9000000"]
        for name, item in pl011.properties.items():
            said = uboot.fdtget(data, tmp_path, "/pl011@9000000", name) if item.size else ""
            assert bytes.fromhex("".join(byte.zfill(2) for byte in said.split())) == found.value(item)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "magic number"),
        (tree(EMPTY_ROOT)[:39], "magic number"),
        (flipped(tree(EMPTY_ROOT), 3), "magic number"),
        (tree(EMPTY_ROOT, version=16), "version 16"),
        (tree(EMPTY_ROOT, last_comp_version=18), "version 17, compatible to 18"),
        (tree(EMPTY_ROOT, totalsize=1 << 31), "claims"),
        (tree(EMPTY_ROOT, totalsize=60), "blocks overlap"),
        (tree(EMPTY_ROOT, off_dt_struct=40), "blocks overlap"),
        (tree(EMPTY_ROOT, off_dt_struct=58), "blocks overlap"),
        (tree(EMPTY_ROOT, off_dt_strings=56), "blocks overlap"),
        (tree(EMPTY_ROOT, off_mem_rsvmap=0), "blocks overlap"),
        (tree(EMPTY_ROOT, size_dt_strings=5), "blocks overlap"),
        (tree(EMPTY_ROOT, size_dt_strings=0xFFFFFFFF), "string table of"),
        (tree(EMPTY_ROOT, size_dt_struct=12), "without its end tag"),
        (tree(EMPTY_ROOT + words(END)), "goes on after its end tag"),
        (tree(words(END)), "tag END where it cannot stand"),
        (tree(words(NOP, BEGIN, 0, END_NODE, END)), "tag NOP where it cannot stand"),
        (tree(words(END_NODE, END)), "tag END_NODE where it cannot stand"),
        (tree(words(BEGIN, 0, END)), "tag END where it cannot stand"),
        (tree(words(BEGIN, 0, END_NODE, BEGIN, 0, END_NODE, END)), "tag BEGIN_NODE where it cannot stand"),
        (tree(words(BEGIN, 0, 5)), "unknown devicetree tag 0x5"),
        (tree(child(b"named") + words(END)), "only the root node has an empty name"),
        (tree(root(child(b""))), "only the root node has an empty name"),
        (tree(root(child(b"a/b"))), "holds a character"),
        (tree(root(child(b"\xc3\xa4"))), "holds a character"),
        (tree(root(child(b"n"), child(b"n"))), "two nodes named n"),
        (tree(root(child(b"x" * 300))), "does not end within 255 bytes"),
        (tree(words(BEGIN) + b"abcd"), "does not end"),
        (tree(root(words(PROP, 0, 0), words(PROP, 0, 0))), "two properties named a"),
        (tree(root(child(b"n"), words(PROP, 0, 0))), "a property after a child"),
        (tree(root(words(PROP, 0xFFFFFFFF, 0))), "leaves the structure block"),
        (tree(root(words(PROP, 0, 4))), "property name at 0x4"),
        (tree(root(words(PROP, 0, 1))), "property name at 0x1"),
        (tree(root(words(PROP, 0, 0xFFFFFFFF))), "property name at 0xffffffff"),
        (tree(root(words(PROP, 0, 2)), b"a\0b"), "property name at 0x2"),
        (tree(words(BEGIN, 0, PROP, 0)), "property leaves"),
        (tree(words(BEGIN, 0) + child(b"n") * 0 + (words(BEGIN) + b"n\0\0\0") * 40), "nested deeper than 32"),
        (tree(root(words(NOP) * fdt.MAX_TAGS)), "more than 100000 tags"),
    ],
)
def test_a_tree_that_lies_about_itself_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse(data)


def test_a_long_path_is_refused_before_nodes_below_it_each_keep_one() -> None:
    """30 names of 255 bytes and 49,000 nodes below them took 427 MiB of paths."""
    chain = b"".join(words(BEGIN) + bytes([97 + n]) * 255 + b"\0" for n in range(5))
    refused_at = 56 + 8 + 4 * 260  # the fifth: 5 * 256 bytes are too many
    with pytest.raises(FormatError, match="node path of 1280 bytes, at most 1024 are read") as refused:
        parse(tree(words(BEGIN, 0) + chain))  # nothing behind it is read, not even its end
    assert refused.value.at == refused_at
    four = words(BEGIN, 0) + chain[: 4 * 260] + words(END_NODE) * 5 + words(END)
    assert [len(token.node.path) for token in parse(tree(four)).tokens if token.tag is fdt.Tag.BEGIN_NODE][-1] == 1024
    with pytest.raises(FormatError, match="node path of 512 bytes, at most 511"):
        fdt.parse(MemorySource(tree(four)), max_path_bytes=511)


def test_a_reservation_block_without_end_is_refused() -> None:
    data = bytearray(tree(EMPTY_ROOT))
    data[41] = 1
    with pytest.raises(FormatError, match="memory reservation block does not end"):
        parse(bytes(data))


def test_a_tree_beyond_what_uboot_verifies_is_refused_with_a_hint() -> None:
    class Sparse(MemorySource):
        size = 1 << 30  # type: ignore[assignment]

    with pytest.raises(FormatError, match="U-Boot verifies at most") as refused:
        fdt.parse(Sparse(tree(EMPTY_ROOT, totalsize=(256 << 20) + 1)))
    assert refused.value.code is Code.UNSUPPORTED_IMAGE
    assert "mkimage -E" in refused.value.hint


def test_values_are_loaded_only_within_bounds_and_of_their_kind() -> None:
    found = parse(tree(root(words(PROP, 3, 0), b"xyz\0", words(PROP, 4, 2), b"x\0y\0")))
    with pytest.raises(FormatError, match="property a of 3 bytes, at most 2"):
        found.value(found.root.properties["a"], max_bytes=2)
    with pytest.raises(FormatError, match="a of 3 bytes, 4 expected"):
        found.word(found.root, "a")
    for name in ("a", "b"):
        with pytest.raises(FormatError, match="is not one string"):
            found.text(found.root, name)
    assert found.string_list(found.root, "b") == ("x", "y")
    assert found.string_list(found.root, "a") is None
    assert found.text(found.root, "c") is found.word(found.root, "c") is None


def test_spliced_nodes_are_there_for_the_devicetree_compiler_and_the_rest_is_unchanged(tmp_path: Path) -> None:
    data = uboot.small_dtb()
    old, strings = parse(data), StringTable(parse(data).strings)
    content = encode_property(strings, "compatible", b"test\0") + encode_property(strings, "brand-new", b"\1\2\3")
    assert strings.appended == b"brand-new\0"
    edits = splice(old, [(old.root.end, encode_node("spliced", content))], strings, 8)
    new = b"".join(Patch(old_size=len(data), edits=edits).apply(MemorySource(data)))
    assert (len(new) - len(data)) % 8 == 0
    assert uboot.fdtget(new, tmp_path, "/spliced", "brand-new") == "1 2 3"
    before, after = uboot.dtc(data, tmp_path), uboot.dtc(new, tmp_path)
    assert [line for line in before.splitlines() if line not in after.splitlines()] == []


def test_a_string_table_without_final_nul_does_not_swallow_the_new_name() -> None:
    strings = StringTable(b"a\0b")
    assert strings.offset_of("new") == 4
    assert strings.appended == b"\0new\0"
    assert strings.offset_of("new") == 4
    assert strings.offset_of("b") == 2


@pytest.mark.parametrize("cut", [*range(60), *range(60, 8000, 97)])
def test_a_cut_tree_is_refused(cut: int) -> None:
    data = uboot.small_dtb()
    if cut < len(data):
        with pytest.raises(FormatError):
            parse(data[:cut])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
@example(b"")
@example(b"\0")
def test_random_structure_blocks_never_crash(structure: bytes) -> None:
    with contextlib.suppress(FormatError):
        parse(tree(structure + bytes(-len(structure) % 4)))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from([words(BEGIN, 0), child(b"n"), words(PROP, 0, 0), words(NOP), words(END_NODE), words(END)])
    )
)
def test_random_tokens_never_crash(tokens: list[bytes]) -> None:
    with contextlib.suppress(FormatError):
        parse(tree(words(BEGIN, 0) + b"".join(tokens)))


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.integers(0, 1200), st.integers(0, 255), min_size=1, max_size=8))
def test_mutated_trees_never_crash(changes: dict[int, int]) -> None:
    data = bytearray(uboot.small_dtb())
    for at, value in changes.items():
        data[at] = value
    with contextlib.suppress(FormatError):
        parse(bytes(data))


def test_a_fit_is_a_tree(tmp_path: Path) -> None:
    assert [*parse(Recipe().build(tmp_path)).root.children] == ["images", "configurations"]
