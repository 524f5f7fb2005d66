"""The doctor finds each thing that was broken here, says how to mend it, and changes nothing by looking."""

import hashlib
import os
import shutil
import socket
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.simulators.live import Live, free_port
from tests.simulators.users import FIRST, open_folder, python, require_root, run_as

from sealwright.signer.heads import peek
from sealwright.wiring import configuration as settings
from sealwright.wiring import doctor, doctor_records
from sealwright.wiring.doctor import Level


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    """An installation with a policy and keys, stopped."""
    live = Live(tmp_path_factory.mktemp("doctor")).make().start().found_policy()
    live.stop()
    return live.folder / "i"


@pytest.fixture
def folder(founded, tmp_path) -> Path:
    """A copy to break."""
    shutil.copytree(founded, tmp_path / "i", ignore=shutil.ignore_patterns("*.sock"))
    return tmp_path / "i"


def found(folder: Path) -> list[tuple[Level, str, str]]:
    return [(f.level, f.subject, f.found) for f in doctor_records.examine(settings.load(folder)) if f.is_bad]


def tree(folder: Path) -> dict[str, str]:
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


def test_a_healthy_installation_has_no_findings_and_is_not_changed_by_looking(folder):
    before = tree(folder)
    findings = doctor_records.examine(settings.load(folder))
    assert not [f for f in findings if f.is_bad]
    said = {f.subject: f.found for f in findings}
    assert said["keys"] == "all 2 are in their partitions"
    assert said["processes"].startswith("nothing runs")
    assert "head signed, guard agrees" in said["log"]
    changed = {name for name, digest in tree(folder).items() if before.get(name) != digest}
    assert all(name.endswith(("-shm", "-wal")) for name in changed)


def test_a_running_installation_is_left_in_peace(tmp_path):
    live = Live(tmp_path).make().start().found_policy()
    try:
        findings = doctor_records.examine(live.configuration)
        assert not [f for f in findings if f.is_bad]
        said = [f.found for f in findings]
        assert "running" in said
        assert f"answers at {live.configuration.url}" in said
        assert any("stop it to have that done" in text for text in said)
        live.kill("signer")
        (lost,) = [f for f in doctor_records.examine(live.configuration) if f.is_bad]
        assert (lost.subject, lost.found) == ("signer", "not running: nothing is signed")
        live.start("signer")
        while not peek(live.configuration.signer_head)[1]:
            time.sleep(0.05)
        live.kill("server")
        (lost,) = [f for f in doctor_records.examine(live.configuration) if f.is_bad]
        assert lost.subject == "server"
        assert "does not answer" in lost.found
    finally:
        live.kill()


def chmod(path: str, mode: int):
    return lambda folder: (folder / path).chmod(mode)


def remove(pattern: str):
    def broken(folder):
        (path,) = folder.glob(pattern)
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return broken


def sql(path: str, *statements: str):
    def broken(folder):
        connection = sqlite3.connect(folder / path, isolation_level=None)
        for statement in statements:
            connection.execute(statement)
        connection.close()

    return broken


def setting(**changes):
    return lambda folder: settings.write(replace(settings.load(folder), **changes))


def overwrite(pattern: str, content: bytes):
    def broken(folder):
        (path,) = folder.glob(pattern)
        path.write_bytes(content)

    return broken


BROKEN = [
    (chmod("sealwright.toml", 0o666), Level.PROBLEM, "files", "others can change sealwright.toml"),
    (chmod("server", 0o755), Level.PROBLEM, "files", "others can look into"),
    (chmod("server/log.db", 0o400), Level.PROBLEM, "files", "server/log.db cannot be written to: nothing is signed"),
    (chmod("server", 0o500), Level.PROBLEM, "files", "server cannot be written to: nothing is signed"),
    (chmod("guard", 0o500), Level.PROBLEM, "files", "guard cannot be written to: nothing is signed"),
    (chmod("server", 0), Level.PROBLEM, "files", "server cannot be entered: nothing is signed"),
    (chmod("signer/keys/router-production", 0), Level.PROBLEM, "keys", "keys/router-production cannot be read"),
    (chmod("signer/keys", 0), Level.PROBLEM, "keys", "signer/keys cannot be entered"),
    (remove("signer/secrets/router-production"), Level.PROBLEM, "keys", "partition router-production"),
    (chmod("signer/identity", 0o644), Level.PROBLEM, "files", "others can read"),
    (remove("server/log-key"), Level.PROBLEM, "files", "is missing"),
    (overwrite("server/log-key", b"not hex"), Level.PROBLEM, "identity", "log-key does not hold 32 bytes in hex"),
    (overwrite("server/log-key", b"\xff\x00"), Level.PROBLEM, "identity", "log-key does not hold 32 bytes in hex"),
    (overwrite("server/log-key", b"11" * 32), Level.PROBLEM, "identity", "log-key is not the one that the root names"),
    (remove("server/log-ml-dsa-key"), Level.PROBLEM, "files", "log-ml-dsa-key is missing"),
    (
        overwrite("server/log-ml-dsa-key", b"11" * 32),
        Level.PROBLEM, "identity", "log-ml-dsa-key is not the one that the root names",
    ),
    (setting(log_ml_dsa_key=""), Level.PROBLEM, "identity", "server.log_ml_dsa_key is not set"),
    (overwrite("signer/identity", b"22" * 32), Level.PROBLEM, "identity", "identity is not the one that the root"),
    (remove("guard/*.guard"), Level.PROBLEM, "log", "nobody knows how far this log was published"),
    (overwrite("guard/*.guard", b"x"), Level.PROBLEM, "log", "is damaged"),
    (overwrite("signer/head", bytes(8192)), Level.PROBLEM, "log", "head is damaged"),
    (remove("signer/head"), Level.PROBLEM, "log", "no memory of the log"),
    (remove("server/log.db"), Level.PROBLEM, "log", "there is no log"),
    (sql("server/log.db", "UPDATE head SET size = size - 1"), Level.PROBLEM, "log", "checkpoint is not that of"),
    (
        sql("server/log.db", "DROP TRIGGER entry_never_changes", "UPDATE entry SET content = x'00' WHERE number = 1"),
        Level.PROBLEM, "log", "another root than its head says",
    ),
    (sql("server/log.db", "PRAGMA user_version = 99"), Level.PROBLEM, "log", "schema version 99"),
    (sql("server/documents.db", "PRAGMA user_version = 99"), Level.PROBLEM, "database", "schema version 99"),
    (sql("server/documents.db", "DELETE FROM policy_section"), Level.PROBLEM, "policy", "policy"),
    (remove("server/documents.db"), Level.PROBLEM, "database", "there is no database"),
    (setting(partitions={}), Level.PROBLEM, "keys", "no partition router-production is known here"),
    (remove("signer/keys/router-production"), Level.PROBLEM, "keys", "partition router-production"),
    (setting(host="0.0.0.0"), Level.PROBLEM, "network", "without TLS"),  # noqa: S104 - the point of it
]  # fmt: skip


@pytest.mark.parametrize(("breaking", "level", "subject", "message"), BROKEN, ids=[b[3] for b in BROKEN])
def test_what_is_broken_is_found_with_its_remedy(folder, breaking, level, subject, message):
    breaking(folder)
    findings = doctor_records.examine(settings.load(folder))
    bad = [f for f in findings if f.is_bad]
    assert any((f.level, f.subject) == (level, subject) and message in f.found for f in bad), bad
    assert all(f.remedy for f in bad)


@pytest.mark.parametrize("path", ["server", "signer/keys", "signer/keys/router-production", "server/log.db"])
def test_what_is_closed_to_its_owner_is_mended_by_chmod(folder, path):
    (folder / path).chmod(0)
    remedies = {f.remedy for f in doctor_records.examine(settings.load(folder)) if f.is_bad}
    assert remedies == {f"chmod u+rwX {folder / path}"}


def test_the_owner_of_a_closed_folder_is_not_told_to_become_its_owner():
    """As that user: root would get in."""
    require_root()
    with open_folder() as folder:
        live = Live(folder / "l").make()
        for path in (folder / "l", *(folder / "l").rglob("*")):
            os.chown(path, FIRST, FIRST)
        (live.folder / "i" / "server").chmod(0)
        code = (
            "from sealwright.wiring import configuration, doctor_records as r; from pathlib import Path; import sys\n"
            "print([f.remedy for f in r.examine(configuration.load(Path(sys.argv[1]))) if f.is_bad])"
        )
        said = run_as(FIRST, python(), code, live.folder / "i")
        assert f"chmod u+rwX {live.folder / 'i' / 'server'}" in said
        assert "as the user who owns" not in said


def test_a_port_that_somebody_else_has_is_found(folder):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        setting(port=port)(folder)
        ((level, subject, text),) = found(folder)
    assert (level, subject) == (Level.PROBLEM, "server")
    assert text == f"nothing can listen on 127.0.0.1 port {port}: Address already in use"
    assert found(folder) == []


def test_an_answer_by_another_installation_is_not_taken_for_ours(folder, tmp_path):
    other = Live(tmp_path / "other").make().start()
    try:
        setting(port=other.configuration.port)(folder)
        ((level, subject, text),) = found(folder)
        assert (level, subject) == (Level.PROBLEM, "server")
        assert "Address already in use" in text
    finally:
        other.kill()


def test_a_key_that_is_gone_from_its_partition_is_found(folder):
    key = next(p for p in (folder / "signer/keys/router-production").iterdir() if p.name != "partition.json")
    key.unlink()
    assert found(folder) == [
        (Level.PROBLEM, "keys", f"partition router-production: files:{key.parent}: does not find key {key.stem}")
    ]


def test_an_old_log_beside_a_newer_guard_and_signer_is_found(folder):
    (level, subject, text), *_ = with_old_log(folder)
    assert (level, subject) == (Level.PROBLEM, "log")
    assert "an old copy" in text


def with_old_log(folder):
    """Cut the newest entry off, as a backup made before it would."""
    from sealwright.storage.log import LogStore
    from sealwright.wiring.private_keys import read_note_signer

    loaded = settings.load(folder)
    old = folder / "old.db"
    signer = read_note_signer(loaded)
    with LogStore(loaded.log_database, signer=signer, guard_directory=loaded.guard) as log:
        log.backup(old)
        log.append([b"{}"])
    assert not list(loaded.log_database.parent.glob("log.db-*")), "a closed log is one file"
    old.replace(loaded.log_database)
    return found(folder)


def test_what_expires_is_said_before_and_after(folder, monkeypatch):
    now = time.time()
    cases = {80: "", 340: "expires in", 700: "has expired"}
    for days, word in cases.items():
        monkeypatch.setattr(time, "time", lambda days=days: now + days * 86_400)
        policy = [text for _, subject, text in found(folder) if subject == "policy"]
        assert bool(policy) == bool(word), days
        assert all(word in text for text in policy)


def test_a_clock_behind_what_the_signer_has_seen_is_found(folder, monkeypatch):
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 7200)
    assert any(subject == "clock" and "behind a time" in text for _, subject, text in found(folder))


def test_a_full_disk_is_found(folder, monkeypatch):
    free = shutil.disk_usage(folder)
    for left, level in ((50 << 20, Level.PROBLEM), (1 << 30, Level.WARNING)):
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _, left=left: free._replace(free=left))
        assert [(lev, sub) for lev, sub, _ in found(folder)] == [(level, "disk")]


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_a_file_of_another_user_is_found(folder):
    os.chown(folder / "server" / "log.db", 12345, -1)
    assert any("belongs to user 12345" in text for _, _, text in found(folder))


def test_tls_files_that_cannot_be_used_are_found(folder):
    for name in ("tls.pem", "tls.key"):
        (folder / name).write_text("nothing")
    setting(tls_certificate=folder / "tls.pem", tls_key=folder / "tls.key", port=free_port())(folder)
    assert any(sub == "network" and "cannot be used" in text for _, sub, text in found(folder))
