"""What a FIT is, for an approver, and the exact bytes that its signatures do and do not cover."""

from collections.abc import Iterator

from sealwright.core.errors import FormatError
from sealwright.core.images import ByteSource, Range, uncovered
from sealwright.formats.fdt import HEADER, Node, Tag, Token
from sealwright.formats.fit_algorithms import shown
from sealwright.formats.fit_contents import FORMAT_NAME, Configuration, Fit, Image, load
from sealwright.formats.fit_regions import EXCLUDED_PROPERTIES, Regions, hashed_strings, merged
from sealwright.formats.interface import ExistingSignature, Inspection

MAX_TEXT = 200
SIGNED = "signed"


def inspect(image: ByteSource) -> Inspection:
    """Describe images, configurations and signatures; nothing is hashed or verified.

    Covered are the metadata that signatures cover and the data of the images behind them, whose hashes are among those
    metadata.  Without any signature: what signing all configurations would cover.
    """
    fit = load(image)
    covered = _covered(fit)
    gaps = uncovered(image.size, covered)
    return Inspection(
        format=FORMAT_NAME,
        facts=dict(_facts(fit)),
        signatures=tuple(
            ExistingSignature(
                name=f"{configuration.name}/{node.name}",
                algorithm=_algorithm(fit, node),
                signer=_shown(fit, node, "key-name-hint"),
            )
            for configuration, node in _signed(fit)
        ),
        covered=covered,
        uncovered=tuple(_explained(gaps, _reasons(fit))),
    )


def _signed(fit: Fit) -> list[tuple[Configuration, Node]]:
    return [
        (configuration, node)
        for configuration in fit.configurations.values()
        for node in configuration.signature_nodes
        if _state(fit, node) == SIGNED
    ]


def _state(fit: Fit, node: Node) -> str:
    """Say whether a signature node holds a signature; one that lies about itself must not hide the others."""
    if "value" not in node.properties:
        return "template, not signed"
    try:
        hashed_strings(fit, node)
    except FormatError as e:
        return f"not read: {e.message}"
    return SIGNED


def _covered(fit: Fit) -> tuple[Range, ...]:
    regions = Regions(fit)
    parts: list[Range] = []
    present = [(configuration, hashed_strings(fit, node)) for configuration, node in _signed(fit)]
    future = [(configuration, fit.tree.header.size_dt_strings) for configuration in fit.configurations.values()]
    for configuration, strings_size in present or future:
        parts += regions.covered(configuration, strings_size)
        parts += [i.data for i in configuration.images if any(item.protects for item in i.hashes)]
    return merged(parts)


def _facts(fit: Fit) -> Iterator[tuple[str, str]]:
    yield "description", _shown(fit, fit.tree.root, "description")
    yield "default configuration", fit.default or "none"
    yield "keys of every configuration", ", ".join(_common_keys(fit)) or "none"
    referred = {image.name for configuration in fit.configurations.values() for image in configuration.images}
    for image in fit.images.values():
        yield from _image_facts(fit, image, is_referred=image.name in referred)
    for configuration in fit.configurations.values():
        references = ", ".join(f"{name} {image.name}" for name, image in configuration.references)
        yield f"configuration {configuration.name}", f"{_shown(fit, configuration.node, 'description')}: {references}"
        if not configuration.signature_nodes:
            yield f"signature {configuration.name}", "none"
        for node in configuration.signature_nodes:
            names = f"{_algorithm(fit, node)} by key {_shown(fit, node, 'key-name-hint')}"
            yield f"signature {configuration.name}/{node.name}", f"{_state(fit, node)}, {names}"


def _common_keys(fit: Fit) -> list[str]:
    """Return the names of the keys whose signature each configuration carries: what a device may require."""
    signed = [
        {_shown(fit, node, "key-name-hint") for node in configuration.signature_nodes if _state(fit, node) == SIGNED}
        for configuration in fit.configurations.values()
    ]
    return sorted(set.intersection(*signed))


def _image_facts(fit: Fit, image: Image, *, is_referred: bool) -> Iterator[tuple[str, str]]:
    label, kinds = f"image {image.name}", ("description", "type", "arch", "os", "compression")
    yield label, ", ".join(_shown(fit, image.node, name) for name in kinds if name in image.node.properties)
    for name, address in image.addresses.items():
        yield f"{label} {name}", f"{address:#010x}"
    yield f"{label} data", f"{image.data.stop - image.data.start} bytes at {image.data.start:#x} by {image.placed_by}"
    for item in image.hashes:
        ignored = " (ignored by U-Boot)" if item.is_ignored else ""
        yield f"{label} {item.node.name}", f"{item.algorithm}{ignored} {item.value.hex()}"
    yield f"{label} covered", _coverage(image, is_referred=is_referred)


def _coverage(image: Image, *, is_referred: bool) -> str:
    if not is_referred:
        return "no: no configuration refers to it"
    if not any(item.protects for item in image.hashes):
        return "no: none of its hashes protects its data"
    return "through the hash, by the signatures of the configurations that refer to it"


def _algorithm(fit: Fit, node: Node) -> str:
    return shown(_shown(fit, node, "algo"), _shown(fit, node, "padding") if "padding" in node.properties else None)


def _shown(fit: Fit, node: Node, name: str) -> str:
    """Return text of the image safe to print: what is not printable ASCII is escaped."""
    if name not in node.properties:
        return "none"
    texts = fit.tree.string_list(node, name) or ("not a text",)
    return ascii(texts[0])[1:-1][:MAX_TEXT]


def _reasons(fit: Fit) -> Iterator[tuple[int, str]]:
    """Yield, in ascending order, from which offset on which reason holds for bytes that nothing covers."""
    header, protected = fit.tree.header, {image.node.start: image for image in fit.images.values()}
    yield 0, "devicetree header: where the blocks lie and how long they are"
    yield HEADER.size, "alignment"
    yield header.off_mem_rsvmap, "memory reservation block, not used in a FIT"
    for token in fit.tree.tokens:
        yield token.start, _reason(token, protected)
    yield header.off_dt_strings, "property names that only signatures use"
    yield header.off_dt_strings + header.size_dt_strings, "slack of the devicetree"
    yield header.totalsize, "outside the devicetree and outside every image's data"


def _reason(token: Token, images: dict[int, Image]) -> str:
    path, item = token.node.path, token.property
    if item is not None and item.name in EXCLUDED_PROPERTIES and token.node.start in images:
        return (
            f"{path}: {item.name} says where the data are; U-Boot leaves it out, the hash covers the data found there"
        )
    if path.startswith("/configurations/") and path.split("/")[3:4] and path.split("/")[3].startswith("signature"):
        return f"{path}: the signature and what is noted beside it"
    if item is not None:
        return f"{path}: property {item.name} is under no signature"
    return f"{path}: {'padding' if token.tag is Tag.NOP else 'node'} under no signature"


def _explained(gaps: tuple[Range, ...], reasons: Iterator[tuple[int, str]]) -> Iterator[tuple[Range, str]]:
    """Cut the gaps where their reason changes."""
    marks = [*reasons]
    stops = [start for start, _ in marks[1:]] + [gaps[-1].stop if gaps else 0]
    found: list[tuple[Range, str]] = []
    index = 0
    for gap in gaps:
        while index + 1 < len(marks) and stops[index] <= gap.start:
            index += 1
        at, here = gap.start, index
        while at < gap.stop:
            stop = min(gap.stop, stops[here]) if here + 1 < len(marks) else gap.stop
            if stop > at:
                _add(found, Range(at, stop), marks[here][1])
            at, here = max(stop, at), here + 1
    yield from found


def _add(found: list[tuple[Range, str]], part: Range, reason: str) -> None:
    if found and found[-1][1] == reason and found[-1][0].stop == part.start:
        found[-1] = (Range(found[-1][0].start, part.stop), reason)
    else:
        found.append((part, reason))
