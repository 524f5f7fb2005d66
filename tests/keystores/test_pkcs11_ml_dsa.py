"""ML-DSA on a PKCS#11 3.2 token: keys made in NSS, used through a worker, verified by two others."""

from pathlib import Path
from typing import Any

import pytest
from dilithium_py.ml_dsa import ML_DSA_44, ML_DSA_65, ML_DSA_87
from tests.keystores.conftest import PIN, TEMPLATE, ThroughWorker, make_partition
from tests.simulators import nss

from sealwright.core.errors import ConfigurationError, VerificationError
from sealwright.core.keys import MAX_WHOLE_MESSAGE_BYTES, Algorithm
from sealwright.keystores import private_keys
from sealwright.keystores.interface import Grade
from sealwright.keystores.opening import create_partition, open_ceremony
from sealwright.keystores.secrets import Secret

ML_DSA: dict[Algorithm, Any] = {
    Algorithm.ML_DSA_44: ML_DSA_44,
    Algorithm.ML_DSA_65: ML_DSA_65,
    Algorithm.ML_DSA_87: ML_DSA_87,
}
MESSAGE = b"signed attributes"


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty token with a PIN."""
    return nss.make_token(tmp_path, PIN, monkeypatch)


def test_keys_made_on_the_token_sign_through_a_worker_and_others_accept_it(token: str) -> None:
    keys = make_partition(token, algorithms=tuple(ML_DSA)).keys
    keystore = ThroughWorker(token, PIN)
    assert set(keystore.public_keys()) == {key.public_key.fingerprint for key in keys.values()}
    for algorithm, other in ML_DSA.items():
        key = keys[algorithm].public_key
        signature = keystore.sign(key.fingerprint, algorithm, MESSAGE)
        assert len(signature) == algorithm.most_signature_bytes
        key.verify(algorithm, MESSAGE, signature)
        raw: Any = key.key
        assert other.verify(raw.public_bytes_raw(), MESSAGE, signature)
        flipped = bytes([signature[0] ^ 1]) + signature[1:]
        for message, wrong in ((MESSAGE + b"!", signature), (MESSAGE, flipped)):
            with pytest.raises(VerificationError):
                key.verify(algorithm, message, wrong)
            assert not other.verify(raw.public_bytes_raw(), message, wrong)
    keystore.close()


def test_the_token_says_all_but_that_the_key_was_made_inside(token: str) -> None:
    created = make_partition(token, algorithms=(Algorithm.ML_DSA_65,)).keys[Algorithm.ML_DSA_65]
    assert created.grade is Grade.HARDWARE_CLAIMED
    assert {name for name, value in created.attributes.items() if value} == {
        "SENSITIVE",
        "ALWAYS_SENSITIVE",
        "NEVER_EXTRACTABLE",
    }


def test_a_message_as_long_as_is_ever_signed_whole_is_signed_and_a_longer_one_refused(token: str) -> None:
    algorithm = Algorithm.ML_DSA_44
    key = make_partition(token, algorithms=(algorithm,)).keys[algorithm].public_key
    keystore = ThroughWorker(token, PIN)
    longest = bytes(MAX_WHOLE_MESSAGE_BYTES)
    key.verify(algorithm, longest, keystore.sign(key.fingerprint, algorithm, longest))
    with pytest.raises(Exception, match="at most 65536 are signed whole"):
        keystore.sign(key.fingerprint, algorithm, longest + b"!")
    with pytest.raises(Exception, match="ml-dsa-65"):
        keystore.sign(key.fingerprint, Algorithm.ML_DSA_65, MESSAGE)
    keystore.close()


def test_what_a_token_of_nss_does_not_do_is_said(token: str) -> None:
    ceremony = open_ceremony(token, PIN)
    with pytest.raises(ConfigurationError, match="slh-dsa-sha2-128f is not used through PKCS#11 on nss"):
        ceremony.create_key("router", Algorithm.SLH_DSA_SHA2_128F, 256, TEMPLATE)
    with pytest.raises(ConfigurationError, match="MLDSA44PrivateKey is not used through PKCS#11 here"):
        ceremony.import_key("router", private_keys.generate(Algorithm.ML_DSA_44, 0), ())
    assert ceremony.list_keys() == ()
    ceremony.close()
    with pytest.raises(ConfigurationError, match="tokens of nss are not made through PKCS#11") as refused:
        create_partition(token, PIN, Secret(b"officer"))
    assert "certutil" in refused.value.hint
