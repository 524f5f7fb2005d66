"""A copy of the log in a folder: entry bundles and ``checkpoint`` as C2SP tlog-tiles lays them out.

Tiles of hashes are not read: who has all entries computes the hashes.  Nothing here is believed; ``check_history`` and
``log_mirror`` check it.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sealwright.client.files import read_small
from sealwright.core.errors import Code, ConfigurationError, FormatError
from sealwright.translog.checkpoints import parse_checkpoint
from sealwright.translog.notes import parse_note
from sealwright.translog.tiles import MAX_ENTRY_BYTES, TILE_WIDTH, Tile, decode_bundle

CHECKPOINT = "checkpoint"
MAX_CHECKPOINT_BYTES = 1 << 16
MAX_BUNDLE_BYTES = TILE_WIDTH * (2 + MAX_ENTRY_BYTES)
_HINT = "get the whole folder again, or make it with `sealwright log mirror`"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogCopy:
    """A folder with a checkpoint, and the size that this claims."""

    directory: Path
    note: bytes
    size: int

    def entries(self) -> Iterator[bytes]:
        """Yield the entries from the first, holding one bundle in memory."""
        for index in range(-(-self.size // TILE_WIDTH)):
            yield from self._bundle(index, min(TILE_WIDTH, self.size - index * TILE_WIDTH))

    def _bundle(self, index: int, width: int) -> list[bytes]:
        path, count = self.directory / Tile(None, index, width).path, width
        full = self.directory / Tile(None, index).path
        if not os.path.lexists(path) and os.path.lexists(full):
            path, count = full, TILE_WIDTH  # partial ones may be removed once the full one is there
        if not os.path.lexists(path):
            raise ConfigurationError(
                f"the copy of the log lacks {path}, its checkpoint is over {self.size} entries",
                setting="log",
                hint=_HINT,
            )
        data = read_small(path, max_bytes=MAX_BUNDLE_BYTES, what="entry bundle")
        try:
            return decode_bundle(data, count)[:width]
        except FormatError as e:
            raise FormatError(f"{path}: {e.message}", code=Code.INVALID_DOCUMENT, hint=_HINT) from None


def open_copy(directory: Path) -> LogCopy:
    """Open a copy of the log; ``ConfigurationError`` where there is none."""
    path = directory / CHECKPOINT
    if not os.path.lexists(path):
        raise ConfigurationError(f"{directory} holds no copy of a log: there is no {path}", setting="log", hint=_HINT)
    note = read_small(path, max_bytes=MAX_CHECKPOINT_BYTES, what="checkpoint")
    try:
        return LogCopy(directory=directory, note=note, size=parse_checkpoint(parse_note(note).text).size)
    except FormatError as e:
        raise FormatError(f"{path}: {e.message}", code=Code.INVALID_DOCUMENT, hint=_HINT) from None
