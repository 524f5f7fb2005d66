"""Checking a whole stored log against its entries, as a stream."""

import sqlite3

from sealwright.core.errors import Code, VerificationError
from sealwright.storage.log_database import Progress, damaged, read_head, read_tile, subtrees
from sealwright.translog.checkpoints import Checkpoint
from sealwright.translog.log_keys import LogKeys, open_checkpoint
from sealwright.translog.merkle import HASH_BYTES, leaf_hash
from sealwright.translog.proofs import tree_at
from sealwright.translog.tiles import TILE_HEIGHT, TILE_WIDTH, Edge


def verify_all(connection: sqlite3.Connection, log_keys: LogKeys, progress: Progress) -> Checkpoint:
    """Recompute every tile from the entries and compare tiles, head and checkpoint.

    ``VerificationError`` names the first difference.  Holds one tile's worth of entries at a time.
    """
    connection.execute("BEGIN")
    try:
        head, note = read_head(connection)
        edge = _verify_tiles(connection, head.size, progress)
        for level, partial in enumerate(edge.partial):
            _compare(connection, level, (head.size >> (TILE_HEIGHT * level)) // TILE_WIDTH, partial)
        _verify_tile_count(connection, head.size)
        root = tree_at(head.size, subtrees(connection, head.size)).root()
    finally:
        connection.execute("ROLLBACK")
    if root != head.root:
        raise VerificationError(
            "log head does not fit its entries", expected=root.hex(), got=head.root.hex(), code=Code.LOG_INCONSISTENT
        )
    verify_head(head, note, log_keys)
    return head


def verify_head(head: Checkpoint, note: bytes, log_keys: LogKeys) -> None:
    """Check that the stored checkpoint is signed by the log and says what the head says."""
    signed = open_checkpoint(note, origin=head.origin, log_keys=log_keys).checkpoint
    if signed != head:
        raise VerificationError(
            "stored checkpoint is not that of the stored head",
            expected=f"{head.size} {head.root.hex()}",
            got=f"{signed.size} {signed.root.hex()}",
            code=Code.LOG_INCONSISTENT,
        )


def _verify_tiles(connection: sqlite3.Connection, size: int, progress: Progress) -> Edge:
    edge, count = Edge(), 0
    cursor = connection.execute("SELECT number, CAST(content AS BLOB) FROM entry ORDER BY number")
    while rows := cursor.fetchmany(TILE_WIDTH):
        if [number for number, _ in rows] != list(range(count, count + len(rows))):
            raise damaged(f"lacks entries from {count} on")
        edge, changed = edge.grown([leaf_hash(content) for _, content in rows])
        for tile, content in changed:
            if tile.width == TILE_WIDTH:
                _compare(connection, tile.level or 0, tile.index, content)
        count += len(rows)
        progress(count, size)
    if count != size:
        raise damaged(f"has {count} entries, its head says {size}")
    return edge


def _compare(connection: sqlite3.Connection, level: int, index: int, content: bytes) -> None:
    if content != read_tile(connection, level, index, len(content) // HASH_BYTES):
        raise damaged(f"tile {level}/{index} does not fit the entries below it")


def _verify_tile_count(connection: sqlite3.Connection, size: int) -> None:
    expected, count = 0, size
    while count:
        expected += -(-count // TILE_WIDTH)
        count >>= TILE_HEIGHT
    (found,) = connection.execute("SELECT COUNT(*) FROM tile").fetchone()
    if found != expected:
        raise damaged(f"has {found} tiles, {expected} belong to size {size}")
