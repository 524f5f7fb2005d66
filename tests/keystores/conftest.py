"""What the keystore tests share: partitions with real keys, and OpenSSL as the judge of signatures."""

import hashlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.conftest import require_tool
from tests.simulators.softhsm import SoftHsm

from sealwright.core.errors import Code, RefusedError, SealwrightError, UnavailableError
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.keystores.frames import Failure, Item
from sealwright.keystores.interface import CertificateTemplate, CreatedKey
from sealwright.keystores.opening import create_partition, open_ceremony
from sealwright.keystores.secrets import Secret
from sealwright.keystores.worker_client import Worker

CLASSICAL = tuple(algorithm for algorithm in Algorithm if not algorithm.is_post_quantum)
"""What every backend has; the others: ``test_keystore_post_quantum``, ``test_hss_lms``."""
PIN = Secret(b"correct horse 1234")
TEMPLATE = CertificateTemplate(
    common_name="TEST ONLY router production firmware",
    not_before=datetime(2026, 1, 1, tzinfo=UTC),
    not_after=datetime(2046, 1, 1, tzinfo=UTC),
)


def size_of(algorithm: Algorithm) -> int:
    """Return the smallest size that a new key of this algorithm may have."""
    return algorithm.key_size_bits or 2048


def payload_of(algorithm: Algorithm, message: bytes = b"firmware") -> bytes:
    """Return what a keystore gets to sign of a message."""
    return hashlib.new(algorithm.hash_name, message).digest() if algorithm.is_prehashed else message


@dataclass
class Partition:
    """A partition made for tests, with one key of every algorithm."""

    uri: str
    secret: Secret
    keys: dict[Algorithm, CreatedKey]


def make_partition(uri: str, *, algorithms: tuple[Algorithm, ...] = CLASSICAL, secret: Secret = PIN) -> Partition:
    """Make one key of each algorithm in the empty partition ``uri``."""
    ceremony = open_ceremony(uri, secret)
    try:
        keys = {a: ceremony.create_key(f"router/{a}", a, size_of(a), TEMPLATE) for a in algorithms}
    finally:
        ceremony.close()
    return Partition(uri=uri, secret=secret, keys=keys)


class ThroughWorker:
    """A worker as a ``Keystore``: one item per batch, failures raised."""

    def __init__(self, uri: str, secret: Secret) -> None:
        self.worker = Worker(uri, secret)

    def public_keys(self) -> dict[str, PublicKey]:
        return self.worker.public_keys()

    def sign(self, fingerprint: str, algorithm: Algorithm, payload: bytes) -> bytes:
        (answer,) = self.worker.sign([Item(fingerprint, algorithm, payload)])
        if isinstance(answer, Failure):
            raise _as_error(answer)
        return answer

    def close(self) -> None:
        self.worker.close()


def _as_error(failure: Failure) -> SealwrightError:
    if failure.code is Code.KEYSTORE_UNAVAILABLE:
        return UnavailableError(failure.message, code=failure.code)
    if failure.code is Code.NOT_FOUND:
        return RefusedError(failure.message, code=failure.code)
    return SealwrightError(failure.message, code=failure.code)


@pytest.fixture(scope="module")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftHsm]:
    """A SoftHSM of this test module."""
    hsm = SoftHsm(tmp_path_factory.mktemp("softhsm"))
    yield hsm
    hsm.close()


@pytest.fixture
def new_files(tmp_path: Path) -> str:
    """An empty partition of encrypted files."""
    uri = f"files:{tmp_path / 'partition'}"
    create_partition(uri, PIN)
    return uri


@pytest.fixture
def new_token(tmp_path: Path) -> Iterator[tuple[SoftHsm, str]]:
    """A SoftHSM of this test only, with one empty token."""
    folder = tmp_path / "hsm"
    folder.mkdir()
    hsm = SoftHsm(folder)
    yield hsm, hsm.token("router/production", PIN.reveal().decode())
    hsm.close()


def openssl_verdict(folder: Path, key: PublicKey, algorithm: Algorithm, payload: bytes, signature: bytes) -> str:
    """Return what ``openssl pkeyutl -verify`` says."""
    (folder / "key.der").write_bytes(key.spki_der)
    (folder / "payload").write_bytes(payload)
    (folder / "signature").write_bytes(signature)
    command = [require_tool("openssl"), "pkeyutl", "-verify", "-pubin", "-inkey", "key.der", "-in", "payload"]
    command += ["-keyform", "DER", "-sigfile", "signature"]
    if algorithm.is_prehashed:
        command += ["-pkeyopt", f"digest:{algorithm.hash_name}"]
    else:
        command += ["-rawin"]
    if "-pss-" in algorithm:
        command += ["-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:digest"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout.strip()
