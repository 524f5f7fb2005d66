"""Reading keys that OpenSSL wrote, in every shape that is met in the field, and saying plainly what is wrong."""

import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import require_tool

from sealwright.core.errors import Code, ConfigurationError, FormatError
from sealwright.keystores.private_keys import MAX_KEY_FILE_BYTES, load_private_key, public_half

PASSPHRASE = "TEST-ONLY-passphrase"  # noqa: S105  # of keys made and thrown away here
PASS = ("-passout", f"pass:{PASSPHRASE}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root, a key with its certificate under it, and that key in all its shapes."""
    folder = tmp_path_factory.mktemp("keys")
    openssl = require_tool("openssl")

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)

    run("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ca.key")
    run("req", "-x509", "-key", "ca.key", "-subj", "/CN=TEST ONLY root", "-out", "ca.pem")
    run("genrsa", "-out", "key.pem", "2048")
    run("req", "-new", "-key", "key.pem", "-subj", "/CN=TEST ONLY router", "-out", "csr.pem")
    run("x509", "-req", "-in", "csr.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-out", "cert.pem")
    run("pkcs8", "-topk8", "-in", "key.pem", "-out", "encrypted.pem", *PASS)
    run("pkcs8", "-topk8", "-in", "key.pem", "-outform", "DER", "-out", "encrypted.der", *PASS)
    run("pkcs8", "-topk8", "-nocrypt", "-in", "key.pem", "-outform", "DER", "-out", "key.der")
    run("rsa", "-in", "key.pem", "-traditional", "-out", "traditional.pem")
    run("rsa", "-in", "key.pem", "-traditional", "-aes256", "-out", "traditional-encrypted.pem", *PASS)
    run("rsa", "-in", "key.pem", "-traditional", "-outform", "DER", "-out", "traditional.der")
    chain = ("-inkey", "key.pem", "-in", "cert.pem", "-certfile", "ca.pem")
    run("pkcs12", "-export", *chain, "-out", "key.p12", *PASS)
    run(
        "pkcs12",
        "-export",
        *chain,
        "-keypbe",
        "NONE",
        "-certpbe",
        "NONE",
        "-nomac",
        "-out",
        "plain.p12",
        "-passout",
        "pass:",
    )
    (folder / "chain.pem").write_bytes(
        (folder / "ca.pem").read_bytes() + (folder / "key.pem").read_bytes() + (folder / "cert.pem").read_bytes()
    )
    (folder / "foreign.pem").write_bytes((folder / "key.pem").read_bytes() + (folder / "ca.pem").read_bytes())
    run("ecparam", "-name", "secp256k1", "-genkey", "-noout", "-out", "secp256k1.pem")
    run("genpkey", "-algorithm", "X25519", "-out", "x25519.pem")
    run("genrsa", "-out", "small.pem", "1024")
    run("rsa", "-in", "key.pem", "-pubout", "-out", "public.pem")
    for algorithm, name in (("ED25519", "ed25519.pem"), ("ED448", "ed448.pem")):
        run("genpkey", "-algorithm", algorithm, "-out", name)
    run("ec", "-in", "ca.key", "-aes256", "-out", "ec-encrypted.pem", *PASS)
    return folder


def read(folder: Path, name: str) -> bytes:
    return (folder / name).read_bytes()


@pytest.mark.parametrize("name", ["key.pem", "key.der", "traditional.pem", "traditional.der"])
def test_a_plain_key_is_read(folder: Path, name: str) -> None:
    key, certificates = load_private_key(read(folder, name), None)
    assert public_half(key).spki_der == expected_spki(folder)
    assert certificates == ()


@pytest.mark.parametrize("name", ["encrypted.pem", "encrypted.der", "traditional-encrypted.pem", "key.p12"])
def test_an_encrypted_key_is_read_with_its_passphrase_only(folder: Path, name: str) -> None:
    key, _ = load_private_key(read(folder, name), PASSPHRASE.encode())
    assert public_half(key).spki_der == expected_spki(folder)
    for passphrase in (b"TEST-ONLY-wrong", None):
        with pytest.raises(ConfigurationError, match=r"passphrase") as refused:
            load_private_key(read(folder, name), passphrase)
        assert refused.value.code is Code.CREDENTIAL
        assert "TEST-ONLY" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "passphrase"), [("key.p12", PASSPHRASE.encode()), ("plain.p12", None), ("chain.pem", None)]
)
def test_certificates_come_with_the_own_one_first(folder: Path, name: str, passphrase: bytes | None) -> None:
    _, certificates = load_private_key(read(folder, name), passphrase)
    subjects = [x509.load_der_x509_certificate(c).subject.rfc4514_string() for c in certificates]
    assert subjects == ["CN=TEST ONLY router", "CN=TEST ONLY root"]


def test_ed25519_and_traditional_ec_keys_are_read(folder: Path) -> None:
    assert public_half(load_private_key(read(folder, "ed25519.pem"), None)[0]).size_bits == 256
    assert public_half(load_private_key(read(folder, "ca.key"), None)[0]).size_bits == 256
    assert public_half(load_private_key(read(folder, "ec-encrypted.pem"), PASSPHRASE.encode())[0]).size_bits == 256


def test_certificates_of_other_keys_only_are_refused(folder: Path) -> None:
    with pytest.raises(FormatError, match="none of the certificates is of this key"):
        load_private_key(read(folder, "foreign.pem"), None)


@pytest.mark.parametrize("name", ["secp256k1.pem", "x25519.pem", "ed448.pem", "small.pem"])
def test_a_key_that_signs_nothing_of_ours_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(FormatError, match="its type, curve or size is not supported"):
        load_private_key(read(folder, name), None)


@pytest.mark.parametrize("name", ["public.pem", "cert.pem", "csr.pem"])
def test_what_holds_no_private_key_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(FormatError, match="not a private key that can be imported"):
        load_private_key(read(folder, name), None)


@pytest.mark.parametrize("name", ["key.pem", "key.der"])
def test_a_passphrase_for_a_key_that_has_none_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="is not encrypted, but a passphrase was given"):
        load_private_key(read(folder, name), b"TEST ONLY")


@pytest.mark.parametrize("name", ["key.der", "encrypted.der", "key.p12", "plain.p12", "chain.pem"])
def test_a_cut_key_is_refused_without_its_content(folder: Path, name: str) -> None:
    whole = read(folder, name)
    passphrase = PASSPHRASE.encode() if name in ("encrypted.der", "key.p12") else None
    for cut in range(0, len(whole) - 1, 37):
        if name == "chain.pem" and whole[:cut].endswith(b"-----END PRIVATE KEY-----\n"):
            continue  # cut exactly behind the key: whole, without its certificate
        with pytest.raises((FormatError, ConfigurationError)) as refused:
            load_private_key(whole[:cut], passphrase)
        assert len(str(refused.value)) < 150


def test_a_file_that_is_too_long_is_not_parsed() -> None:
    with pytest.raises(FormatError, match="at most 1048576 are read"):
        load_private_key(bytes(MAX_KEY_FILE_BYTES + 1), None)


@given(st.binary(max_size=300), st.one_of(st.none(), st.binary(min_size=1, max_size=10)))
def test_any_bytes_are_a_key_or_refused(data: bytes, passphrase: bytes | None) -> None:
    for wrapped in (data, b"\x30\x80\x02\x01\x03" + data, b"-----BEGIN PRIVATE KEY-----\n" + data):
        with pytest.raises((FormatError, ConfigurationError)):
            load_private_key(wrapped, passphrase)


def expected_spki(folder: Path) -> bytes:
    return serialization.load_pem_public_key(read(folder, "public.pem")).public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def test_a_certificate_of_no_known_version_is_refused_like_any_damage(folder: Path) -> None:
    """Found by fuzzing: the library's exception for it is no ValueError."""
    der = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes()).public_bytes(serialization.Encoding.DER)
    at = der.index(b"\x02\x01\x02") + 2
    damaged = ssl.DER_cert_to_PEM_cert(der[:at] + b"\x27" + der[at + 1 :])
    with pytest.raises(FormatError, match="not a private key that can be imported"):
        load_private_key((folder / "key.pem").read_bytes() + damaged.encode(), None)
