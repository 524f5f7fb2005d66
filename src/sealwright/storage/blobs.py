"""Images on disk, named by their SHA-256: streamed in, hashed on the way, visible only when whole."""

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from sealwright.core.errors import Code, RefusedError, UnavailableError, VerificationError
from sealwright.core.images import CHUNK_BYTES

_NAME = re.compile("[0-9a-f]{64}")


class Blobs:
    """A folder of images; nothing is ever overwritten."""

    def __init__(self, folder: Path, *, max_bytes: int = 8 << 30) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def has(self, sha256: str) -> bool:
        """Whether the image is here."""
        return os.path.isfile(self._path(sha256))  # noqa: PTH113 - asked for each of many images, and five times as fast

    @contextlib.contextmanager
    def writing(self, sha256: str) -> Iterator["BlobWriter"]:
        """Take an image in chunks; ``finish`` gives it its name, without that nothing stays."""
        writer = BlobWriter(Path(self._path(sha256)), self._max_bytes)
        try:
            yield writer
        finally:
            writer.discard()

    def open(self, sha256: str) -> BinaryIO:
        """Open an image for reading; ``RefusedError`` (``not-found``) when it is not here."""
        try:
            return Path(self._path(sha256)).open("rb")
        except FileNotFoundError:
            raise RefusedError(f"no image {sha256} is kept here", code=Code.NOT_FOUND) from None

    def _path(self, sha256: str) -> str:
        if not _NAME.fullmatch(sha256):
            raise RefusedError("images are named by their SHA-256 in lower-case hex", code=Code.NOT_FOUND)
        return f"{self._folder}/{sha256[:2]}/{sha256}"


class BlobWriter:
    """One image on its way in.  Its file is made by the first write: ``write`` and ``finish`` alone touch the disk."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path, self._max_bytes, self._hash, self._size = path, max_bytes, hashlib.sha256(), 0
        self._file: tuple[int, Path] | None = None

    def write(self, parts: Sequence[bytes]) -> None:
        """Add bytes; ``RefusedError`` (``too-large``) beyond the limit."""
        self._size += sum(map(len, parts))
        if self._size > self._max_bytes:
            raise RefusedError(f"image is larger than {self._max_bytes} bytes", code=Code.TOO_LARGE)
        with _translated():
            descriptor, _ = self._open()
            for part in parts:
                self._hash.update(part)
                rest = memoryview(part)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]

    def finish(self, parts: Sequence[bytes]) -> None:
        """Add the last bytes and make the image visible, durably.

        ``VerificationError`` when it is not what its name says.
        """
        self.write(parts)
        if self._hash.hexdigest() != self._path.name:
            raise VerificationError(
                "uploaded image", expected=self._path.name, got=self._hash.hexdigest(), code=Code.IMAGE_MISMATCH
            )
        with _translated():
            descriptor, draft = self._open()
            os.fsync(descriptor)
            draft.rename(self._path)
            directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            os.fsync(directory)
            os.close(directory)

    def discard(self) -> None:
        """Close the file, and remove it if it did not get its name."""
        if self._file is not None:
            (descriptor, draft), self._file = self._file, None
            os.close(descriptor)
            draft.unlink(missing_ok=True)

    def _open(self) -> tuple[int, Path]:
        if self._file is None:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            descriptor, draft = tempfile.mkstemp(dir=self._path.parent, prefix=".incoming-")
            self._file = descriptor, Path(draft)
        return self._file


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as e:
        raise UnavailableError(f"cannot store the image: {e.strerror}", code=Code.STORAGE_UNAVAILABLE) from e


__all__ = ["CHUNK_BYTES", "Blobs"]
