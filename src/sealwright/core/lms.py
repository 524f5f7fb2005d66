"""LMS and HSS signatures, verified: hash-based, and good for as many messages as their tree has leaves.

Structures, type codes and algorithms: RFC 8554; the sets with 192-bit hashes and with SHAKE256: NIST SP 800-208,
section 4, and the IANA registry of Leighton-Micali Signatures.  A public key here is the HSS one (RFC 8554, section
6.1): the number of levels, then the public key of the top tree.  Making keys and signatures: ``keystores.lms_tree``.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from sealwright.core.errors import FormatError, VerificationError

D_PUBLIC, D_MESSAGE, D_LEAF, D_INNER = b"\x80\x80", b"\x81\x81", b"\x82\x82", b"\x83\x83"
IDENTIFIER_BYTES = 16
MAX_LEVELS = 8

Hash = Callable[[bytes], bytes]


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _sha256_192(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:24]


def _shake256(data: bytes) -> bytes:
    return hashlib.shake_256(data).digest(32)


def _shake256_192(data: bytes) -> bytes:
    return hashlib.shake_256(data).digest(24)


_FAMILIES: tuple[tuple[str, int, Hash], ...] = (
    ("sha256", 32, _sha256),
    ("sha256", 24, _sha256_192),
    ("shake", 32, _shake256),
    ("shake", 24, _shake256_192),
)
_HEIGHTS = (5, 10, 15, 20, 25)
_CHAINS = {  # width in bits: (chains, left shift of the checksum) for hashes of 32 and of 24 bytes
    1: {32: (265, 7), 24: (200, 8)},
    2: {32: (133, 6), 24: (101, 6)},
    4: {32: (67, 4), 24: (51, 4)},
    8: {32: (34, 0), 24: (26, 0)},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OneTimeType:
    """A set of LM-OTS parameters (RFC 8554, section 4.1)."""

    code: int
    name: str
    hash: Hash
    size: int
    """Bytes of a hash (n)."""
    width: int
    """Bits of a digit (w)."""
    chains: int
    shift: int

    @property
    def signature_size(self) -> int:
        """Bytes of a one-time signature."""
        return 4 + self.size * (1 + self.chains)

    def digits(self, digest: bytes) -> list[int]:
        """Split a message hash with its checksum into ``chains`` digits (sections 3.1.3 and 4.4)."""
        digits = _digits(digest, self.width)
        checksum = sum((1 << self.width) - 1 - digit for digit in digits) << self.shift
        return (digits + _digits(checksum.to_bytes(2, "big"), self.width))[: self.chains]


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeType:
    """A set of LMS parameters (RFC 8554, section 5.1)."""

    code: int
    name: str
    hash: Hash
    size: int
    """Bytes of a node (m)."""
    height: int


def _digits(data: bytes, width: int) -> list[int]:
    mask = (1 << width) - 1
    return [byte >> at & mask for byte in data for at in range(8 - width, -1, -width)]


ONE_TIME_TYPES = {
    one.code: one
    for family, (name, size, hash_function) in enumerate(_FAMILIES)
    for place, (width, chains) in enumerate(_CHAINS.items())
    for one in (
        OneTimeType(
            code=1 + 4 * family + place,
            name=f"lmots-{name}-n{size}-w{width}",
            hash=hash_function,
            size=size,
            width=width,
            chains=chains[size][0],
            shift=chains[size][1],
        ),
    )
}
TREE_TYPES = {
    tree.code: tree
    for family, (name, size, hash_function) in enumerate(_FAMILIES)
    for place, height in enumerate(_HEIGHTS)
    for tree in (
        TreeType(
            code=5 + 5 * family + place,
            name=f"lms-{name}-m{size}-h{height}",
            hash=hash_function,
            size=size,
            height=height,
        ),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeKey:
    """The public key of one tree."""

    tree: TreeType
    one_time: OneTimeType
    identifier: bytes
    root: bytes

    @property
    def encoded(self) -> bytes:
        """The bytes of RFC 8554, section 5.3."""
        return u32(self.tree.code) + u32(self.one_time.code) + self.identifier + self.root

    @property
    def signature_size(self) -> int:
        """Bytes of a signature of this tree."""
        return 8 + self.one_time.signature_size + self.tree.size * self.tree.height


@dataclass(frozen=True, slots=True, kw_only=True)
class HssKey:
    """A public key: number of levels, and the top tree's key."""

    levels: int
    top: TreeKey

    @property
    def encoded(self) -> bytes:
        """The bytes of RFC 8554, section 6.1."""
        return u32(self.levels) + self.top.encoded

    @property
    def name(self) -> str:
        """The parameters for people; those of lower trees stand in each signature."""
        top = f"{self.top.tree.name.removeprefix('lms-').replace('-m', '-n')}-w{self.top.one_time.width}"
        return top if self.levels == 1 else f"{self.levels}x{top}"

    @property
    def capacity(self) -> int:
        """How many signatures it can make, if every level is like the top: so it is with the keys made here."""
        return 1 << (self.levels * self.top.tree.height)


def parse_public_key(data: bytes) -> HssKey:
    """Read a public key; ``FormatError`` unless the bytes are exactly one."""
    levels = int.from_bytes(data[:4], "big")
    if not 1 <= levels <= MAX_LEVELS:
        raise FormatError(f"HSS public key with {levels} levels, 1 to {MAX_LEVELS} exist")
    key, end = _read_tree_key(data, 4)
    if end != len(data):
        raise FormatError(f"HSS public key of {len(data)} bytes, its parameters make it {end}")
    return HssKey(levels=levels, top=key)


def verify(public_key: HssKey, message: bytes, signature: bytes) -> None:
    """Check an HSS signature (RFC 8554, section 6.3); raises ``VerificationError``."""
    try:
        valid = _verify(public_key, message, signature)
    except FormatError as e:
        raise VerificationError(f"hss-lms signature is malformed: {e.message}") from None
    if not valid:
        raise VerificationError("hss-lms signature does not verify")


def leaf_indices(public_key: HssKey, signature: bytes) -> tuple[int, ...]:
    """Return which leaf each level used, top first: what no two signatures of a key may share; ``FormatError``."""
    indices, key = [], public_key.top
    at = 4
    for level in range(public_key.levels):
        indices.append(int.from_bytes(_take(signature, at, 4), "big"))
        at += key.signature_size
        if level + 1 < public_key.levels:
            key, at = _read_tree_key(signature, at)
    return tuple(indices)


def u32(value: int) -> bytes:
    """Encode four bytes, most significant first."""
    return value.to_bytes(4, "big")


def chain(one_time: OneTimeType, prefix: bytes, start: int, stop: int, value: bytes) -> bytes:
    """Hash ``value`` along its chain from step ``start`` to ``stop``; ``prefix`` is I, q and the chain's number."""
    hash_function = one_time.hash
    for step in range(start, stop):
        value = hash_function(prefix + step.to_bytes(1, "big") + value)
    return value


def _verify(public_key: HssKey, message: bytes, signature: bytes) -> bool:
    if int.from_bytes(_take(signature, 0, 4), "big") + 1 != public_key.levels:
        raise FormatError(f"another number of levels than the key's {public_key.levels}", at=0)
    key, at = public_key.top, 4
    for _ in range(public_key.levels - 1):
        signed_at = at + key.signature_size
        child, end = _read_tree_key(signature, signed_at)
        if not _verify_tree(key, signature[signed_at:end], _take(signature, at, key.signature_size)):
            return False
        key, at = child, end
    last = _take(signature, at, key.signature_size)
    if at + len(last) != len(signature):
        raise FormatError(f"{len(signature)} bytes, its parameters make it {at + len(last)}")
    return _verify_tree(key, message, last)


def _verify_tree(key: TreeKey, message: bytes, signature: bytes) -> bool:
    """Compute the root from signature and message (algorithm 6a) and compare it."""
    one_time, tree = key.one_time, key.tree
    leaf = int.from_bytes(signature[:4], "big")
    tree_at = 4 + one_time.signature_size
    if int.from_bytes(signature[4:8], "big") != one_time.code:
        raise FormatError("one-time signature of another type than the key's", at=4)
    if int.from_bytes(signature[tree_at : tree_at + 4], "big") != tree.code:
        raise FormatError("signature of another tree type than the key's", at=tree_at)
    if leaf >> tree.height:
        raise FormatError(f"leaf {leaf} of a tree of height {tree.height}", at=0)
    prefix = key.identifier + u32(leaf)
    node = (1 << tree.height) + leaf
    value = tree.hash(
        key.identifier + u32(node) + D_LEAF + _one_time_candidate(one_time, prefix, message, signature[8:tree_at])
    )
    for at in range(tree_at + 4, len(signature), tree.size):
        sibling = signature[at : at + tree.size]
        pair = sibling + value if node & 1 else value + sibling
        node >>= 1
        value = tree.hash(key.identifier + u32(node) + D_INNER + pair)
    return value == key.root


def _one_time_candidate(one_time: OneTimeType, prefix: bytes, message: bytes, body: bytes) -> bytes:
    """Compute the one-time public key that signature and message lead to (algorithm 4b)."""
    size, last = one_time.size, (1 << one_time.width) - 1
    digest = one_time.hash(prefix + D_MESSAGE + body[:size] + message)
    ends = [
        chain(one_time, prefix + i.to_bytes(2, "big"), digit, last, body[size * (i + 1) : size * (i + 2)])
        for i, digit in enumerate(one_time.digits(digest))
    ]
    return one_time.hash(prefix + D_PUBLIC + b"".join(ends))


def _read_tree_key(data: bytes, at: int) -> tuple[TreeKey, int]:
    tree = TREE_TYPES.get(int.from_bytes(_take(data, at, 4), "big"))
    one_time = ONE_TIME_TYPES.get(int.from_bytes(_take(data, at + 4, 4), "big"))
    if tree is None or one_time is None:
        raise FormatError("unknown LMS or LM-OTS type", at=at)
    if tree.hash is not one_time.hash:
        raise FormatError(f"{tree.name} with {one_time.name}: one hash for both is the rule (SP 800-208)", at=at)
    root_at = at + 8 + IDENTIFIER_BYTES
    root = _take(data, root_at, tree.size)
    key = TreeKey(tree=tree, one_time=one_time, identifier=data[at + 8 : root_at], root=root)
    return key, root_at + tree.size


def _take(data: bytes, at: int, size: int) -> bytes:
    part = data[at : at + size]
    if len(part) != size:
        raise FormatError(f"cut: {size} bytes expected, {len(part)} there", at=at)
    return part
