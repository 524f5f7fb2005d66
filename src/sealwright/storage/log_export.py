"""The log as a tree of files that any web server can give out (C2SP tlog-tiles).

Files never change; only ``checkpoint`` is replaced, last, once everything it needs is durable.  Exporting again into
the same folder writes what is new.
"""

import os
from pathlib import Path
from typing import Protocol

from sealwright.core.errors import Code, RefusedError
from sealwright.storage.log_database import sync_directory
from sealwright.translog.checkpoints import Checkpoint, parse_checkpoint
from sealwright.translog.notes import parse_note
from sealwright.translog.tiles import Tile, tiles_between


class Source(Protocol):
    """The part of a log that an export reads."""

    def checkpoint(self) -> bytes: ...
    def root(self, size: int) -> bytes: ...
    def file(self, tile: Tile) -> bytes: ...


def export(log: Source, directory: Path) -> Checkpoint:
    """Bring a folder up to the log's newest checkpoint; refused if it holds another log or a later state."""
    note = log.checkpoint()
    new = parse_checkpoint(parse_note(note).text)
    old_size = _continued(log, directory, new)
    touched = {directory}
    for tile in tiles_between(old_size, new.size):
        path = directory / tile.path
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, log.file(tile))
        touched.update(parent for parent in path.parents if parent.is_relative_to(directory))
    directory.mkdir(parents=True, exist_ok=True)
    for folder in touched:
        sync_directory(folder)
    _write(directory / "checkpoint", note)
    sync_directory(directory)
    return new


def _continued(log: Source, directory: Path, new: Checkpoint) -> int:
    """Return the size that the folder already has."""
    try:
        present = parse_checkpoint(parse_note((directory / "checkpoint").read_bytes()).text)
    except FileNotFoundError:
        return 0
    if present.origin != new.origin or present.size > new.size or log.root(present.size) != present.root:
        raise RefusedError(
            f"{directory} holds log {present.origin} at size {present.size}, which this one does not continue",
            code=Code.LOG_INCONSISTENT,
            hint="export into an empty folder; if this one is of the same log, compare the two: one of them is forked",
        )
    return present.size


def _write(path: Path, content: bytes) -> None:
    draft = path.with_name(f"{path.name}.new")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
