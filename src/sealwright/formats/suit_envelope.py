"""The outside of a SUIT envelope: a map of byte strings, found in the file without reading integrated payloads.

Reference: draft-ietf-suit-manifest-34, sections 8.2 and 8.3.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from sealwright.core.errors import FormatError
from sealwright.core.images import ByteSource, Message, Range
from sealwright.formats import deterministic_cbor as cbor
from sealwright.formats.suit_labels import AUTHENTICATION, DIGEST_BYTES, DIGESTS, ENVELOPE_TAG, MANIFEST

MAX_ELEMENTS = 256
MAX_MEMBER_BYTES = 1 << 18
"""Of the authentication wrapper, the manifest and each severable member; integrated payloads have no such limit."""
MAX_KEY_BYTES = 256
MAX_BLOCKS = 16
_CLAIM = re.compile(
    rb"\xd8\x6b[\xa1-\xb8]"  # tag 107, or a map whose first member is a list that begins with a SUIT_Digest
    rb"|[\xa2-\xb8]\x02(?:[\x40-\x57]|\x58.|\x59..|\x5a....)[\x81-\x97](?:[\x40-\x57]|\x58.)\x82(?:\x2f|\x38[\x11\x2a-\x2c])",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One member of the envelope: where its label, its byte string and the content of that stand."""

    label: int | str
    start: int
    value: int
    content: int
    stop: int

    @property
    def wrapped(self) -> Range:
        """The byte string with its head, which is what digests of manifest and severable members cover."""
        return Range(self.value, self.stop)

    @property
    def inside(self) -> Range:
        """The content alone, which is what an image digest covers."""
        return Range(self.content, self.stop)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """The members of an envelope, in their order."""

    elements: tuple[Element, ...]
    manifest: Element
    map_at: int
    """Where the head of the map stands: behind the tag, if there is one."""

    @property
    def is_tagged(self) -> bool:
        return self.map_at > 0

    def find(self, label: int | str) -> Element | None:
        return next((element for element in self.elements if element.label == label), None)

    @property
    def payloads(self) -> tuple[Element, ...]:
        """Integrated payloads: the members whose label is a text."""
        return tuple(element for element in self.elements if isinstance(element.label, str))


@dataclass(frozen=True, slots=True)
class Digest:
    """A SUIT_Digest (section 10)."""

    algorithm: int
    value: bytes

    @property
    def hash_name(self) -> str:
        return DIGESTS[self.algorithm]

    @property
    def encoded(self) -> bytes:
        return cbor.encode([self.algorithm, self.value])

    def __str__(self) -> str:
        return f"{self.hash_name} {self.value.hex()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """The authentication wrapper: the digest of the manifest, and the blocks over it, as they stand."""

    digest: Digest
    blocks: tuple[bytes, ...]

    @property
    def encoded(self) -> bytes:
        """The content of the wrapper's byte string."""
        return cbor.encode([self.digest.encoded, *self.blocks])


def claims(image: ByteSource) -> bool:
    """Whether the first bytes are those of an envelope; one without tag and digest must be named."""
    return _CLAIM.match(image.read(0, min(image.size, 32))) is not None


def parse(image: ByteSource) -> Envelope:
    """Find the members; ``FormatError`` unless they fill the file, in deterministic CBOR, with a manifest."""
    start = image.read(0, min(image.size, 2 * cbor.MAX_HEAD_BYTES))
    head = cbor.read_head(start, 0)
    map_at = 0
    if (head.major, head.argument) == (cbor.TAG, ENVELOPE_TAG):
        map_at = head.size
        head = cbor.read_head(start, map_at)
    if head.major != cbor.MAP or not 1 <= head.argument <= MAX_ELEMENTS:
        raise FormatError(f"not a SUIT envelope: no map of 1 to {MAX_ELEMENTS} members", at=map_at)
    elements = tuple(_elements(image, map_at + head.size, head.argument))
    if elements[-1].stop != image.size:
        raise FormatError(f"{image.size - elements[-1].stop} bytes follow the envelope", at=elements[-1].stop)
    manifest = next((element for element in elements if element.label == MANIFEST), None)
    if manifest is None:
        raise FormatError("envelope holds no manifest")
    return Envelope(elements=elements, manifest=manifest, map_at=map_at)


def read_member(image: ByteSource, element: Element) -> bytes:
    """Return the content of a member that is small by its nature."""
    if element.stop - element.content > MAX_MEMBER_BYTES:
        size = element.stop - element.content
        raise FormatError(
            f"envelope member {element.label} has {size} bytes, at most {MAX_MEMBER_BYTES} are read", at=element.value
        )
    return image.read(element.content, element.stop - element.content)


def read_authentication(image: ByteSource, envelope: Envelope) -> Authentication | None:
    """Return the wrapper, or None where there is none."""
    element = envelope.find(AUTHENTICATION)
    if element is None:
        return None
    data = read_member(image, element)
    parts = cbor.decode(data, what="authentication wrapper", base=element.content)
    if not isinstance(parts, list) or not parts or not all(isinstance(part, bytes) for part in parts):
        raise FormatError("authentication wrapper is not a list of byte strings", at=element.content)
    if len(parts) - 1 > MAX_BLOCKS:
        raise FormatError(f"{len(parts) - 1} authentication blocks, at most {MAX_BLOCKS} are read", at=element.content)
    digest = read_digest(cbor.decode(parts[0], what="SUIT_Digest"), at=element.content)
    return Authentication(digest=digest, blocks=tuple(parts[1:]))


def read_digest(value: object, *, at: int | None = None) -> Digest:
    """Return a decoded SUIT_Digest; ``FormatError`` unless its hash is known and as long as it should be."""
    match value:
        case [int(algorithm), bytes(digest)] if not isinstance(algorithm, bool):
            if algorithm not in DIGESTS:
                raise FormatError(f"SUIT_Digest by hash {algorithm}, which is not known here", at=at)
            if len(digest) != DIGEST_BYTES[algorithm]:
                raise FormatError(
                    f"SUIT_Digest by {DIGESTS[algorithm]} has {len(digest)} bytes, not {DIGEST_BYTES[algorithm]}", at=at
                )
            return Digest(algorithm, digest)
    raise FormatError("SUIT_Digest is not a hash number and its bytes", at=at)


def digest_of(image: ByteSource, part: Range, algorithm: int) -> Digest:
    """Hash a part of the image while it streams."""
    if not DIGESTS[algorithm].startswith("shake"):
        return Digest(algorithm, Message((part,)).digest(image, DIGESTS[algorithm]))
    state = hashlib.shake_128() if DIGESTS[algorithm] == "shake_128" else hashlib.shake_256()
    for chunk in Message((part,)).chunks(image):
        state.update(chunk)
    return Digest(algorithm, state.digest(DIGEST_BYTES[algorithm]))


def _elements(image: ByteSource, at: int, count: int) -> Iterator[Element]:
    last = b""
    for _ in range(count):
        window = image.read(at, min(image.size - at, MAX_KEY_BYTES + 2 * cbor.MAX_HEAD_BYTES))
        label, size = _label(window, at)
        cbor.check_order(last, window[:size], at=at)
        last = window[:size]
        head = cbor.read_head(window, size, base=at)
        if head.major != cbor.BYTES:
            raise FormatError(f"envelope member {label} is not a byte string", at=at + size)
        content = at + size + head.size
        if head.argument > image.size - content:
            raise FormatError(f"envelope member {label} of {head.argument} bytes, the file ends before", at=at + size)
        yield Element(label=label, start=at, value=at + size, content=content, stop=content + head.argument)
        at = content + head.argument


def _label(window: bytes, at: int) -> tuple[int | str, int]:
    """Return a label, an integer or a text, and its length."""
    head = cbor.read_head(window, 0, base=at)
    if head.major in (cbor.UNSIGNED, cbor.NEGATIVE):
        return (head.argument if head.major == cbor.UNSIGNED else -1 - head.argument), head.size
    if head.major != cbor.TEXT or head.argument > MAX_KEY_BYTES:
        raise FormatError(f"envelope label is neither a number nor a text of at most {MAX_KEY_BYTES} bytes", at=at)
    size = head.size + head.argument
    return str(cbor.decode(window[:size], what="label", base=at)), size
