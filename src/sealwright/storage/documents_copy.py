"""Looking at the server's database, and copying it, beside the process that writes it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sealwright.core.errors import Code, ConfigurationError, UnavailableError, VerificationError
from sealwright.storage.documents import SCHEMA_VERSION
from sealwright.storage.log_database import publish


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Lend a connection that cannot write; ``ConfigurationError`` for a version that this program does not know."""
    if not path.is_file():
        raise ConfigurationError(f"there is no database at {path}", setting="server.database")
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=10)
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version != SCHEMA_VERSION:
                raise ConfigurationError(
                    f"{path} has schema version {version}, this program knows {SCHEMA_VERSION}",
                    setting="server.database",
                    hint="use the version of Sealwright that wrote it, or a later one",
                )
            yield connection
        finally:
            connection.close()
    except sqlite3.OperationalError as e:
        raise UnavailableError(f"database {path.name}: {e}", code=Code.STORAGE_UNAVAILABLE) from e
    except sqlite3.DatabaseError as e:
        raise VerificationError(f"database {path.name} is damaged: {e}", code=Code.INVALID_DOCUMENT) from e


def check(path: Path) -> None:
    """Raise ``VerificationError`` unless the file's pages and indices add up (SQLite, PRAGMA quick_check)."""
    with reading(path) as connection:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise VerificationError(f"database {path.name} is damaged: {found}", code=Code.INVALID_DOCUMENT)


def sections(path: Path, policy: str) -> tuple[bytes, ...]:
    """Return the sections of a policy by its digest; empty when unknown."""
    with reading(path) as connection:
        found = connection.execute("SELECT content FROM policy_section WHERE policy=? ORDER BY position", (policy,))
        return tuple(content for (content,) in found)


def back_up(path: Path, destination: Path) -> None:
    """Copy the database as it is at one moment; the copy appears whole or not at all."""
    draft = destination.with_name(f"{destination.name}.new")
    draft.unlink(missing_ok=True)
    with reading(path) as connection:
        copy = sqlite3.connect(draft, isolation_level=None)
        try:
            connection.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, readable from read-only media
        finally:
            copy.close()
    draft.chmod(0o600)
    publish(draft, destination)
