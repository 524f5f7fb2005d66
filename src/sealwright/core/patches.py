"""Patches: the whole difference between an image and its signed form, and the way back.

An edit replaces ``old`` at ``offset`` (counted in the unsigned image) by ``new``; lengths may differ.  Evidence keeps
the patch, so that a verifier gets the approved image back from the signed one.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Annotated

from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.images import ByteSource, read_chunks
from sealwright.core.records import Bounds, Count, Pattern

MAX_EDIT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Replace ``old`` at ``offset`` of the unsigned image by ``new``."""

    offset: Count
    old: Annotated[bytes, Bounds(0, MAX_EDIT_BYTES)]
    new: Annotated[bytes, Bounds(0, MAX_EDIT_BYTES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """A file that belongs beside the image; ``suffix`` is appended to the image's name (``.p7s``)."""

    suffix: Annotated[str, Pattern(r"\.[a-z0-9][a-z0-9.-]{0,30}")]
    content: Annotated[bytes, Bounds(0, MAX_EDIT_BYTES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """Edits in ascending order that turn an image of ``old_size`` bytes into its signed form, and sidecar files."""

    old_size: Count
    edits: Annotated[tuple[Edit, ...], Bounds(0, 4096)] = ()
    sidecars: Annotated[tuple[Sidecar, ...], Bounds(0, 64)] = ()

    def __post_init__(self) -> None:
        at = 0
        for edit in self.edits:
            if edit.offset < at or edit.offset + len(edit.old) > self.old_size:
                raise FormatError("patch edits overlap or leave the image", at=edit.offset, code=Code.INVALID_DOCUMENT)
            at = edit.offset + len(edit.old)

    @property
    def new_size(self) -> int:
        return self.old_size + sum(len(e.new) - len(e.old) for e in self.edits)

    def inverse(self) -> "Patch":
        """Return the patch from the signed image back to the unsigned one (sidecars have no inverse)."""
        shift, edits = 0, []
        for edit in self.edits:
            edits.append(Edit(offset=edit.offset + shift, old=edit.new, new=edit.old))
            shift += len(edit.new) - len(edit.old)
        return Patch(old_size=self.new_size, edits=tuple(edits))

    def apply(self, image: ByteSource) -> Iterator[bytes]:
        """Yield the patched image in chunks; ``VerificationError`` where the image is not the one it was made for."""
        if image.size != self.old_size:
            raise VerificationError(
                "patch is for another image",
                expected=f"{self.old_size} bytes",
                got=f"{image.size} bytes",
                code=Code.IMAGE_MISMATCH,
            )
        at = 0
        for edit in self.edits:
            yield from read_chunks(image, at, edit.offset)
            if image.read(edit.offset, len(edit.old)) != edit.old:
                raise VerificationError(
                    f"bytes at {edit.offset:#x} are not those the patch replaces", code=Code.IMAGE_MISMATCH
                )
            yield edit.new
            at = edit.offset + len(edit.old)
        yield from read_chunks(image, at, image.size)


class PatchedSource:
    """A byte source that shows an image as a patch leaves it, without copying it; the old bytes are checked once."""

    def __init__(self, image: ByteSource, patch: Patch) -> None:
        if image.size != patch.old_size:
            raise VerificationError(
                "patch is for another image",
                expected=f"{patch.old_size} bytes",
                got=f"{image.size} bytes",
                code=Code.IMAGE_MISMATCH,
            )
        self._segments: list[tuple[int, int, int | bytes]] = []  # start, stop in the new image; old offset or literal
        self._image, self.size = image, patch.new_size
        old, new = 0, 0
        for edit in patch.edits:
            if image.read(edit.offset, len(edit.old)) != edit.old:
                raise VerificationError(
                    f"bytes at {edit.offset:#x} are not those the patch replaces", code=Code.IMAGE_MISMATCH
                )
            kept = edit.offset - old
            self._segments.append((new, new + kept, old))
            self._segments.append((new + kept, new + kept + len(edit.new), edit.new))
            old, new = edit.offset + len(edit.old), new + kept + len(edit.new)
        self._segments.append((new, self.size, old))
        self._starts = [start for start, _, _ in self._segments]

    def read(self, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise FormatError(f"{length} bytes wanted, the image ends at {self.size:#x}", at=max(offset, 0))
        parts, end = [], offset + length
        for start, stop, what in islice(self._segments, max(bisect_right(self._starts, offset) - 1, 0), None):
            if start >= end:
                break
            low, high = max(offset, start), min(end, stop)
            if low >= high:
                continue
            if isinstance(what, bytes):
                parts.append(what[low - start : high - start])
            else:
                parts.append(self._image.read(what + low - start, high - low))
        return b"".join(parts)
