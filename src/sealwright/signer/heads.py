"""The signer's head on disk: two alternating slots in one preallocated file, so that no crash loses both.

A slot is a 4-byte length, canonical JSON with a growing sequence number, and a SHA-256 over it, padded to 4096 bytes:
a torn write spoils a whole disk sector, and these have up to that size.  One process at a time has the file.
"""

import errno
import fcntl
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from sealwright.core import records
from sealwright.core.errors import Code, ConfigurationError, FormatError, UnavailableError
from sealwright.core.records import Count
from sealwright.signer.ports import Head

SLOT_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slot:
    sequence: Count
    head: Head


class FileHeadStore:
    """Keeps the newest head; ``store`` returns after ``fdatasync``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._sequence = 0

    def create(self, head: Head) -> None:
        """Write the first head: the ``as_of`` an administrator gives.  Refuses to replace one."""
        try:
            descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            raise ConfigurationError(
                f"{self._path} exists", setting="signer.head", hint="a signer's memory of the log is never replaced"
            ) from None
        with os.fdopen(descriptor, "r+b") as file:
            file.write(bytes(2 * SLOT_BYTES))
            file.seek(0)
            file.write(_encode(_Slot(sequence=0, head=head)))
            file.flush()
            os.fsync(file.fileno())
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(directory)
        os.close(directory)

    def load(self) -> Head:
        self.close()
        self._descriptor = _open(self._path, os.O_RDWR)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigurationError(
                f"{self._path} is in use", setting="signer.head", hint="another signer with this memory is running"
            ) from None
        newest = _newest(self._descriptor, self._path)
        self._sequence = newest.sequence
        return newest.head

    def close(self) -> None:
        """Let another process have it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def store(self, head: Head) -> None:
        if self._descriptor is None:
            raise ConfigurationError("the head was not loaded", setting="signer.head")
        sequence = self._sequence + 1
        slot = _encode(_Slot(sequence=sequence, head=head))
        try:
            if os.pwrite(self._descriptor, slot, sequence % 2 * SLOT_BYTES) != SLOT_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fdatasync(self._descriptor)
        except OSError as e:
            raise UnavailableError(
                f"cannot store the head in {self._path}: {e.strerror}", code=Code.STORAGE_UNAVAILABLE
            ) from e
        # Only now: after a failure the same slot is written again, never the one that holds the newest head.
        self._sequence = sequence


def peek(path: Path) -> tuple[Head, bool]:
    """Return a signer's head, and whether a running signer has it; changes nothing."""
    descriptor = _open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            is_running = False
        except OSError:
            is_running = True
        return _newest(descriptor, path).head, is_running
    finally:
        os.close(descriptor)


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ConfigurationError(
            f"no memory of the log at {path}",
            setting="signer.head",
            hint="give a new signer its as_of with `sealwright signer DIR --as-of SIZE:HASH`",
        ) from None


def _newest(descriptor: int, path: Path) -> _Slot:
    data = os.pread(descriptor, 2 * SLOT_BYTES, 0)
    slots = [slot for at in (0, SLOT_BYTES) if (slot := _decode(data[at : at + SLOT_BYTES]))]
    if not slots:
        raise ConfigurationError(
            f"{path} is damaged", setting="signer.head", code=Code.LOG_INCONSISTENT, hint="give an as_of"
        )
    return max(slots, key=lambda slot: slot.sequence)


def _encode(slot: _Slot) -> bytes:
    data = records.serialise(slot)
    return (len(data).to_bytes(4, "big") + data + hashlib.sha256(data).digest()).ljust(SLOT_BYTES, b"\x00")


def _decode(raw: bytes) -> _Slot | None:
    length = int.from_bytes(raw[:4], "big")
    data, checksum = raw[4 : 4 + length], raw[4 + length : 36 + length]
    if hashlib.sha256(data).digest() != checksum:
        return None
    try:
        return records.parse(_Slot, data)
    except FormatError:
        return None
