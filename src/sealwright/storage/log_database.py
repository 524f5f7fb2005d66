"""The SQLite file of a log: its tables, its version, and how connections to it are opened.

WAL, so that readers never wait for the writer; ``synchronous=FULL``, so that what was committed survives a power cut.
Never on a network file system (SQLite, "Write-Ahead Logging").
"""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sealwright.core.errors import Code, ConfigurationError, UnavailableError, VerificationError
from sealwright.translog.checkpoints import Checkpoint
from sealwright.translog.merkle import HASH_BYTES, MAX_SIZE
from sealwright.translog.proofs import Subtree
from sealwright.translog.tiles import TILE_HEIGHT, TILE_WIDTH, Tile, perfect_root

SCHEMA_VERSION = 1
APPLICATION_ID = 0x53574C47  # "SWLG": tells the file from any other SQLite database
BUSY_SECONDS = 10.0

_SCHEMA = f"""
CREATE TABLE entry (number INTEGER PRIMARY KEY, content BLOB NOT NULL) STRICT;
CREATE TABLE tile (
    level INTEGER NOT NULL, number INTEGER NOT NULL, hashes BLOB NOT NULL, PRIMARY KEY (level, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    origin TEXT NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL, checkpoint BLOB NOT NULL
) STRICT;
CREATE TRIGGER entry_never_changes BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, 'log entries never change'); END;
CREATE TRIGGER entry_never_goes BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, 'log entries are never deleted'); END;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours: busy or full is for later, damaged is damaged."""
    try:
        yield
    except sqlite3.OperationalError as e:
        raise UnavailableError(f"log database {path.name}: {e}", code=Code.STORAGE_UNAVAILABLE) from e
    except sqlite3.DatabaseError as e:
        raise VerificationError(
            f"log database {path.name} is damaged: {e}",
            code=Code.LOG_INCONSISTENT,
            hint="keep the file; restore a copy that is not older than the guard: docs/operate/backup.md",
        ) from e


def create(path: Path, head: Checkpoint, note: bytes) -> None:
    """Write a log of one head and no entries; it appears under ``path`` whole or not at all."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    connection = sqlite3.connect(draft, isolation_level=None)
    try:
        connection.executescript(_SCHEMA)
        connection.execute("INSERT INTO head VALUES (1, ?, ?, ?, ?)", (head.origin, head.size, head.root, note))
    finally:
        connection.close()
    publish(draft, path)


def publish(draft: Path, path: Path) -> None:
    """Give a finished file its name, durably."""
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make renames and new names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def connect(path: Path, *, writable: bool) -> sqlite3.Connection:
    """Open an existing log of a version that this program knows; ``ConfigurationError`` otherwise."""
    if not path.is_file():
        raise ConfigurationError(f"there is no log at {path}", setting="log", hint="`sealwright init` makes one")
    mode = "rw" if writable else "ro"
    with translated(path):
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            timeout=BUSY_SECONDS,
            check_same_thread=False,  # handed from thread to thread, never used by two at once
        )
        try:
            _check_version(connection, path)
            if writable:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
    return connection


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        raise ConfigurationError(f"{path} is not a Sealwright log", setting="log")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != SCHEMA_VERSION:
        raise ConfigurationError(
            f"{path} has schema version {version}, this program knows {SCHEMA_VERSION}",
            setting="log",
            hint="a newer Sealwright wrote it: use that version or a later one",
        )


class Readers:
    """Read-only connections, as many as are in use at once."""

    def __init__(self, path: Path) -> None:
        self._path, self._idle, self._mutex, self._closed = path, list[sqlite3.Connection](), threading.Lock(), False

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection for one operation."""
        with self._mutex:
            connection = self._idle.pop() if self._idle else None
        connection = connection or connect(self._path, writable=False)
        try:
            with translated(self._path):
                yield connection
        finally:
            with self._mutex:
                if not self._closed:
                    self._idle.append(connection)
                    connection = None
            if connection is not None:
                connection.close()

    def close(self) -> None:
        """Close what is idle, and what is lent as soon as it comes back."""
        with self._mutex:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


def read_head(connection: sqlite3.Connection) -> tuple[Checkpoint, bytes]:
    """Return the newest committed head and the checkpoint that was signed for it."""
    row = connection.execute("SELECT origin, size, root, checkpoint FROM head").fetchone()
    # Types are checked because a copy that came from elsewhere may have been made with other tables.
    if row is None or [type(value) for value in row] != [str, int, bytes, bytes] or not 0 <= row[1] <= MAX_SIZE:
        raise damaged("has no head")
    origin, size, root, note = row
    return Checkpoint(origin=origin, size=size, root=root), note


def write_growth(
    connection: sqlite3.Connection,
    entries: Sequence[bytes],
    tiles: Sequence[tuple[Tile, bytes]],
    *,
    old: Checkpoint,
    new: Checkpoint,
    note: bytes,
) -> None:
    """Write entries, tiles and head in the caller's transaction; ``VerificationError`` unless the head was ``old``."""
    connection.executemany("INSERT INTO entry VALUES (?, ?)", enumerate(entries, old.size))
    connection.executemany(
        "INSERT INTO tile VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET hashes = excluded.hashes",
        [(tile.level, tile.index, content) for tile, content in tiles],
    )
    updated = connection.execute(
        "UPDATE head SET size = ?, root = ?, checkpoint = ? WHERE size = ? AND root = ?",
        (new.size, new.root, note, old.size, old.root),
    )
    if updated.rowcount != 1:
        raise damaged(f"was changed by somebody else after size {old.size}")


def read_entries(connection: sqlite3.Connection, start: int, stop: int) -> list[bytes]:
    """Return the entries ``[start, stop)``."""
    rows = connection.execute(
        "SELECT CAST(content AS BLOB) FROM entry WHERE number >= ? AND number < ? ORDER BY number", (start, stop)
    )
    entries = [content for (content,) in rows]
    if len(entries) != stop - start:
        raise damaged(f"lacks entries between {start} and {stop}")
    return entries


def read_tile(connection: sqlite3.Connection, level: int, index: int, width: int) -> bytes:
    """Return the first ``width`` hashes of a tile."""
    row = connection.execute(
        "SELECT CAST(hashes AS BLOB) FROM tile WHERE level = ? AND number = ?", (level, index)
    ).fetchone()
    content: bytes = row[0][: width * HASH_BYTES] if row else b""
    if len(content) != width * HASH_BYTES:
        raise damaged(f"lacks hashes of tile {level}/{index}")
    return content


def subtrees(connection: sqlite3.Connection, size: int) -> Subtree:
    """Return the hashes of perfect subtrees in the log's first ``size`` entries; reads each tile once."""
    tiles: dict[tuple[int, int], bytes] = {}

    def subtree(height: int, index: int) -> bytes:
        level, within = divmod(height, TILE_HEIGHT)
        number, offset = divmod(index << within, TILE_WIDTH)
        if (level, number) not in tiles:
            width = min(TILE_WIDTH, (size >> (TILE_HEIGHT * level)) - number * TILE_WIDTH)
            tiles[level, number] = read_tile(connection, level, number, width)
        hashes = tiles[level, number][offset * HASH_BYTES : (offset + (1 << within)) * HASH_BYTES]
        return perfect_root(hashes)

    return subtree


def damaged(what: str) -> VerificationError:
    """Return the error for a log database that contradicts itself."""
    return VerificationError(f"log database {what}", code=Code.LOG_INCONSISTENT)


Progress = Callable[[int, int], None]
"""Called now and then with what is done and what there is to do."""
