"""The hash nodes of a FIT against the data they speak of, every byte read once."""

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from typing import Protocol

from sealwright.core.images import ByteSource, Range, read_chunks
from sealwright.formats.fit_contents import HashNode, Image


def checked_hashes(source: ByteSource, images: Iterable[Image]) -> Iterator[tuple[Image, HashNode, bytes]]:
    """Yield each hash node of ``images`` with the digest that their data really have.

    Images may share data, which are hashed once; data that partly overlap were refused when the FIT was loaded.
    """
    known: dict[tuple[int, int, str], bytes] = {}
    for image in images:
        at = (image.data.start, image.data.stop)
        wanted = {item.algorithm for item in image.hashes if (*at, item.algorithm) not in known}
        known |= {(*at, name): digest for name, digest in _digests(source, image.data, wanted).items()}
        for item in image.hashes:
            yield image, item, known[*at, item.algorithm]


def wrong_hash(source: ByteSource, images: Iterable[Image]) -> tuple[Image, HashNode, bytes] | None:
    """Return the first hash node that lies, and the real digest."""
    return next((found for found in checked_hashes(source, images) if found[1].value != found[2]), None)


class _State(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def _digests(source: ByteSource, data: Range, algorithms: Iterable[str]) -> dict[str, bytes]:
    states: dict[str, _State] = {
        name: _Crc32() if name == "crc32" else hashlib.new(name, usedforsecurity=False) for name in algorithms
    }
    if states:
        for chunk in read_chunks(source, data.start, data.stop):
            for state in states.values():
                state.update(chunk)
    return {name: state.digest() for name, state in states.items()}
