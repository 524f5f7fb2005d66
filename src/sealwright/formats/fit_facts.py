"""What a FIT says of itself, for an approver: every fact under its own label, safe to print, nothing left out unsaid.

Hashes are computed, signatures are not verified: that takes a key that somebody trusts.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from sealwright.core.errors import FormatError
from sealwright.core.images import ByteSource
from sealwright.formats import fit_algorithms
from sealwright.formats.fdt import TAG, Node
from sealwright.formats.fit_algorithms import KEY_NAME, shown
from sealwright.formats.fit_contents import Configuration, Fit, HashNode, Image
from sealwright.formats.fit_hashes import checked_hashes
from sealwright.formats.fit_regions import EXCLUDED_PROPERTIES, hashed_strings

MAX_TEXT = 200
MAX_NAMED = 10
SIGNED = "signed"
KINDS = ("description", "type", "arch", "os", "compression")
ENCRYPTION = {"key-name-hint": "key", "iv-name-hint": "initial value"}
PLAIN_SIZE = "data-size-unciphered"

Hashes = Mapping[str, Sequence[tuple[HashNode, bytes]]]
"""The hash nodes of each image with the digests that its data really have."""


def facts_of(source: ByteSource, fit: Fit) -> Iterator[tuple[str, str]]:
    """Yield label and value in the order to show; the data of every image are read once."""
    hashes = defaultdict(list)
    for image, item, digest in checked_hashes(source, fit.images.values()):
        hashes[image.name].append((item, digest))
    yield "description", text_of(fit, fit.tree.root, "description")
    if "creator" in fit.tree.root.properties:
        yield "creator", text_of(fit, fit.tree.root, "creator")
    yield "timestamp", _timestamp(fit)
    yield "default configuration", fit.default or "not named"
    yield "keys of every configuration", ", ".join(_common_keys(fit)) or "none"
    bare = uncovered_images(fit)
    for image in fit.images.values():
        yield from _image_facts(fit, image, hashes[image.name])
        by_signatures = "through the hash, by the signatures of the configurations that refer to it"
        yield f"image {image.name} covered", f"no: {bare[image.name]}" if image.name in bare else by_signatures
    for configuration in fit.configurations.values():
        yield from _configuration_facts(fit, configuration, hashes)
    hidden = [*_hidden(fit)]
    if hidden:
        more = f" and {len(hidden) - MAX_NAMED} more" if len(hidden) > MAX_NAMED else ""
        yield "properties not shown", f"{len(hidden)}: {', '.join(hidden[:MAX_NAMED])}{more}"


def uncovered_images(fit: Fit) -> dict[str, str]:
    """Return why, of each image whose data no signature covers; without any signature, no future one."""
    signed = [
        c for c in fit.configurations.values() if any(state_of(fit, node) == SIGNED for node in c.signature_nodes)
    ]
    referred, covered = (
        {image.name for configuration in configurations for image in configuration.images}
        for configurations in (fit.configurations.values(), signed or fit.configurations.values())
    )
    found = {}
    for name, image in fit.images.items():
        if name not in referred:
            found[name] = "no configuration refers to it"
        elif not image.is_protected:
            found[name] = "none of its hashes protects its data"
        elif name not in covered:
            found[name] = "no configuration that refers to it is signed"
    return found


def state_of(fit: Fit, node: Node) -> str:
    """Say whether a signature node holds a signature; one that lies about itself must not hide the others."""
    if "value" not in node.properties:
        return "template, not signed"
    try:
        hashed_strings(fit, node)
    except FormatError as e:
        return f"not read: {e.message}"
    return SIGNED


def algorithm_of(fit: Fit, node: Node) -> str:
    """Return hash, key type and padding that a signature node names; in quotes what U-Boot's RSA does not know."""
    algo, padding = text_of(fit, node, "algo"), None
    if "padding" in node.properties:
        padding = text_of(fit, node, "padding")
    said = shown(algo, padding)
    return said if "algo" not in node.properties or fit_algorithms.algorithm_of(algo, padding) else ascii(said)


def key_name_of(fit: Fit, node: Node) -> str:
    """Return the key's name in a signature node; in quotes what is no name, so that it passes for nothing else."""
    said = text_of(fit, node, "key-name-hint")
    return said if re.fullmatch(KEY_NAME, said) or "key-name-hint" not in node.properties else ascii(said)


def text_of(fit: Fit, node: Node, name: str) -> str:
    """Return text of the image safe to print: what is not printable ASCII is escaped, what is cut says so."""
    if name not in node.properties:
        return "not given"
    texts = fit.tree.string_list(node, name)
    if not texts:
        return "not a text"
    said = ascii(texts[0])[1:-1] if len(texts) == 1 else ", ".join(map(ascii, texts))
    return said if len(said) <= MAX_TEXT else f"{said[:MAX_TEXT]}... ({len(said)} characters)"


def _timestamp(fit: Fit) -> str:
    """Say when the image was made: U-Boot reads one cell, and says that of any other length it is unavailable."""
    item = fit.tree.root.properties.get("timestamp")
    if item is None:
        return "not given"
    if item.size != TAG.size:
        return f"not read: {item.size} bytes"
    return datetime.fromtimestamp(int.from_bytes(fit.tree.value(item)), UTC).isoformat()


def _common_keys(fit: Fit) -> list[str]:
    """Return the names of the keys whose signature each configuration carries: what a device may require."""
    signed = [
        {key_name_of(fit, node) for node in configuration.signature_nodes if state_of(fit, node) == SIGNED}
        for configuration in fit.configurations.values()
    ]
    return sorted(set.intersection(*signed))


def _image_facts(fit: Fit, image: Image, hashes: Iterable[tuple[HashNode, bytes]]) -> Iterator[tuple[str, str]]:
    label = f"image {image.name}"
    for name in KINDS:
        if name in image.node.properties:
            yield f"{label} {name}", text_of(fit, image.node, name)
    for name, address in image.addresses.items():
        yield f"{label} {name}", f"{address:#010x}"
    if "cipher" in image.node.children:
        yield f"{label} encryption", _encryption(fit, image)
    yield f"{label} data", f"{image.data.stop - image.data.start} bytes at {image.data.start:#x} by {image.placed_by}"
    for item, digest in hashes:
        ignored = " (ignored by U-Boot)" if item.is_ignored else ""
        judged = "right" if item.value == digest else f"WRONG: the data have {digest.hex()}"
        yield f"{label} {item.node.name}", f"{item.algorithm}{ignored} {item.value.hex()}, {judged}"


def _encryption(fit: Fit, image: Image) -> str:
    """Say how the data are encrypted: what is shown of them, and their hashes, is of the encrypted form."""
    cipher, item = image.node.children["cipher"], image.node.properties.get(PLAIN_SIZE)
    said = [text_of(fit, cipher, "algo")]
    said += [f"{word} {text_of(fit, cipher, name)}" for name, word in ENCRYPTION.items() if name in cipher.properties]
    said += [f"{int.from_bytes(fit.tree.value(item))} bytes when decrypted"] if item and item.size == TAG.size else []
    return ", ".join(said)


def _configuration_facts(fit: Fit, configuration: Configuration, hashes: Hashes) -> Iterator[tuple[str, str]]:
    label = f"configuration {configuration.name}"
    yield label, ", ".join(f"{name} {image.name}" for name, image in configuration.references)
    for name in ("description", "compatible"):
        if name in configuration.node.properties:
            yield f"{label} {name}", text_of(fit, configuration.node, name)
    if not configuration.signature_nodes:
        yield f"signature {configuration.name}", "none"
    wrong = [
        f"{image.name}/{item.node.name}"
        for image in configuration.images
        for item, digest in hashes[image.name]
        if item.value != digest
    ]
    judged = f", but WRONG: {', '.join(wrong[:MAX_NAMED])}" if wrong else ""
    for node in configuration.signature_nodes:
        by = f"{algorithm_of(fit, node)} by key {key_name_of(fit, node)}"
        yield f"signature {configuration.name}/{node.name}", f"{state_of(fit, node)}, {by}{judged}"


def _hidden(fit: Fit) -> Iterator[str]:
    """Yield the properties under signatures that no fact shows, so that an approver knows of them."""
    yield from _unknown(fit.tree.root, ("description", "creator", "timestamp"))
    for image in fit.images.values():
        plain_size = [PLAIN_SIZE] if "cipher" in image.node.children else []
        yield from _unknown(image.node, (*KINDS, *image.addresses, *plain_size))
        for item in image.hashes:
            yield from _unknown(item.node, ("algo", "value", "uboot-ignore"))
        if "cipher" in image.node.children:
            yield from _unknown(image.node.children["cipher"], ("algo", *ENCRYPTION))
    for configuration in fit.configurations.values():
        references = Counter(name for name, _ in configuration.references)
        texts = {name: fit.tree.string_list(configuration.node, name) or () for name in references}
        whole = [name for name, count in references.items() if count == len(texts[name])]
        yield from _unknown(configuration.node, ("description", "compatible", *whole))


def _unknown(node: Node, shown_names: Sequence[str]) -> Iterator[str]:
    names = (name for name in node.properties if name not in shown_names and name not in EXCLUDED_PROPERTIES)
    return (f"{name} of {node.path}" for name in names)
