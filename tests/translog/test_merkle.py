"""Trees and proofs: the compact range, every proof of small trees, and an outside implementation as judge."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from sealwright.core.errors import Code, FormatError, RefusedError, VerificationError
from sealwright.translog import proofs
from sealwright.translog.merkle import (
    EMPTY_ROOT,
    CompactRange,
    leaf_hash,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)

ENTRIES = [b"entry %d" % n for n in range(70)]
LEAVES = [leaf_hash(e) for e in ENTRIES]
ROOTS = [root_of(LEAVES[:n]) for n in range(len(LEAVES) + 1)]


def subtree(height: int, index: int) -> bytes:
    return root_of(LEAVES[index << height : (index + 1) << height])


def recursive_root(leaves: list[bytes]) -> bytes:
    """The definition in RFC 6962, section 2.1, word for word."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(recursive_root(leaves[:split]), recursive_root(leaves[split:]))


def test_known_hashes_of_rfc_6962():
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


@pytest.mark.parametrize("size", range(len(LEAVES) + 1))
def test_the_compact_range_gives_the_root_of_the_definition(size):
    assert ROOTS[size] == recursive_root(LEAVES[:size])


@pytest.mark.parametrize("size", [1, 2, 3, 255, 256, 257, 777])
def test_pymerkle_computes_the_same_root(size):
    tree = InmemoryTree(algorithm="sha256")
    ours = CompactRange()
    for number in range(size):
        tree.append_entry(b"%d" % number)
        ours.append(leaf_hash(b"%d" % number))
    assert ours.root() == tree.get_root()
    ours.append(leaf_hash(b"one more"))
    assert ours.root() != tree.get_root()


def test_a_compact_range_survives_being_written_down_and_a_copy_grows_alone():
    for size in range(len(LEAVES)):
        tree = CompactRange()
        tree.extend(LEAVES[:size])
        again = CompactRange(tree.size, tree.hashes)
        grown = again.copy()
        grown.append(LEAVES[size])
        assert (again.size, again.root()) == (size, ROOTS[size])
        assert (grown.size, grown.root()) == (size + 1, ROOTS[size + 1])


@pytest.mark.parametrize(
    ("size", "hashes"), [(1, []), (3, [EMPTY_ROOT]), (1, [b"short"]), (-1, []), (1 << 60, [EMPTY_ROOT])]
)
def test_a_compact_range_that_cannot_be_is_refused(size, hashes):
    with pytest.raises(FormatError, match="compact range of size"):
        CompactRange(size, hashes)


@pytest.mark.parametrize("size", range(1, len(LEAVES)))
def test_every_inclusion_proof_verifies_for_its_place_and_no_other(size):
    for index in range(size):
        proof = proofs.inclusion_proof(index, size, subtree)
        verify_inclusion(LEAVES[index], index=index, size=size, proof=proof, root=ROOTS[size])
        with pytest.raises(VerificationError) as refused:
            verify_inclusion(LEAVES[index], index=index, size=size, proof=proof, root=ROOTS[size + 1])
        assert refused.value.code is Code.LOG_INCONSISTENT
        if size > 1:
            with pytest.raises(VerificationError):
                verify_inclusion(LEAVES[index], index=(index + 1) % size, size=size, proof=proof, root=ROOTS[size])


@pytest.mark.parametrize("new", range(len(LEAVES)))
def test_every_consistency_proof_verifies_and_a_fork_has_none(new):
    for old in range(new + 1):
        proof = proofs.consistency_proof(old, new, subtree)
        check = {"old_size": old, "new_size": new, "new_root": ROOTS[new], "proof": proof}
        verify_consistency(**check, old_root=ROOTS[old])
        forked = root_of([*LEAVES[: old - 1], leaf_hash(b"rewritten")]) if old else leaf_hash(b"no empty log")
        with pytest.raises(VerificationError) as refused:
            verify_consistency(**check, old_root=forked)
        assert refused.value.code is Code.LOG_INCONSISTENT


def test_a_proof_that_is_longer_shorter_or_bent_is_refused():
    proof = proofs.inclusion_proof(20, 50, subtree)
    growth = proofs.consistency_proof(21, 50, subtree)
    for good, check in (
        (proof, lambda p: verify_inclusion(LEAVES[20], index=20, size=50, proof=p, root=ROOTS[50])),
        (
            growth,
            lambda p: verify_consistency(old_size=21, old_root=ROOTS[21], new_size=50, new_root=ROOTS[50], proof=p),
        ),
    ):
        check(good)
        for bad in (good[:-1], good[1:], [*good, good[0]], [good[0], *good], [], good[::-1], [b"", *good[1:]]):
            with pytest.raises(VerificationError):
                check(bad)


def test_a_log_never_shrinks():
    with pytest.raises(VerificationError, match="a log of 3 entries does not continue one of 4"):
        verify_consistency(old_size=4, old_root=ROOTS[4], new_size=3, new_root=ROOTS[3], proof=[])
    with pytest.raises(VerificationError, match="there is no entry 5 in a log of 5 entries"):
        verify_inclusion(LEAVES[5], index=5, size=5, proof=[], root=ROOTS[5])


def test_old_size_zero_takes_the_empty_root_and_an_empty_proof_only():
    good = {"old_size": 0, "old_root": EMPTY_ROOT, "new_size": 9, "new_root": ROOTS[9], "proof": []}
    verify_consistency(**good)
    for change in ({"proof": [ROOTS[9]]}, {"old_root": ROOTS[9]}, {"new_size": 0}):
        with pytest.raises(VerificationError):
            verify_consistency(**(good | change))


def test_no_proof_is_built_for_what_is_not_there():
    for build in (
        lambda: proofs.inclusion_proof(7, 7, subtree),
        lambda: proofs.inclusion_proof(-1, 7, subtree),
        lambda: proofs.consistency_proof(8, 7, subtree),
    ):
        with pytest.raises(RefusedError) as refused:
            build()
        assert refused.value.code is Code.NOT_FOUND


def test_roots_of_all_sizes_come_out_of_the_subtrees():
    for size, root in enumerate(ROOTS):
        assert proofs.tree_at(size, subtree).root() == root
    assert all(a != b for a, b in pairwise(ROOTS))


@given(
    index=st.integers(-2, 80),
    size=st.integers(-2, 80),
    old=st.integers(-2, 80),
    proof=st.lists(st.one_of(st.binary(max_size=40), st.binary(min_size=32, max_size=32)), max_size=70),
    root=st.binary(max_size=40),
)
def test_hostile_proofs_are_refused_and_never_crash(index, size, old, proof, root):
    with pytest.raises(VerificationError):
        verify_inclusion(leaf_hash(b"absent"), index=index, size=size, proof=proof, root=root)
    with pytest.raises(VerificationError):
        verify_consistency(
            old_size=old, old_root=leaf_hash(b"absent"), new_size=size, new_root=root, proof=[*proof, EMPTY_ROOT]
        )
