"""Images on disk, named by their SHA-256: streamed in, hashed on the way, visible only when whole."""

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
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
        return self._path(sha256).is_file()

    @contextlib.contextmanager
    def writing(self, sha256: str) -> Iterator["BlobWriter"]:
        """Take an image in chunks; it appears under its name when the block ends and the digest is right."""
        writer = BlobWriter(self._path(sha256), self._max_bytes)
        try:
            yield writer
            writer.publish(sha256)
        finally:
            writer.discard()

    def open(self, sha256: str) -> BinaryIO:
        """Open an image for reading; ``RefusedError`` (``not-found``) when it is not here."""
        try:
            return self._path(sha256).open("rb")
        except FileNotFoundError:
            raise RefusedError(f"no image {sha256} is kept here", code=Code.NOT_FOUND) from None

    def _path(self, sha256: str) -> Path:
        if not _NAME.fullmatch(sha256):
            raise RefusedError("images are named by their SHA-256 in lower-case hex", code=Code.NOT_FOUND)
        return self._folder / sha256[:2] / sha256


class BlobWriter:
    """One image on its way in."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        self._path, self._max_bytes, self._hash, self.size = path, max_bytes, hashlib.sha256(), 0
        descriptor, self._draft = tempfile.mkstemp(dir=path.parent, prefix=".incoming-")
        self._file = os.fdopen(descriptor, "wb", buffering=0)

    def write(self, chunk: bytes) -> None:
        """Add bytes; ``RefusedError`` (``too-large``) beyond the limit."""
        self.size += len(chunk)
        if self.size > self._max_bytes:
            raise RefusedError(f"image is larger than {self._max_bytes} bytes", code=Code.TOO_LARGE)
        self._hash.update(chunk)
        try:
            self._file.write(chunk)
        except OSError as e:
            raise UnavailableError(f"cannot store the image: {e.strerror}", code=Code.STORAGE_UNAVAILABLE) from e

    def publish(self, sha256: str) -> None:
        """Make the image visible, durably; ``VerificationError`` when it is not what its name says."""
        if self._hash.hexdigest() != sha256:
            raise VerificationError(
                "uploaded image", expected=sha256, got=self._hash.hexdigest(), code=Code.IMAGE_MISMATCH
            )
        os.fsync(self._file.fileno())
        Path(self._draft).rename(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(directory)
        os.close(directory)

    def discard(self) -> None:
        """Remove what was not published."""
        self._file.close()
        Path(self._draft).unlink(missing_ok=True)


__all__ = ["CHUNK_BYTES", "Blobs"]
