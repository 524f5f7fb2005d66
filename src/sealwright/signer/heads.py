"""The signer's head on disk: two alternating slots in one preallocated file, so that no crash loses both.

A slot is a 4-byte length, canonical JSON with a growing sequence number, and a SHA-256 over it, padded to 512 bytes.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from sealwright.core import records
from sealwright.core.errors import Code, ConfigurationError, FormatError
from sealwright.core.records import Count
from sealwright.signer.ports import Head

SLOT_BYTES = 512


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
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            raise ConfigurationError(
                f"no memory of the log at {self._path}",
                setting="signer.head",
                hint="give a new signer its as_of with `sealwright signer --as-of SIZE:HASH`",
            ) from None
        data = os.pread(self._descriptor, 2 * SLOT_BYTES, 0)
        slots = [slot for at in (0, SLOT_BYTES) if (slot := _decode(data[at : at + SLOT_BYTES]))]
        if not slots:
            raise ConfigurationError(
                f"{self._path} is damaged", setting="signer.head", code=Code.LOG_INCONSISTENT, hint="give an as_of"
            )
        newest = max(slots, key=lambda slot: slot.sequence)
        self._sequence = newest.sequence
        return newest.head

    def store(self, head: Head) -> None:
        if self._descriptor is None:
            raise ConfigurationError("the head was not loaded", setting="signer.head")
        self._sequence += 1
        slot = _encode(_Slot(sequence=self._sequence, head=head))
        os.pwrite(self._descriptor, slot, self._sequence % 2 * SLOT_BYTES)
        os.fdatasync(self._descriptor)


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
