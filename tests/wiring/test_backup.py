"""Backups: readable at any time; going on is refused wherever it could fork the log, and works where it cannot."""

import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from tests.simulators.live import Live, free_port

from sealwright.cli.main import main
from sealwright.core.errors import (
    Code,
    ConfigurationError,
    FormatError,
    RefusedError,
    UnavailableError,
    VerificationError,
)
from sealwright.service.messages import Health, PolicyAnswer
from sealwright.storage.log import LogStore
from sealwright.storage.log_reader import LogReader
from sealwright.wiring import backup, doctor_records
from sealwright.wiring import configuration as settings
from sealwright.wiring.private_keys import read_note_signer


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    """An installation with a policy and keys, stopped."""
    live = Live(tmp_path_factory.mktemp("backup")).make().start().found_policy()
    live.stop()
    return live


@pytest.fixture
def live(founded, tmp_path) -> Live:
    """A copy of that installation, to lose."""
    shutil.copytree(founded.folder / "i", tmp_path / "i", ignore=shutil.ignore_patterns("*.sock"))
    copy = Live(tmp_path, identities=founded.identities)
    settings.write(replace(copy.configuration, port=free_port()))
    return copy


def put_image(live: Live, content: bytes) -> str:
    name = sha256(content).hexdigest()
    path = live.configuration.images / name[:2] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    (path.parent / ".incoming-x").write_bytes(b"half")
    return name


def grow(live: Live) -> None:
    """Have the log go on by one entry, as after the backup."""
    configuration = live.configuration
    signer = read_note_signer(configuration)
    with LogStore(configuration.log_database, signer=signer, guard_directory=configuration.guard) as log:
        log.append([b"{}"])


def goes_on(live: Live, folder) -> None:
    """The restored installation is healthy, and signs: its signer follows and its server logs."""
    restored = Live(live.folder, identities=live.identities)
    with LogReader(settings.load(folder).log_database) as log:
        size = log.size
    assert not [f for f in doctor_records.examine(settings.load(folder)) if f.is_bad]
    (live.folder / "i").rename(live.folder / "gone")
    folder.rename(live.folder / "i")  # an instance may be moved as a whole
    restored.start()
    try:
        with restored.api("root-a") as api:
            assert api.get(PolicyAnswer, "/v1/policy").policy is not None
            # The signer announces its new session once it has followed the whole log: then it would sign.
            deadline = time.monotonic() + 10
            while api.get(Health, "/v1/status").detail == f"log size {size}":
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert api.get(Health, "/v1/status").status == "ok"
    finally:
        restored.stop()


def test_a_backup_of_a_running_installation_is_whole_and_holds_no_secret(live, tmp_path):
    name = put_image(live, b"firmware")
    live.start()
    try:
        made = backup.back_up(live.configuration, tmp_path / "b", with_keys=True)
    finally:
        live.stop()
    assert backup.read_backup(tmp_path / "b") == made
    files = {str(p.relative_to(tmp_path / "b")) for p in (tmp_path / "b").rglob("*") if p.is_file()}
    assert f"server/images/{name[:2]}/{name}" in files
    assert "signer/keys/router-production/partition.json" in files
    forbidden = ("guard", "head", "identity", "log-key", "secrets", ".incoming", ".lock", "-wal")
    assert not [f for f in files if any(word in f for word in forbidden)]
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o700
    with LogReader(tmp_path / "b" / "server" / "log.db") as log:
        assert (log.size, log.root(log.size).hex()) == (made.size, made.root_hash)


def test_without_keys_a_backup_has_none_and_it_never_replaces_anything(live, tmp_path):
    backup.back_up(live.configuration, tmp_path / "b", with_keys=False)
    assert not (tmp_path / "b" / "signer").exists()
    with pytest.raises(RefusedError, match="exists"):
        backup.back_up(live.configuration, tmp_path / "b", with_keys=False)
    live.configuration.log_database.unlink()
    with pytest.raises(ConfigurationError, match="there is no log"):
        backup.back_up(live.configuration, tmp_path / "c", with_keys=False)
    assert {p.name for p in tmp_path.iterdir()} == {"b", "i"}


@pytest.mark.parametrize("place", ["/proc/backup", "/sys/deep/backup"])
def test_a_place_that_takes_no_files_is_a_wrong_setting(live, place):
    with pytest.raises(ConfigurationError, match="no backup can be made in"):
        backup.back_up(live.configuration, Path(place), with_keys=True)


def test_every_folder_of_a_backup_is_private(live, tmp_path):
    backup.back_up(live.configuration, tmp_path / "b", with_keys=True)
    folders = [path for path in (tmp_path / "b").rglob("*") if path.is_dir()]
    assert {path.name for path in folders} >= {"server", "signer", "keys", "images"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in folders)


def test_what_a_backup_without_keys_lacks_is_listed_and_found(live, tmp_path):
    made = backup.back_up(live.configuration, tmp_path / "b", with_keys=False)
    restored, missing = backup.restore(tmp_path / "b", tmp_path / "r", as_of=(made.size, made.root_hash))
    for name in restored.partitions:
        folder = restored.folder / "signer/keys" / name
        assert f"{folder}/" in missing
        (found,) = [f for f in doctor_records.examine(restored) if f.is_bad and name in f.found and f.subject == "keys"]
        assert f"its key files are not there: {folder}" in found.found
        assert "--keys" in found.remedy


def test_keys_outside_the_instance_are_named_when_they_are_not_copied(live, tmp_path, capsys):
    moved = tmp_path / "elsewhere"
    (live.configuration.keys / "router-production").rename(moved)
    configuration = live.configuration
    partitions = {
        **configuration.partitions,
        "router-production": replace(configuration.partitions["router-production"], uri=f"files:{moved}"),
        "router-test": settings.PartitionSetting(
            uri="pkcs11:token=router-test?module-path=/m.so",
            secret="credential:router-test",  # noqa: S106 - a source
        ),
    }
    so_pin = configuration.folder / "signer/secrets/so-pin"
    keystore = replace(configuration.keystore, so_pin=f"file:{so_pin}")
    settings.write(replace(configuration, partitions=partitions, keystore=keystore))
    left_out = {
        "router-production": f"files:{moved}",
        "router-test": "pkcs11:token=router-test?module-path=/m.so",
    }
    assert main(["backup", str(configuration.folder), str(tmp_path / "b"), "--keys"]) == 0
    said = capsys.readouterr().err
    for name, uri in left_out.items():
        assert f"not in it: the keys of partition {name}, {uri}; copy them" in said
    manifest = backup.read_backup(tmp_path / "b")
    assert manifest.left_out == tuple(left_out)
    assert [file.path for file in manifest.files if file.path.startswith("signer/keys")] == sorted(
        f"signer/keys/router-development/{path.name}"
        for path in (configuration.keys / "router-development").iterdir()
        if not path.name.startswith(".")
    )
    moved.rename(tmp_path / "lost")
    with LogReader(configuration.log_database) as log:
        newest = log.size, log.root(log.size).hex()
    _, missing = backup.restore(tmp_path / "b", tmp_path / "new", as_of=newest)
    assert f"{moved}/" in missing
    assert str(tmp_path / "new/signer/secrets/so-pin") in missing


def test_the_newest_state_goes_on_in_place_of_the_old_installation(live, tmp_path):
    put_image(live, b"firmware")
    backup.back_up(live.configuration, tmp_path / "b", with_keys=False)
    made, missing = backup.restore(tmp_path / "b", tmp_path / "r", replacing=tmp_path / "i")
    assert missing == []
    assert made == settings.load(tmp_path / "r")
    (tmp_path / "i" / settings.REPLACED).unlink()  # it only says so; what keeps the old one from going on:
    with pytest.raises(RefusedError, match="nobody knows how far this log was published"):
        grow(live)
    goes_on(live, tmp_path / "r")


def test_the_installation_that_was_replaced_says_by_which(live, tmp_path):
    backup.back_up(live.configuration, tmp_path / "b", with_keys=False)
    backup.restore(tmp_path / "b", tmp_path / "r", replacing=tmp_path / "i")
    with pytest.raises(ConfigurationError, match=f"{tmp_path}/i was replaced by {tmp_path}/r: guard and signer memory"):
        settings.load(tmp_path / "i")
    assert settings.load(tmp_path / "r").folder == tmp_path / "r"


@pytest.mark.parametrize("place", ["b", "server/b", "new/folder/b"])
def test_no_backup_goes_into_the_instance_itself(live, tmp_path, place):
    before = sorted((tmp_path / "i").rglob("*"))
    with pytest.raises(RefusedError, match="lies inside the instance") as refused:
        backup.back_up(live.configuration, tmp_path / "i" / place, with_keys=False)
    assert refused.value.code is Code.CONFLICT
    assert sorted((tmp_path / "i").rglob("*")) == before


def test_the_newest_state_goes_on_with_a_lost_machine_when_somebody_vouches_for_it(live, tmp_path):
    made = backup.back_up(live.configuration, tmp_path / "b", with_keys=True)
    restored, missing = backup.restore(tmp_path / "b", tmp_path / "r", as_of=(made.size, made.root_hash))
    names = {
        "server/log-key",
        "server/log-ml-dsa-key",
        "signer/identity",
        "signer/secrets/router-production",
        "signer/secrets/router-development",
    }
    assert set(missing) == {str(tmp_path / "r" / name) for name in names}
    assert not [p for p in restored.guard.iterdir() if not p.name.endswith(".guard")]
    for name in names:
        shutil.copy(live.configuration.folder / name, tmp_path / "r" / name)
    goes_on(live, tmp_path / "r")


def test_an_old_backup_is_refused_when_the_guard_or_the_signer_knows_more(live, tmp_path):
    made = backup.back_up(live.configuration, tmp_path / "b", with_keys=False)
    grow(live)
    with pytest.raises(
        RefusedError, match=f"log has {made.size} entries, but {made.size + 1} were published"
    ) as refused:
        backup.restore(tmp_path / "b", tmp_path / "r", replacing=tmp_path / "i")
    assert refused.value.code is Code.LOG_INCONSISTENT
    assert not (tmp_path / "r").exists()
    grow(live)  # the old one was not touched
    newer = backup.back_up(live.configuration, tmp_path / "b2", with_keys=False)
    for as_of in ((newer.size, newer.root_hash), (made.size, "00" * 32)):
        with pytest.raises(RefusedError, match="the backup's log"):
            backup.restore(tmp_path / "b", tmp_path / "r", as_of=as_of)
        assert not (tmp_path / "r").exists()


def test_nobody_restores_without_saying_what_is_known_beyond_the_backup(live, tmp_path):
    backup.back_up(live.configuration, tmp_path / "b", with_keys=False)
    with pytest.raises(RefusedError, match="nobody knows whether this backup is the newest"):
        backup.restore(tmp_path / "b", tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_an_installation_that_runs_is_not_replaced(live, tmp_path):
    backup.back_up(live.configuration, tmp_path / "b", with_keys=False)
    live.start()
    try:
        with pytest.raises(ConfigurationError, match="in use"):
            backup.restore(tmp_path / "b", tmp_path / "r", replacing=tmp_path / "i")
        live.kill("signer")
        with pytest.raises(UnavailableError, match="another process writes this log"):
            backup.restore(tmp_path / "b", tmp_path / "r", replacing=tmp_path / "i")
    finally:
        live.kill()
    assert not (tmp_path / "r").exists()


def test_another_installation_is_not_replaced(live, tmp_path):
    backup.back_up(live.configuration, tmp_path / "b", with_keys=False)
    other = Live(tmp_path / "other").make()
    with pytest.raises(RefusedError, match="is another installation than the backup's"):
        backup.restore(tmp_path / "b", tmp_path / "r", replacing=other.folder / "i")


def test_a_folder_that_holds_something_is_not_restored_into(live, tmp_path):
    made = backup.back_up(live.configuration, tmp_path / "b", with_keys=False)
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "mine").write_text("mine")
    with pytest.raises(ConfigurationError, match="is not empty"):
        backup.restore(tmp_path / "b", tmp_path / "r", as_of=(made.size, made.root_hash))
    assert [p.name for p in (tmp_path / "r").iterdir()] == ["mine"]


FILES = ("server/log.db", "server/documents.db", "sealwright.toml", "backup.json", "image")
DAMAGES = [(name, how) for name in FILES for how in ("cut", "changed", "gone") if (name, how) != ("image", "gone")]


@pytest.mark.parametrize(("name", "how"), DAMAGES)
def test_a_damaged_backup_is_refused(live, tmp_path, name, how):
    image = put_image(live, b"firmware")
    made = backup.back_up(live.configuration, tmp_path / "b", with_keys=False)
    path = tmp_path / "b" / (f"server/images/{image[:2]}/{image}" if name == "image" else name)
    if how == "gone":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-7])
    else:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data))
    with pytest.raises((VerificationError, FormatError, ConfigurationError)):
        backup.restore(tmp_path / "b", tmp_path / "r", as_of=(made.size, made.root_hash))
    assert not (tmp_path / "r").exists()


def test_a_log_exchanged_together_with_its_manifest_is_refused(live, tmp_path):
    """What is signed counts, not the manifest, which anybody can write."""
    made = backup.back_up(live.configuration, tmp_path / "b", with_keys=False)
    with closing(sqlite3.connect(tmp_path / "b" / "server" / "log.db", isolation_level=None)) as database:
        database.execute("DROP TRIGGER entry_never_changes")
        database.execute("UPDATE entry SET content = x'7b7d' WHERE number = 2")
    path = tmp_path / "b" / "backup.json"
    old = next(f.sha256 for f in made.files if f.path == "server/log.db")
    path.write_bytes(path.read_bytes().replace(old.encode(), backup._sha256(tmp_path / "b/server/log.db").encode()))
    with pytest.raises(VerificationError, match="does not fit"):
        backup.restore(tmp_path / "b", tmp_path / "r", as_of=(made.size, made.root_hash))
    assert not (tmp_path / "r").exists()
