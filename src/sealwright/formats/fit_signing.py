"""Signing a FIT: where signatures go, what they cover, and the patch that writes them.

The layout is made first, with zeros where signatures will be.  What a slot covers is then read from that finished
layout by the code that verifies, and said in terms of the unsigned image.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from sealwright.core import records
from sealwright.core.errors import Code, FormatError
from sealwright.core.images import ByteSource
from sealwright.core.patches import Edit, Patch, PatchedSource
from sealwright.formats import fdt
from sealwright.formats.fdt_splice import StringTable, encode_node, encode_property, splice
from sealwright.formats.fit_algorithms import KEY_NAME, PADDINGS, algo_of
from sealwright.formats.fit_contents import (
    FORMAT_NAME,
    Configuration,
    Fit,
    external_base,
    load,
    require_covered,
    wrong_hash,
)
from sealwright.formats.fit_regions import HASHED_STRINGS, PullBack, Regions, listed_nodes
from sealwright.formats.interface import Prepared, SigningKey, Slot, TargetProfile

SIGNER_NAME = "sealwright"
WRITTEN = ("value", "signer-name", "timestamp", "hashed-nodes", "hashed-strings")
"""Properties that signing adds to a signature node, beside ``algo`` and ``key-name-hint`` where they lack."""
MAX_SLOTS = 200  # of one intent
MAX_ALIGNMENT = 4096

KeyName = Annotated[str, records.Pattern(KEY_NAME)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user chooses; ``prepare`` fills in the rest and freezes it."""

    configurations: Annotated[tuple[records.Text, ...], records.Bounds(1, MAX_SLOTS)] | None = None
    """Names; every configuration by default."""
    key_name: KeyName | None = None
    """``key-name-hint``, the key's name in the control devicetree; by default what the template says."""
    key_names: Annotated[tuple[KeyName, ...], records.Bounds(1, 8)] | None = None
    """One per key, where several sign."""
    timestamp: Annotated[int, records.Bounds(0, (1 << 32) - 1)] | None = None
    """Seconds since 1970-01-01, for the signature node; none is written by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """One signature to write: into which node, and by which key."""

    slot: str
    configuration: Configuration
    node_name: str
    template: fdt.Node | None
    key: SigningKey
    key_name: str

    @property
    def value_bytes(self) -> int:
        return self.key.public_key.size_bits // 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _PreparedFit:
    slots: tuple[Slot, ...]
    options: Mapping[str, Any]
    fit: Fit
    places: tuple[_Place, ...]
    timestamp: int | None

    def assemble(self, signatures: Mapping[str, bytes]) -> Patch:
        """Build the patch; ``FormatError`` unless there is one signature of the right length per slot."""
        wanted = {place.slot: place.value_bytes for place in self.places}
        if {name: len(value) for name, value in signatures.items()} != wanted:
            raise FormatError(f"signatures do not fit the slots {sorted(wanted)}", code=Code.INVALID_DOCUMENT)
        return _patch(self.fit, self.places, self.timestamp, signatures)


def prepare(
    image: ByteSource, keys: Sequence[SigningKey], options: Mapping[str, Any], target: TargetProfile
) -> Prepared:
    """Lay out one signature per configuration and key.

    Refuses what a signature would not protect: wrong hashes, images without a hash or under no configuration.
    """
    chosen = records.load(Options, options)
    _check_target(image, keys, target)
    fit = load(image)
    configurations = _chosen_configurations(fit, chosen)
    require_covered(fit)
    _check_hashes(image, fit)
    key_names = _key_names(fit, configurations, keys, chosen)
    places = tuple(place for c in configurations for place in _places(fit, c, keys, key_names))
    if len(places) > MAX_SLOTS or len({place.slot for place in places}) != len(places):
        raise FormatError(
            f"{len(places)} signatures in one request, at most {MAX_SLOTS}",
            code=Code.UNSUPPORTED_IMAGE,
            hint="sign in portions with the option configurations",
        )
    frozen = Options(
        configurations=tuple(c.name for c in configurations), key_names=key_names, timestamp=chosen.timestamp
    )
    return _PreparedFit(
        slots=_slots(image, fit, places, chosen.timestamp),
        options=records.dump(frozen),
        fit=fit,
        places=places,
        timestamp=chosen.timestamp,
    )


def _check_target(image: ByteSource, keys: Sequence[SigningKey], target: TargetProfile) -> None:
    if not keys:
        raise FormatError("no key to sign with", code=Code.INVALID_DOCUMENT)
    for key in keys:
        target.check(FORMAT_NAME, key)
        algo_of(key.public_key, key.algorithm)
    if target.max_image_bytes is not None and image.size > target.max_image_bytes:
        raise FormatError(
            f"image of {image.size} bytes, target {target.name} takes {target.max_image_bytes}",
            code=Code.TARGET_CANNOT_VERIFY,
        )


def _chosen_configurations(fit: Fit, options: Options) -> tuple[Configuration, ...]:
    names = options.configurations or tuple(fit.configurations)
    unknown = [wanted for wanted in names if wanted not in fit.configurations]
    if unknown or len(set(names)) != len(names):
        raise FormatError(
            f"no configuration {unknown[0]!a}" if unknown else "a configuration is named twice",
            code=Code.INVALID_DOCUMENT,
            hint=f"the image has {', '.join(sorted(fit.configurations)[:8])}",
        )
    # In the tree's order, so that the same choice in another order gives the same slots.
    return tuple(configuration for name, configuration in fit.configurations.items() if name in names)


def _check_hashes(image: ByteSource, fit: Fit) -> None:
    wrong = wrong_hash(image, fit.images.values())
    if wrong is not None:
        hashed, node, digest = wrong
        raise FormatError(
            f"{node.node.path} is not the hash of the data of image {hashed.name!a}: expected {node.value.hex()},"
            f" got {digest.hex()}",
            at=node.node.start,
        )


def _key_names(
    fit: Fit, configurations: Iterable[Configuration], keys: Sequence[SigningKey], options: Options
) -> tuple[str, ...]:
    if options.key_name is not None and options.key_names is not None:
        raise FormatError("options key_name and key_names exclude each other", code=Code.INVALID_DOCUMENT)
    names: tuple[str | None, ...] = options.key_names or (options.key_name,)
    if names == (None,):
        hints = {tuple(fit.tree.text(node, "key-name-hint") for node in c.signature_nodes) for c in configurations}
        names = hints.pop() if len(hints) == 1 else ()
    result = tuple(name for name in names if name and re.fullmatch(KEY_NAME, name))
    if not len(result) == len(set(result)) == len(names) == len(keys):
        raise FormatError(
            f"{len(result)} different key names for {len(keys)} keys",
            code=Code.INVALID_DOCUMENT,
            hint="option key_name: the key's name in U-Boot's control devicetree; key_names where several keys sign",
        )
    return result


def _places(
    fit: Fit, configuration: Configuration, keys: Sequence[SigningKey], key_names: Sequence[str]
) -> tuple[_Place, ...]:
    templates = configuration.signature_nodes
    for node in templates:
        if "value" in node.properties:
            raise FormatError(f"{node.path} is signed already", at=node.start, code=Code.ALREADY_SIGNED)
    if len(templates) > len(keys):
        raise FormatError(
            f"{configuration.node.path} waits for {len(templates)} signatures, {len(keys)} keys sign",
            at=configuration.node.start,
        )
    free = (f"signature-{n}" for n in range(1, len(templates) + len(keys) + 1))
    fresh = [node_name for node_name in free if node_name not in configuration.node.children]
    node_names = [*(node.name for node in templates), *fresh]
    places = tuple(
        _Place(
            slot=_slot_name(configuration.name, node_name),
            configuration=configuration,
            node_name=node_name,
            template=configuration.node.children.get(node_name),
            key=key,
            key_name=key_name,
        )
        for key, key_name, node_name in zip(keys, key_names, node_names, strict=False)
    )
    for place in places:
        _check_template(fit, place)
    return places


def _check_template(fit: Fit, place: _Place) -> None:
    """A template decided what its device verifies; signing it otherwise would only show at boot."""
    if place.template is None:
        return
    wanted = {"algo": algo_of(place.key.public_key, place.key.algorithm), "key-name-hint": place.key_name}
    for name, value in wanted.items():
        found = fit.tree.text(place.template, name)
        if found not in (None, value):
            raise FormatError(
                f"{place.template.path} waits for {name} {found!a}, this signature is {value!a}",
                at=place.template.start,
                hint="sign with the key the template names, or change the template",
            )
    if fit.tree.text(place.template, "padding") not in PADDINGS or place.template.children:
        raise FormatError(
            f"{place.template.path} is no template for PKCS#1 v1.5",
            at=place.template.start,
            code=Code.UNSUPPORTED_IMAGE,
        )
    if present := [name for name in WRITTEN if name in place.template.properties]:
        raise FormatError(f"{place.template.path} holds {present[0]} without a value", at=place.template.start)


def _slot_name(configuration: str, node_name: str) -> str:
    """Name a slot; characters that ids of signed documents may not hold become their code in hex."""
    kept = "abcdefghijklmnopqrstuvwxyz0123456789._-"
    return "/".join("".join(c if c in kept else f"{ord(c):02x}" for c in part) for part in (configuration, node_name))


def _slots(image: ByteSource, fit: Fit, places: Sequence[_Place], timestamp: int | None) -> tuple[Slot, ...]:
    patch = _patch(fit, places, timestamp, {place.slot: bytes(place.value_bytes) for place in places})
    signed = load(PatchedSource(image, patch))
    regions, pull_back = Regions(signed), PullBack(patch)
    slots = []
    for place in places:
        configuration = signed.configurations[place.configuration.name]
        message = pull_back.message(regions.covered(configuration, signed.tree.header.size_dt_strings))
        slots.append(
            Slot(
                name=place.slot,
                key_profile=place.key.profile,
                algorithm=place.key.algorithm,
                message=message,
                digest=message.digest(image, place.key.algorithm.hash_name),
            )
        )
    return tuple(slots)


def _patch(fit: Fit, places: Sequence[_Place], timestamp: int | None, values: Mapping[str, bytes]) -> Patch:
    strings = StringTable(fit.tree.strings)
    for name in (*WRITTEN, "algo", "key-name-hint"):
        strings.offset_of(name)  # all names first: each signature covers the whole string table
    strings_size = fit.tree.header.size_dt_strings + len(strings.appended)
    insertions: dict[int, bytes] = defaultdict(bytes)
    for place in places:
        content = _signature_properties(
            place,
            strings,
            {
                "algo": _text(algo_of(place.key.public_key, place.key.algorithm)),
                "key-name-hint": _text(place.key_name),
                "value": values[place.slot],
                "signer-name": _text(SIGNER_NAME),
                "timestamp": b"" if timestamp is None else fdt.TAG.pack(timestamp),
                "hashed-nodes": b"".join(map(_text, _hashed_nodes(fit, place.configuration))),
                "hashed-strings": HASHED_STRINGS.pack(0, strings_size),
            },
        )
        if place.template is None:
            insertions[place.configuration.node.end] += encode_node(place.node_name, content)
        else:
            insertions[place.template.properties_stop] += content
    edits = splice(fit.tree, sorted(insertions.items()), strings, _alignment(fit))
    return _hold_positions(fit, Patch(old_size=fit.tree.source.size, edits=edits))


def _hashed_nodes(fit: Fit, configuration: Configuration) -> Iterable[str]:
    """Old U-Boot takes the list from the file, fixed U-Boot makes it itself; both find the same."""
    return dict.fromkeys(node.path for node in listed_nodes(fit, configuration))


def _signature_properties(place: _Place, strings: StringTable, properties: Mapping[str, bytes]) -> bytes:
    present = place.template.properties if place.template else {}
    return b"".join(
        encode_property(strings, name, content)
        for name, content in properties.items()
        if content and name not in present
    )


def _text(value: str) -> bytes:
    return value.encode() + b"\0"


def _alignment(fit: Fit) -> int:
    """Return what the tree must grow by multiples of: external data keep the alignment they were given (mkimage -B)."""
    if not any(image.placed_by == "data-offset" for image in fit.images.values()):
        return fdt.TAG.size
    base = external_base(fit.tree)
    return min(base & -base, MAX_ALIGNMENT)


def _hold_positions(fit: Fit, patch: Patch) -> Patch:
    """Take the growth out of the gap before data at fixed positions (mkimage -p), so that they stay where they are."""
    placed = [image for image in fit.images.values() if image.placed_by == "data-position"]
    if not placed:
        return patch
    growth = patch.new_size - patch.old_size
    first = min(image.data.start for image in placed)
    gap = fit.tree.source.read(first - growth, growth) if first - growth >= fit.tree.header.totalsize else None
    if gap != bytes(growth) or any(image.placed_by == "data-offset" for image in fit.images.values()):
        raise FormatError(
            f"signing needs {growth} zero bytes between the devicetree's end {fit.tree.header.totalsize:#x} and the"
            f" data at fixed position {first:#x}",
            at=fit.tree.header.totalsize,
            code=Code.UNSUPPORTED_IMAGE,
            hint="leave more room with mkimage -p, or use data-offset (mkimage -E without -p)",
        )
    return Patch(old_size=patch.old_size, edits=(*patch.edits, Edit(offset=first - growth, old=gap, new=b"")))
