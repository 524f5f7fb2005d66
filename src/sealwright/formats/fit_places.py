"""Where the signatures of a FIT go: which configurations, which nodes, which keys under which names."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

from sealwright.core import records
from sealwright.core.errors import Code, FormatError
from sealwright.formats import fdt
from sealwright.formats.fit_algorithms import KEY_NAME, PADDINGS, PKCS1, algo_of
from sealwright.formats.fit_contents import Configuration, Fit
from sealwright.formats.interface import SigningKey

WRITTEN = ("value", "signer-name", "timestamp", "hashed-nodes", "hashed-strings")
"""Properties that signing adds to a signature node, beside ``algo`` and ``key-name-hint`` where they lack."""
MAX_SLOTS = 200  # of one intent

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
class Place:
    """One signature to write: into which node, and by which key."""

    slot: str
    configuration: Configuration
    node_name: str
    template: fdt.Node | None
    key: SigningKey
    key_name: str

    @property
    def algo(self) -> str:
        return algo_of(self.key.public_key, self.key.algorithm)

    @property
    def padding(self) -> str:
        return PADDINGS[self.key.algorithm]

    @property
    def value_bytes(self) -> int:
        return self.key.public_key.size_bits // 8


def places_of(fit: Fit, keys: Sequence[SigningKey], options: Options) -> tuple[Place, ...]:
    """Return one place per configuration and key, in the tree's order; ``FormatError`` where a choice does not fit."""
    configurations = _chosen_configurations(fit, options)
    key_names = _key_names(fit, configurations, keys, options)
    places = tuple(place for c in configurations for place in _places(fit, c, keys, key_names))
    if len(places) > MAX_SLOTS or len({place.slot for place in places}) != len(places):
        raise FormatError(
            f"{len(places)} signatures in one request, at most {MAX_SLOTS}, and each under its own name",
            code=Code.UNSUPPORTED_IMAGE,
            hint="sign in portions with the option configurations",
        )
    return places


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


def _key_names(
    fit: Fit, configurations: Iterable[Configuration], keys: Sequence[SigningKey], options: Options
) -> tuple[str, ...]:
    if options.key_name is not None and options.key_names is not None:
        raise FormatError("options key_name and key_names exclude each other", code=Code.INVALID_DOCUMENT)
    names: tuple[str | None, ...] = options.key_names or (options.key_name,)
    if names == (None,):
        hints = {tuple(fit.tree.text(node, "key-name-hint") for node in c.signature_nodes) for c in configurations}
        names = hints.pop() if len(hints) == 1 else ()
    if len(keys) == 1 and not any(names):
        raise FormatError(
            "the image names no one key, and U-Boot finds the key by its name in the control devicetree",
            code=Code.INVALID_DOCUMENT,
            hint="give it with --option key_name=NAME; dev stands for its node /signature/key-dev",
        )
    result = tuple(name for name in names if name and re.fullmatch(KEY_NAME, name))
    if not len(result) == len(set(result)) == len(names) == len(keys):
        raise FormatError(
            f"keys that sign: {len(keys)}, different names for them: {len(result)}",
            code=Code.INVALID_DOCUMENT,
            hint="give one name for each, as in U-Boot's control devicetree: --option key_names=NAME,NAME",
        )
    return result


def _places(
    fit: Fit, configuration: Configuration, keys: Sequence[SigningKey], key_names: Sequence[str]
) -> tuple[Place, ...]:
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
        Place(
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


def _check_template(fit: Fit, place: Place) -> None:
    """A template decided what its device verifies; signing it otherwise would only show at boot."""
    if place.template is None:
        return
    for name, value in {"algo": place.algo, "padding": place.padding, "key-name-hint": place.key_name}.items():
        found = fit.tree.text(place.template, name)
        if name == "padding" and found is None and "algo" in place.template.properties:
            found = PKCS1  # what U-Boot and mkimage take it for
        if found not in (None, value):
            raise FormatError(
                f"{place.template.path} waits for {name} {found!a}, this signature is {value!a}",
                at=place.template.start,
                hint="sign with the key the template names, or change the template",
            )
    if place.template.children:
        raise FormatError(
            f"{place.template.path} has nodes below it: no template",
            at=place.template.start,
            code=Code.UNSUPPORTED_IMAGE,
        )
    if present := [name for name in WRITTEN if name in place.template.properties]:
        raise FormatError(f"{place.template.path} holds {present[0]} without a value", at=place.template.start)


def _slot_name(configuration: str, node_name: str) -> str:
    """Name a slot; characters that ids of signed documents may not hold become their code in hex."""
    kept = "abcdefghijklmnopqrstuvwxyz0123456789._-"
    return "/".join("".join(c if c in kept else f"{ord(c):02x}" for c in part) for part in (configuration, node_name))
