"""What the processes must be able to read and write: looked at before they start, and by the doctor.

Two questions that differ: whether *we* can (``up``, which runs both), and whether mode bits and mount let the owner
(the doctor, whoever runs it).
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sealwright.keystores.files_partition import PARTITION_FILE
from sealwright.storage import log_guard
from sealwright.wiring.configuration import Configuration

_OWNER_MAY = {os.R_OK: stat.S_IRUSR, os.W_OK: stat.S_IWUSR, os.X_OK: stat.S_IXUSR}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What cannot be touched, and what would let one."""

    found: str
    remedy: str


def unwritable(configuration: Configuration, *, for_owner: bool) -> Iterator[Trouble]:
    """Yield what nothing can be logged or signed without: databases, guard, the signer's memory, their folders."""
    guard = log_guard.path_of(configuration.guard, configuration.origin)
    files = (configuration.log_database, configuration.documents_database, guard, configuration.signer_head)
    paths = [*dict.fromkeys(file.parent for file in files), configuration.folder / "run", *files]
    for path in paths:
        if found := _trouble(path, os.W_OK, configuration.folder, for_owner=for_owner):
            yield found


def partition_trouble(configuration: Configuration, name: str, *, for_owner: bool) -> Trouble | None:
    """Say what keeps a partition of key files from being read; None for one of another kind, or of another user."""
    setting = configuration.partitions[name]
    folder = files_of(setting.uri)
    if folder is None or setting.user is not None:
        return None
    if found := _trouble(folder, os.R_OK, configuration.folder, for_owner=for_owner):
        return found
    if not (folder / PARTITION_FILE).exists():
        return Trouble(
            found=f"its key files are not there: {folder}",
            remedy="put the folder back, from a backup made with --keys or from where copies of it are kept",
        )
    troubles = (_trouble(file, os.R_OK, configuration.folder, for_owner=for_owner) for file in sorted(folder.iterdir()))
    return next(filter(None, troubles), None)


def files_of(uri: str) -> Path | None:
    """Return the folder of a partition of key files."""
    kind, _, where = uri.partition(":")
    return Path(where) if kind == "files" else None


def chmod_for_owner(path: Path) -> str:
    """Return the command that lets the owner at the first folder on the way to ``path`` that is closed to them."""
    for folder in (*reversed(path.absolute().parents), path):
        try:
            status = folder.stat()
        except OSError:
            return ""
        if status.st_uid == os.geteuid() and not status.st_mode & (0o100 if folder.is_dir() else 0o400):
            return f"chmod u+rwX {folder}"
    return ""


def _trouble(path: Path, need: int, top: Path, *, for_owner: bool) -> Trouble | None:
    """Look at ``path`` and at the folders on the way to it; what is missing is said elsewhere."""
    way = [folder for folder in reversed(path.parents) if folder == top or folder.is_relative_to(top)]
    for step, wanted in (*((folder, os.X_OK) for folder in way), (path, need)):
        try:
            status = step.stat()
            is_read_only = bool(need == os.W_OK and os.statvfs(step).f_flag & os.ST_RDONLY)
        except OSError:
            return None
        bits = [wanted, os.X_OK] if stat.S_ISDIR(status.st_mode) else [wanted]
        closed = not all(status.st_mode & _OWNER_MAY[bit] for bit in bits)
        if is_read_only:
            return Trouble(found=f"{step} is on a file system mounted read-only", remedy="mount it writable")
        if closed if for_owner else not all(os.access(step, bit) for bit in bits):
            verb = {os.R_OK: "read", os.W_OK: "written to", os.X_OK: "entered"}[wanted]
            remedy = f"chmod u+rwX {step}" if closed else f"run as the user who owns it, number {status.st_uid}"
            return Trouble(found=f"{step} cannot be {verb}", remedy=remedy)
    return None
