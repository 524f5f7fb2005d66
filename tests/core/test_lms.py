"""LMS and HSS: the published values, two other implementations both ways, and every changed byte refused."""

import contextlib
import itertools
import json
import os

import hsslms
import pyhsslms
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import vectors

from sealwright.core import lms
from sealwright.core.errors import FormatError, VerificationError
from sealwright.keystores.lms_tree import Hypertree, Tree, TreeSeed, make_nodes

TREES = {tree.name: tree for tree in lms.TREE_TYPES.values()}
ONE_TIME = {one.name: one for one in lms.ONE_TIME_TYPES.values()}
SETS = [("sha256", 32), ("sha256", 24), ("shake", 32), ("shake", 24)]
MESSAGE = b"firmware 1.2.3"


def seed_of(name: str, size: int, width: int, height: int = 5) -> TreeSeed:
    tree, one_time = TREES[f"lms-{name}-m{size}-h{height}"], ONE_TIME[f"lmots-{name}-n{size}-w{width}"]
    return TreeSeed(tree=tree, one_time=one_time, identifier=os.urandom(16), seed=os.urandom(size))


def key_of(name: str = "sha256", size: int = 32, width: int = 4, levels: int = 1) -> Hypertree:
    seed = seed_of(name, size, width)
    return Hypertree(Tree(seed, make_nodes(seed)), seed, [(seed.tree, seed.one_time)] * (levels - 1))


def is_valid(public_key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        lms.verify(lms.parse_public_key(public_key), message, signature)
    except VerificationError:
        return False
    return True


def test_the_values_of_rfc_8554_appendix_f():
    tests = json.loads((vectors("crypto-kat") / "rfc8554-appendix-f.json").read_text())["tests"]
    assert len(tests) == 2
    for test in tests:
        tree = TREES[test["lms_type"].lower().replace("lms_sha256_", "lms-sha256-").replace("_", "-")]
        one_time = ONE_TIME[test["lmots_type"].lower().replace("_", "-")]
        seed = TreeSeed(
            tree=tree,
            one_time=one_time,
            identifier=bytes.fromhex(test["I"]),
            seed=bytes.fromhex(test["seed"]),
        )
        made = Tree(seed, make_nodes(seed))
        assert made.public_key.encoded.hex() == test["expected_lms_public_key"]
        if "q" in test:
            signature = made.sign(test["q"], bytes.fromhex(test["C"]), bytes.fromhex(test["message"]))
            assert signature.hex() == test["expected_lms_signature"]


def test_the_generated_values_verify_and_their_tampered_twins_do_not():
    tests = json.loads((vectors("crypto-kat") / "hss-lms-generated.json").read_text())["tests"]
    assert len(tests) == 6
    for test in tests:
        key, message = bytes.fromhex(test["hss_public_key"]), bytes.fromhex(test["message"])
        signature = bytes.fromhex(test["hss_signature"])
        assert is_valid(key, message, signature)
        assert not is_valid(key, message, signature[:-1] + bytes([signature[-1] ^ 1]))
        assert not is_valid(key, message + b"x", signature)
        assert lms.parse_public_key(key).encoded == key


@pytest.mark.parametrize(("name", "size"), SETS)
@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_pyhsslms_takes_what_we_sign_and_refuses_another_message(name, size, width):
    key = key_of(name, size, width)
    signature = key.sign(7, os.urandom(size), MESSAGE)
    judge = pyhsslms.HssPublicKey.deserialize(key.public_key.encoded)
    assert judge.verify(MESSAGE, signature)
    assert not judge.verify(MESSAGE + b"x", signature)
    assert is_valid(key.public_key.encoded, MESSAGE, signature)
    assert not is_valid(key.public_key.encoded, MESSAGE + b"x", signature)


@pytest.mark.parametrize(("name", "size"), SETS)
def test_what_pyhsslms_signs_is_taken_and_another_message_refused(name, size):
    tree, one_time = TREES[f"lms-{name}-m{size}-h5"], ONE_TIME[f"lmots-{name}-n{size}-w8"]
    for levels in (1, 2):
        key = pyhsslms.HssPrivateKey(levels, lms.u32(tree.code), lms.u32(one_time.code))
        public, signature = key.publicKey().serialize(), key.sign(MESSAGE)
        assert is_valid(public, MESSAGE, signature)
        assert not is_valid(public, MESSAGE + b"x", signature)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_hsslms_takes_every_level_and_refuses_another_message(levels):
    key = key_of(levels=levels)
    judge = hsslms.HSS_Pub(key.public_key.encoded)
    for index in (0, 31, key.capacity - 1):
        signature = key.sign(index, os.urandom(32), MESSAGE)
        judge.verify(MESSAGE, signature)
        with pytest.raises(hsslms.INVALID):
            judge.verify(MESSAGE + b"x", signature)


def test_every_number_uses_leaves_of_its_own_and_a_tree_made_again_is_the_same():
    key = key_of(levels=2, width=4)
    numbers = (0, 1, 31, 32, 33, 1023, 2)
    signatures = [key.sign(n, b"r" * 32, MESSAGE) for n in numbers]
    assert [lms.leaf_indices(key.public_key, s) for s in signatures] == [divmod(n, 32) for n in numbers]
    assert key.sign(0, b"r" * 32, MESSAGE) == signatures[0], "after another subtree was made"
    for wrong in (-1, 1024):
        with pytest.raises(ValueError, match="no such"):
            key.sign(wrong, b"r" * 32, MESSAGE)


def test_a_flip_anywhere_is_refused():
    key = key_of(levels=2)
    public, signature = key.public_key.encoded, key.sign(40, os.urandom(32), MESSAGE)
    for at in itertools.chain(range(0, len(signature), 37), (0, 4, 8, len(signature) - 1)):
        assert not is_valid(public, MESSAGE, signature[:at] + bytes([signature[at] ^ 4]) + signature[at + 1 :]), at
    assert not is_valid(key_of(levels=2).public_key.encoded, MESSAGE, signature), "a stranger's key"


def test_a_cut_or_longer_signature_is_refused_wherever_it_is_cut():
    key = key_of(levels=2)
    public, signature = key.public_key.encoded, key.sign(3, os.urandom(32), MESSAGE)
    assert not any(is_valid(public, MESSAGE, signature[:end]) for end in range(0, len(signature), 13))
    assert not is_valid(public, MESSAGE, signature + b"\0")


def test_the_seed_does_not_show_itself():
    seed = seed_of("sha256", 32, 8)
    assert seed.seed.hex() not in repr(seed)
    assert str(seed.seed) not in repr(seed)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_key_or_an_error(data):
    with contextlib.suppress(FormatError):
        assert lms.parse_public_key(data).encoded == data


@given(st.binary(max_size=400))
def test_any_bytes_are_no_signature(data):
    key = lms.parse_public_key(
        bytes.fromhex("00000002") + bytes.fromhex("0000000500000004") + bytes(range(16)) + bytes(32)
    )
    assert not is_valid(key.encoded, MESSAGE, data)


def test_mixed_hashes_are_no_key():
    key = key_of().public_key.encoded
    with pytest.raises(FormatError, match="one hash for both"):
        lms.parse_public_key(key[:8] + lms.u32(9 + 2) + key[12:])
