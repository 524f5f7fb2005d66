"""What a U-Boot FIT holds: images with their data and hashes, configurations and what they refer to.

A configuration refers to images by properties; fixed U-Boot takes *every* property of a configuration for a reference
except three (CVE-2026-46728: a list kept in the file can be shortened), and so does this reader.
Reference: U-Boot doc/usage/fit/source_file_format and signature, boot/image-fit.c, boot/image-fit-sig.c.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from sealwright.core.errors import Code, FormatError
from sealwright.core.images import ByteSource, Range
from sealwright.formats import fdt

FORMAT_NAME = "u-boot-fit"

REFERENCES = frozenset(("kernel", "fdt", "ramdisk", "loadables", "firmware", "fpga", "script", "setup", "standalone"))
"""Properties that can hold nothing but references; a name there that is no image is an error."""
NOT_REFERENCES = frozenset(("description", "compatible", "default"))
"""The properties of a configuration that U-Boot never takes for references."""

HASH_BYTES = {"crc32": 4, "md5": 16, "sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64}
STRONG_HASHES = frozenset(("sha256", "sha384", "sha512"))

MAX_CONFIGURATIONS = 2048
MAX_IMAGES = 4096
MAX_REFERENCES = 100  # IMAGE_MAX_HASHED_NODES
MAX_HASHES_OF_AN_IMAGE = 8
MAX_SIGNATURES_OF_A_CONFIGURATION = 16
MAX_SIGNATURES = 4096
"""Of all configurations together, those that wait for a value among them."""
MAX_PATH_BYTES = 198  # U-Boot walks the tree with char path[200]
MAX_INT = (1 << 31) - 1  # U-Boot keeps data offsets and sizes in an int

ADDRESSES = ("load", "entry")
ADDRESS_BYTES = (4, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class HashNode:
    """A ``hash*`` node of an image."""

    node: fdt.Node
    algorithm: str
    value: bytes
    is_ignored: bool
    """``uboot-ignore``: the device skips it."""

    @property
    def protects(self) -> bool:
        """Whether the device's check of this hash stops an attacker."""
        return self.algorithm in STRONG_HASHES and not self.is_ignored


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A node below ``/images`` and where its data lie in the file."""

    name: str
    node: fdt.Node
    data: Range
    placed_by: str
    """The property that says where the data are: ``data``, ``data-offset`` or ``data-position``."""
    hashes: tuple[HashNode, ...]
    addresses: Mapping[str, int]
    """``load`` and ``entry``, where the image has them."""

    @property
    def is_protected(self) -> bool:
        """Whether a hash that the device checks stops an attacker who changes the data."""
        return any(item.protects for item in self.hashes)


@dataclass(frozen=True)
class Configuration:
    """A node below ``/configurations``."""

    name: str
    node: fdt.Node
    references: tuple[tuple[str, Image], ...]
    """Property and image, in the tree's order; an image may come twice."""

    @cached_property
    def images(self) -> tuple[Image, ...]:
        return tuple({image.name: image for _, image in self.references}.values())

    @property
    def signature_nodes(self) -> tuple[fdt.Node, ...]:
        """Every child that U-Boot takes for a signature: the name begins so."""
        return tuple(node for name, node in self.node.children.items() if name.startswith("signature"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A FIT whose structure holds; nothing is said of hashes or signatures."""

    tree: fdt.Tree
    images: dict[str, Image]
    configurations: dict[str, Configuration]
    default: str | None


def load(source: ByteSource) -> Fit:
    """Read a FIT; ``FormatError`` where its structure is broken or where U-Boot would refuse it."""
    tree = fdt.parse(source, max_path_bytes=MAX_PATH_BYTES)
    images_node, configurations_node = (_section(tree, name) for name in ("images", "configurations"))
    _check_names(tree)
    images = {name: _image(tree, node) for name, node in images_node.children.items()}
    _check_data(images.values())
    configurations = {
        name: Configuration(name, node, _references(tree, node, images))
        for name, node in configurations_node.children.items()
    }
    _check_signatures(configurations.values())
    default = tree.text(configurations_node, "default")
    if default is not None and default not in configurations:
        raise FormatError(
            f"the default configuration {default!a} does not exist", at=configurations_node.properties["default"].start
        )
    return Fit(tree=tree, images=images, configurations=configurations, default=default)


def require_covered(fit: Fit) -> None:
    """Refuse what signatures cannot cover: images nothing refers to, data without a hash that protects them."""
    referred = {image.name for configuration in fit.configurations.values() for image in configuration.images}
    for image in fit.images.values():
        if image.name not in referred:
            raise FormatError(
                f"no configuration refers to image {image.name!a}: no signature would cover it", at=image.node.start
            )
        if not image.is_protected:
            found = ", ".join(item.algorithm for item in image.hashes) or "none"
            raise FormatError(
                f"image {image.name!a} has no hash node that protects its data (found: {found})",
                at=image.node.start,
                hint='give it hash-1 { algo = "sha256"; } without uboot-ignore and run mkimage',
            )


def _check_names(tree: fdt.Tree) -> None:
    for token in tree.tokens:
        if token.tag is not fdt.Tag.BEGIN_NODE:
            continue
        if "@" in token.node.name:
            # libfdt takes conf-1 and conf-1@x for the same name: what is verified need not be what is loaded.
            raise FormatError(
                f"node name {token.node.name!a} holds '@', which U-Boot refuses in signed images",
                at=token.start,
                code=Code.UNSUPPORTED_IMAGE,
                hint="name nodes with a hyphen: kernel-1, conf-1",
            )


def _section(tree: fdt.Tree, name: str) -> fdt.Node:
    node = tree.root.children.get(name)
    if node is None or not node.children:
        what = "has no node below it" if node else "is missing"
        raise FormatError(
            f"no FIT: /{name} {what}",
            at=node.start if node else tree.root.start,
            hint="a plain devicetree is signed as a file with --format raw, or as an image of a FIT",
        )
    limit = MAX_IMAGES if name == "images" else MAX_CONFIGURATIONS
    if len(node.children) > limit:
        raise FormatError(f"/{name} has {len(node.children)} nodes, at most {limit} are read", at=node.start)
    return node


def _image(tree: fdt.Tree, node: fdt.Node) -> Image:
    placed_by = [name for name in ("data", "data-offset", "data-position") if name in node.properties]
    if len(placed_by) != 1:
        raise FormatError(
            f"image {node.name!a} has its data in {' and '.join(placed_by) or 'no place'}; one place is needed",
            at=node.start,
        )
    if any(name.startswith("dm-verity") for name in node.children):
        # New U-Boot signs such a node, older U-Boot does not: no one signature would suit both.
        raise FormatError(f"image {node.name!a} has a dm-verity node", at=node.start, code=Code.UNSUPPORTED_IMAGE)
    data = node.properties["data"].value if placed_by == ["data"] else _external(tree, node, placed_by[0])
    hashes = tuple(_hash_node(tree, child) for name, child in node.children.items() if name.startswith("hash"))
    if len(hashes) > MAX_HASHES_OF_AN_IMAGE:
        raise FormatError(f"image {node.name!a} has {len(hashes)} hash nodes", at=node.start)
    addresses = {name: _address(tree, node, name) for name in ADDRESSES if name in node.properties}
    return Image(name=node.name, node=node, data=data, placed_by=placed_by[0], hashes=hashes, addresses=addresses)


def _address(tree: fdt.Tree, node: fdt.Node, name: str) -> int:
    """Read an address of one cell or two.

    U-Boot shifts however many cells there are through 64 bits: of four it would take the last two, and whoever reads
    the first two approves another address.  Reference: U-Boot boot/image-fit.c (fit_image_get_address).
    """
    item = node.properties[name]
    if item.size not in ADDRESS_BYTES:
        raise FormatError(
            f"{node.path}: {name} of {item.size} bytes; an address has 4 or 8",
            at=item.start,
            hint=f"write {name} = <0x44000000>, or two cells for 64 bits",
        )
    return int.from_bytes(tree.value(item))


def external_base(tree: fdt.Tree) -> int:
    """Return what ``data-offset`` counts from: the end of the tree, aligned to 4."""
    return (tree.header.totalsize + 3) & ~3


def _external(tree: fdt.Tree, node: fdt.Node, placed_by: str) -> Range:
    start, size = tree.word(node, placed_by), tree.word(node, "data-size")
    at = node.properties[placed_by].start
    if start is None or size is None:
        raise FormatError(f"image {node.name!a} has {placed_by} without data-size", at=at)
    if start > MAX_INT or size > MAX_INT:
        raise FormatError(f"image {node.name!a}: {placed_by} {start:#x} or data-size {size:#x} is negative", at=at)
    if placed_by == "data-offset":
        start += external_base(tree)
    if start < tree.header.totalsize:
        raise FormatError(f"data of image {node.name!a} at {start:#x} overlap the devicetree", at=at)
    if start + size > tree.source.size:
        raise FormatError(
            f"data of image {node.name!a} end at {start + size:#x}, the file at {tree.source.size:#x}", at=at
        )
    return Range(start, start + size)


def _hash_node(tree: fdt.Tree, node: fdt.Node) -> HashNode:
    algorithm = tree.text(node, "algo")
    if algorithm not in HASH_BYTES:
        raise FormatError(f"{node.path}: hash algorithm {algorithm!a} is not known", at=node.start)
    if "value" not in node.properties:
        raise FormatError(f"{node.path} has no value", at=node.start, hint="build the image with mkimage, not with dtc")
    value = tree.value(node.properties["value"])
    if len(value) != HASH_BYTES[algorithm]:
        raise FormatError(
            f"{node.path}: value of {len(value)} bytes for {algorithm}", at=node.properties["value"].start
        )
    return HashNode(node=node, algorithm=algorithm, value=value, is_ignored="uboot-ignore" in node.properties)


def _check_data(images: Iterable[Image]) -> None:
    """Refuse data that partly overlap: no mkimage writes them, and they would make work without bound."""
    parts = {(image.data.start, image.data.stop): image for image in images if image.data.start < image.data.stop}
    last: Image | None = None
    for _, image in sorted(parts.items()):
        if last is not None and image.data.start < last.data.stop:
            raise FormatError(f"data of images {last.name!a} and {image.name!a} overlap", at=image.data.start)
        last = image


def _check_signatures(configurations: Iterable[Configuration]) -> None:
    """Refuse more signatures than anybody makes: each costs whoever reads the image a walk over the metadata."""
    together = 0
    for configuration in configurations:
        count = len(configuration.signature_nodes)
        together += count
        if count > MAX_SIGNATURES_OF_A_CONFIGURATION or together > MAX_SIGNATURES:
            found = f"{configuration.node.path} has {count} signature nodes, with those before it {together}"
            raise FormatError(
                f"{found}; at most {MAX_SIGNATURES_OF_A_CONFIGURATION} and {MAX_SIGNATURES} are read",
                at=configuration.node.start,
            )


def _references(tree: fdt.Tree, node: fdt.Node, images: dict[str, Image]) -> tuple[tuple[str, Image], ...]:
    found: list[tuple[str, Image]] = []
    for name, item in node.properties.items():
        if name in NOT_REFERENCES:
            continue
        names = tree.string_list(node, name)
        if names is None:
            # U-Boot's count gives up on such a list, its lookup of the first entry does not.
            pieces = tree.value(item).split(b"\0")
            if name in REFERENCES or any(piece.decode("utf-8", "replace") in images for piece in pieces):
                raise FormatError(f"{node.path}: {name} is no list of strings", at=item.start)
            continue
        for image_name in names:
            if image_name in images:
                found.append((name, images[image_name]))
            elif name in REFERENCES:
                raise FormatError(f"{node.path}: {name} refers to {image_name!a}, no node of /images", at=item.start)
        if len(found) > MAX_REFERENCES:
            raise FormatError(f"{node.path} refers to more than {MAX_REFERENCES} images", at=item.start)
    if not found:
        raise FormatError(f"{node.path} refers to no image", at=node.start)
    return tuple(found)
