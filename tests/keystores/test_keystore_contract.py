"""The contract that every keystore keeps: encrypted files and a real PKCS#11 token, in process and through a worker."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from tests.keystores.conftest import (
    CLASSICAL,
    PIN,
    TEMPLATE,
    Partition,
    ThroughWorker,
    make_partition,
    openssl_verdict,
    payload_of,
)
from tests.simulators.softhsm import SoftHsm

from sealwright.core.errors import (
    Code,
    ConfigurationError,
    FormatError,
    RefusedError,
    SealwrightError,
    UnavailableError,
)
from sealwright.core.keys import MAX_WHOLE_MESSAGE_BYTES, Algorithm
from sealwright.keystores import private_keys
from sealwright.keystores.certificates import self_signed
from sealwright.keystores.interface import Ceremony, Grade, Keystore
from sealwright.keystores.opening import create_partition, open_ceremony, open_keystore
from sealwright.keystores.secrets import Secret

BACKENDS = ("files", "pkcs11")


@pytest.fixture(scope="module")
def partitions(hsm: SoftHsm, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Partition]:
    """One partition of each backend with a key of every algorithm."""
    files = f"files:{tmp_path_factory.mktemp('files') / 'router'}"
    create_partition(files, PIN)
    return {
        "files": make_partition(files),
        "pkcs11": make_partition(hsm.token("router/production", PIN.reveal().decode())),
    }


@pytest.fixture(scope="module", params=[(b, way) for b in BACKENDS for way in ("in-process", "worker")], ids="-".join)
def opened(request: pytest.FixtureRequest, partitions: dict[str, Partition]) -> Iterator[tuple[Keystore, Partition]]:
    """Each backend, opened each way."""
    backend, way = request.param
    partition = partitions[backend]
    keystore: Keystore = (ThroughWorker if way == "worker" else open_keystore)(partition.uri, partition.secret)
    yield keystore, partition
    keystore.close()


@pytest.fixture(params=BACKENDS)
def ceremony(request: pytest.FixtureRequest) -> Iterator[Ceremony]:
    """An empty partition of each backend, open for making keys."""
    uri = request.getfixturevalue("new_files") if request.param == "files" else request.getfixturevalue("new_token")[1]
    ceremony = open_ceremony(uri, PIN)
    ceremony.uri = uri  # type: ignore[attr-defined]
    yield ceremony
    ceremony.close()


@pytest.mark.parametrize("algorithm", CLASSICAL)
def test_a_signature_is_accepted_by_us_and_by_openssl_and_only_over_its_payload(
    opened: tuple[Keystore, Partition], algorithm: Algorithm, tmp_path: Path
) -> None:
    keystore, partition = opened
    key, payload = partition.keys[algorithm].public_key, payload_of(algorithm)
    signature = keystore.sign(key.fingerprint, algorithm, payload)
    key.verify(algorithm, payload, signature)
    assert openssl_verdict(tmp_path, key, algorithm, payload, signature) == "Signature Verified Successfully"
    flipped = bytes([payload[0] ^ 1]) + payload[1:]
    assert openssl_verdict(tmp_path, key, algorithm, flipped, signature) == "Signature Verification Failure"


def test_the_keys_are_named_by_the_hash_of_their_public_half(opened: tuple[Keystore, Partition]) -> None:
    keystore, partition = opened
    expected = {k.public_key.fingerprint: k.public_key for k in partition.keys.values()}
    assert keystore.public_keys() == expected


def test_a_label_finds_no_key(opened: tuple[Keystore, Partition]) -> None:
    keystore, partition = opened
    with pytest.raises(RefusedError, match="holds no key router/ed25519") as refused:
        keystore.sign(partition.keys[Algorithm.ED25519].label, Algorithm.ED25519, b"m")
    assert refused.value.code is Code.NOT_FOUND


def test_a_key_of_another_partition_is_not_there(opened: tuple[Keystore, Partition], new_files: str) -> None:
    keystore, _ = opened
    stranger = make_partition(new_files, algorithms=(Algorithm.ED25519,)).keys[Algorithm.ED25519].public_key
    with pytest.raises(RefusedError, match="holds no key"):
        keystore.sign(stranger.fingerprint, Algorithm.ED25519, b"m")
    assert stranger.fingerprint not in keystore.public_keys()


@pytest.mark.parametrize(
    ("key", "algorithm", "payload", "message"),
    [
        (Algorithm.ECDSA_P256_SHA256, Algorithm.ECDSA_P384_SHA384, bytes(48), "cannot sign ecdsa-p384-sha384"),
        (Algorithm.ED25519, Algorithm.RSA_PSS_SHA256, bytes(32), "cannot sign rsa-pss-sha256"),
        (Algorithm.RSA_PKCS1_SHA256, Algorithm.ED25519, b"m", "cannot sign ed25519"),
        (Algorithm.ECDSA_P256_SHA256, Algorithm.ECDSA_P256_SHA256, bytes(31), "digest of 32 bytes, not 31"),
        (Algorithm.RSA_PKCS1_SHA512, Algorithm.RSA_PKCS1_SHA512, bytes(32), "digest of 64 bytes, not 32"),
        (Algorithm.RSA_PSS_SHA256, Algorithm.RSA_PSS_SHA256, b"", "digest of 32 bytes, not 0"),
        (Algorithm.ED25519, Algorithm.ED25519, bytes(MAX_WHOLE_MESSAGE_BYTES + 1), "at most 65536"),
    ],
)
def test_key_algorithm_and_payload_must_fit(
    opened: tuple[Keystore, Partition], key: Algorithm, algorithm: Algorithm, payload: bytes, message: str
) -> None:
    keystore, partition = opened
    with pytest.raises(SealwrightError, match=message):
        keystore.sign(partition.keys[key].public_key.fingerprint, algorithm, payload)


def test_the_longest_whole_message_is_signed(opened: tuple[Keystore, Partition]) -> None:
    keystore, partition = opened
    key, message = partition.keys[Algorithm.ED25519].public_key, bytes(MAX_WHOLE_MESSAGE_BYTES)
    key.verify(Algorithm.ED25519, message, keystore.sign(key.fingerprint, Algorithm.ED25519, message))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_closed_partition_does_not_sign(backend: str, request: pytest.FixtureRequest) -> None:
    uri = request.getfixturevalue("new_files") if backend == "files" else request.getfixturevalue("new_token")[1]
    key = make_partition(uri, algorithms=(Algorithm.ED25519,)).keys[Algorithm.ED25519].public_key
    keystore = open_keystore(uri, PIN)
    keystore.sign(key.fingerprint, Algorithm.ED25519, b"m")
    keystore.close()
    with pytest.raises(UnavailableError, match="is not open"):
        keystore.sign(key.fingerprint, Algorithm.ED25519, b"m")


def test_two_workers_hold_two_partitions_apart(partitions: dict[str, Partition], hsm: SoftHsm) -> None:
    token = hsm.token("camera/production", "9999")
    other = make_partition(token, algorithms=(Algorithm.ED25519,), secret=Secret(b"9999"))
    routers, cameras = ThroughWorker(partitions["pkcs11"].uri, PIN), ThroughWorker(other.uri, other.secret)
    try:
        key = other.keys[Algorithm.ED25519].public_key
        key.verify(Algorithm.ED25519, b"m", cameras.sign(key.fingerprint, Algorithm.ED25519, b"m"))
        with pytest.raises(RefusedError, match="holds no key"):
            routers.sign(key.fingerprint, Algorithm.ED25519, b"m")
        assert routers.public_keys().keys().isdisjoint(cameras.public_keys())
    finally:
        routers.close()
        cameras.close()


@pytest.mark.parametrize("algorithm", [Algorithm.RSA_PSS_SHA256, Algorithm.ECDSA_P521_SHA512, Algorithm.ED25519])
def test_an_imported_key_signs_and_is_graded_software(ceremony: Ceremony, algorithm: Algorithm) -> None:
    key = private_keys.generate(algorithm, 3072)
    public = private_keys.public_half(key)
    certificate = self_signed(public, algorithm, lambda p: private_keys.sign(key, algorithm, p), TEMPLATE)
    imported = ceremony.import_key("router/2019", key, (certificate,))
    assert (imported.grade, imported.public_key, imported.certificates) == (Grade.SOFTWARE, public, (certificate,))
    assert [(k.label, k.public_key) for k in ceremony.list_keys()] == [("router/2019", public)]
    ceremony.close()
    keystore = open_keystore(ceremony.uri, PIN)  # type: ignore[attr-defined]
    payload = payload_of(algorithm)
    public.verify(algorithm, payload, keystore.sign(public.fingerprint, algorithm, payload))
    keystore.close()


def test_a_key_is_imported_once(ceremony: Ceremony) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    ceremony.import_key("first", key, ())
    with pytest.raises(RefusedError, match="already holds key") as refused:
        ceremony.import_key("second", key, ())
    assert refused.value.code is Code.CONFLICT
    assert [k.label for k in ceremony.list_keys()] == ["first"]


def test_a_certificate_of_another_key_is_refused_and_nothing_is_imported(ceremony: Ceremony) -> None:
    key, other = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()
    certificate = self_signed(private_keys.public_half(other), Algorithm.ED25519, other.sign, TEMPLATE)
    with pytest.raises(FormatError, match="none of the certificates is of this key"):
        ceremony.import_key("router", key, (certificate,))
    assert ceremony.list_keys() == ()


@pytest.mark.parametrize(
    ("algorithm", "size_bits"),
    [
        (Algorithm.RSA_PKCS1_SHA256, 1024),
        (Algorithm.RSA_PKCS1_SHA256, 2049),
        (Algorithm.ECDSA_P256_SHA256, 384),
        (Algorithm.ED25519, 255),
    ],
)
def test_a_size_that_the_algorithm_has_not_is_refused(ceremony: Ceremony, algorithm: Algorithm, size_bits: int) -> None:
    with pytest.raises(ConfigurationError, match=f"cannot have {size_bits} bits"):
        ceremony.create_key("router", algorithm, size_bits, TEMPLATE)


def test_a_key_whose_certificate_cannot_be_made_is_not_kept(ceremony: Ceremony) -> None:
    template = type(TEMPLATE)(common_name="", not_before=TEMPLATE.not_before, not_after=TEMPLATE.not_after)
    with pytest.raises(ConfigurationError, match="no certificate can say this"):
        ceremony.create_key("router", Algorithm.ECDSA_P256_SHA256, 256, template)
    assert ceremony.list_keys() == ()


def test_a_closed_ceremony_makes_no_key(ceremony: Ceremony) -> None:
    ceremony.close()
    with pytest.raises(UnavailableError, match="is not open"):
        ceremony.create_key("router", Algorithm.ED25519, 256, TEMPLATE)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_key_made_while_a_worker_serves_is_found(backend: str, request: pytest.FixtureRequest) -> None:
    uri = request.getfixturevalue("new_files") if backend == "files" else request.getfixturevalue("new_token")[1]
    keystore = ThroughWorker(uri, PIN)
    try:
        assert keystore.public_keys() == {}
        key = make_partition(uri, algorithms=(Algorithm.ED25519,)).keys[Algorithm.ED25519].public_key
        key.verify(Algorithm.ED25519, b"m", keystore.sign(key.fingerprint, Algorithm.ED25519, b"m"))
    finally:
        keystore.close()


def test_what_is_no_private_key_of_ours_is_not_imported(ceremony: Ceremony) -> None:
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505  # refusing it is the point
    for key in (ec.generate_private_key(ec.SECP256K1()), weak):
        with pytest.raises(FormatError, match="not a private key that can be imported"):
            ceremony.import_key("router", key, ())
    assert ceremony.list_keys() == ()
