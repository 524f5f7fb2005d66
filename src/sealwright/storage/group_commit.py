"""One writer thread for a SQLite database: whatever waits at the same time shares one transaction and one flush.

A submission is a list of statements that happen together or not at all; its future is done when they are durable.
"""

import queue
import sqlite3
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from sealwright.core.errors import Code, RefusedError, UnavailableError

Statement = tuple[str, tuple[Any, ...]]
MAX_BATCH = 512


def connect(path: Path) -> sqlite3.Connection:
    """Open a database for durable writing: WAL, every commit flushed."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
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
        answers: list[Exception | None] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            answers = [self._attempt(statements) for statements, _ in batch]
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

    def _attempt(self, statements: Sequence[Statement]) -> Exception | None:
        """Run one submission so that its failure is its own."""
        self._connection.execute("SAVEPOINT submission")
        try:
            for sql, parameters in statements:
                self._connection.execute(sql, parameters)
        except sqlite3.IntegrityError as e:
            self._connection.execute("ROLLBACK TO submission")
            self._connection.execute("RELEASE submission")
            return RefusedError(f"it is there already ({e})", code=Code.CONFLICT)
        self._connection.execute("RELEASE submission")
        return None
