"""What a key ceremony keeps in ``ceremonies/<id>`` of the instance: how far it has come, and its minutes.

Files are there whole or not at all, and one run at a time writes them.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from sealwright.core import records
from sealwright.core.errors import Code, RefusedError
from sealwright.core.records import Bounds, Digest, Id, Time
from sealwright.policy.minutes import MAX_KEYS, MadeKey, Script
from sealwright.wiring.configuration import Configuration

FOLDER, JOURNAL = "ceremonies", "journal.json"
MAX_FILE_BYTES = 4 << 20
Record = TypeVar("Record")


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """How far a ceremony has come; replaced as a whole before and after each key."""

    type: Literal["ceremony-journal"]
    format: Literal[1]
    script: Digest
    """SHA-256 of the script's file."""
    started: Time
    keys: Annotated[tuple[MadeKey, ...], Bounds(0, MAX_KEYS)]
    making: Id | None = None
    """The key profile that is being made; nothing had its label before."""


def begin(folder: Path, script_bytes: bytes) -> Journal:
    """Take up the journal of an earlier run of this script, or begin one."""
    digest = hashlib.sha256(script_bytes).hexdigest()
    journal = load(Journal, folder / JOURNAL)
    if journal is None:
        journal = Journal(type="ceremony-journal", format=1, script=digest, started=int(time.time()), keys=())
        write(folder / JOURNAL, records.serialise(journal))
    if journal.script != digest:
        raise RefusedError(
            f"a ceremony with this id was begun with another script ({journal.script[:16]})",
            code=Code.CONFLICT,
            hint="go on with that one, or give this one another id",
        )
    return journal


def folder_of(configuration: Configuration, script: Script) -> Path:
    """Return where a ceremony's files lie."""
    return configuration.folder / FOLDER / script.id


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One run at a time."""
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RefusedError("this ceremony is running already", code=Code.CONFLICT) from None
        yield
    finally:
        os.close(descriptor)


def load(record: type[Record], path: Path) -> Record | None:
    """Read a file that is there whole or not at all."""
    try:
        return records.parse(record, path.read_bytes(), max_bytes=MAX_FILE_BYTES)
    except FileNotFoundError:
        return None


def write(path: Path, content: bytes) -> None:
    """Replace a file as a whole, durably."""
    draft = path.with_name(f".{path.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    draft.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
