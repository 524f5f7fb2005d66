"""What an image file is: its digests, made in one reading on two cores, and its format."""

import hashlib
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sealwright.core import images
from sealwright.core.errors import ArgumentError, FormatError
from sealwright.core.images import ByteSource, ImageDigests
from sealwright.formats import FORMATS, claimed_by, detect
from sealwright.formats.interface import Format

READ_BYTES = 1 << 20
QUEUED_CHUNKS = 8  # with those in both hands at most 10 MiB
SMALL_BYTES = 1 << 20  # below, a thread costs more than it saves


@contextmanager
def naming(path: Path | None) -> Iterator[None]:
    """Say which file a format error is about; None: there is but one."""
    try:
        yield
    except FormatError as e:
        if path is None:
            raise
        named = FormatError(f"{path.name}: {e.message}", code=e.code, hint=e.hint)
        named.at = e.at
        raise named from e


def digests(image: ByteSource) -> ImageDigests:
    """Hash an image as ``core.images.digests`` does; a large one on two cores."""
    if image.size <= SMALL_BYTES:
        return images.digests(image)
    sha256, sha512 = hashlib.sha256(), hashlib.sha512()
    _hash_both(image, sha256, sha512)
    return ImageDigests(sha256.hexdigest(), sha512.hexdigest(), image.size)


def _hash_both(image: ByteSource, here: "hashlib._Hash", there: "hashlib._Hash") -> None:
    """Feed one hash in this thread, the other, slower one in a second thread; hashlib lets both run."""
    chunks: queue.Queue[bytes | None] = queue.Queue(QUEUED_CHUNKS)

    def feed() -> None:
        while (chunk := chunks.get()) is not None:
            there.update(chunk)

    thread = threading.Thread(target=feed, name="sha512", daemon=True)
    thread.start()
    try:
        for at in range(0, image.size, READ_BYTES):
            chunk = image.read(at, min(READ_BYTES, image.size - at))
            chunks.put(chunk)
            here.update(chunk)
    finally:
        chunks.put(None)
        thread.join()


def also_claimed(image: ByteSource, chosen: Format) -> str | None:
    """Say which other formats claim an image whose format nobody named; None where none does."""
    others = [known.name for known in claimed_by(image) if known is not chosen]
    return f"also claimed by {', '.join(others)}: taken as {chosen.name}, or name its --format" if others else None


def choose_format(image: ByteSource, name: str | None = None) -> Format:
    """Return the format of that name, or without one the first that claims the image."""
    if name is None:
        return detect(image)
    if name not in FORMATS:
        raise ArgumentError(
            f"format {name!r} is unknown", setting="--format", hint=f"it is one of {', '.join(FORMATS)}"
        )
    return FORMATS[name]
