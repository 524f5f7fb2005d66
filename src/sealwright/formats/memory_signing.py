"""How Intel HEX, S-record and UF2 are signed: a detached CMS signature beside the file, over one of three contents.

``file`` is the bytes as they are, ``segments`` the canonical stream of the memory image, ``flat`` a window of it.
Profile and window stand in a signed attribute, so that a verifier needs no word from elsewhere; a signature without
it covers the file.  Reference: ``docs/spec/memory-image.md``; RFC 5652, section 5; RFC 2634, section 2.9.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from sealwright.core import records
from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.images import ByteSource, Message, Range, read_chunks
from sealwright.core.patches import Patch, Sidecar
from sealwright.formats import cms, signed_data
from sealwright.formats.cms_shapes import DATA, digest_name
from sealwright.formats.interface import ExistingSignature, SigningKey, Slot, TargetProfile, Trust, Verified
from sealwright.formats.memory_image import ADDRESS_END, MAX_FLAT_BYTES, MemoryImage, gaps

SUFFIX = ".p7s"
MAX_SHOWN = 16
"""Segments and gaps that ``inspect`` lists."""

Reader = Callable[[ByteSource], MemoryImage]


class Profile(StrEnum):
    """What the signature covers."""

    FILE = "file"
    SEGMENTS = "segments"
    FLAT = "flat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the caller chooses; ``base``, ``size`` and ``fill`` are for ``flat``, and required there."""

    signing_time: records.Time
    profile: Profile = Profile.SEGMENTS
    base: Annotated[int, records.Bounds(0, ADDRESS_END - 1)] | None = None
    size: Annotated[int, records.Bounds(1, MAX_FLAT_BYTES)] | None = None
    fill: Annotated[int, records.Bounds(0, 255)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Which bytes are signed: a profile, and the window of ``flat``."""

    profile: Profile
    window: tuple[int, int, int] | None = None
    """Base, size and fill."""

    def __post_init__(self) -> None:
        if (self.profile is Profile.FLAT) != (self.window is not None):
            raise _invalid("base, size and fill belong to profile flat, which needs all three")
        if self.window and not 0 < self.window[1] <= min(MAX_FLAT_BYTES, ADDRESS_END - self.window[0]):
            raise _invalid(f"window of {self.window[1]} bytes at {self.window[0]:#x} is empty, too large or too high")

    @property
    def description(self) -> str | None:
        """What the signed attribute says; None for ``file``, which needs no word."""
        if self.window:
            base, size, fill = self.window
            return f"memory image: flat base={base:#x} size={size:#x} fill={fill:#04x}"
        return "memory image: segments" if self.profile is Profile.SEGMENTS else None

    @classmethod
    def described(cls, text: str | None) -> "Content":
        """Read a description; ``FormatError`` unless it is exactly one that ``description`` writes."""
        found = cls(profile=Profile.FILE if text is None else Profile.SEGMENTS)
        if window := _FLAT.fullmatch(text or ""):
            base, size, fill = (int(number, 16) for number in window.groups())
            found = cls(profile=Profile.FLAT, window=(base, size, fill))
        if found.description != text:
            raise FormatError(f"signature is over another content: {text!r}", code=Code.UNSUPPORTED_IMAGE)
        return found

    def chunks(self, image: ByteSource, memory: MemoryImage) -> Iterator[bytes]:
        """Yield the signed bytes."""
        if self.profile is Profile.FILE:
            return read_chunks(image, 0, image.size)
        return memory.flat(*self.window) if self.window else memory.canonical()

    def digest(self, image: ByteSource, memory: MemoryImage, algorithm: str) -> bytes:
        """Hash the signed bytes, ``algorithm`` as hashlib names it."""
        if self.profile is Profile.FILE:
            return Message((Range(0, image.size),)).digest(image, algorithm)
        return digest_of(self.chunks(image, memory), algorithm)


_FLAT = re.compile("memory image: flat base=0x([0-9a-f]{1,8}) size=0x([0-9a-f]{1,8}) fill=0x([0-9a-f]{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A file read and hashed, its signed attributes laid out."""

    size: int
    draft: cms.Draft
    options: Mapping[str, Any]

    @property
    def slots(self) -> tuple[Slot, ...]:
        return (self.draft.slot(),)

    def assemble(self, signatures: Mapping[str, bytes]) -> Patch:
        """Return a patch without edits, the signature as its sidecar."""
        return Patch(old_size=self.size, sidecars=(Sidecar(suffix=SUFFIX, content=self.draft.assemble(signatures)),))


def chosen_content(options: Options) -> Content:
    """Return what the options ask to sign; ``FormatError`` where they contradict each other."""
    window = (options.base, options.size, options.fill)
    if all(part is None for part in window):
        return Content(profile=options.profile)
    base, size, fill = window
    if base is None or size is None or fill is None:
        raise _invalid("base, size and fill belong together")
    return Content(profile=options.profile, window=(base, size, fill))


def prepare(
    image: ByteSource,
    keys: Sequence[SigningKey],
    options: Mapping[str, Any],
    target: TargetProfile,
    *,
    format_name: str,
    read: Reader,
) -> Prepared:
    """Read the file, hash what the profile covers, and lay out the signed attributes."""
    chosen = records.load(Options, dict(options))
    key = cms.only_key(keys, format_name)
    target.check(format_name, key)
    content = chosen_content(chosen)
    return Prepared(
        size=image.size,
        options=records.dump(chosen),
        draft=cms.Draft(
            key=key,
            content_type=DATA,
            message_digest=content.digest(image, read(image), digest_name(key.algorithm)),
            signing_time=chosen.signing_time,
            content_description=content.description,
        ),
    )


def verify(
    image: ByteSource, trust: Trust, sidecars: Mapping[str, bytes], *, format_name: str, read: Reader
) -> Verified:
    """Check the ``.p7s`` beside the file: its signature first, then what it says it covers."""
    if SUFFIX not in sidecars:
        raise VerificationError(f"image has no {SUFFIX} file beside it", hint=f"keep IMAGE{SUFFIX} beside IMAGE")
    signed = signed_data.parse(sidecars[SUFFIX])
    if signed.content_type != DATA or signed.content is not None:
        raise FormatError(f"{SUFFIX} file is not a detached signature over data")
    key = signed.verify(trust)
    content = Content.described(signed.content_description)
    digest = content.digest(image, read(image), signed.digest_algorithm)
    if digest != signed.message_digest:
        raise VerificationError(
            f"image is not the one that was signed ({content.description or 'the whole file'})",
            expected=signed.message_digest.hex(),
            got=digest.hex(),
            code=Code.IMAGE_MISMATCH,
        )
    found = ExistingSignature(name=cms.SLOT, algorithm=signed.description, signer=signed.signer)
    return Verified(format=format_name, signatures=(found,), keys=(key,))


def content(image: ByteSource, options: Mapping[str, Any], *, read: Reader) -> Iterator[bytes]:
    """Yield the bytes that a signature with these options covers."""
    return chosen_content(records.load(Options, {"signing_time": 0, **options})).chunks(image, read(image))


def facts(memory: MemoryImage) -> dict[str, str]:
    """Describe a memory image for an approver."""
    number = len(memory.segments)
    found = {"Data": f"{memory.size} bytes in {number} segment{'' if number == 1 else 's'}"}
    for family, segments in memory.families[:MAX_SHOWN]:
        of = "" if len(memory.families) == 1 else f" of family {family:#010x}"
        spans = [(segment.address, segment.stop) for segment in segments]
        found |= _listed("Segment", spans, of)
        if left_out := segments[MAX_SHOWN:]:
            span = f"{left_out[0].address:#010x}-{left_out[-1].stop:#010x}"
            rest = MemoryImage(families=((family, left_out),))
            found[f"Segments{of} not listed"] = f"{len(left_out)} in {span}, {_spell_rest(rest)}"
        found |= _listed("Gap", gaps(segments), of)
        if (number := len(segments) - 1 - MAX_SHOWN) > 0:
            found[f"Gaps{of} not listed"] = str(number)
    if others := memory.families[MAX_SHOWN:]:
        found["Families whose segments are not listed"] = f"{len(others)}, {_spell_rest(MemoryImage(families=others))}"
    found["Entry"] = memory.entry.text if memory.entry else "none"
    found["SHA-256 of segments"] = digest_of(memory.canonical(), "sha256").hex()
    found["Covered"] = "addresses, data and entry (profile segments); the whole file (file); data in a window (flat)"
    return found


def _listed(label: str, spans: Sequence[tuple[int, int]], of: str) -> dict[str, str]:
    return {
        f"{label}{of} {start:#010x}": f"{start:#010x}-{stop:#010x}, {stop - start} bytes"
        for start, stop in spans[:MAX_SHOWN]
    }


def _spell_rest(left_out: MemoryImage) -> str:
    """Spell what is not listed, so that nothing of it can change without a word."""
    return f"{left_out.size} bytes, SHA-256 {digest_of(left_out.canonical(), 'sha256').hex()}"


def digest_of(chunks: Iterable[bytes], algorithm: str) -> bytes:
    """Hash chunks, ``algorithm`` as hashlib names it."""
    state = hashlib.new(algorithm)
    for chunk in chunks:
        state.update(chunk)
    return state.digest()


def _invalid(message: str) -> FormatError:
    return FormatError(message, code=Code.INVALID_DOCUMENT)
