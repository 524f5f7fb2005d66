"""Building roots and proofs of any earlier size from the hashes of perfect subtrees.

Whoever keeps the tree gives a function ``subtree(height, index)``: the hash over the leaves
``[index * 2^height, (index + 1) * 2^height)``, all of which exist.  Checking proofs is in ``merkle``.
Reference: RFC 6962, sections 2.1 to 2.1.2.
"""

from collections.abc import Callable

from sealwright.core.errors import Code, RefusedError
from sealwright.translog.merkle import CompactRange, fold

Subtree = Callable[[int, int], bytes]


def tree_at(size: int, subtree: Subtree) -> CompactRange:
    """Return the first ``size`` leaves as a compact range."""
    return CompactRange(size, _subtrees(0, size, subtree))


def inclusion_proof(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """Return the siblings from the leaf up to below the root (RFC 6962, section 2.1.1)."""
    if not 0 <= index < size:
        raise RefusedError(f"there is no entry {index} in a log of {size} entries", code=Code.NOT_FOUND)
    proof, start, stop = [], 0, size
    while stop - start > 1:
        middle = start + _split(stop - start)
        if index < middle:
            proof.append(_range_hash(middle, stop, subtree))
            stop = middle
        else:
            proof.append(_range_hash(start, middle, subtree))
            start = middle
    proof.reverse()
    return proof


def consistency_proof(old_size: int, new_size: int, subtree: Subtree) -> list[bytes]:
    """Return the proof that the tree of ``new_size`` continues that of ``old_size`` (RFC 6962, section 2.1.2).

    Empty for old size 0 and for equal sizes.
    """
    if not 0 <= old_size <= new_size:
        raise RefusedError(f"a log of {new_size} entries cannot continue one of {old_size}", code=Code.NOT_FOUND)
    if old_size in (0, new_size):
        return []
    proof, start, stop = [], 0, new_size
    while stop != old_size:
        middle = start + _split(stop - start)
        if old_size <= middle:
            proof.append(_range_hash(middle, stop, subtree))
            stop = middle
        else:
            proof.append(_range_hash(start, middle, subtree))
            start = middle
    if start:  # otherwise the old tree is itself this node, and the verifier has its root
        proof.append(_range_hash(start, stop, subtree))
    proof.reverse()
    return proof


def _split(count: int) -> int:
    """Return the largest power of two below ``count``."""
    return 1 << ((count - 1).bit_length() - 1)


def _range_hash(start: int, stop: int, subtree: Subtree) -> bytes:
    return fold(_subtrees(start, stop, subtree))


def _subtrees(start: int, stop: int, subtree: Subtree) -> list[bytes]:
    """Cut ``[start, stop)`` into perfect subtrees, the largest first.

    ``start`` is 0 or a multiple of a power of two that is not below the number of leaves, so all of them are aligned.
    """
    hashes = []
    while start < stop:
        height = (stop - start).bit_length() - 1
        hashes.append(subtree(height, start >> height))
        start += 1 << height
    return hashes
