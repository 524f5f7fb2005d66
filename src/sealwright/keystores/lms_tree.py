"""LMS trees with their private half: made from a seed, and signing with the leaf they are told.

Which leaf may be used is not decided here but by ``lms_state``, before anything is computed: a leaf that signs two
messages gives the key away.  Everything is derived from identifier and seed (RFC 8554, appendix A), also what a lower
tree is made of (numbers 0xfffe and 0xffff, the randomizer of its certificate 0xfffd): a tree that is made again is the
same tree, and its parent signs the same words with the same leaf.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from sealwright.core.lms import (
    D_INNER,
    D_LEAF,
    D_MESSAGE,
    D_PUBLIC,
    IDENTIFIER_BYTES,
    HssKey,
    OneTimeType,
    TreeKey,
    TreeType,
    chain,
    u32,
)

_CHILD_SEED, _CHILD_IDENTIFIER, _CHILD_RANDOMIZER = 0xFFFE, 0xFFFF, 0xFFFD
_PORTION = 64
"""Leaves that one process computes at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeSeed:
    """All that a tree is made of.  Secret."""

    tree: TreeType
    one_time: OneTimeType
    identifier: bytes
    seed: bytes

    def __repr__(self) -> str:
        """Say what it is and not what it holds."""
        return f"TreeSeed({self.tree.name}, {self.one_time.name})"

    def derive(self, leaf: int, number: int) -> bytes:
        """Return the secret of this number under a leaf (appendix A)."""
        text = self.identifier + u32(leaf) + number.to_bytes(2, "big") + b"\xff" + self.seed
        return self.one_time.hash(text)

    def child(self, leaf: int, tree: TreeType, one_time: OneTimeType) -> "TreeSeed":
        """Return the seed of the tree below a leaf; all levels of a key have one hash."""
        identifier = self.derive(leaf, _CHILD_IDENTIFIER)[:IDENTIFIER_BYTES]
        return TreeSeed(tree=tree, one_time=one_time, identifier=identifier, seed=self.derive(leaf, _CHILD_SEED))


def leaves(seed: TreeSeed, start: int, stop: int) -> list[bytes]:
    """Compute the leaves of a range: the costly part, which several processes share."""
    found = []
    for leaf in range(start, stop):
        key = _one_time_public_key(seed, leaf)
        found.append(seed.tree.hash(seed.identifier + u32((1 << seed.tree.height) + leaf) + D_LEAF + key))
    return found


class Tree:
    """A tree whose nodes are known, so that a signature costs one chain a digit and a lookup a level."""

    def __init__(self, seed: TreeSeed, nodes: bytes) -> None:
        """``nodes`` are those of ``make_nodes``, or a copy that was kept and looked at by ``are_one_tree``."""
        self._seed, self._nodes = seed, nodes

    @property
    def public_key(self) -> TreeKey:
        """The public half."""
        seed = self._seed
        return TreeKey(tree=seed.tree, one_time=seed.one_time, identifier=seed.identifier, root=self._node(1))

    def sign(self, leaf: int, randomizer: bytes, message: bytes) -> bytes:
        """Sign with a leaf (algorithms 3 and 5): the caller owns that leaf, for this message only."""
        seed = self._seed
        if not 0 <= leaf < 1 << seed.tree.height:
            raise ValueError("no such leaf")
        prefix = seed.identifier + u32(leaf)
        digest = seed.one_time.hash(prefix + D_MESSAGE + randomizer + message)
        values = [
            chain(seed.one_time, prefix + i.to_bytes(2, "big"), 0, digit, seed.derive(leaf, i))
            for i, digit in enumerate(seed.one_time.digits(digest))
        ]
        node = (1 << seed.tree.height) + leaf
        path = [self._node((node >> level) ^ 1) for level in range(seed.tree.height)]
        one_time = u32(seed.one_time.code) + randomizer + b"".join(values)
        return u32(leaf) + one_time + u32(seed.tree.code) + b"".join(path)

    def certify(self, leaf: int, child: TreeKey) -> bytes:
        """Sign the public key of the tree below a leaf, always in the same words."""
        return self.sign(leaf, self._seed.derive(leaf, _CHILD_RANDOMIZER), child.encoded)

    def _node(self, number: int) -> bytes:
        size = self._seed.tree.size
        return self._nodes[(number - 1) * size : number * size]


def make_nodes(seed: TreeSeed, executor: Executor | None = None) -> bytes:
    """Compute all nodes of a tree, root first, level by level: public, 2^(height+1)-1 nodes."""
    level = _all_leaves(seed, executor)
    levels = [level]
    number = 1 << seed.tree.height
    while len(level) > 1:
        number >>= 1
        level = [
            seed.tree.hash(seed.identifier + u32(number + i) + D_INNER + level[2 * i] + level[2 * i + 1])
            for i in range(len(level) // 2)
        ]
        levels.append(level)
    return b"".join(node for level in reversed(levels) for node in level)


def are_one_tree(seed: TreeSeed, nodes: bytes) -> bool:
    """Whether every inner node is that of its children (section 5.3): if the root is the right one, then all are."""
    tree = seed.tree
    if len(nodes) != tree.size * ((2 << tree.height) - 1):
        return False
    for number in range(1, 1 << tree.height):
        at = (number - 1) * tree.size
        children = nodes[(2 * number - 1) * tree.size : (2 * number + 1) * tree.size]
        if nodes[at : at + tree.size] != tree.hash(seed.identifier + u32(number) + D_INNER + children):
            return False
    return True


def _all_leaves(seed: TreeSeed, executor: Executor | None) -> list[bytes]:
    bounds = [*range(0, 1 << seed.tree.height, _PORTION), 1 << seed.tree.height]
    starts, stops = bounds[:-1], bounds[1:]
    run = map if executor is None else executor.map
    return [leaf for portion in run(leaves, [seed] * len(starts), starts, stops) for leaf in portion]


def _one_time_public_key(seed: TreeSeed, leaf: int) -> bytes:
    """Run every chain to its end (algorithm 1)."""
    prefix, last = seed.identifier + u32(leaf), (1 << seed.one_time.width) - 1
    ends = [
        chain(seed.one_time, prefix + i.to_bytes(2, "big"), 0, last, seed.derive(leaf, i))
        for i in range(seed.one_time.chains)
    ]
    return seed.one_time.hash(prefix + D_PUBLIC + b"".join(ends))


class Hypertree:
    """A key of one or more levels; lower trees are made when they are needed, and the newest of each level is kept."""

    def __init__(self, top: Tree, seed: TreeSeed, lower: Sequence[tuple[TreeType, OneTimeType]]) -> None:
        self._types = tuple(lower)
        self._chain: list[tuple[tuple[int, ...], TreeSeed, Tree, bytes]] = [((), seed, top, b"")]

    @property
    def public_key(self) -> HssKey:
        """The public half."""
        return HssKey(levels=1 + len(self._types), top=self._chain[0][2].public_key)

    @property
    def capacity(self) -> int:
        """How many signatures the key can make in its life."""
        heights = [self._chain[0][1].tree.height, *(tree.height for tree, _ in self._types)]
        return 1 << sum(heights)

    def sign(self, index: int, randomizer: bytes, message: bytes) -> bytes:
        """Sign with signature number ``index`` of ``capacity``; the caller owns that number, for this message only."""
        if not 0 <= index < self.capacity:
            raise ValueError("no such signature number")
        *upper, leaf = self._leaves(index)
        self._descend(upper)
        certified = b"".join(
            words + tree.public_key.encoded for _, _, tree, words in self._chain[1:]
        )  # each lower tree behind the signature that its parent gave it
        return u32(len(self._types)) + certified + self._chain[-1][2].sign(leaf, randomizer, message)

    def _leaves(self, index: int) -> list[int]:
        found = []
        for tree, _ in reversed(self._types):
            found.append(index & ((1 << tree.height) - 1))
            index >>= tree.height
        return [index, *reversed(found)]

    def _descend(self, upper: Sequence[int]) -> None:
        """Have the trees below these leaves of the upper levels at hand."""
        for level, leaf in enumerate(upper):
            path = tuple(upper[: level + 1])
            if len(self._chain) > level + 1 and self._chain[level + 1][0] == path:
                continue
            del self._chain[level + 1 :]
            _, parent_seed, parent, _ = self._chain[level]
            seed = parent_seed.child(leaf, *self._types[level])
            tree = Tree(seed, make_nodes(seed))
            self._chain.append((path, seed, tree, parent.certify(leaf, tree.public_key)))
