"""Which signature numbers of a stateful key were given out: taken durably before use, and never given back.

A number that signs two messages gives the key away, so a number is committed to disk before anything is computed with
it, and a failure after that burns it (RFC 8554, section 9.2; NIST SP 800-208, section 7).  This file alone cannot know
that it was put back from an old copy: its caller therefore passes the block of numbers that its session has in the log,
and every block begins above all earlier ones.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from sealwright.core.errors import Code, ConfigurationError, RefusedError, SealwrightError, UnavailableError
from sealwright.keystores.numbers import Counter

_TABLE = """CREATE TABLE IF NOT EXISTS counter (
  key TEXT PRIMARY KEY, next INTEGER NOT NULL CHECK (next >= 0), capacity INTEGER NOT NULL
) STRICT"""
_FREE = """SELECT max(next, :first), min(max(next, :first) + :count, :stop, capacity) FROM counter WHERE key = :key"""
_BUSY_SECONDS = 20.0


class Counters:
    """The counters of one partition, in one SQLite file that several processes may use at once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, key: str, capacity: int) -> None:
        """Begin to count for a new key (its fingerprint); refuses to begin anew."""
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        try:
            with closing(self._open()) as database:
                database.execute("BEGIN IMMEDIATE")
                database.execute(_TABLE)
                database.execute("INSERT INTO counter VALUES (?, 0, ?)", (key, capacity))
                database.execute("COMMIT")
        except sqlite3.IntegrityError:
            raise RefusedError(f"{self._path.name} counts for key {key[:16]} already", code=Code.CONFLICT) from None
        except sqlite3.Error as e:
            raise self._unavailable(e) from e
        self._sync_folder()

    def next(self, key: str) -> Counter:
        """Return the first number that was not taken, and how many the key has in its life.

        ``ConfigurationError`` where that is lost or cannot be: such a key is not used any more.
        """
        try:
            with closing(self._open()) as database:
                found = database.execute("SELECT next, capacity FROM counter WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as e:
            raise self._failure(key, e) from e
        if found is None or not 0 <= found[0] <= found[1]:
            raise self._unknown(key)
        return Counter(*found)

    def take(self, key: str, first: int, stop: int) -> int:
        """Return a number of ``first`` <= number < ``stop`` that nobody had or will have.  It is on disk by then."""
        return self.take_many(key, first, stop, 1)[0]

    def take_many(self, key: str, first: int, stop: int, count: int) -> range:
        """Take up to ``count`` such numbers at once, at least one: one write to the disk for all of them."""
        try:
            with closing(self._open()) as database:
                database.execute("BEGIN IMMEDIATE")
                wanted = {"key": key, "first": first, "stop": stop, "count": count}
                found = range(*(database.execute(_FREE, wanted).fetchone() or (0, 0)))
                if found:
                    database.execute("UPDATE counter SET next = ? WHERE key = ?", (found.stop, key))
                database.execute("COMMIT")
        except sqlite3.Error as e:
            raise self._failure(key, e) from e
        if not found:
            taken, capacity = self.next(key)
            raise RefusedError(
                f"key {key[:16]} has no signature left in the block {first} to {stop - 1}: {taken} of {capacity} taken",
                code=Code.STATE_EXHAUSTED,
                hint="the signer announces a new block" if taken < capacity else "the key is used up: rotate it",
            )
        return found

    def _open(self) -> sqlite3.Connection:
        """Open for one transaction: rollback journal, so that the one file holds everything that was committed."""
        database = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=_BUSY_SECONDS
        )
        database.execute("PRAGMA synchronous = EXTRA")  # FULL, and the folder when the journal goes away
        return database

    def _sync_folder(self) -> None:
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(folder)
        os.close(folder)

    def _failure(self, key: str, error: sqlite3.Error) -> SealwrightError:
        is_lost = os.access(self._path.parent, os.X_OK) and not os.path.lexists(self._path)
        return self._unknown(key) if is_lost else self._unavailable(error)

    def _unknown(self, key: str) -> ConfigurationError:
        return ConfigurationError(
            f"{self._path.name} does not know how far key {key[:16]} is used up",
            setting="keystore",
            hint="a stateful key without its counter is not used any more: rotate it",
        )

    def _unavailable(self, error: sqlite3.Error) -> UnavailableError:
        return UnavailableError(f"{self._path.name}: {error}", code=Code.KEYSTORE_UNAVAILABLE, retry_after_seconds=1)
