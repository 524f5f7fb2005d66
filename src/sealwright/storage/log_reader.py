"""Reading a stored log: entries, tiles, proofs, checks, backups.

Reading needs no lock and no guard, so it works on a backup and beside the process that writes.
Reference: ``docs/spec/log.md``.
"""

import sqlite3
from pathlib import Path
from typing import Self

from sealwright.core.errors import Code, RefusedError
from sealwright.storage import log_check, log_database
from sealwright.storage.log_database import Progress, Readers
from sealwright.translog import proofs
from sealwright.translog.checkpoints import Checkpoint
from sealwright.translog.log_keys import LogKeys
from sealwright.translog.tiles import TILE_HEIGHT, TILE_WIDTH, Tile, encode_bundle


class LogReader:
    """Reads a stored log; any thread may call anything at any time."""

    def __init__(self, path: Path) -> None:
        """Open a log for reading: a backup, or beside the process that writes it."""
        self._path = path
        self._readers = Readers(path)
        with self._readers.reading() as connection:
            self.origin = log_database.read_head(connection)[0].origin

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._readers.close()

    def head(self) -> tuple[Checkpoint, bytes]:
        """Return the newest head and the checkpoint signed for it."""
        with self._readers.reading() as connection:
            return log_database.read_head(connection)

    @property
    def size(self) -> int:
        """Number of entries."""
        return self.head()[0].size

    def checkpoint(self) -> bytes:
        """Return the newest signed checkpoint."""
        return self.head()[1]

    def entries(self, start: int, stop: int) -> list[bytes]:
        """Return the entries ``[start, stop)``; the caller bounds how many it asks for at once."""
        self._check_range(start, stop)
        with self._readers.reading() as connection:
            return log_database.read_entries(connection, start, stop)

    def file(self, tile: Tile) -> bytes:
        """Return a tile or bundle as published; ``RefusedError`` (``not-found``) where the log does not reach."""
        level, start = tile.level or 0, tile.index * TILE_WIDTH
        if start + tile.width > self.size >> (TILE_HEIGHT * level):
            raise RefusedError(f"the log has no {tile.path}", code=Code.NOT_FOUND)
        with self._readers.reading() as connection:
            if tile.level is None:
                return encode_bundle(log_database.read_entries(connection, start, start + tile.width))
            return log_database.read_tile(connection, level, tile.index, tile.width)

    def tile(self, level: int, index: int, width: int = TILE_WIDTH) -> bytes:
        """Return the hashes of a tile."""
        return self.file(Tile(level, index, width))

    def bundle(self, index: int, width: int = TILE_WIDTH) -> bytes:
        """Return an entry bundle."""
        return self.file(Tile(None, index, width))

    def root(self, size: int) -> bytes:
        """Return the root hash at an earlier size."""
        self._check_range(0, size)
        with self._readers.reading() as connection:
            return proofs.tree_at(size, log_database.subtrees(connection, size)).root()

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """Prove entry ``index`` against the root at ``size``."""
        self._check_range(index, size)
        with self._readers.reading() as connection:
            return proofs.inclusion_proof(index, size, log_database.subtrees(connection, size))

    def consistency_proof(self, old_size: int, new_size: int) -> list[bytes]:
        """Prove that the log of ``new_size`` continues that of ``old_size``."""
        self._check_range(old_size, new_size)
        with self._readers.reading() as connection:
            return proofs.consistency_proof(old_size, new_size, log_database.subtrees(connection, new_size))

    def verify_all(self, log_keys: LogKeys, progress: Progress = lambda _done, _all: None) -> Checkpoint:
        """Recompute everything from the entries; ``VerificationError`` names the first difference."""
        with self._readers.reading() as connection:
            return log_check.verify_all(connection, log_keys, progress)

    def backup(self, destination: Path) -> None:
        """Write a copy of the log at one size, while it is in use; the copy appears whole or not at all.

        A copy can be read and verified, but only continued while the guard has not moved on.
        """
        if destination.exists():
            raise RefusedError(f"{destination} exists", code=Code.CONFLICT, hint="name a new file for the backup")
        draft = destination.with_name(f"{destination.name}.new")
        draft.unlink(missing_ok=True)
        with self._readers.reading() as connection:
            copy = sqlite3.connect(draft, isolation_level=None)
            try:
                connection.backup(copy)  # in one step, so that appends meanwhile do not start it anew
                copy.execute("PRAGMA journal_mode = DELETE")  # one file, readable from read-only media
            finally:
                copy.close()
        self._settle()
        log_database.publish(draft, destination)

    def _settle(self) -> None:
        """Wait until everything committed is published; a reader has nothing to wait for."""

    def _check_range(self, start: int, stop: int) -> None:
        if not 0 <= start <= stop <= self.size:
            raise RefusedError(f"the log has {self.size} entries, not {start} to {stop}", code=Code.NOT_FOUND)
