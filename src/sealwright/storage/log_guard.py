"""The guard: the last checkpoint a log has given out, kept outside its database.

A database put back from a backup is a valid log that lacks what was published since; to continue it would be a fork.
The guard remembers, so it belongs on the same machine but never into the same backup.

Two slots are overwritten in turn, each with a checksum: a torn write can only spoil the slot whose checkpoint nobody
has seen yet.  Overwriting allocated space needs one ``fdatasync`` and no change of metadata, which is several times
faster than replacing a file.  Layout: ``docs/spec/log.md``.
"""

import fcntl
import os
import struct
from hashlib import sha256
from pathlib import Path

from sealwright.core.errors import Code, RefusedError, UnavailableError
from sealwright.storage.log_database import publish

SLOT_BYTES = 8192
_HEADER = struct.Struct(">8sQI32s")  # magic, generation, length of the note, SHA-256 of generation, length and note
MAGIC = b"SWGUARD1"
MAX_NOTE_BYTES = SLOT_BYTES - _HEADER.size


class Guard:
    """The guard file of one log origin, locked for this process as long as it is open."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor
        self._generation, self._note = _newest(os.pread(descriptor, 2 * SLOT_BYTES, 0), path)

    @property
    def note(self) -> bytes:
        """The last checkpoint that may have been given out."""
        return self._note

    def write(self, note: bytes) -> None:
        """Remember a checkpoint durably; only afterwards may anybody see it."""
        generation = self._generation + 1
        slot = _slot(generation, note)
        try:
            written = os.pwrite(self._descriptor, slot, generation % 2 * SLOT_BYTES)
            os.fdatasync(self._descriptor)
        except OSError as e:
            raise UnavailableError(f"guard {self._path} cannot be written: {e}", code=Code.STORAGE_UNAVAILABLE) from e
        if written != len(slot):
            raise UnavailableError(f"guard {self._path} was cut while written", code=Code.STORAGE_UNAVAILABLE)
        self._generation, self._note = generation, note

    def close(self) -> None:
        """Release the lock."""
        os.close(self._descriptor)


def path_of(directory: Path, origin: str) -> Path:
    """Return where the guard of a log lies: one file per origin, so that no second log can start under its name."""
    return directory / f"log-{sha256(origin.encode()).hexdigest()[:32]}.guard"


def create(path: Path, note: bytes) -> None:
    """Write a new guard file; it appears whole or not at all."""
    draft = path.with_name(f"{path.name}.new")
    draft.write_bytes(_slot(0, note).ljust(2 * SLOT_BYTES, b"\0"))
    publish(draft, path)


def open_guard(path: Path) -> Guard:
    """Open and lock a guard; refused when it is not there or unreadable, unavailable when another process has it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        raise _missing(path) from None
    try:
        lock(descriptor, path)
        return Guard(path, descriptor)
    except BaseException:
        os.close(descriptor)
        raise


def read_note(path: Path) -> bytes:
    """Return the checkpoint that a guard remembers, beside the process that has it."""
    try:
        return _newest(path.read_bytes(), path)[1]
    except FileNotFoundError:
        raise _missing(path) from None


def is_locked(path: Path) -> bool:
    """Whether a process has this guard; changes nothing."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _missing(path: Path) -> RefusedError:
    return RefusedError(
        f"guard {path} is missing, so nobody knows how far this log was published",
        code=Code.LOG_INCONSISTENT,
        hint=SUCCESSOR_HINT,
    )


SUCCESSOR_HINT = (
    "a restored copy must not continue a log: put the newest database back; if there is none, keep this one for "
    "verifications and make a new installation: docs/operate/backup.md"
)


def lock(descriptor: int, path: Path) -> None:
    """Take an exclusive lock that ends with this process; ``UnavailableError`` when another one has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UnavailableError(
            f"another process writes this log ({path} is locked)",
            code=Code.STORAGE_UNAVAILABLE,
            hint="exactly one server may write a log; stop the other one",
        ) from None


def _slot(generation: int, note: bytes) -> bytes:
    if len(note) > MAX_NOTE_BYTES:
        raise RefusedError(f"checkpoint of {len(note)} bytes, the guard takes {MAX_NOTE_BYTES}", code=Code.TOO_LARGE)
    return _HEADER.pack(MAGIC, generation, len(note), _checksum(generation, note)) + note


def _checksum(generation: int, note: bytes) -> bytes:
    return sha256(struct.pack(">QI", generation, len(note)) + note).digest()


def _newest(data: bytes, path: Path) -> tuple[int, bytes]:
    """Return generation and note of the newest whole slot."""
    whole = []
    for at in (0, SLOT_BYTES):
        slot = data[at : at + SLOT_BYTES].ljust(SLOT_BYTES, b"\0")
        magic, generation, length, checksum = _HEADER.unpack_from(slot)
        note = slot[_HEADER.size : _HEADER.size + min(length, MAX_NOTE_BYTES)]
        if magic == MAGIC and checksum == _checksum(generation, note) and len(note) == length:
            whole.append((generation, note))
    if not whole:
        raise RefusedError(f"guard {path} is damaged", code=Code.LOG_INCONSISTENT, hint=SUCCESSOR_HINT)
    return max(whole)
