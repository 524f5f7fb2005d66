"""One partition that cannot be opened: its orders are refused, everybody else's are signed, and it comes back."""

import threading
from dataclasses import replace

import pytest
from tests.keystores.conftest import PIN
from tests.simulators.live import Live

from sealwright.core.errors import ConfigurationError
from sealwright.keystores.opening import create_partition
from sealwright.wiring import configuration as settings
from sealwright.wiring import doctor, signer
from sealwright.wiring.configuration import PartitionSetting

GOOD, BROKEN = "router-production", "plc-production"


@pytest.fixture
def live(tmp_path):
    return Live(tmp_path).make()


@pytest.fixture
def partitions(live):
    """A signer's own, made before the broken partition was added: the settings change under it."""
    made = signer.Partitions(live.configuration.folder)
    yield made
    made.close()


def add_partition(live, folder) -> PartitionSetting:
    setting = PartitionSetting(uri=f"files:{folder / 'plc'}", secret=f"file:{folder / 'plc.pin'}")
    create_partition(f"files:{folder / 'good'}", PIN)
    (folder / "good.pin").write_bytes(PIN.reveal())
    (folder / "good.pin").chmod(0o600)
    good = PartitionSetting(uri=f"files:{folder / 'good'}", secret=f"file:{folder / 'good.pin'}")
    settings.write(replace(live.configuration, partitions={GOOD: good, BROKEN: setting}))
    return setting


def test_an_unreadable_secret_refuses_its_own_orders_alone(live, partitions, tmp_path):
    setting = add_partition(live, tmp_path)
    refused = partitions[BROKEN].sign([None, None])
    assert [type(refusal) for refusal in refused] == [ConfigurationError] * 2
    with pytest.raises(ConfigurationError, match=r"plc\.pin"):
        partitions[BROKEN].counters()
    assert partitions[GOOD].counters() == {}

    create_partition(setting.uri, PIN)
    (tmp_path / "plc.pin").write_bytes(PIN.reveal())
    (tmp_path / "plc.pin").chmod(0o600)
    assert partitions[BROKEN].counters() == {}, "it is asked anew each time"


def test_a_signer_starts_with_a_partition_that_it_cannot_open(live, tmp_path):
    add_partition(live, tmp_path)
    started = signer.Partitions(live.configuration.folder)
    try:
        assert started[GOOD].counters() == {}
        with pytest.raises(ConfigurationError):
            started[BROKEN].counters()
    finally:
        started.close()


def test_the_signer_names_a_partition_that_it_cannot_open_once_and_the_doctor_does(live, tmp_path, capsys):
    add_partition(live, tmp_path)
    started = signer.Partitions(live.configuration.folder)
    try:
        for _ in range(3):
            started[BROKEN].sign([None])
    finally:
        started.close()
    said = capsys.readouterr().err
    assert said.count(f"nothing is signed with the keys of partition {BROKEN}: cannot open {tmp_path / 'plc.pin'}") == 1
    assert f'[partitions."{BROKEN}"] of sealwright.toml' in said
    assert GOOD not in said
    found = [finding.found for finding in doctor.check_files(live.configuration)]
    assert f"{tmp_path / 'plc.pin'}, of partition {BROKEN}, is missing" in found


def test_settings_that_break_later_stop_no_partition_that_is_open(live, partitions, tmp_path):
    add_partition(live, tmp_path)
    assert partitions[GOOD].counters() == {}
    path = next(live.configuration.folder.glob("*.toml"))
    path.write_text("this is = not [ settings")
    with pytest.raises(ConfigurationError):
        partitions["another"].counters()
    assert partitions[GOOD].counters() == {}


def test_the_watch_over_the_keys_goes_on_after_any_error():
    ended, seen = threading.Event(), []

    class Endpoint:
        def active_keys(self):
            return []

    class Canaries:
        def sing(self, _keys):
            seen.append(1)
            if len(seen) == 2:
                ended.set()
            raise OSError(24, "Too many open files")

    signer._sing(Canaries(), Endpoint(), ended, look_seconds=0.01)
    assert len(seen) == 2
