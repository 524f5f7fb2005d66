"""Tiles and bundles: paths, which files a size needs, growth of the edge, strict bundles."""

import hashlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwright.core.errors import Code, FormatError, RefusedError, SealwrightError
from sealwright.translog.merkle import leaf_hash, root_of
from sealwright.translog.tiles import (
    Edge,
    Tile,
    decode_bundle,
    encode_bundle,
    parse_path,
    partial_width,
    perfect_root,
    tiles_between,
)


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 7), "tile/0/007"),
        (Tile(0, 1234067), "tile/0/x001/x234/067"),
        (Tile(1, 1000, 17), "tile/1/x001/000.p/17"),
        (Tile(None, 273, 112), "tile/entries/273.p/112"),
        (Tile(63, 0, 1), "tile/63/000.p/1"),
    ],
)
def test_paths_are_those_of_tlog_tiles(tile, path):
    assert tile.path == path
    assert parse_path(path) == tile


@pytest.mark.parametrize(
    "path",
    ["", "tile/0/7", "tile/00/007", "tile/64/000", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01",
     "tile/0/x000/007", "tile/0/001/007", "tile/0/x001", "tile/0/../007", "tile/0/007/", "tile/0/007\n",
     "tile/0/\u0660\u0660\u0667", "tile/data/007", "/tile/0/007", "tile/0/" + "x999/" * 20 + "999"],
)  # fmt: skip
def test_a_path_in_another_spelling_is_refused(path):
    with pytest.raises(FormatError, match="not the "):
        parse_path(path)


@pytest.mark.parametrize(("level", "index", "width"), [(0, -1, 1), (-1, 0, 1), (64, 0, 1), (0, 0, 0), (0, 0, 257)])
def test_a_tile_that_cannot_be_is_refused(level, index, width):
    with pytest.raises(FormatError, match="not the place of a tile"):
        Tile(level, index, width)


@given(st.text(alphabet="tile/0123456789xp.nrs", max_size=60))
def test_any_text_is_a_path_or_a_format_error(text):
    with suppress(FormatError):
        assert parse_path(text).path == text


@given(st.one_of(st.none(), st.integers(0, 63)), st.integers(0, 10**15 - 1), st.integers(1, 256))
def test_paths_come_back(level, index, width):
    assert parse_path(Tile(level, index, width).path) == Tile(level, index, width)


def test_a_log_of_70000_has_the_tiles_of_the_specification_s_example():
    tiles = list(tiles_between(0, 70_000))
    assert [len([t for t in tiles if t.level == level and t.width == 256]) for level in (None, 0, 1, 2)] == [
        273,
        273,
        1,
        0,
    ]
    assert [t for t in tiles if t.width < 256] == [
        Tile(None, 273, 112), Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1),
    ]  # fmt: skip
    assert [partial_width(70_000, level) for level in range(4)] == [112, 17, 1, 0]


def test_a_log_of_256_has_one_full_tile_and_one_hash_above_it():
    assert list(tiles_between(0, 256)) == [Tile(None, 0), Tile(0, 0), Tile(1, 0, 1)]
    assert list(tiles_between(0, 0)) == []


@pytest.mark.parametrize(("old", "new"), [(0, 5), (5, 5), (5, 6), (250, 256), (256, 257), (300, 70_000)])
def test_growing_in_steps_brings_every_file_of_the_end(old, new):
    in_steps = set(tiles_between(0, old)) | set(tiles_between(old, new))
    assert set(tiles_between(0, new)) <= in_steps


@pytest.mark.parametrize("steps", [[1] * 600, [256, 256], [255, 1, 1], [600], [66_000], [65_536, 1], [65_535, 1]])
def test_the_edge_grows_to_the_same_tiles_in_any_steps(steps):
    leaves = [hashlib.sha256(b"%d" % n).digest() for n in range(sum(steps))]
    edge, tiles, at = Edge(), {}, 0
    for step in steps:
        edge, changed = edge.grown(leaves[at : at + step])
        tiles.update({(tile.level, tile.index): content for tile, content in changed})
        at += step
    expected = {(t.level, t.index): t.width for t in tiles_between(0, len(leaves)) if t.level is not None}
    assert {key: len(content) // 32 for key, content in tiles.items()} == expected
    level0 = b"".join(content for (level, _), content in sorted(tiles.items()) if level == 0)
    assert level0 == b"".join(leaves)
    if len(leaves) >= 256:
        assert tiles[1, 0][:32] == root_of(leaves[:256])
    if len(leaves) >= 65_536:
        assert tiles[2, 0] == root_of(leaves[:65_536])


def test_a_perfect_root_is_the_root_of_its_leaves():
    leaves = [leaf_hash(b"%d" % n) for n in range(256)]
    for count in (1, 2, 64, 256):
        assert perfect_root(b"".join(leaves[:count])) == root_of(leaves[:count])


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=256))
def test_bundles_come_back(entries):
    data = encode_bundle(entries)
    assert decode_bundle(data, len(entries)) == entries
    with pytest.raises(FormatError):
        decode_bundle(data, len(entries) + 1)
    with pytest.raises(FormatError, match="after the last entry"):
        decode_bundle(data, len(entries) - 1)


def test_a_bundle_cut_anywhere_is_a_format_error_with_its_offset():
    data = encode_bundle([b"one", b"", b"three"])
    assert data == b"\0\3one\0\0\0\5three"
    for cut in range(len(data)):
        with pytest.raises(FormatError) as refused:
            decode_bundle(data[:cut], 3)
        assert refused.value.at is not None
        assert refused.value.at <= cut


@given(st.binary(max_size=600), st.integers(0, 256))
def test_hostile_bundles_are_read_or_refused(data, count):
    try:
        entries = decode_bundle(data, count)
    except FormatError:
        return
    assert sum(len(entry) + 2 for entry in entries) == len(data)


def test_an_entry_may_fill_two_length_bytes_and_no_more():
    largest = b"x" * 65_535
    assert decode_bundle(encode_bundle([largest]), 1) == [largest]
    with pytest.raises(RefusedError, match="log entry of 65536 bytes, at most 65535 fit") as refused:
        encode_bundle([largest + b"x"])
    assert refused.value.code is Code.TOO_LARGE
    for count in (0, 257):
        with pytest.raises(SealwrightError, match="a bundle has 1 to 256 entries"):
            encode_bundle([b""] * count)
