"""Signing a FIT: what its signatures cover, and the patch that writes them.

The layout is made first, with zeros where signatures will be.  What a slot covers is then read from that finished
layout by the code that verifies, and said in terms of the unsigned image.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sealwright.core import records
from sealwright.core.errors import Code, FormatError
from sealwright.core.images import ByteSource
from sealwright.core.patches import Edit, Patch, PatchedSource
from sealwright.formats import fdt
from sealwright.formats.fdt_splice import StringTable, encode_node, encode_property, splice
from sealwright.formats.fit_algorithms import PKCS1, algo_of
from sealwright.formats.fit_contents import (
    FORMAT_NAME,
    Configuration,
    Fit,
    external_base,
    load,
    require_covered,
)
from sealwright.formats.fit_hashes import wrong_hash
from sealwright.formats.fit_places import WRITTEN, Options, Place, places_of
from sealwright.formats.fit_regions import HASHED_STRINGS, PullBack, Regions, listed_nodes
from sealwright.formats.interface import Prepared, SigningKey, Slot, TargetProfile

SIGNER_NAME = "sealwright"
MAX_ALIGNMENT = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class _PreparedFit:
    slots: tuple[Slot, ...]
    options: Mapping[str, Any]
    fit: Fit
    places: tuple[Place, ...]
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
    places = places_of(fit, keys, chosen)
    require_covered(fit)
    _check_hashes(image, fit)
    frozen = Options(
        configurations=tuple(dict.fromkeys(place.configuration.name for place in places)),
        key_names=tuple(dict.fromkeys(place.key_name for place in places)),
        timestamp=chosen.timestamp,
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


def _check_hashes(image: ByteSource, fit: Fit) -> None:
    wrong = wrong_hash(image, fit.images.values())
    if wrong is not None:
        hashed, node, digest = wrong
        raise FormatError(
            f"{node.node.path} is not the hash of the data of image {hashed.name!a}: expected {node.value.hex()},"
            f" got {digest.hex()}",
            at=node.node.start,
        )


def _slots(image: ByteSource, fit: Fit, places: Sequence[Place], timestamp: int | None) -> tuple[Slot, ...]:
    patch = _patch(fit, places, timestamp, {place.slot: bytes(place.value_bytes) for place in places})
    signed = load(PatchedSource(image, patch))
    regions, pull_back = Regions(signed), PullBack(patch)
    slots = []
    for place in places:
        configuration = signed.configurations[place.configuration.name]
        structure = regions.structure(configuration)
        message = pull_back.message(regions.covered(structure, signed.tree.header.size_dt_strings))
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


def _patch(fit: Fit, places: Sequence[Place], timestamp: int | None, values: Mapping[str, bytes]) -> Patch:
    strings = StringTable(fit.tree.strings)
    padding = ["padding"] if any(place.padding != PKCS1 for place in places) else []
    for name in (*WRITTEN, "algo", "key-name-hint", *padding):
        strings.offset_of(name)  # all names first: each signature covers the whole string table
    strings_size = fit.tree.header.size_dt_strings + len(strings.appended)
    insertions: dict[int, bytes] = defaultdict(bytes)
    for place in places:
        content = _signature_properties(
            place,
            strings,
            {
                "algo": _text(place.algo),
                "padding": b"" if place.padding == PKCS1 else _text(place.padding),
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


def _signature_properties(place: Place, strings: StringTable, properties: Mapping[str, bytes]) -> bytes:
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
