"""Deterministic CBOR: what cbor2 writes canonically is read, and every content has one spelling that is accepted."""

from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealwright.core.errors import FormatError
from sealwright.formats import deterministic_cbor as cbor

NUMBERS = st.integers(-(1 << 64), (1 << 64) - 1)
PLAIN = st.one_of(NUMBERS, st.binary(max_size=300), st.text(max_size=80), st.booleans(), st.none())
# Keys of one kind: cbor2 sorts by length first (RFC 7049), which is the bytewise order as long as kinds are not mixed.
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(st.integers(0, 1 << 40), inner, max_size=5),
        st.dictionaries(st.text(max_size=30), inner, max_size=5),
    ),
    max_leaves=20,
)


@given(VALUES)
@settings(max_examples=300, deadline=None)
def test_what_cbor2_writes_canonically_is_read_and_written_alike(value: Any) -> None:
    encoded = cbor2.dumps(value, canonical=True)
    assert cbor.decode(encoded, what="value") == value
    assert cbor.encode(value) == encoded
    with pytest.raises(FormatError, match="behind its end"):
        cbor.decode(encoded + b"\x00", what="value")
    for cut in range(len(encoded)):
        with pytest.raises(FormatError):
            cbor.decode(encoded[:cut], what="value")


def test_keys_stand_in_bytewise_order_and_not_in_the_older_one() -> None:
    """Section 4.2.1, not 4.2.3: cbor2 puts -1, which is one byte, before 24, which is two."""
    assert cbor.encode({-1: 0, 24: 0}).hex() == "a2181800" + "2000"
    older = cbor2.dumps({-1: 0, 24: 0}, canonical=True)
    assert older.hex() == "a2" + "2000" + "181800"
    with pytest.raises(FormatError, match=r"not in bytewise order \(RFC 8949, section 4\.2\.1\)"):
        cbor.decode(older, what="value")


HEADS = b"\x00\x18\x1b\x20\x40\x41\x5f\x60\x80\x81\x82\x9f\xa0\xa1\xa2\xbf\xc1\xd8\xf4\xf6\xf9\xff"


@given(st.one_of(st.binary(max_size=40), st.lists(st.sampled_from(list(HEADS)), max_size=12).map(bytes)))
@settings(max_examples=1000, deadline=None)
def test_any_bytes_are_refused_or_are_the_only_spelling_of_what_they_say(data: bytes) -> None:
    try:
        value = cbor.decode(data, what="value")
    except FormatError:
        return
    assert cbor.encode(value) == data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("1817", "shortest form"),
        ("1900ff", "shortest form"),
        ("1a0000ffff", "shortest form"),
        ("1b00000000ffffffff", "shortest form"),
        ("5800", "shortest form"),
        ("1c", "reserved length"),
        ("5f4100ff", "indefinite length"),
        ("9fff", "indefinite length"),
        ("bfff", "indefinite length"),
        ("a201000100", "key twice"),
        ("a202000100", "bytewise order"),
        ("a2200018180000", "bytewise order"),  # -1 before 24: the older length-first order
        ("a1a000", "key that is no number, string or list of them"),
        ("a1c10000", "key that is no number"),
        ("a1f400", "key that is no number"),
        ("a181f600", "key that is no number"),
        ("62c328", "not UTF-8"),
        ("f90000", "floating-point"),
        ("fa00000000", "floating-point"),
        ("f7", "unknown simple value"),
        ("f818", "unknown simple value"),
        ("5b7fffffffffffffff", "the input ends before"),
        ("9b7fffffffffffffff", "the input ends before"),
        ("bb7fffffffffffffff", "the input ends before"),
        ("81" * 17 + "00", "nested deeper than 16"),
        ("c1" * 17 + "00", "nested deeper than 16"),
        ("", "ends before its end"),
        ("19", "ends inside a number"),
    ],
)
def test_every_other_spelling_is_refused_by_name(data: str, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        cbor.decode(bytes.fromhex(data), what="value")


def test_a_list_may_be_a_key() -> None:
    assert cbor.decode(bytes.fromhex("a1810100"), what="value") == {(1,): 0}


def test_where_it_is_wrong_is_told_by_its_place_in_the_image() -> None:
    with pytest.raises(FormatError, match="at offset 0x102") as caught:
        cbor.decode(bytes.fromhex("8200f7"), what="value", base=0x100)
    assert caught.value.at == 0x102
