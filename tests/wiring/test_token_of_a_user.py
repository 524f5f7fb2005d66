"""The first key of a partition that the settings give to a user: its token is made then, by that user."""

from dataclasses import replace

import pytest
from tests.simulators import users
from tests.simulators.live import Live
from tests.simulators.softhsm import SoftHsm

from sealwright.core.errors import SealwrightError
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.keystores.frames import Item
from sealwright.wiring import ceremony, partitions
from sealwright.wiring import configuration as settings
from sealwright.wiring.configuration import PartitionSetting
from sealwright.wiring.signer import start_worker

NAME, USER = "router-production", users.FIRST
ORDER = ceremony.KeyOrder(
    profile="router/production/1", algorithm=Algorithm.ECDSA_P256_SHA256, size_bits=256, image_format="raw"
)


@pytest.fixture
def hsm(monkeypatch):
    users.require_root()
    users.use_python(monkeypatch)
    with users.open_folder() as folder:
        hsm = SoftHsm(folder)
        hsm.tokens_folder.chmod(0o1777)
        hsm.configuration.chmod(0o644)
        yield hsm
        hsm.close()


@pytest.fixture
def configuration(tmp_path, hsm):
    """As the hardening page says: settings first, then the key."""
    made = Live(tmp_path).make().configuration
    keystore = partitions.keystore_setting(f"pkcs11:module-path={hsm.module_path}")
    partition = PartitionSetting(uri=hsm.uri(NAME), secret=f"file:{made.secrets / NAME}", user=USER)
    made = replace(made, keystore=settings.in_folder(keystore, made.folder), partitions={NAME: partition})
    settings.write(made)
    return settings.load(made.folder)


def test_a_token_is_made_by_its_user_with_the_first_key_and_its_worker_signs(configuration, hsm):
    with partitions.partition_for(configuration, NAME) as settled:
        profile = ceremony.create_key(settled, ORDER)
    (token,) = hsm.tokens_folder.iterdir()
    assert {path.stat().st_uid for path in (token, *token.iterdir())} == {USER}
    for secret in ("so-pin", NAME):
        status = (configuration.secrets / secret).stat()
        assert (status.st_uid, status.st_mode & 0o777) == (0, 0o600)
    worker = start_worker(configuration.partitions[NAME])
    try:
        key = PublicKey(profile.public_key)
        (signature,) = worker.sign([Item(key.fingerprint, ORDER.algorithm, bytes(32))])
        key.verify(ORDER.algorithm, bytes(32), signature)
    finally:
        worker.close()
    with partitions.partition_for(configuration, NAME) as settled:
        ceremony.create_key(settled, replace(ORDER, profile="router/production/2"))
    assert len(list(hsm.tokens_folder.iterdir())) == 1, "it is made once"


def test_without_an_officers_pin_the_token_is_made_beforehand(configuration, hsm):
    configuration = replace(configuration, keystore=replace(configuration.keystore, so_pin=""))
    (configuration.secrets / NAME).write_text("1234")
    (configuration.secrets / NAME).chmod(0o600)
    with (
        pytest.raises(SealwrightError, match=f"no token '{NAME}'"),
        partitions.partition_for(configuration, NAME) as settled,
    ):
        ceremony.create_key(settled, ORDER)
    assert list(hsm.tokens_folder.iterdir()) == []
