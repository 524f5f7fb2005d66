"""Canonical JSON has one spelling, and everything else is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwright.core import canonical
from sealwright.core.errors import FormatError

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp", "Mn", "Lo")))
VALUES = st.recursive(
    st.booleans() | st.integers(0, canonical.MAX_INTEGER) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcXYZ_09", max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_encoded_decodes_to_itself(value):
    data = canonical.encode(value)
    assert canonical.decode(data) == value
    assert json.loads(data) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_in_its_only_spelling_or_an_error(data):
    try:
        value = canonical.decode(data)
    except FormatError:
        return
    assert canonical.encode(value) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" {}",
        b'{"a":1 }',
        b'{"b":1,"a":2}',
        b'{"a":1,"a":1}',
        b'{"a":1.0}',
        b'{"a":1e3}',
        b'{"a":-1}',
        b'{"a":-0}',
        b'{"a":01}',
        b'{"a":null}',
        b'{"a":NaN}',
        b'{"a":9007199254740992}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"\xc3\xa9":1}',
        b'{"a":"\\u00e9"}',
        b'{"a":"\\/"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xe2\x80\xae"}',
        b'{"a":"\xe2\x80\x8b"}',
        b'{"a":"\\u0000"}',
        b'{"a":"\x7f"}',
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"[" * 17 + b"]" * 17,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":1}{"b":2}',
        b'{"a":True}',
    ],
)
def test_other_spellings_are_refused(data):
    with pytest.raises(FormatError):
        canonical.decode(data)


def test_a_document_beyond_the_limit_is_refused_unread():
    with pytest.raises(FormatError, match="at most 10"):
        canonical.decode(b'"0123456789"', max_bytes=10)


@pytest.mark.parametrize("text", ["QQ", "QR==", "Q Q=", "QQ==\n", "QQ-_", "Q"])
def test_base64_has_one_spelling(text):
    with pytest.raises(FormatError):
        canonical.from_base64(text)


@pytest.mark.parametrize("value", [None, 1.5, -1, {1: 2}, {"é": 1}, "\u202e", object(), {"a": {None}}])
def test_values_without_a_canonical_form_are_refused(value):
    with pytest.raises(FormatError):
        canonical.encode(value)
