"""What a SUIT envelope is built from: a template in JSON that names images, where they come from, who they are for.

One shape of manifest, as in the draft's examples; no encryption, no conditions on time or battery: who needs those
writes the manifest with other tools and signs it here all the same.  ``suit_building`` makes the envelope.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from sealwright.core import records
from sealwright.core.errors import Code, FormatError
from sealwright.core.records import Bounds, Count, Pattern, Text

FileName = Annotated[str, Pattern(r"[^/\x00]{1,255}")]
Words = Annotated[str, Bounds(1, 4000)]
Identifier = Annotated[tuple[Text, ...], Bounds(1, 16)]
"""Parts of a component identifier: text, or bytes as ``hex:00``."""


class Severable(StrEnum):
    """Members that can stand beside the manifest instead of in it."""

    DEPENDENCY_RESOLUTION = "dependency-resolution"
    INSTALL = "install"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentText:
    """Words about a component, in the order of their numbers (section 8.4.4)."""

    vendor_name: Words | None = None
    model_name: Words | None = None
    vendor_domain: Words | None = None
    model_info: Words | None = None
    description: Words | None = None
    version: Words | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One image on the device; several of one ``id`` are what its slots can hold."""

    id: Identifier
    slot: Annotated[int, Bounds(0, 255)] | None = None
    """Which slot of the component this image is for (A/B); the device takes the one that it writes or starts."""
    image: FileName
    """The file whose digest and size are set."""
    uri: Words | None = None
    """Where the device fetches it."""
    integrated: bool = False
    """Put the image into the envelope instead.  With neither, it is there already and only validated."""
    invoke: bool = False
    text: ComponentText | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """Another envelope that is to be processed first; its digest is that of its manifest."""

    envelope: FileName
    prefix: Identifier | None = None
    uri: Words | None = None
    integrated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TextMember:
    """Words for people, in one language."""

    language: Annotated[str, Pattern("[A-Za-z0-9-]{2,35}")]
    description: Words | None = None
    update: Words | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What an envelope is made from."""

    sequence_number: Count
    vendor: Text
    """A UUID, or a domain name from which one is made (RFC 9562, version 5)."""
    device_class: Text
    """A UUID, or a name within the vendor."""
    components: Annotated[tuple[Component, ...], Bounds(1, 64)]
    dependencies: Annotated[tuple[Dependency, ...], Bounds(0, 16)] = ()
    reference_uri: Words | None = None
    text: TextMember | None = None
    severable: Annotated[tuple[Severable, ...], Bounds(0, 3)] = ()


def parse(data: bytes) -> Template:
    """Read a template as people write JSON; ``FormatError`` also for a member given twice."""
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as e:
        raise FormatError(f"template is not JSON: {str(e)[:120]}", code=Code.INVALID_DOCUMENT) from None
    try:
        return records.load(Template, value)
    except FormatError as e:
        what = e.message.removeprefix("document: ")
        raise FormatError(f"template: {what}", code=e.code, hint="docs/formats/suit.md lists the members") from e


def places(template: Template) -> tuple[tuple[Component, ...], ...]:
    """Return the components as a manifest counts them: images of one ``id`` together, ``FormatError`` if they clash."""
    by_id: dict[tuple[bytes, ...], list[Component]] = {}
    for component in template.components:
        by_id.setdefault(identifier(component.id), []).append(component)
    for number, images in enumerate(by_id.values()):
        _check_slots(number, images)
    return tuple(map(tuple, by_id.values()))


def identifier(parts: Identifier) -> tuple[bytes, ...]:
    """Return a component identifier as bytes, which two spellings can share; ``FormatError`` for hex that is none."""
    return tuple(map(_part, parts))


def _part(part: str) -> bytes:
    if not part.startswith("hex:"):
        return part.encode("utf-8")
    try:
        return bytes.fromhex(part.removeprefix("hex:"))
    except ValueError:
        raise FormatError(f"{part[:40]!r} is no hex", code=Code.INVALID_DOCUMENT) from None


def _check_slots(number: int, images: Sequence[Component]) -> None:
    slots = {image.slot for image in images}
    if len(images) > 1 and (None in slots or len(slots) < len(images)):
        raise _clash(number, "is named twice, and its images have no slots of their own")
    if len({image.invoke for image in images}) > 1:
        raise _clash(number, "is invoked from one slot and not from another")
    if len({image.integrated or image.uri is not None for image in images}) > 1:
        raise _clash(number, "is fetched for one slot and not for another")
    if sum(image.text is not None for image in images) > 1:
        raise _clash(number, "has two texts: a text is about the component, not about a slot")


def _clash(number: int, reason: str) -> FormatError:
    return FormatError(f"component {number} {reason}", code=Code.INVALID_DOCUMENT)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member is given twice")
    return members


def file_names(template: Template) -> tuple[str, ...]:
    """Return the files that ``build`` needs, each once."""
    named = [component.image for component in template.components]
    return tuple(dict.fromkeys([*named, *(dependency.envelope for dependency in template.dependencies)]))
