"""Backups of an installation with a stateful key: a log that may lack numbers brings no counter back."""

import shutil
from pathlib import Path

import pytest
from tests.simulators.live import Live

from sealwright.cli import care
from sealwright.core.errors import ConfigurationError
from sealwright.core.keys import Algorithm, HssLmsPublicKey, PublicKey
from sealwright.keystores.files import COUNTERS_FILE
from sealwright.keystores.lms_state import Counters
from sealwright.keystores.numbers import Block
from sealwright.keystores.opening import open_keystore
from sealwright.keystores.secrets import read_secret
from sealwright.policy.documents import KeyProfile
from sealwright.policy.sections import parse_section
from sealwright.storage import documents_copy
from sealwright.storage.log_reader import LogReader
from sealwright.wiring import backup, ceremony, doctor_records
from sealwright.wiring import configuration as settings


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    """An installation with a stateful key in its policy, stopped."""
    live = Live(tmp_path_factory.mktemp("backup")).make().start().found_policy()
    try:
        made = ceremony.create_key(
            live.configuration,
            ceremony.KeyOrder(
                profile="router/development/lms",
                algorithm=Algorithm.HSS_LMS,
                size_bits=0,
                image_format="raw",
                parameters="sha256-n24-h5-w4",
            ),
        )
        live.change_policy(lambda draft: draft.put(made))
    finally:
        live.stop()
    return live


@pytest.fixture
def stateful(founded, tmp_path) -> Live:
    """A copy of that installation, to lose."""
    shutil.copytree(founded.folder / "i", tmp_path / "i", ignore=shutil.ignore_patterns("*.sock"))
    return Live(tmp_path, identities=founded.identities)


def counters_of(configuration: settings.Configuration) -> Path:
    return configuration.keys / "router-development" / COUNTERS_FILE


def test_a_log_that_may_lack_numbers_takes_the_counters_of_stateful_keys_with_it(stateful, tmp_path, capsys):
    made = backup.back_up(stateful.configuration, tmp_path / "b", with_keys=True)
    assert (tmp_path / "b" / "signer/keys/router-development" / COUNTERS_FILE).exists()
    care.restore(tmp_path / "b", tmp_path / "r", None, f"{made.size}:{made.root_hash}")
    said = capsys.readouterr().out
    assert "stateful keys that sign no more: router/development/lms\n" in said
    assert "the log may lack numbers that they used" in said
    assert "`sealwright key create`" in said
    restored = settings.load(tmp_path / "r")
    assert not counters_of(restored).exists()
    assert list(counters_of(restored).parent.glob("*.nodes"))
    shutil.copytree(stateful.configuration.secrets, restored.secrets, dirs_exist_ok=True)
    secret = read_secret(restored.partitions["router-development"].secret)
    store = open_keystore(restored.partitions["router-development"].uri, secret)
    (key,) = (f for f, public in store.public_keys().items() if isinstance(public.key, HssLmsPublicKey))
    assert key not in store.counters()
    with pytest.raises(ConfigurationError, match="does not know how far") as refused:
        store.sign(key, Algorithm.HSS_LMS, b"firmware", Block(1, 9))
    assert "rotate it" in refused.value.hint


def test_without_keys_in_the_backup_the_stateful_ones_are_named_too(stateful, tmp_path):
    made = backup.back_up(stateful.configuration, tmp_path / "b", with_keys=False)
    restored, _ = backup.restore(tmp_path / "b", tmp_path / "r", as_of=(made.size, made.root_hash))
    assert backup.without_counters(restored) == ["router/development/lms"]


def test_the_newest_state_has_the_newest_counters(stateful, tmp_path, capsys):
    backup.back_up(stateful.configuration, tmp_path / "b", with_keys=True)
    counters = Counters(counters_of(stateful.configuration))
    key = PublicKey(stateful_key(stateful).public_key).fingerprint
    counters.take(key, 0, 32)
    care.restore(tmp_path / "b", tmp_path / "r", tmp_path / "i", "")
    assert "sign no more" not in capsys.readouterr().out
    assert Counters(counters_of(settings.load(tmp_path / "r"))).next(key) == (2, 32)
    assert not backup.without_counters(settings.load(tmp_path / "r"))


def stateful_key(live: Live) -> KeyProfile:
    with LogReader(live.configuration.log_database) as log:
        policy = doctor_records.replay(log, live.configuration, log.size).state.policy
    assert policy is not None
    found = documents_copy.sections(live.configuration.documents_database, policy.digest)
    return next(p for s in found if (p := parse_section(s)).id == "router/development/lms")


def test_the_doctor_says_which_stateful_key_has_lost_its_counter(stateful):
    counters_of(stateful.configuration).unlink()
    bad = [f for f in doctor_records.examine(stateful.configuration) if f.is_bad and f.subject == "keys"]
    assert [f.found for f in bad] == ["router/development/lms: its counter is lost, and without it nothing is signed"]
    assert "an old counter would let numbers sign twice" in bad[0].remedy
