"""``log mirror``: keep a copy of the server's log, followed as ``log verify`` follows it, from its first entry.

Entry bundles are written as they come, ``checkpoint`` last and only when everything was found to be as signed; a copy
that was kept is read again, so what the server shows must continue exactly its bytes.
"""

import os
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from sealwright.client import log_view
from sealwright.client.api import Api
from sealwright.client.log_copy import CHECKPOINT, LogCopy, open_copy
from sealwright.client.log_view import LogReport
from sealwright.client.outputs import Outputs
from sealwright.core.errors import Code, ConfigurationError, RefusedError, VerificationError
from sealwright.evidence.bundle import TrustFile
from sealwright.translog import merkle
from sealwright.translog.checkpoints import Checkpoint
from sealwright.translog.log_keys import open_checkpoint
from sealwright.translog.tiles import TILE_WIDTH, Tile, encode_bundle


def mirror(api: Api, trust: TrustFile, directory: Path, progress: Callable[[int, int], None]) -> tuple[LogReport, int]:
    """Bring the copy in ``directory`` up to the server's newest checkpoint; return what it showed, and the old size."""
    copy, kept = _kept(trust, directory)
    newest = log_view.head(api, trust)
    if kept is not None:
        _check_continued(api, kept, newest.checkpoint, directory)
    old_size = kept.size if kept else 0
    have = _recomputed(copy, kept) if copy and kept else iter(())
    fresh = log_view.download(api, newest.checkpoint.size, progress, start=old_size)
    report = log_view.follow(newest, _written(chain(have, fresh), directory, old_size), trust)
    _write(directory / CHECKPOINT, newest.note)
    return report, old_size


def _kept(trust: TrustFile, directory: Path) -> tuple[LogCopy | None, Checkpoint | None]:
    """Return the copy that is there already, its checkpoint verified."""
    if not os.path.lexists(directory / CHECKPOINT):
        _check_ours(directory)
        return None, None
    copy = open_copy(directory)
    # Whether witnesses are enough is asked of the new checkpoint: the trust file may have come to demand more.
    opened = open_checkpoint(copy.note, origin=trust.log, log_keys=trust.log_keys)
    return copy, opened.checkpoint


def _check_ours(directory: Path) -> None:
    """A copy that was cut short has tiles and no checkpoint; a folder with anything else is somebody's."""
    try:
        others = [path.name for path in directory.iterdir() if path.name != "tile" and not path.name.startswith(".")]
    except FileNotFoundError:
        return
    except OSError as e:
        raise ConfigurationError(f"{directory} cannot be read: {e.strerror}", setting="DIR") from None
    if others:
        raise ConfigurationError(
            f"{directory} holds other files ({', '.join(sorted(others)[:3])}) and no copy of a log",
            setting="DIR",
            hint="name a new or empty folder",
        )


def _check_continued(api: Api, kept: Checkpoint, newest: Checkpoint, directory: Path) -> None:
    """Before anything is written; the recomputation afterwards does not rest on it."""
    try:
        log_view.check_grown(api, kept.size, kept.root.hex(), newest)
    except VerificationError as e:
        raise RefusedError(
            f"the server's log does not continue the {kept.size} entries kept in {directory}: {e.message}",
            code=Code.LOG_INCONSISTENT,
            hint="keep this copy, it is evidence: one of the two is a fork; mirror into another folder to compare",
        ) from None


def _recomputed(copy: LogCopy, kept: Checkpoint) -> Iterator[bytes]:
    """Yield the entries of the copy; ``VerificationError`` at their end if they are not those of its checkpoint."""
    tree = merkle.CompactRange()
    for data in copy.entries():
        tree.append(merkle.leaf_hash(data))
        yield data
    if tree.root() != kept.root:
        raise VerificationError(
            f"the entries kept in {copy.directory} are not those of its checkpoint",
            expected=kept.root.hex(),
            got=tree.root().hex(),
            code=Code.LOG_INCONSISTENT,
            hint="somebody or something changed the copy: mirror into a new folder",
        )


def _written(entries: Iterator[bytes], directory: Path, old_size: int) -> Iterator[bytes]:
    """Pass entries on, writing each bundle that ends behind ``old_size`` when it is complete, or the last."""
    bundle: list[bytes] = []
    size = 0
    for data in entries:
        yield data
        bundle.append(data)
        size += 1
        if len(bundle) == TILE_WIDTH:
            _write_bundle(directory, bundle, size, old_size)
            bundle = []
    if bundle:
        _write_bundle(directory, bundle, size, old_size)


def _write_bundle(directory: Path, bundle: list[bytes], size: int, old_size: int) -> None:
    if size > old_size:
        _write(directory / Tile(None, (size - 1) // TILE_WIDTH, len(bundle)).path, encode_bundle(bundle))


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise ConfigurationError(f"{path.parent} cannot be made: {e.strerror}", setting="log") from None
    with Outputs(replace=True) as outputs:
        outputs.write(path, [content])
        outputs.publish()
