"""A new instance's folder: built beside, then moved into place, the settings file last; that makes it an instance."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sealwright.core.errors import ConfigurationError
from sealwright.wiring.configuration import FILE_NAME

SUBFOLDERS = ("server", "signer", "guard", "run", "signer/keys", "signer/secrets")
SECRET_BYTES = 16  # in hex 32 characters: as long as a PIN may be on common tokens


def check_new(folder: Path) -> None:
    """Refuse a folder that holds anything."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ConfigurationError(f"{folder} is not empty", setting="DIR", hint="name a new folder")


@contextmanager
def building(folder: Path, before_settings: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """Yield a folder to build an instance in, which becomes ``folder``; nothing is left behind on failure.

    ``before_settings`` is called when all is in place but the settings; after it nothing is taken back.  The folder
    itself may be a mount point, so it is not replaced as a whole.
    """
    existed = folder.exists()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = folder / ".new"
    try:
        draft.mkdir(mode=0o700)
        for name in SUBFOLDERS:
            (draft / name).mkdir(mode=0o700)
        yield draft
        for made in draft.iterdir():
            if made.name != FILE_NAME:
                made.rename(folder / made.name)
        before_settings()
    except BaseException:
        for path in (draft, *(folder / name for name in SUBFOLDERS), *folder.glob("trust.json")):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        if not existed:
            folder.rmdir()
        raise
    (draft / FILE_NAME).rename(folder / FILE_NAME)
    draft.rmdir()


def write_secret(path: Path, text: str) -> None:
    """Write a new file that only this user can read."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())


def ensure_secret(source: str) -> None:
    """Make the file of a secret, with a random one, if the source is a file that is not there."""
    kind, _, where = source.partition(":")
    if kind == "file" and not Path(where).exists():
        write_secret(Path(where), secrets.token_hex(SECRET_BYTES))
