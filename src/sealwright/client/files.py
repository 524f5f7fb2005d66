"""Image files as byte sources: regular files only, of the size they had when opened, and unchanged to the end."""

import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Self

from sealwright.core.errors import Code, ConfigurationError, FormatError, UnavailableError
from sealwright.core.images import check_inside

_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISLNK, "a symbolic link"),
)


class FileSource:
    """A byte source over a regular file.  Threads may share it.

    Used as a context manager it closes the file, and raises ``FormatError`` if the file changed meanwhile.
    ``follow_links`` is for names that a person gave; names that we derived must be files themselves.
    """

    def __init__(self, path: Path, *, follow_links: bool = True) -> None:
        self.path = path
        self._descriptor, self._opened = _open_regular(path, follow_links=follow_links)
        self.size = self._opened.st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.check_unchanged()
        finally:
            self.close()

    def fileno(self) -> int:
        """Return the descriptor, for copies inside the kernel."""
        return self._descriptor

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes; ``FormatError`` outside the file, or when it shrank."""
        check_inside(self, offset, length)
        parts: list[bytes] = []
        while length:
            try:
                part = os.pread(self._descriptor, length, offset)
            except OSError as e:
                raise UnavailableError(
                    f"{self.path} cannot be read at {offset:#x}: {e.strerror}", code=Code.STORAGE_UNAVAILABLE
                ) from e
            if not part:
                raise self._changed("it became shorter")
            if len(part) == length and not parts:
                return part
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        return b"".join(parts)

    def check_unchanged(self) -> None:
        """Raise ``FormatError`` when size, time or identity of the file are not those it was opened with."""
        now = os.fstat(self._descriptor)
        if now.st_size != self._opened.st_size:
            raise self._changed(f"it had {self._opened.st_size} bytes, now {now.st_size}")
        if now.st_mtime_ns != self._opened.st_mtime_ns:
            raise self._changed("it was written to")
        try:
            named = self.path.stat()
        except OSError:
            raise self._changed("it is gone") from None
        if (named.st_dev, named.st_ino) != (now.st_dev, now.st_ino):
            raise self._changed("another file has its name")

    def close(self) -> None:
        """Close the file; once."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _changed(self, how: str) -> FormatError:
        return FormatError(
            f"{self.path} changed while it was read: {how}", hint="name a file that nothing else is writing"
        )


def read_small(path: Path, *, max_bytes: int, what: str, follow_links: bool = True) -> bytes:
    """Read a whole file of at most ``max_bytes``; ``what`` names it in errors."""
    with FileSource(path, follow_links=follow_links) as source:
        if source.size > max_bytes:
            raise FormatError(
                f"{what} {path} has {source.size} bytes, at most {max_bytes} are accepted", code=Code.INVALID_DOCUMENT
            )
        return source.read(0, source.size)


def sidecar_path(image: Path, suffix: str) -> Path:
    """Return where the file with this suffix lies: beside the image, the suffix after its whole name."""
    return image.parent / (image.name + suffix)


def _open_regular(path: Path, *, follow_links: bool) -> tuple[int, os.stat_result]:
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK | (0 if follow_links else os.O_NOFOLLOW)
    try:
        # Looked at before it is opened: opening alone can block (pipes) or do something (devices).
        _check_regular(path, path.stat(follow_symlinks=follow_links))
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as e:  # ValueError: a zero byte in the name
        reason = e.strerror if isinstance(e, OSError) else str(e)
        raise ConfigurationError(f"{path} cannot be read: {reason}", setting="file") from None
    try:
        status = os.fstat(descriptor)
        _check_regular(path, status)
    except FormatError:
        os.close(descriptor)
        raise
    return descriptor, status


def _check_regular(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for test, name in _KINDS if test(status.st_mode)), "something else")
        raise FormatError(f"{path} is {kind}, not a regular file")
