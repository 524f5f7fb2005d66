"""Output files that appear under their names complete and together, or not at all.

Each is written under a hidden temporary name in its own directory, checked by the caller while it goes to the disk, and
only then given its name; a name that is taken is refused unless the caller says ``replace``.
"""

import errno
import os
import secrets
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from sealwright.client.files import FileSource, sidecar_path
from sealwright.core.errors import Code, ConfigurationError, SealwrightError, UnavailableError, VerificationError
from sealwright.core.images import ByteSource, read_chunks
from sealwright.core.patches import Patch

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_NO_FAST_COPY = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)
COPY_BYTES = 1 << 30
MAX_PART_NAME = 200  # bytes of the name kept in the temporary one; file systems take 255
REPLACE_HINT = "name another file with -o, or replace it with --force"


class Outputs:
    """Staged files; leaving the context without ``publish`` leaves nothing behind."""

    def __init__(self, *, replace: bool = False) -> None:
        self._replace = replace
        os.umask(umask := os.umask(0o077))  # the only way to learn it
        self._mode = 0o666 & ~umask
        self._staged: dict[Path, Path] = {}
        self._disk = ThreadPoolExecutor(1, "fsync")
        self._syncs: dict[Path, Future[None]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._disk.shutdown()
        for part in self._staged.values():
            part.unlink(missing_ok=True)
        self._staged.clear()

    def write(self, destination: Path, chunks: Iterable[bytes]) -> Path:
        """Stage a file of these chunks; return the temporary path under which it can be read."""
        with self._part(destination) as (part, target):
            for chunk in chunks:
                _write_all(target, chunk)
        return part

    def write_patched(self, destination: Path, source: ByteSource, patch: Patch) -> Path:
        """Stage the image that ``patch`` makes of ``source``.  What stays is copied inside the kernel where it can."""
        _check_not_itself(source, destination)
        if not isinstance(source, FileSource):
            return self.write(destination, patch.apply(source))
        with self._part(destination) as (part, target):
            _copy_patched(source, patch, target)
        return part

    def publish(self) -> None:
        """Give every staged file its name, in the order of staging, the first last: it shall find the others there."""
        first, *others = self._staged
        named: list[Path] = []
        destination = first
        try:
            for destination in self._staged:
                self._syncs[destination].result()
            for destination in (*others, first):
                self._name(self._staged[destination], destination)
                named.append(destination)
        except OSError as e:
            self._withdraw(named)
            raise _write_error(destination, e) from e
        except SealwrightError:
            self._withdraw(named)
            raise
        for folder in {destination.parent for destination in named}:
            _sync_folder(folder)
        self._staged.clear()

    @contextmanager
    def _part(self, destination: Path) -> Iterator[tuple[Path, int]]:
        """Open a new temporary file for ``destination``; when the caller has filled it, it starts for the disk."""
        if not self._replace:
            refuse_existing(destination)
        if os.path.isdir(destination):  # noqa: PTH112 - unlike Path.is_dir() it never raises
            raise ConfigurationError(f"{destination} is a directory", setting="output", hint="name a file with -o")
        if destination in self._staged:
            raise ConfigurationError(f"{destination} would be written twice", setting="output")
        name = os.fsdecode(os.fsencode(destination.name)[:MAX_PART_NAME])
        part = destination.parent / f".{name}.{secrets.token_hex(6)}.part"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            target = os.open(part, flags, 0o600)
            self._staged[destination] = part
            try:
                yield part, target
            except BaseException:
                os.close(target)
                raise
            self._syncs[destination] = self._disk.submit(_finish, target, self._mode)
        except OSError as e:
            raise _write_error(destination, e) from e

    def _name(self, part: Path, destination: Path) -> None:
        if self._replace:
            part.replace(destination)
            return
        try:
            destination.hardlink_to(part)  # unlike a rename it never takes a name that is in use
        except FileExistsError:
            raise _exists(destination) from None
        except OSError as e:
            if e.errno not in _NO_LINKS:
                raise
            refuse_existing(destination)
            part.rename(destination)
        else:
            part.unlink()

    def _withdraw(self, named: list[Path]) -> None:
        if not self._replace:
            for destination in named:
                destination.unlink(missing_ok=True)


def write_patched(source: ByteSource, patch: Patch, destination: Path, *, replace: bool = False) -> tuple[Path, ...]:
    """Write the patched image and its sidecars beside it; return their paths."""
    with Outputs(replace=replace) as outputs:
        outputs.write_patched(destination, source, patch)
        sidecars = [sidecar_path(destination, s.suffix) for s in patch.sidecars]
        for path, sidecar in zip(sidecars, patch.sidecars, strict=True):
            outputs.write(path, [sidecar.content])
        outputs.publish()
    return (destination, *sidecars)


def refuse_existing(destination: Path, hint: str = REPLACE_HINT) -> None:
    """Raise ``ConfigurationError`` when the name is in use, be it by a broken link."""
    if os.path.lexists(destination):
        raise _exists(destination, hint)


def _exists(destination: Path, hint: str = REPLACE_HINT) -> ConfigurationError:
    return ConfigurationError(f"{destination} exists already", setting="output", hint=hint)


def _check_not_itself(source: ByteSource, destination: Path) -> None:
    if isinstance(source, FileSource) and os.path.exists(destination) and destination.samefile(source.path):  # noqa: PTH110 - Path.exists() raises for odd names
        raise ConfigurationError(
            f"{destination} is the image itself, which stays as it is",
            setting="output",
            hint="name another file with -o",
        )


def _finish(descriptor: int, mode: int) -> None:
    """Make a written file durable, readable as other new files are, and close it."""
    try:
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy_patched(source: FileSource, patch: Patch, target: int) -> None:
    """What ``Patch.apply`` yields, with copies inside the kernel between the edits."""
    if source.size != patch.old_size:
        raise VerificationError(
            "patch is for another image",
            expected=f"{patch.old_size} bytes",
            got=f"{source.size} bytes",
            code=Code.IMAGE_MISMATCH,
        )
    at = 0
    for edit in patch.edits:
        _copy(source, target, at, edit.offset)
        if source.read(edit.offset, len(edit.old)) != edit.old:
            raise VerificationError(
                f"bytes at {edit.offset:#x} are not those the patch replaces", code=Code.IMAGE_MISMATCH
            )
        _write_all(target, edit.new)
        at = edit.offset + len(edit.old)
    _copy(source, target, at, source.size)


def _copy(source: FileSource, target: int, start: int, stop: int) -> None:
    while start < stop:
        try:
            copied = os.copy_file_range(source.fileno(), target, min(stop - start, COPY_BYTES), start)
        except OSError as e:
            if e.errno not in _NO_FAST_COPY:
                raise
            copied = 0
        if not copied:  # this file system cannot, or the file became shorter: reading says which
            for chunk in read_chunks(source, start, stop):
                _write_all(target, chunk)
            return
        start += copied


def _write_all(target: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_error(destination: Path, e: OSError) -> SealwrightError:
    message, hint = f"{destination} cannot be written: {e.strerror}", "name another place with -o"
    if e.errno in _FULL:
        return UnavailableError(message, code=Code.STORAGE_UNAVAILABLE, hint=f"make room, or {hint}")
    return ConfigurationError(message, setting="output", hint=hint)
