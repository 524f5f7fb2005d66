"""The trust anchors of one device, read from its control devicetree, and verification as that device does it.

Below ``/signature`` lie the keys; ``required = "conf"`` makes a key's signature a condition of booting, and
``required-mode`` says whether every such key must have signed (``all``, also where nothing is said) or one (``any``).
Without any required key U-Boot boots everything; here that is a refusal.
Reference: U-Boot doc/usage/fit/signature ("Required keys"), boot/image-fit-sig.c (fit_config_verify_required_keys).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.images import ByteSource, MemorySource
from sealwright.core.keys import PublicKey
from sealwright.formats import fdt
from sealwright.formats.fit_algorithms import montgomery
from sealwright.formats.fit_contents import FORMAT_NAME, Configuration, load, require_covered
from sealwright.formats.fit_verification import ValidSignature, check_hashes, valid_signatures
from sealwright.formats.interface import Verified

SECTION = "signature"
MAX_KEYS = 64
MAX_MODULUS_BYTES = 512
EXPONENT_BYTES = 8


class Required(StrEnum):
    """What the device refuses to boot without a signature by this key."""

    CONFIGURATION = "conf"
    IMAGE = "image"


class RequiredMode(StrEnum):
    """How many of the required keys must have signed a configuration."""

    ALL = "all"
    ANY = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """One key of the control devicetree."""

    name: str
    algo: str
    """Hash and key type, ``sha256,rsa2048``: with another hash the device refuses this key's signature."""
    key: PublicKey
    required: Required | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchors:
    """What a device verifies with."""

    keys: tuple[Anchor, ...]
    mode: RequiredMode

    @property
    def required(self) -> tuple[Anchor, ...]:
        """The keys without whose signature over a configuration nothing boots."""
        return tuple(anchor for anchor in self.keys if anchor.required is Required.CONFIGURATION)


def anchors_of(control_dtb: bytes) -> Anchors:
    """Read the anchors of a control devicetree; ``FormatError`` where a key in it is none."""
    tree = fdt.parse(MemorySource(control_dtb))
    section = tree.root.children.get(SECTION)
    nodes = [*section.children.values()] if section else []  # U-Boot looks at all, whatever their names
    if len(nodes) > MAX_KEYS:
        raise FormatError(f"the devicetree has {len(nodes)} keys, at most {MAX_KEYS} are read", at=nodes[0].start)
    said = tree.text(section, "required-mode") if section else None
    # As in U-Boot: whatever is not "any" is "all".
    mode = RequiredMode.ANY if said == RequiredMode.ANY else RequiredMode.ALL
    found = [_anchor(tree, node) for node in nodes]
    return Anchors(keys=tuple(anchor for anchor in found if anchor is not None), mode=mode)


def verify_for_device(image: ByteSource, anchors: Anchors) -> Verified:
    """Verify an image as the device with these anchors would, whichever configuration it boots.

    ``Verified.keys`` are the required keys that signed every configuration; with ``any`` there may be none of them all.
    """
    _check_anchors(anchors)
    fit = load(image)
    require_covered(fit)
    signatures, keys = [], {anchor.key for anchor in anchors.required}
    required = [anchor.key for anchor in anchors.required]
    for configuration, valid in valid_signatures(fit, required, fit.configurations.values()):
        taken = _taken(configuration, valid, anchors)
        signatures += [item.signature for item in taken]
        keys &= {item.key for item in taken}
    check_hashes(image, fit)
    return Verified(
        format=FORMAT_NAME,
        signatures=tuple(signatures),
        keys=tuple(anchor.key for anchor in anchors.required if anchor.key in keys),
    )


def _check_anchors(anchors: Anchors) -> None:
    if not anchors.required:
        raise VerificationError(
            "the control devicetree requires no key for configurations: such a device boots anything",
            code=Code.NOT_TRUSTED,
            hint='write a key node with required = "conf"',
        )
    if any(anchor.required is Required.IMAGE for anchor in anchors.keys):
        raise FormatError(
            "the control devicetree requires signatures of single images, which are not done here",
            code=Code.UNSUPPORTED_IMAGE,
        )


def _taken(
    configuration: Configuration, valid: Sequence[ValidSignature], anchors: Anchors
) -> tuple[ValidSignature, ...]:
    """Return the signatures that the device takes; refuse where the required ones are not among them."""
    taken: dict[str, ValidSignature] = {}
    for anchor in anchors.required:
        found = [item for item in valid if item.key == anchor.key and item.algo == anchor.algo]
        if found:
            taken[anchor.name] = found[0]
        elif anchors.mode is RequiredMode.ALL:
            raise VerificationError(
                f"configuration {configuration.name!a} lacks the required signature of key {anchor.name!a}",
                code=Code.NOT_TRUSTED,
            )
    if not taken:
        raise VerificationError(
            f"configuration {configuration.name!a} lacks any of the required signatures", code=Code.NOT_TRUSTED
        )
    return tuple(taken.values())


def _anchor(tree: fdt.Tree, node: fdt.Node) -> Anchor | None:
    algo, said = tree.text(node, "algo"), tree.text(node, "required")
    modulus, exponent = (node.properties.get(name) for name in ("rsa,modulus", "rsa,exponent"))
    if algo is None or modulus is None or exponent is None:
        if said is None:
            return None  # a key for something else
        raise FormatError(f"{node.path} is no RSA key node", at=node.start, code=Code.UNSUPPORTED_IMAGE)
    if said is not None and said not in set(Required):
        raise FormatError(f"{node.path}: required is {said!a}", at=node.start)
    if exponent.size != EXPONENT_BYTES:
        # U-Boot takes the first eight bytes, and 65537 where there are fewer.
        raise FormatError(f"{node.path}: rsa,exponent of {exponent.size} bytes, 8 expected", at=exponent.start)
    numbers = rsa.RSAPublicNumbers(
        int.from_bytes(tree.value(exponent)), int.from_bytes(tree.value(modulus, max_bytes=MAX_MODULUS_BYTES))
    )
    try:
        key = numbers.public_key()
    except ValueError as e:
        raise FormatError(f"{node.path} is no RSA key: {e}", at=node.start) from None
    if numbers.n % 2 == 0:
        raise FormatError(f"{node.path} is no RSA key: its modulus is even", at=modulus.start)
    if tree.word(node, "rsa,num-bits") != key.key_size or modulus.size * 8 != key.key_size:
        raise FormatError(f"{node.path}: rsa,num-bits is not the size of the modulus", at=node.start)
    _check_derived(tree, node, numbers.n, key.key_size)
    shape = serialization.PublicFormat.SubjectPublicKeyInfo
    return Anchor(
        name=node.name.removeprefix("key-"),
        algo=algo,
        key=PublicKey(key.public_bytes(serialization.Encoding.DER, shape)),
        required=None if said is None else Required(said),
    )


def _check_derived(tree: fdt.Tree, node: fdt.Node, modulus: int, size_bits: int) -> None:
    """U-Boot believes what was worked out beforehand: where it is wrong, every signature by the key is refused."""
    for name, expected in montgomery(modulus, size_bits).items():
        item = node.properties.get(name)
        if item is None or item.size != len(expected) or tree.value(item) != expected:
            raise FormatError(
                f"{node.path}: {name} is not that of the modulus: a device with it takes no signature by this key",
                at=node.start if item is None else item.start,
                hint="write the key node anew, from the public key",
            )
