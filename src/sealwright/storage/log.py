"""The one writer of a log: appends, signs, and never forks.

One transaction holds a batch of entries, the tiles they change and the new head with its signed checkpoint; then the
guard remembers the checkpoint; only then anybody sees it.  A process killed anywhere leaves a log that opens.
Group commit is the caller's: what it passes to ``append`` at once costs one flush of the disk.
Reference: ``docs/spec/log.md``; why there is a guard: ``log_guard``.
"""

import os
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from sealwright.core.errors import Code, ConfigurationError, RefusedError
from sealwright.storage import log_check, log_database, log_guard
from sealwright.storage.log_database import Progress
from sealwright.storage.log_reader import LogReader
from sealwright.translog import proofs
from sealwright.translog.checkpoints import Checkpoint
from sealwright.translog.log_keys import LogKeys, open_checkpoint
from sealwright.translog.merkle import EMPTY_ROOT, CompactRange, leaf_hash
from sealwright.translog.notes import NoteSigner
from sealwright.translog.tiles import TILE_HEIGHT, TILE_WIDTH, Edge, check_entry, partial_width


class LogStore(LogReader):
    """The one writer of a log; what it reads is what has been published."""

    _tree: CompactRange
    _edge: Edge
    _published: tuple[Checkpoint, bytes]
    _uncertain: bool
    """Whether the disk may be ahead of memory, because a commit was interrupted."""

    def __init__(self, path: Path, *, signer: NoteSigner, guard_directory: Path) -> None:
        """Open an existing log to continue it.

        ``RefusedError`` (``log-inconsistent``) if it is behind its guard or contradicts it; ``UnavailableError`` if
        another process has it open.
        """
        with ExitStack() as undo:
            super().__init__(path)
            undo.callback(self._readers.close)
            if signer.name != self.origin:
                raise ConfigurationError(
                    f"log {self.origin} cannot be signed by a key named {signer.name}", setting="log key"
                )
            self._signer = signer
            _lock(path, undo)
            self._guard = log_guard.open_guard(log_guard.path_of(guard_directory, self.origin))
            undo.callback(self._guard.close)
            self._writer = log_database.connect(path, writable=True)
            undo.callback(self._writer.close)
            self._mutex = threading.Lock()
            self._load()
            self._undo = undo.pop_all()

    @classmethod
    def create(cls, path: Path, *, signer: NoteSigner, guard_directory: Path) -> Self:
        """Make an empty log whose origin is the signer's name, and open it."""
        if path.exists():
            raise ConfigurationError(f"{path} exists", setting="log", hint="an existing log is opened, never made anew")
        guard_path = log_guard.path_of(guard_directory, signer.name)
        head = Checkpoint(origin=signer.name, size=0, root=EMPTY_ROOT)
        note = signer.sign(head.serialise())
        with ExitStack() as undo:
            _lock(path, undo)
            if guard_path.exists():
                _check_nothing_published(guard_path, signer)
            else:
                log_guard.create(guard_path, note)
            # The guard first: a log that exists has one, so a missing guard always means that it was lost.
            log_database.create(path, head, note)
        return cls(path, signer=signer, guard_directory=guard_directory)

    def close(self) -> None:
        self._readers.close()  # before the writer: the last to close folds the write-ahead log in, and readers cannot
        self._undo.close()

    def head(self) -> tuple[Checkpoint, bytes]:
        """Return the newest published head: what is committed but not yet in the guard is nobody's business."""
        return self._published

    def append(self, entries: Sequence[bytes]) -> tuple[int, bytes]:
        """Append a batch durably; return the index of its first entry and the signed checkpoint that covers it.

        Thread-safe.  On an error nothing was acknowledged; the next call finds out from the disk where the log stands.
        """
        for entry in entries:
            check_entry(entry)
        leaves = [leaf_hash(entry) for entry in entries]
        with self._mutex:
            if self._uncertain:
                self._load()
            old, note = self._published
            if not leaves:
                return old.size, note
            self._uncertain = True
            self._published = self._grow(old, entries, leaves)
            self._uncertain = False
            return old.size, self._published[1]

    def verify_all(self, log_keys: LogKeys | None = None, progress: Progress = lambda _done, _all: None) -> Checkpoint:
        """Recompute everything from the entries; ``VerificationError`` names the first difference."""
        return super().verify_all(log_keys or LogKeys(self._signer.verifier_key), progress)

    def _settle(self) -> None:
        # A copy may hold a head that was committed a moment ago; it leaves only once the guard knows that head.
        with self._mutex:
            if self._uncertain:
                self._load()

    def _grow(self, old: Checkpoint, entries: Sequence[bytes], leaves: list[bytes]) -> tuple[Checkpoint, bytes]:
        tree = self._tree.copy()
        tree.extend(leaves)
        edge, tiles = self._edge.grown(leaves)
        new = Checkpoint(origin=self.origin, size=tree.size, root=tree.root())
        # Signed before the commit that makes it durable; if that fails, the note is dropped unseen.
        note = self._signer.sign(new.serialise())
        with log_database.translated(self._path):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                log_database.write_growth(self._writer, entries, tiles, old=old, new=new, note=note)
                self._writer.execute("COMMIT")
            finally:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
        self._guard.write(note)
        self._tree, self._edge = tree, edge
        return new, note

    def _load(self) -> None:
        """Take the state from the database, check it against the guard, and bring the guard up."""
        with log_database.translated(self._path):
            head, note = log_database.read_head(self._writer)
            # By Ed25519 alone: what was signed before there was a second key is continued with it.
            log_check.verify_head(head, note, LogKeys(self._signer.verifier_key))
            self._check_guard(head)
            subtree = log_database.subtrees(self._writer, head.size)
            self._tree = proofs.tree_at(head.size, subtree)
            self._edge = _edge(self._writer, head.size)
        if self._tree.root() != head.root:
            raise RefusedError(
                "log tiles do not fit the head", code=Code.LOG_INCONSISTENT, hint=log_guard.SUCCESSOR_HINT
            )
        if self._guard.note != note:
            # Killed between commit and guard: nobody has seen this checkpoint, but it is signed and durable.
            self._guard.write(note)
        self._published, self._uncertain = (head, note), False

    def _check_guard(self, head: Checkpoint) -> None:
        guarded = open_checkpoint(
            self._guard.note, origin=self.origin, log_keys=LogKeys(self._signer.verifier_key)
        ).checkpoint
        if guarded.size > head.size:
            found = f"log has {head.size} entries, but {guarded.size} were published"
        elif proofs.tree_at(guarded.size, log_database.subtrees(self._writer, guarded.size)).root() != guarded.root:
            found = f"log does not continue what was published at size {guarded.size}"
        else:
            return
        raise RefusedError(found, code=Code.LOG_INCONSISTENT, hint=log_guard.SUCCESSOR_HINT)


def _edge(connection: sqlite3.Connection, size: int) -> Edge:
    partial, level = [], 0
    while size >> (TILE_HEIGHT * level):
        width = partial_width(size, level)
        index = (size >> (TILE_HEIGHT * level)) // TILE_WIDTH
        partial.append(log_database.read_tile(connection, level, index, width) if width else b"")
        level += 1
    return Edge(size, partial)


def _lock(path: Path, undo: ExitStack) -> None:
    """Lock the log for this process; the file stays, since removing it would let two processes lock two files."""
    lock_path = path.with_name(f"{path.name}.lock")
    descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    undo.callback(os.close, descriptor)
    log_guard.lock(descriptor, lock_path)


def _check_nothing_published(guard_path: Path, signer: NoteSigner) -> None:
    """Accept the guard of a creation that was cut short; refuse that of a log which has been used."""
    guard = log_guard.open_guard(guard_path)
    try:
        guarded = open_checkpoint(guard.note, origin=signer.name, log_keys=LogKeys(signer.verifier_key)).checkpoint
    finally:
        guard.close()
    if guarded.size:
        raise RefusedError(
            f"a log named {signer.name} has already published {guarded.size} entries",
            code=Code.LOG_INCONSISTENT,
            hint=log_guard.SUCCESSOR_HINT,
        )
