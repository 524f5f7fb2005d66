"""What the signer says of its keys: ``run/canaries.json``, written beside its socket, read by doctor and server.

It is for people, and nothing is decided by it: whether a key signs is the signer's business.
"""

import os
from contextlib import suppress
from pathlib import Path

from sealwright.core import records
from sealwright.core.errors import FormatError
from sealwright.signer.canary import Condition, Conditions
from sealwright.wiring.configuration import Configuration

FILE = "canaries.json"
MAX_BYTES = 8 << 20


def path_of(configuration: Configuration) -> Path:
    """Where it is."""
    return configuration.socket.with_name(FILE)


def write_conditions(configuration: Configuration, conditions: Conditions) -> None:
    """Replace the file; a folder that is full or gone must not stop the signer."""
    path = path_of(configuration)
    draft = path.with_name(f".{FILE}")
    try:
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(records.serialise(conditions))
        draft.replace(path)
    except OSError:
        with suppress(OSError):  # in its place there may be a folder, and canaries must go on
            path.unlink()  # an old word would be worse than none


def read_conditions(configuration: Configuration) -> Conditions | None:
    """Return what the signer said last, or None while it has not."""
    try:
        data = path_of(configuration).read_bytes()
        return records.parse(Conditions, data, max_bytes=MAX_BYTES)
    except (OSError, FormatError):
        return None


def failing(configuration: Configuration) -> tuple[Condition, ...]:
    """Return the keys whose newest canary failed."""
    conditions = read_conditions(configuration)
    return tuple(c for c in conditions.keys if c.failure is not None) if conditions else ()
