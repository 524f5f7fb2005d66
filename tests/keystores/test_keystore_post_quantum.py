"""ML-DSA and SLH-DSA keys in the embedded keystore: made, taken in, kept, used; and cross-verified by others."""

from pathlib import Path
from typing import Any

import pytest
import slhdsa
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from dilithium_py.ml_dsa import ML_DSA_44, ML_DSA_65, ML_DSA_87
from tests.keystores.conftest import PIN, TEMPLATE, ThroughWorker, make_partition
from tests.verifiers import openssl35

from sealwright.core.errors import ConfigurationError, FormatError, VerificationError
from sealwright.core.keys import MAX_WHOLE_MESSAGE_BYTES, Algorithm, Family, PublicKey
from sealwright.keystores import private_keys
from sealwright.keystores.interface import Grade
from sealwright.keystores.opening import create_partition, open_ceremony, open_keystore
from sealwright.keystores.slh_dsa_keys import SlhDsaPrivateKey

ML_DSA: dict[Algorithm, Any] = {
    Algorithm.ML_DSA_44: ML_DSA_44,
    Algorithm.ML_DSA_65: ML_DSA_65,
    Algorithm.ML_DSA_87: ML_DSA_87,
}
SLH_DSA = [a for a in Algorithm if a.family is Family.SLH_DSA]
BOTH = [*ML_DSA, *SLH_DSA]
QUICK = [*ML_DSA, Algorithm.SLH_DSA_SHA2_128F, Algorithm.SLH_DSA_SHAKE_192F]
MESSAGE = b"signed attributes"


@pytest.fixture
def folder(tmp_path: Path) -> str:
    uri = f"files:{tmp_path / 'router'}"
    create_partition(uri, PIN)
    return uri


@pytest.fixture(scope="module")
def keys() -> dict[Algorithm, Any]:
    return {algorithm: private_keys.generate(algorithm, 0) for algorithm in BOTH}


def sizes(algorithm: Algorithm) -> int:
    """Bytes of a signature: FIPS 204, table 2; FIPS 205, table 2."""
    known = {"44": 2420, "65": 3309, "87": 4627, "128s": 7856, "128f": 17088, "192s": 16224}
    known |= {"192f": 35664, "256s": 29792, "256f": 49856}
    return known[algorithm.rsplit("-", 1)[1]]


@pytest.mark.parametrize("algorithm", QUICK)
def test_a_key_made_here_signs_through_a_worker_and_openssl_accepts_it(
    folder: str, tmp_path: Path, algorithm: Algorithm
) -> None:
    created = make_partition(folder, algorithms=(algorithm,)).keys[algorithm]
    assert created.grade is Grade.SOFTWARE
    keystore = ThroughWorker(folder, PIN)
    signature = keystore.sign(created.public_key.fingerprint, algorithm, MESSAGE)
    keystore.close()
    created.public_key.verify(algorithm, MESSAGE, signature)
    assert len(signature) == sizes(algorithm)
    (tmp_path / "p").write_bytes(created.public_key.pem)
    (tmp_path / "s").write_bytes(signature)
    for message, verdict in ((MESSAGE, "Successfully"), (MESSAGE + b"!", "Failure")):
        (tmp_path / "m").write_bytes(message)
        said = openssl35.verify(tmp_path / "p", tmp_path / "m", tmp_path / "s").stdout
        assert said.strip().endswith(verdict)


@pytest.mark.parametrize("algorithm", BOTH)
def test_what_openssl_makes_and_signs_is_taken_in_and_verified(
    folder: str, tmp_path: Path, algorithm: Algorithm
) -> None:
    openssl35.generate(algorithm, tmp_path / "k")
    key, _ = private_keys.load_private_key((tmp_path / "k").read_bytes(), None)
    ceremony = open_ceremony(folder, PIN)
    created = ceremony.import_key("router", key, ())
    ceremony.close()
    (tmp_path / "m").write_bytes(MESSAGE)
    openssl35.sign(tmp_path / "k", tmp_path / "m", tmp_path / "s")
    created.public_key.verify(algorithm, MESSAGE, (tmp_path / "s").read_bytes())
    with pytest.raises(VerificationError):
        created.public_key.verify(algorithm, MESSAGE + b"!", (tmp_path / "s").read_bytes())
    again = open_keystore(folder, PIN)
    assert again.public_keys() == {created.public_key.fingerprint: created.public_key}
    again.close()


@pytest.mark.parametrize("algorithm", ML_DSA)
def test_dilithium_py_and_we_accept_each_others_signatures(keys: dict[Algorithm, Any], algorithm: Algorithm) -> None:
    oracle, key = ML_DSA[algorithm], keys[algorithm]
    raw = key.public_key().public_bytes_raw()
    ours = private_keys.sign(key, algorithm, MESSAGE)
    assert oracle.verify(raw, MESSAGE, ours)
    assert not oracle.verify(raw, MESSAGE + b"!", ours)
    public, secret = oracle.key_derive(key.private_bytes_raw())
    assert public == raw
    theirs = oracle.sign(secret, MESSAGE)
    private_keys.public_half(key).verify(algorithm, MESSAGE, theirs)
    with pytest.raises(VerificationError):
        private_keys.public_half(key).verify(algorithm, MESSAGE + b"!", theirs)


@pytest.mark.parametrize("algorithm", SLH_DSA)
def test_slhdsa_accepts_our_signatures_and_no_changed_ones(keys: dict[Algorithm, Any], algorithm: Algorithm) -> None:
    key = keys[algorithm]
    parameters = getattr(slhdsa, algorithm.removeprefix("slh-dsa-").replace("-", "_"))
    oracle = slhdsa.PublicKey.from_digest(key.public_key().raw, parameters)
    signature = key.sign(MESSAGE)
    assert len(signature) == sizes(algorithm)
    assert oracle.verify_pure(MESSAGE, signature)
    assert not oracle.verify_pure(MESSAGE + b"!", signature)


@pytest.mark.parametrize("algorithm", [Algorithm.SLH_DSA_SHA2_128F, Algorithm.SLH_DSA_SHAKE_128F])
def test_we_accept_what_slhdsa_signs_and_no_changed_ones(keys: dict[Algorithm, Any], algorithm: Algorithm) -> None:
    key = keys[algorithm]
    parameters = getattr(slhdsa, algorithm.removeprefix("slh-dsa-").replace("-", "_"))
    signature = slhdsa.SecretKey.from_digest(key.raw, parameters).sign_pure(MESSAGE)
    public = private_keys.public_half(key)
    public.verify(algorithm, MESSAGE, signature)
    for message, value in ((MESSAGE + b"!", signature), (MESSAGE, signature[:-1]), (MESSAGE, b"")):
        with pytest.raises(VerificationError):
            public.verify(algorithm, message, value)


@pytest.mark.parametrize("algorithm", QUICK)
def test_openssl_checks_the_self_signature_of_the_certificate(
    folder: str, tmp_path: Path, algorithm: Algorithm
) -> None:
    (der,) = make_partition(folder, algorithms=(algorithm,)).keys[algorithm].certificates
    good, bad = tmp_path / "good.pem", tmp_path / "bad.pem"
    good.write_bytes(x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM))
    changed = der[:-1] + bytes([der[-1] ^ 1])
    bad.write_bytes(x509.load_der_x509_certificate(changed).public_bytes(serialization.Encoding.PEM))
    check = ("verify", "-check_ss_sig", "-CAfile")
    assert openssl35.run(*check, good, good).stdout.strip().endswith("OK")
    assert "certificate signature failure" in openssl35.run(*check, bad, bad).stderr
    shown = openssl35.run("x509", "-in", good, "-noout", "-text").stdout
    assert shown.lower().count(f"algorithm: {algorithm}") == 3  # of the signature twice, of the key
    assert "TEST ONLY router production firmware" in shown


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        ("seed-only", ""),
        ("seed-priv", ""),
        ("priv-only", "without its seed"),
        ("bare-priv", "without its seed"),
    ],
)
@pytest.mark.parametrize("algorithm", ML_DSA)
def test_the_seed_of_an_ml_dsa_key_is_what_is_taken_in(
    tmp_path: Path, algorithm: Algorithm, output: str, problem: str
) -> None:
    path = tmp_path / "k"
    option = f"ml-dsa.output_formats={output}"
    made = openssl35.run("genpkey", "-algorithm", algorithm, "-provparam", option, "-out", path)
    assert made.returncode == 0, made.stderr
    if problem:
        with pytest.raises(FormatError, match=problem):
            private_keys.load_private_key(path.read_bytes(), None)
        return
    shown = openssl35.run("pkey", "-in", path, "-pubout").stdout
    key, _ = private_keys.load_private_key(path.read_bytes(), None)
    assert private_keys.public_half(key).pem.decode() == shown


@pytest.mark.parametrize("form", ["PEM", "DER"])
@pytest.mark.parametrize("algorithm", [Algorithm.ML_DSA_65, Algorithm.SLH_DSA_SHA2_128F])
def test_an_encrypted_key_is_taken_in_with_its_passphrase_alone(
    tmp_path: Path, algorithm: Algorithm, form: str
) -> None:
    openssl35.generate(algorithm, tmp_path / "k")
    encrypt = ("pkcs8", "-topk8", "-in", tmp_path / "k", "-outform", form, "-passout", "pass:right")
    made = openssl35.run(*encrypt, "-out", tmp_path / "e")
    assert made.returncode == 0, made.stderr
    data = (tmp_path / "e").read_bytes()
    key, _ = private_keys.load_private_key(data, b"right")
    shown = openssl35.run("pkey", "-in", tmp_path / "k", "-pubout").stdout
    assert private_keys.public_half(key).pem.decode() == shown
    for passphrase, problem in ((b"wrong", "wrong passphrase"), (None, "encrypted|neither")):
        with pytest.raises((ConfigurationError, FormatError), match=problem):
            private_keys.load_private_key(data, passphrase)
    made = openssl35.run(*encrypt, "-scrypt", "-out", tmp_path / "e")
    assert made.returncode == 0, made.stderr
    with pytest.raises(ConfigurationError) as refused:
        private_keys.load_private_key((tmp_path / "e").read_bytes(), b"right")
    assert "-v2 aes-256-cbc" in refused.value.hint


def test_an_ml_dsa_key_whose_seed_is_of_another_key_is_refused(tmp_path: Path) -> None:
    for name in "ab":
        made = openssl35.run("genpkey", "-algorithm", "ml-dsa-44", "-outform", "DER", "-out", tmp_path / name)
        assert made.returncode == 0
    mine, other = ((tmp_path / name).read_bytes() for name in "ab")
    mixed = mine[:-2560] + other[-2560:]
    with pytest.raises(FormatError, match="not of one ML-DSA key"):
        private_keys.load_private_key(mixed, None)


def test_an_slh_dsa_key_with_a_foreign_public_half_is_refused() -> None:
    one, other = (SlhDsaPrivateKey.generate(Algorithm.SLH_DSA_SHA2_128F) for _ in range(2))
    mixed = SlhDsaPrivateKey(one.algorithm, one.raw[:32] + other.raw[32:])
    with pytest.raises(FormatError, match="halves do not belong together"):
        private_keys.load_private_key(mixed.pkcs8_der(), None)
    private_keys.load_private_key(one.pkcs8_der(), None)
    with pytest.raises(ConfigurationError, match="not encrypted"):
        private_keys.load_private_key(one.pkcs8_der(), b"a passphrase")


def test_no_private_byte_shows_in_a_repr(keys: dict[Algorithm, Any]) -> None:
    key = keys[Algorithm.SLH_DSA_SHA2_128F]
    assert key.raw.hex()[:16] not in repr(key)
    assert repr(key.raw)[2:20] not in repr(key)


def test_a_message_too_long_and_a_key_of_another_set_are_refused(folder: str) -> None:
    algorithm = Algorithm.SLH_DSA_SHA2_128F
    key = make_partition(folder, algorithms=(algorithm,)).keys[algorithm].public_key
    keystore = open_keystore(folder, PIN)
    with pytest.raises(FormatError, match="at most 65536"):
        keystore.sign(key.fingerprint, algorithm, bytes(MAX_WHOLE_MESSAGE_BYTES + 1))
    with pytest.raises(FormatError, match="cannot sign slh-dsa-shake-128f"):
        keystore.sign(key.fingerprint, Algorithm.SLH_DSA_SHAKE_128F, MESSAGE)
    with pytest.raises(FormatError, match="cannot sign ml-dsa-44"):
        keystore.sign(key.fingerprint, Algorithm.ML_DSA_44, MESSAGE)
    keystore.close()


def test_a_size_of_another_set_is_refused(folder: str) -> None:
    ceremony = open_ceremony(folder, PIN)
    with pytest.raises(ConfigurationError, match="cannot have 256 bits"):
        ceremony.create_key("router", Algorithm.ML_DSA_44, 256, TEMPLATE)
    ceremony.close()


def test_fingerprints_are_of_the_key_as_openssl_spells_it(tmp_path: Path, keys: dict[Algorithm, Any]) -> None:
    for algorithm in QUICK:
        key = private_keys.public_half(keys[algorithm])
        (tmp_path / "p").write_bytes(key.pem)
        made = openssl35.run("pkey", "-pubin", "-in", tmp_path / "p", "-outform", "DER", "-out", tmp_path / "d")
        assert made.returncode == 0, made.stderr
        assert PublicKey((tmp_path / "d").read_bytes()) == key
