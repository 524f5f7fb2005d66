"""PINs and passphrases: where they may come from, and a type that does not show them.

Three sources: a systemd credential (systemd.exec(5), LoadCredential=), an inherited file descriptor, a file that only
we can read.  Environment values and arguments are none: other processes and logs see them.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn, final

from sealwright.core.errors import Code, ConfigurationError

MAX_SECRET_BYTES = 4096


@final
class Secret:
    """Bytes that neither ``repr``, ``str``, formatting nor pickling give away; ``reveal`` does."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        if not value or len(value) > MAX_SECRET_BYTES:
            raise _refused(f"a secret has 1 to {MAX_SECRET_BYTES} bytes, this one has {len(value)}")
        self._value = value

    def reveal(self) -> bytes:
        """Return the bytes; call it where they are used, and keep no copy."""
        return self._value

    def __repr__(self) -> str:
        return "<secret>"

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("a secret is not pickled or copied")


def read_secret(source: str, environment: Mapping[str, str] = os.environ, *, option: str = "") -> Secret:
    """Read ``credential:NAME``, ``fd:NUMBER`` or ``file:PATH``; one trailing line feed is not part of the secret.

    Raises ``ConfigurationError`` (credential), which names the option that gave the source, if one did.
    """
    try:
        return _read_source(source, environment)
    except ConfigurationError as e:
        if not option:
            raise
        raise ConfigurationError(f"{option}: {e.message}", setting=option, code=e.code, hint=e.hint) from None


def _read_source(source: str, environment: Mapping[str, str]) -> Secret:
    kind, _, where = source.partition(":")
    match kind:
        case "credential":
            return read_credential(where, environment)
        case "fd" if where.isascii() and where.isdigit():
            return read_descriptor(int(where))
        case "file":
            return read_file(Path(where))
        case _:  # the source is not repeated: somebody may have put the secret itself there
            raise _refused("the source of a secret is credential:NAME, fd:NUMBER or file:PATH")


def read_credential(name: str, environment: Mapping[str, str] = os.environ) -> Secret:
    """Read a systemd credential; systemd keeps others out of ``$CREDENTIALS_DIRECTORY``, which names only a folder."""
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise _refused("CREDENTIALS_DIRECTORY is not set: not started by systemd with LoadCredential=")
    if not name or "/" in name or name.startswith("."):
        raise _refused("the name of a credential is one plain file name")
    return _read(_open(Path(folder) / name))


def read_descriptor(number: int) -> Secret:
    """Read an inherited file descriptor to its end and close it."""
    if number < 3:
        raise _refused("descriptors 0 to 2 are standard input, output and error; pass another one")
    return _read(number)


def read_file(path: Path) -> Secret:
    """Read a file that we own and nobody else can read: mode 0600 or 0400, no symbolic link."""
    descriptor = _open(path)
    status = os.fstat(descriptor)
    problem = ""
    if not stat.S_ISREG(status.st_mode):
        problem = "is not a regular file"
    elif status.st_uid != os.geteuid():
        problem = f"belongs to user {status.st_uid}, not to us ({os.geteuid()})"
    elif stat.S_IMODE(status.st_mode) & 0o177:
        problem = f"has mode {stat.S_IMODE(status.st_mode):04o}, 0600 or 0400 is needed"
    if problem:
        os.close(descriptor)
        raise _refused(f"{path} {problem}")
    return _read(descriptor)


def _open(path: Path) -> int:
    try:
        # O_NONBLOCK: a named pipe in place of the file is refused instead of waited for.
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as e:
        raise _refused(f"cannot open {path}: {e.strerror}") from e


def _read(descriptor: int) -> Secret:
    try:
        with os.fdopen(descriptor, "rb") as stream:
            # One byte more than allowed, and one for the line feed, so that too long is seen.
            value = stream.read(MAX_SECRET_BYTES + 2)
    except OSError as e:
        raise _refused(f"cannot read the secret: {e.strerror}") from e
    return Secret(value.removesuffix(b"\n"))


def _refused(message: str) -> ConfigurationError:
    return ConfigurationError(message, setting="secret", code=Code.CREDENTIAL)
