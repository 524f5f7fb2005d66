"""One writer thread for a SQLite database: whatever waits at the same time shares one transaction and one flush.

A submission is a list of statements that happen together or not at all; its future is done when they are durable.
"""

import queue
import sqlite3
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from sealwright.core.errors import Code, RefusedError, UnavailableError

Statement = tuple[str, tuple[Any, ...]]
MAX_BATCH = 512
CACHE_KIB = 32 * 1024
CHECKPOINT_PAGES = 4000  # 16 MiB of WAL: a page that changes often is written back less often


def connect(path: Path) -> sqlite3.Connection:
    """Open a database for durable writing: WAL, every commit flushed."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    return connection


class GroupCommit:
    """Runs submissions in order on a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._connection = connect(path)
        self._queue: queue.SimpleQueue[tuple[Sequence[Statement], Future[None]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)
        self._thread.start()

    def submit(self, statements: Sequence[Statement]) -> "Future[None]":
        """Queue statements; the future raises ``RefusedError`` (``conflict``) or ``UnavailableError``."""
        future: Future[None] = Future()
        future.set_running_or_notify_cancel()  # who no longer waits cannot take back what is queued
        self._queue.put((statements, future))
        return future

    def close(self) -> None:
        """Finish what is queued and close."""
        self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, last = [first], False
            while len(batch) < MAX_BATCH:
                try:
                    more = self._queue.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    last = True
                    break
                batch.append(more)
            self._commit(batch)
            if last:
                return

    def _commit(self, batch: list[tuple[Sequence[Statement], "Future[None]"]]) -> None:
        answers: Sequence[Exception | None] = []
        try:
            answers = self._perform([statements for statements, _ in batch])
            self._connection.execute("COMMIT")
        except Exception as e:  # noqa: BLE001 - whatever it is, those who wait hear of it and the next batch goes on
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            failure = UnavailableError(f"database: {e}", code=Code.STORAGE_UNAVAILABLE)
            answers = [failure] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if answer is None:
                future.set_result(None)
            else:
                future.set_exception(answer)

    def _perform(self, batch: Sequence[Sequence[Statement]]) -> Sequence[Exception | None]:
        """Run submissions in one transaction; only when one conflicts, which is rare, each behind its own savepoint."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for statements in batch:
                self._run_statements(statements)
        except sqlite3.IntegrityError:
            self._connection.execute("ROLLBACK")
            self._connection.execute("BEGIN IMMEDIATE")
            return [self._attempt(statements) for statements in batch]
        return [None] * len(batch)

    def _attempt(self, statements: Sequence[Statement]) -> Exception | None:
        """Run one submission so that its failure is its own."""
        self._connection.execute("SAVEPOINT submission")
        try:
            self._run_statements(statements)
        except sqlite3.IntegrityError as e:
            self._connection.execute("ROLLBACK TO submission")
            self._connection.execute("RELEASE submission")
            return RefusedError(f"it is there already ({e})", code=Code.CONFLICT)
        self._connection.execute("RELEASE submission")
        return None

    def _run_statements(self, statements: Sequence[Statement]) -> None:
        for sql, alike in groupby(statements, itemgetter(0)):
            self._connection.executemany(sql, [parameters for _, parameters in alike])
