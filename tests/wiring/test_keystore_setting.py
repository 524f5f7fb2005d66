"""Where a key ceremony puts new partitions: encrypted files, or a token each on a real PKCS#11 module."""

import hashlib
import subprocess
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.conftest import require_tool
from tests.simulators.live import Live
from tests.simulators.softhsm import SoftHsm

from sealwright.core.errors import ConfigurationError
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.keystores.frames import Item
from sealwright.keystores.secrets import read_secret
from sealwright.keystores.worker_client import Worker
from sealwright.policy.documents import KeyGrade
from sealwright.wiring import ceremony, configuration, partitions
from sealwright.wiring.configuration import KEY_FILES
from sealwright.wiring.folders import ensure_secret


@pytest.fixture
def hsm(tmp_path):
    hsm = SoftHsm(tmp_path)
    yield hsm
    hsm.close()


def order(profile: str) -> ceremony.KeyOrder:
    return ceremony.KeyOrder(
        profile=profile, algorithm=Algorithm.ECDSA_P256_SHA256, size_bits=256, image_format="raw"
    )  # fmt: skip


def installation(folder, keystore):
    """An installation whose settings name this keystore."""
    made = Live(folder).make().configuration
    made = replace(made, keystore=configuration.in_folder(keystore, made.folder))
    configuration.write(made)
    return made


def signature_of(made, profile) -> bytes:
    """Sign as the signer would: by the worker of the partition that the settings name."""
    setting = configuration.load(made.folder).partitions[profile.partition]
    worker = Worker(setting.uri, read_secret(setting.secret))
    try:
        key = PublicKey(profile.public_key)
        (signature,) = worker.sign([Item(key.fingerprint, profile.algorithm, hashlib.sha256(b"image").digest())])
        return signature
    finally:
        worker.close()


@pytest.mark.parametrize("spelling", ["pkcs11:module-path={}", "pkcs11:?module-path={}"])
def test_each_partition_becomes_a_token_of_the_module(tmp_path, hsm, spelling):
    keystore = partitions.keystore_setting(spelling.format(hsm.module_path))
    made = installation(tmp_path / "live", keystore)
    for name in ("router/production/1", "router/production/2", "router/development/1"):
        made = partitions.ensure_partition(made, partitions.partition_name(name))
        profile = ceremony.create_key(made, order(name))
        assert profile.grade is KeyGrade.HARDWARE_CLAIMED
        PublicKey(profile.public_key).verify(
            profile.algorithm, hashlib.sha256(b"image").digest(), signature_of(made, profile)
        )
    tokens = subprocess.run(
        [require_tool("softhsm2-util"), "--show-slots"], capture_output=True, text=True, check=True
    ).stdout
    assert tokens.count("router-production") == tokens.count("router-development") == 1
    assert "1234" not in (made.folder / "sealwright.toml").read_text()
    pins = {path.name: path.read_text() for path in made.secrets.iterdir()}
    assert pins.keys() == {"so-pin", "router-production", "router-development"}
    assert len(set(pins.values())) == 3
    assert {path.stat().st_mode & 0o777 for path in made.secrets.iterdir()} == {0o600}


def test_tokens_made_with_the_vendors_tool_are_used_as_they_are(tmp_path, hsm):
    hsm.token("acme-router-production", pin="7531")
    pin = tmp_path / "pin"
    pin.write_text("7531\n")
    pin.chmod(0o600)
    keystore = partitions.keystore_setting(
        f"pkcs11:token=acme-{{partition}}?module-path={hsm.module_path}", pin=f"file:{pin}"
    )
    made = partitions.ensure_partition(installation(tmp_path / "live", keystore), "router-production")
    profile = ceremony.create_key(made, order("router/production/1"))
    assert signature_of(made, profile)


def test_a_token_that_is_there_is_never_initialised_again(tmp_path, hsm):
    hsm.token("router-production")
    keystore = partitions.keystore_setting(f"pkcs11:module-path={hsm.module_path}")
    made = installation(tmp_path / "live", keystore)
    with pytest.raises(ConfigurationError, match="already a token 'router-production'"):
        partitions.ensure_partition(made, "router-production")
    assert configuration.load(made.folder).partitions == {}


def test_key_files_are_the_default_and_a_half_made_partition_is_no_obstacle(tmp_path):
    made = Live(tmp_path).make().configuration
    ensure_secret(made.keystore.partition("router-test").secret)  # a ceremony that got no further
    made = partitions.ensure_partition(made, "router-test")
    profile = ceremony.create_key(made, order("router/test/1"))
    assert profile.grade is KeyGrade.SOFTWARE
    assert made.partitions["router-test"].uri == f"files:{made.keys}/router-test"
    assert partitions.ensure_partition(made, "router-test") is made


@pytest.mark.parametrize("place", ["files", "token"])
def test_a_key_imported_twice_is_there_once_and_signs(tmp_path, hsm, place):
    text = "files" if place == "files" else f"pkcs11:module-path={hsm.module_path}"
    made = installation(tmp_path / "live", partitions.keystore_setting(text))
    made = partitions.ensure_partition(made, "router-production")
    key = ec.generate_private_key(ec.SECP256R1())
    first = ceremony.import_key(made, order("router/production/2019"), key, ())
    again = ceremony.import_key(made, order("router/production/2020"), key, ())
    assert (first.public_key, first.grade) == (again.public_key, again.grade)
    assert again.grade is KeyGrade.SOFTWARE
    PublicKey(again.public_key).verify(again.algorithm, hashlib.sha256(b"image").digest(), signature_of(made, again))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hsm", "is no keystore"),
        ("pkcs11:token=one?module-path=/m.so", "would put all partitions into one place"),
        ("pkcs11:module-path=m.so", "absolute path"),
        ("pkcs11:module-path=/no/such/module.so", "there is no module"),
        ("pkcs11:module-path=/m.so&pin-value=1234", "a PIN does not belong in a URI"),
    ],
)
def test_a_keystore_that_cannot_be_is_refused(text, message):
    with pytest.raises(ConfigurationError, match=message):
        partitions.keystore_setting(text)


def test_files_is_the_word_for_key_files():
    assert partitions.keystore_setting("files") is KEY_FILES
