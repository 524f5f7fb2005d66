"""PKCS#11 URIs: what names a token is read, everything else is refused, and no PIN is taken or repeated."""
# ruff: noqa: S106  # the word token is a label here

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwright.core.errors import ConfigurationError
from sealwright.keystores.pkcs11_uri import TokenUri, parse_uri

MODULE = "/usr/lib/softhsm/libsofthsm2.so"


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        (f"pkcs11:token=router?module-path={MODULE}", TokenUri(token="router", module_path=MODULE)),
        (
            f"pkcs11:serial=0a1b;token=a%20%2F%3B%C3%BC?module-path={MODULE}",
            TokenUri(token="a /;ü", module_path=MODULE, serial="0a1b"),
        ),
    ],
)
def test_a_token_is_named_by_label_and_serial(text: str, uri: TokenUri) -> None:
    assert parse_uri(text) == uri
    assert parse_uri(str(uri)) == uri


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "starts with pkcs11:"),
        ("files:/keys", "starts with pkcs11:"),
        (f"pkcs11:?module-path={MODULE}", "needs the label"),
        (f"pkcs11:token=?module-path={MODULE}", "needs the label"),
        (f"pkcs11:token={'x' * 33}?module-path={MODULE}", "needs the label"),
        ("pkcs11:token=router", "needs the absolute path"),
        ("pkcs11:token=router?module-path=libsofthsm2.so", "needs the absolute path"),
        (f"pkcs11:token=a;token=b?module-path={MODULE}", "'token' is unknown here, empty or given twice"),
        (f"pkcs11:token=a;object=k?module-path={MODULE}", "'object' is unknown here"),
        (f"pkcs11:token=a;slot-id=1?module-path={MODULE}", "'slot-id' is unknown here"),
        (f"pkcs11:token=a?module-path={MODULE}&module-name=x", "'module-name' is unknown here"),
        (f"pkcs11:token=%ff?module-path={MODULE}", "is not UTF-8"),
    ],
)
def test_what_does_not_name_one_token_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_uri(text)


@pytest.mark.parametrize("name", ["pin-value", "pin-source"])
def test_a_pin_in_a_uri_is_refused_and_not_repeated(name: str) -> None:
    with pytest.raises(ConfigurationError, match="a PIN does not belong in a URI") as refused:
        parse_uri(f"pkcs11:token=router?module-path={MODULE}&{name}=TEST-ONLY-pin")
    assert "TEST-ONLY-pin" not in f"{refused.value!r}{refused.value}{refused.value.hint}"


@given(st.text(min_size=1, max_size=8), st.text(max_size=8))
def test_any_label_survives_its_uri(token: str, serial: str) -> None:
    uri = TokenUri(token=token, module_path=MODULE, serial=serial)
    assert parse_uri(str(uri)) == uri


@given(st.text(max_size=60))
def test_any_text_is_a_uri_or_refused(text: str) -> None:
    for candidate in (text, f"pkcs11:{text}", f"pkcs11:token=a;{text}?module-path=/a&{text}"):
        try:
            parse_uri(candidate)
        except ConfigurationError as refused:
            assert refused.setting == "keystore"  # noqa: PT017  # both ends are right
