"""The log's second key in an installation: a server without it does not start, an older one goes on and gets it."""

from contextlib import ExitStack
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from tests.simulators.live import Live

from sealwright.core.errors import ConfigurationError
from sealwright.policy.fold import LogState
from sealwright.storage.log import LogStore
from sealwright.translog.log_keys import LogKeys, open_checkpoint
from sealwright.translog.notes import NoteSigner
from sealwright.wiring import configuration as settings
from sealwright.wiring import doctor_records, server
from sealwright.wiring.private_keys import check_named_keys, read_note_signer

ORIGIN = "log.example/acme"


@pytest.fixture
def live(tmp_path):
    return Live(tmp_path / "x").make()


def test_a_new_log_signs_with_both_keys_from_its_first_entry_on(live):
    signer = read_note_signer(live.configuration)
    keys = LogKeys(signer.verifier_key, signer.ml_dsa_verifier_key)
    assert live.trust.log_keys == keys
    with LogStore(live.configuration.log_database, signer=signer, guard_directory=live.configuration.guard) as log:
        assert open_checkpoint(log.checkpoint(), origin=log.origin, log_keys=keys).checkpoint.size == 1
        log.append([b"{}"] * 3)
        assert log.verify_all(keys).size == 4


@pytest.mark.parametrize("how", ["not set", "another one"])
def test_a_server_without_the_key_that_its_root_names_does_not_start(live, how):
    configuration = live.configuration
    if how == "not set":
        settings.write(replace(configuration, log_ml_dsa_key=""))
    else:
        (configuration.folder / "server" / "log-ml-dsa-key").write_text("11" * 32)
    with ExitStack() as undo, pytest.raises(ConfigurationError, match=how) as caught:
        server.build(settings.load(configuration.folder), undo)
    assert caught.value.setting == "server.log_ml_dsa_key"


def test_a_server_with_it_does(live):
    with ExitStack() as undo:
        assert server.build(live.configuration, undo).ledger.log.head()[0].size == 1


def test_a_file_that_holds_no_key_is_refused(live):
    for content in ("11" * 31, "11" * 33, "not hex"):
        (live.configuration.folder / "server" / "log-ml-dsa-key").write_text(content)
        with pytest.raises(ConfigurationError, match=r"server.log_ml_dsa_key does not hold 32 bytes in hex"):
            read_note_signer(live.configuration)


def test_a_key_that_no_root_names_yet_is_no_harm():
    check_named_keys(LogState(instance="0" * 64, origin=ORIGIN), NoteSigner(ORIGIN, Ed25519PrivateKey.generate()))


def test_an_older_log_goes_on_with_a_second_key(tmp_path):
    older = NoteSigner(ORIGIN, Ed25519PrivateKey.generate())
    newer = replace(older, ml_dsa_key=MLDSA44PrivateKey.generate())
    keys = LogKeys(newer.verifier_key, newer.ml_dsa_verifier_key, 3)
    with LogStore.create(tmp_path / "log.db", signer=older, guard_directory=tmp_path) as log:
        log.append([b"a", b"b"])
        assert log.verify_all(keys).size == 2
    with LogStore(tmp_path / "log.db", signer=newer, guard_directory=tmp_path) as log:
        _, note = log.append([b"c"])
        assert open_checkpoint(note, origin=ORIGIN, log_keys=keys).checkpoint.size == 3
    with LogStore(tmp_path / "log.db", signer=older, guard_directory=tmp_path) as log:
        assert log.append([b"d"])[0] == 3  # the log cannot know what the root names; the server asks at its start


def test_the_doctor_says_how_far_the_way_to_a_second_key_is_gone(live, monkeypatch):
    keys = live.trust.log_keys
    monkeypatch.setattr(doctor_records, "log_keys_of", lambda _: LogKeys(keys.ed25519))

    def said() -> list[str]:
        found = doctor_records.check_identities(settings.load(live.configuration.folder))
        return [finding.found for finding in found if not finding.is_bad]

    command = f"`sealwright policy root log-key {keys.ml_dsa}`"
    assert any(f"does not name the log's ML-DSA-44 key yet; {command}" in s for s in said())
    settings.write(replace(live.configuration, log_ml_dsa_key=""))
    assert any("Ed25519 alone signs the log's checkpoints" in s for s in said())
