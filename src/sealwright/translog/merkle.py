"""Merkle trees as a follower needs them: hashing, the compact range, and the verification of proofs.

SHA-256 only (tlog-tiles fixes it).  Building proofs is in ``proofs``.
Reference: RFC 6962, section 2.1 (trees); RFC 9162, sections 2.1.3.2 and 2.1.4.2 (verification); ``docs/spec/log.md``.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

from sealwright.core.errors import Code, FormatError, VerificationError

HASH_BYTES = 32
MAX_SIZE = (1 << 53) - 1
"""Sizes and indices also stand in canonical JSON, which ends here."""
EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """Hash an entry as a leaf; the prefix keeps a node from ever being taken for an entry."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two children as their parent."""
    return sha256(b"\x01" + left + right).digest()


class CompactRange:
    """The perfect subtrees that a tree of ``size`` leaves consists of: enough to append and to know the root.

    A tree of n leaves has one such subtree for each bit set in n, so its state is at most 53 hashes.
    """

    __slots__ = ("_hashes", "_size")

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        """Start empty, or from the ``size`` and ``hashes`` of an earlier range; ``FormatError`` if they do not fit."""
        if not 0 <= size <= MAX_SIZE or len(hashes) != size.bit_count() or any(len(h) != HASH_BYTES for h in hashes):
            raise FormatError(
                f"a compact range of size {size} is not made of {len(hashes)} hashes", code=Code.INVALID_DOCUMENT
            )
        self._size, self._hashes = size, list(hashes)

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._size

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """Roots of the perfect subtrees, the largest (leftmost) first."""
        return tuple(self._hashes)

    def copy(self) -> "CompactRange":
        """Return a range that grows on its own."""
        return CompactRange(self._size, self._hashes)

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash."""
        self.extend((leaf,))

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add leaf hashes."""
        hashes, size = self._hashes, self._size
        for leaf in leaves:
            # Each trailing one in the size is a subtree as large as what has been built so far: join them.
            node, pending = leaf, size
            while pending & 1:
                node = sha256(b"\x01" + hashes.pop() + node).digest()
                pending >>= 1
            hashes.append(node)
            size += 1
        self._size = size

    def root(self) -> bytes:
        """Return the root of the tree."""
        return fold(self._hashes)


def fold(subtrees: Sequence[bytes]) -> bytes:
    """Join perfect subtrees of falling size, given left to right, into one root."""
    if not subtrees:
        return EMPTY_ROOT
    root = subtrees[-1]
    for left in reversed(subtrees[:-1]):
        root = node_hash(left, root)
    return root


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the root over leaf hashes."""
    tree = CompactRange()
    tree.extend(leaves)
    return tree.root()


def verify_inclusion(leaf: bytes, *, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf hash stands at ``index`` of the tree of ``size`` leaves; ``VerificationError`` otherwise."""
    if not 0 <= index < size <= MAX_SIZE:
        raise _inconsistent(f"there is no entry {index} in a log of {size} entries")
    _check_hashes((leaf, *proof))
    at, last, computed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise _inconsistent(f"inclusion proof of entry {index} in {size} is too long")
        if at & 1 or at == last:
            computed = node_hash(sibling, computed)
            while at and not at & 1:  # a node without a right sibling is its own parent
                at, last = at >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        at, last = at >> 1, last >> 1
    if last:
        raise _inconsistent(f"inclusion proof of entry {index} in {size} is too short")
    _check_root(f"entry {index} is not in the log of size {size}", root, computed)


def verify_consistency(
    *, old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the tree of ``new_size`` leaves continues the one of ``old_size``; ``VerificationError`` otherwise.

    Old size 0: every log continues the empty one, so the proof must be empty and the old root that of the empty tree
    (as in tlog-witness; RFC 9162 leaves the case open).
    """
    if not 0 <= old_size <= new_size <= MAX_SIZE:
        raise _inconsistent(f"a log of {new_size} entries does not continue one of {old_size}")
    for size, root in ((old_size, old_root), (new_size, new_root)):
        if size == 0:
            _check_root("root of the empty log", EMPTY_ROOT, root)
    if old_size in (0, new_size):
        if proof:
            raise _inconsistent(f"consistency proof from {old_size} to {new_size} must be empty")
        if old_size:
            _check_root(f"two roots for size {new_size}", old_root, new_root)
        return
    _verify_growth(old_size, old_root, new_size, new_root, proof)


def _verify_growth(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """RFC 9162, section 2.1.4.2, for 0 < old_size < new_size."""
    _check_hashes((old_root, *proof))
    # A perfect old tree is itself a node of the new one; the proof leaves it out.
    nodes = [old_root, *proof] if old_size.bit_count() == 1 else list(proof)
    if not proof:
        raise _inconsistent(f"consistency proof from {old_size} to {new_size} is empty")
    at, last = old_size - 1, new_size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            raise _inconsistent(f"consistency proof from {old_size} to {new_size} is too long")
        if at & 1 or at == last:
            old, new = node_hash(node, old), node_hash(node, new)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, node)
        at, last = at >> 1, last >> 1
    if last:
        raise _inconsistent(f"consistency proof from {old_size} to {new_size} is too short")
    _check_root(f"proof does not start at the log of size {old_size}", old_root, old)
    _check_root(f"log of size {new_size} does not continue that of size {old_size}", new_root, new)


def _check_hashes(hashes: Sequence[bytes]) -> None:
    if any(len(h) != HASH_BYTES for h in hashes):
        raise _inconsistent("a hash in the proof does not have 32 bytes")


def _check_root(what: str, expected: bytes, got: bytes) -> None:
    if got != expected:
        raise VerificationError(what, expected=expected.hex(), got=got.hex(), code=Code.LOG_INCONSISTENT)


def _inconsistent(message: str) -> VerificationError:
    return VerificationError(message, code=Code.LOG_INCONSISTENT)
