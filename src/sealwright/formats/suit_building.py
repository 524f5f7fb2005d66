"""SUIT envelopes built from a template, unsigned, with every digest and size filled in.

The shared sequence checks vendor and class and sets digest and size, install fetches and compares, validate compares
again, invoke starts; dependencies are compared and processed first.
Reference: draft-ietf-suit-manifest-34, sections 7 and 8 and appendix B; trust-domains-12 for dependencies.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from sealwright.core.errors import Code, FormatError
from sealwright.core.images import ByteSource, MemorySource, Range, read_chunks
from sealwright.formats import deterministic_cbor as cbor
from sealwright.formats import suit_envelope, suit_template
from sealwright.formats.suit_envelope import Authentication, Digest, digest_of
from sealwright.formats.suit_labels import (
    AUTHENTICATION,
    COMPONENTS,
    DEPENDENCIES,
    ENVELOPE_TAG,
    MANIFEST,
    SHARED,
    Command,
    Member,
    Parameter,
)
from sealwright.formats.suit_template import Component, Dependency, Template, identifier

SHA256 = -16
REPORT_ALL, REPORT_FAILURE, REPORT_SUCCESS = 15, 2, 5
"""Reporting policies, as the examples set them (SUIT_Rep_Policy); that a slot is another one is no failure."""


def build(template: Template, files: Mapping[str, ByteSource]) -> Iterator[bytes]:
    """Yield the unsigned envelope in chunks; ``FormatError`` where template or dependency is not right."""
    members: dict[int, Any] = dict(_members(template, files))
    beside: dict[int, Any] = {
        m.value: members[m.value] for m in Member if m.title in template.severable and m.value in members
    }
    for number, content in beside.items():
        members[number] = [SHA256, _digest(cbor.encode(content)).value]
    manifest = cbor.encode(members)
    wrapper = Authentication(digest=_digest(cbor.encode(manifest)), blocks=())
    small = {AUTHENTICATION: wrapper.encoded, MANIFEST: manifest, **beside}
    payloads = sorted(_payloads(template).items(), key=lambda item: cbor.encode(item[0]))
    yield cbor.encode_head(cbor.TAG, ENVELOPE_TAG) + cbor.encode_head(cbor.MAP, len(small) + len(payloads))
    yield from (cbor.encode(number) + cbor.encode(content) for number, content in sorted(small.items()))
    for label, name in payloads:
        yield cbor.encode(label) + cbor.encode_head(cbor.BYTES, files[name].size)
        yield from read_chunks(files[name], 0, files[name].size)


def _members(template: Template, files: Mapping[str, ByteSource]) -> Iterator[tuple[int, Any]]:
    yield Member.VERSION.value, 1
    yield Member.SEQUENCE_NUMBER.value, template.sequence_number
    yield Member.COMMON.value, cbor.encode(_common(template, files))
    if template.reference_uri is not None:
        yield Member.REFERENCE_URI.value, template.reference_uri
    sequences = {
        Member.DEPENDENCY_RESOLUTION: _resolution(template, files),
        Member.INSTALL: _install(template, files),
        Member.VALIDATE: _validate(template, files),
        Member.INVOKE: _invoke(template),
    }
    yield from ((member.value, cbor.encode(commands)) for member, commands in sequences.items() if commands)
    if (text := _text(template)) is not None:
        yield Member.TEXT.value, cbor.encode(text)


def _common(template: Template, files: Mapping[str, ByteSource]) -> dict[int, Any]:
    places = suit_template.places(template)
    common: dict[int, Any] = {COMPONENTS: [list(identifier(images[0].id)) for images in places]}
    for index, dependency in _dependencies(template):
        about = {} if dependency.prefix is None else {1: list(identifier(dependency.prefix))}
        common.setdefault(DEPENDENCIES, {})[index] = about
    vendor, device_class = _identities(template)
    identity = {Parameter.VENDOR_ID.value: vendor.bytes, Parameter.CLASS_ID.value: device_class.bytes}
    commands: list[Any] = []
    for index, images in enumerate(places):
        commands += [*_select(template, index), *_set(images, lambda c: _digest_and_size(files[c.image]), identity)]
        commands += [Command.VENDOR_IDENTIFIER.value, REPORT_ALL, Command.CLASS_IDENTIFIER.value, REPORT_ALL]
    common[SHARED] = cbor.encode(commands)
    return common


def _set(
    images: tuple[Component, ...], parameters: Callable[[Component], dict[int, Any]], first: Mapping[int, Any]
) -> list[Any]:
    """Set ``first`` and the parameters of the image; of several images, those for the slot that the device chose."""
    override = Command.OVERRIDE_PARAMETERS.value
    if images[0].slot is None:
        return [override, {**first, **parameters(images[0])}]
    alternatives: list[list[Any]] = []
    for image in images:
        is_chosen = [Command.COMPONENT_SLOT.value, REPORT_SUCCESS]
        slot = {Parameter.COMPONENT_SLOT.value: image.slot}
        alternatives.append([override, slot, *is_chosen, override, parameters(image)])
    chosen = [Command.TRY_EACH.value, [cbor.encode(alternative) for alternative in alternatives]]
    return [override, dict(first), *chosen] if first else chosen


def _digest_and_size(image: ByteSource) -> dict[int, Any]:
    digest = digest_of(image, Range(0, image.size), SHA256)
    return {Parameter.IMAGE_DIGEST.value: digest.encoded, Parameter.IMAGE_SIZE.value: image.size}


def _resolution(template: Template, files: Mapping[str, ByteSource]) -> list[Any]:
    commands: list[Any] = []
    for index, dependency in _dependencies(template):
        uri = _source(template, dependency)
        if uri is None:
            continue
        parameters = {
            Parameter.IMAGE_DIGEST.value: _manifest_digest(files[dependency.envelope]),
            Parameter.IMAGE_SIZE.value: files[dependency.envelope].size,
            Parameter.URI.value: uri,
        }
        commands += [*_select(template, index), Command.OVERRIDE_PARAMETERS.value, parameters]
        commands += [Command.FETCH.value, REPORT_FAILURE, Command.DEPENDENCY_INTEGRITY.value, REPORT_ALL]
    return commands


def _install(template: Template, files: Mapping[str, ByteSource]) -> list[Any]:
    commands = _process(template, files)
    for index, images in enumerate(suit_template.places(template)):
        if _source(template, images[0]) is not None:
            fetched = _set(images, lambda c: {Parameter.URI.value: _source(template, c)}, {})
            commands += [*_select(template, index), *fetched]
            commands += [Command.FETCH.value, REPORT_FAILURE, Command.IMAGE_MATCH.value, REPORT_ALL]
    return commands


def _validate(template: Template, files: Mapping[str, ByteSource]) -> list[Any]:
    commands = _process(template, files)
    for index in range(len(suit_template.places(template))):
        commands += [*_select(template, index), Command.IMAGE_MATCH.value, REPORT_ALL]
    return commands


def _invoke(template: Template) -> list[Any]:
    commands: list[Any] = []
    for index, images in enumerate(suit_template.places(template)):
        if images[0].invoke:
            commands += [*_select(template, index), Command.INVOKE.value, REPORT_FAILURE]
    return commands


def _process(template: Template, files: Mapping[str, ByteSource]) -> list[Any]:
    """Compare each dependency with its digest, and process it."""
    commands: list[Any] = []
    for index, dependency in _dependencies(template):
        parameters = {Parameter.IMAGE_DIGEST.value: _manifest_digest(files[dependency.envelope])}
        commands += [*_select(template, index), Command.OVERRIDE_PARAMETERS.value, parameters]
        commands += [Command.DEPENDENCY_INTEGRITY.value, REPORT_ALL, Command.PROCESS_DEPENDENCY.value, REPORT_ALL]
    return commands


def _text(template: Template) -> dict[str, Any] | None:
    said = {component.id: component.text for component in template.components if component.text}
    if template.text is None:
        if said:
            raise _wrong("components have texts, and the template names no language for them")
        return None
    about = {1: template.text.description, 2: template.text.update}
    entries: dict[Any, Any] = {number: words for number, words in about.items() if words is not None}
    for parts, text in said.items():
        words_by_number = {n: getattr(text, f.name) for n, f in enumerate(fields(text), 1)}
        entries[identifier(parts)] = {n: words for n, words in words_by_number.items() if words is not None}
    return {template.text.language: entries}


def _payloads(template: Template) -> dict[str, str]:
    """Label to file name of what is integrated."""
    parts: tuple[Component | Dependency, ...] = (*template.components, *template.dependencies)
    return {
        _label(template, part): part.image if isinstance(part, Component) else part.envelope
        for part in parts
        if part.integrated
    }


def _source(template: Template, part: Component | Dependency) -> str | None:
    if part.integrated and part.uri is not None:
        raise _wrong(f"{_label(template, part)[1:]} is integrated and has a URI: it comes from one of the two")
    return _label(template, part) if part.integrated else part.uri


def _label(template: Template, part: Component | Dependency) -> str:
    """Return a label of its own for each image and envelope of the template."""
    parts = (*template.components, *template.dependencies)
    return f"#component-{next(number for number, other in enumerate(parts) if other is part)}"


def _select(template: Template, index: int) -> list[Any]:
    """Select a component, which is not needed where there is one: a sequence begins with component 0."""
    if len(suit_template.places(template)) + len(template.dependencies) == 1:
        return []
    return [Command.SET_COMPONENT_INDEX.value, index]


def _dependencies(template: Template) -> Iterator[tuple[int, Dependency]]:
    return iter(list(enumerate(template.dependencies, len(suit_template.places(template)))))


def _identities(template: Template) -> tuple[uuid.UUID, uuid.UUID]:
    vendor = _uuid(template.vendor) or uuid.uuid5(uuid.NAMESPACE_DNS, template.vendor)
    return vendor, _uuid(template.device_class) or uuid.uuid5(vendor, template.device_class)


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def _manifest_digest(envelope: ByteSource) -> bytes:
    return digest_of(envelope, suit_envelope.parse(envelope).manifest.wrapped, SHA256).encoded


def _digest(data: bytes) -> Digest:
    return digest_of(MemorySource(data), Range(0, len(data)), SHA256)


def _wrong(message: str) -> FormatError:
    return FormatError(message, code=Code.INVALID_DOCUMENT)
