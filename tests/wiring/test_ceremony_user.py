"""A key ceremony in a partition that belongs to a user of its own: its keys are for that user, its papers are not."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.simulators import ceremonies, users
from tests.simulators.live import Live
from tests.simulators.softhsm import SoftHsm

from sealwright.core.keys import PublicKey
from sealwright.keystores.opening import open_keystore
from sealwright.keystores.secrets import read_secret
from sealwright.wiring import configuration as settings
from sealwright.wiring import key_ceremony, partitions
from sealwright.wiring.configuration import Configuration, PartitionSetting
from sealwright.wiring.partition_user import acting_as

PIN, USER, NAME = "hunter42", users.FIRST, "router-production"


@pytest.fixture(params=["files", "token"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Configuration, Path]]:
    """Yield an instance with a partition of another user, and the folder that the partition's files are in."""
    users.require_root()
    users.use_python(monkeypatch)
    configuration = Live(tmp_path / "live").make().configuration
    secret = tmp_path / "pin"
    secret.write_text(PIN)
    secret.chmod(0o600)
    with users.open_folder() as folder:
        hsm = SoftHsm(folder) if request.param == "token" else None
        kept, uri = folder / NAME, f"files:{folder / NAME}"
        if hsm:
            hsm.tokens_folder.chmod(0o1777)
            hsm.configuration.chmod(0o644)
            with acting_as(USER):
                uri = hsm.token(NAME, PIN)
            (kept,) = hsm.tokens_folder.iterdir()
        setting = PartitionSetting(uri=uri, secret=f"file:{secret}", user=USER)
        settings.write(replace(configuration, partitions={NAME: setting}))
        yield partitions.ensure_partition(settings.load(configuration.folder), NAME), kept
        if hsm:
            hsm.close()


def test_the_keys_belong_to_the_partitions_user_and_the_minutes_to_who_held_the_ceremony(
    place: tuple[Configuration, Path], tmp_path: Path
) -> None:
    configuration, kept = place
    is_token = not configuration.partitions[NAME].uri.startswith("files:")
    people = {name: ceremonies.participant(tmp_path, name) for name in ("ada", "ben")}
    backup = "never" if is_token else "sealed-copy"
    more = {"grade": "hardware-claimed", "module": ceremonies.module()} if is_token else {}
    script = ceremonies.script(people, ceremonies.key("1", backup=backup), id="user", **more)
    done = key_ceremony.run(configuration, script.encode(), {})
    assert {path.stat().st_uid for path in (kept, *kept.iterdir())} == {USER}
    assert {path.stat().st_uid for path in done.path.parent.rglob("*")} == {os.geteuid()}
    (made,) = done.checked.minutes.keys
    assert bool(made.copies) != is_token
    setting = configuration.partitions[NAME]
    secret = read_secret(setting.secret)
    with acting_as(USER):
        keystore = open_keystore(setting.uri, secret)
        assert PublicKey(made.public_key).fingerprint in keystore.public_keys()
        keystore.close()
