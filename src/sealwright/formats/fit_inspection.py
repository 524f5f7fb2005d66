"""What a FIT is, for an approver, and the exact bytes that its signatures do and do not cover."""

from collections.abc import Iterator, Mapping

from sealwright.core.images import ByteSource, Range, uncovered
from sealwright.formats.fdt import HEADER, Node, Tag, Token
from sealwright.formats.fit_contents import FORMAT_NAME, Configuration, Fit, Image, load
from sealwright.formats.fit_facts import SIGNED, algorithm_of, facts_of, key_name_of, state_of, uncovered_images
from sealwright.formats.fit_regions import EXCLUDED_PROPERTIES, Regions, hashed_strings, merged
from sealwright.formats.interface import ExistingSignature, Inspection


def inspect(image: ByteSource) -> Inspection:
    """Describe images, configurations and signatures; hashes are computed, signatures not verified.

    Covered are the metadata that signatures cover and the data of the images behind them, whose hashes are among those
    metadata.  Without any signature: what signing all configurations would cover.
    """
    fit = load(image)
    covered = _covered(fit)
    gaps = uncovered(image.size, covered)
    return Inspection(
        format=FORMAT_NAME,
        facts=dict(facts_of(image, fit)),
        signatures=tuple(
            ExistingSignature(
                name=f"{configuration.name}/{node.name}",
                algorithm=algorithm_of(fit, node),
                signer=key_name_of(fit, node),
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
        if state_of(fit, node) == SIGNED
    ]


def _covered(fit: Fit) -> tuple[Range, ...]:
    """Return what the signatures cover, each part once: thousands of configurations share most of it."""
    header, present = fit.tree.header, _signed(fit)
    configurations = {c.name: c for c, _ in present} or fit.configurations
    strings_size = max((hashed_strings(fit, node) for _, node in present), default=header.size_dt_strings)
    images = {image.name: image for c in configurations.values() for image in c.images if image.is_protected}
    return merged(
        [
            *Regions(fit).together(configurations.values()),
            Range(header.off_dt_strings, header.off_dt_strings + strings_size),
            *(image.data for image in images.values()),
        ]
    )


def _reasons(fit: Fit) -> Iterator[tuple[int, str]]:
    """Yield, in ascending order, from which offset on which reason holds for bytes that nothing covers."""
    header, images = fit.tree.header, {image.node.start: image for image in fit.images.values()}
    bare = {name: f"data of image {name}: {why}" for name, why in uncovered_images(fit).items()}
    yield 0, "devicetree header: where the blocks lie and how long they are"
    yield HEADER.size, "alignment"
    yield header.off_mem_rsvmap, "memory reservation block, not used in a FIT"
    for token in fit.tree.tokens:
        image, item = images.get(token.node.start), token.property
        reason = _reason(token, image, bare)
        yield token.start, reason
        if image is not None and image.name in bare and item is not None and item.name == "data":
            yield from ((image.data.start, bare[image.name]), (image.data.stop, reason))
    yield header.off_dt_strings, "property names that only signatures use"
    yield header.off_dt_strings + header.size_dt_strings, "slack of the devicetree"
    outside = "outside the devicetree and outside every image's data"
    yield header.totalsize, outside
    outer = {name: image.data for name, image in fit.images.items() if image.placed_by != "data"}
    external = {outer[name]: reason for name, reason in bare.items() if name in outer}
    for data, reason in sorted(external.items(), key=lambda found: found[0].start):  # they do not overlap
        if data.start < data.stop:
            yield from ((data.start, reason), (data.stop, outside))


def _reason(token: Token, image: Image | None, bare: Mapping[str, str]) -> str:
    path, item = token.node.path, token.property
    if item is not None and item.name in EXCLUDED_PROPERTIES and image is not None:
        data = "nothing covers those" if image.name in bare else "the hash covers the data found there"
        return f"{path}: {item.name} says where the data are; U-Boot leaves it out, {data}"
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
