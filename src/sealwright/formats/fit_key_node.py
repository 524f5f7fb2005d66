"""The trust anchor of U-Boot's verified boot: a key node in the control devicetree, written from the public key alone.

Property for property what ``mkimage -K -r`` writes, which wants the private key for it.  A key node does not say which
padding its signatures have: U-Boot reads that beside each signature.
Reference: U-Boot lib/rsa/rsa-sign.c (rsa_add_verify_data), doc/usage/fit/signature ("Public Key Storage").
"""

import re

from cryptography.hazmat.primitives.asymmetric import rsa

from sealwright.core.errors import Code, FormatError
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.core.patches import Patch
from sealwright.formats import fdt
from sealwright.formats.fdt_splice import StringTable, encode_node, encode_property, splice
from sealwright.formats.fit_algorithms import KEY_NAME, algo_of, montgomery
from sealwright.formats.fit_control import SECTION, Required, RequiredMode


def with_key_node(
    control_dtb: bytes,
    key: PublicKey,
    algorithm: Algorithm,
    key_name: str,
    required: Required = Required.CONFIGURATION,
) -> bytes:
    """Return the control devicetree with the node ``/signature/key-<key_name>``.

    ``FormatError``: no devicetree, no key U-Boot can use, or the node is there already.
    """
    if not re.fullmatch(KEY_NAME, key_name):
        raise FormatError(f"{key_name!a} is no name for a key node", code=Code.INVALID_DOCUMENT)
    tree = fdt.parse(MemorySource(control_dtb))
    strings = StringTable(tree.strings)
    properties = key_properties(key, algorithm, key_name, required)
    content = b"".join(encode_property(strings, name, value) for name, value in properties.items())
    content = encode_node(f"key-{key_name}", content)
    parent = tree.root.children.get(SECTION)
    if parent is not None and f"key-{key_name}" in parent.children:
        raise FormatError(f"the devicetree has a key {key_name!a} already", at=parent.start, code=Code.ALREADY_SIGNED)
    insertion = (tree.root.end, encode_node(SECTION, content)) if parent is None else (parent.end, content)
    return _spliced(control_dtb, tree, insertion, strings)


def with_required_mode(control_dtb: bytes, mode: RequiredMode) -> bytes:
    """Return the control devicetree, which has keys already, with ``required-mode``: all of them, or any one.

    ``FormatError`` where it has no keys or says something else.
    """
    tree = fdt.parse(MemorySource(control_dtb))
    section = tree.root.children.get(SECTION)
    if section is None:
        raise FormatError("the devicetree has no keys to require", at=tree.root.start, code=Code.INVALID_DOCUMENT)
    said = tree.text(section, "required-mode")
    if said == mode:
        return control_dtb
    if said is not None:
        raise FormatError(f"the devicetree says required-mode {said!a} already", at=section.start)
    strings = StringTable(tree.strings)
    content = encode_property(strings, "required-mode", mode.encode() + b"\0")
    return _spliced(control_dtb, tree, (section.properties_stop, content), strings)


def _spliced(control_dtb: bytes, tree: fdt.Tree, insertion: tuple[int, bytes], strings: StringTable) -> bytes:
    edits = splice(tree, [insertion], strings, fdt.TAG.size)
    return b"".join(Patch(old_size=len(control_dtb), edits=edits).apply(MemorySource(control_dtb)))


def key_properties(
    key: PublicKey, algorithm: Algorithm, key_name: str, required: Required = Required.CONFIGURATION
) -> dict[str, bytes]:
    """Return the properties of the key node: the key, and what spares U-Boot long division."""
    algo, public = algo_of(key, algorithm), key.key
    if not isinstance(public, rsa.RSAPublicKey):
        raise FormatError("U-Boot key nodes are written for RSA keys only", code=Code.TARGET_CANNOT_VERIFY)
    numbers, bits = public.public_numbers(), key.size_bits
    derived = montgomery(numbers.n, bits)
    return {
        "required": required.encode() + b"\0",
        "algo": algo.encode() + b"\0",
        "rsa,r-squared": derived["rsa,r-squared"],
        "rsa,modulus": numbers.n.to_bytes(bits // 8, "big"),
        "rsa,exponent": numbers.e.to_bytes(8, "big"),
        "rsa,n0-inverse": derived["rsa,n0-inverse"],
        "rsa,num-bits": bits.to_bytes(4, "big"),
        "key-name-hint": key_name.encode() + b"\0",
    }
