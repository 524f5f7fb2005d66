"""No fork: restored backups, lost and torn guards, crashes between commit and guard, kill -9, a full disk."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st
from tests.storage.test_log import Place, entries, place, verify

from sealwright.core.errors import Code, RefusedError, UnavailableError
from sealwright.storage.log_guard import MAGIC, SLOT_BYTES, open_guard
from sealwright.storage.log_reader import LogReader

__all__ = ["place"]  # the fixture


def put_back(copy: Path, place: Place) -> None:
    """Restore a backup like an operator does: the file, and nothing of the old one beside it."""
    for suffix in ("", "-wal", "-shm"):
        place.database.with_name(place.database.name + suffix).unlink(missing_ok=True)
    shutil.copy(copy, place.database)


def test_a_restored_backup_that_lacks_published_entries_is_refused(place, tmp_path):
    with place.create() as log:
        log.append(entries(300))
        log.backup(tmp_path / "backup.sqlite")
        log.append(entries(1, 300))
        log.backup(tmp_path / "newest.sqlite")
    put_back(tmp_path / "backup.sqlite", place)
    with pytest.raises(RefusedError, match="log has 300 entries, but 301 were published") as refused:
        place.open()
    assert refused.value.code is Code.LOG_INCONSISTENT
    assert "put the newest database back" in refused.value.hint
    with LogReader(place.database) as reader:  # reading it is no harm
        verify(reader, place, entries(300))
    put_back(tmp_path / "newest.sqlite", place)
    with place.open() as log:
        log.append(entries(1, 301))
        verify(log, place, entries(302))


def test_a_longer_log_of_another_history_is_refused(place, tmp_path):
    with place.create() as log:
        log.append(entries(5))
        log.backup(tmp_path / "at-5.sqlite")
        log.append([b"what was published"])
    fork = Place(tmp_path / "fork", place.signer)
    fork.folder.mkdir()
    with fork.create() as log:
        log.append([*entries(5), b"something else", b"and more"])
    put_back(fork.database, place)
    with pytest.raises(RefusedError, match="does not continue what was published at size 6") as refused:
        place.open()
    assert refused.value.code is Code.LOG_INCONSISTENT


def test_a_lost_guard_is_refused_and_no_second_log_starts_under_a_used_name(place):
    with place.create() as log:
        log.append(entries(1))
    kept = place.guard.rename(place.folder / "kept.guard")
    with pytest.raises(RefusedError, match="is missing") as refused:
        place.open()
    assert refused.value.code is Code.LOG_INCONSISTENT
    kept.rename(place.guard_directory / kept.name)
    named = place.folder / "named"
    (place.guard_directory / kept.name).rename(named)
    place.database.unlink()
    with place.create() as log:  # nothing remembers the old one: all that is left are the witnesses
        log.append(entries(1))
        guard_name = place.guard.name
    named.replace(place.guard_directory / guard_name)
    place.database.unlink()
    with pytest.raises(RefusedError, match="has already published 1 entries"):
        place.create()


def test_a_creation_cut_short_can_be_repeated(place):
    place.create().close()
    place.database.unlink()  # as if killed after the guard was written
    with place.create() as log:
        log.append(entries(1))
        verify(log, place, entries(1))


def test_a_guard_that_cannot_be_written_hides_the_batch_and_the_next_append_finds_out(place, monkeypatch):
    with place.create() as log:
        log.append(entries(2))
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", lambda _: (_ for _ in ()).throw(OSError("I/O error")))
            with pytest.raises(UnavailableError, match="cannot be written: I/O error"):
                log.append(entries(1, 2))
            assert log.size == 2  # committed, but nobody may see it
            with pytest.raises(RefusedError):
                log.entries(2, 3)
            with pytest.raises(UnavailableError):
                log.append(entries(1, 2))
        assert log.append(entries(1, 3))[0] == 3
        verify(log, place, entries(4))


def test_a_crash_between_commit_and_guard_leaves_a_log_that_opens(place):
    with place.create() as log:
        log.append(entries(3))
        before = place.guard.read_bytes()
        log.append(entries(4, 3))
    place.guard.write_bytes(before)
    with place.open() as log:
        verify(log, place, entries(7))
    assert place.guard.read_bytes() != before


@pytest.mark.parametrize("torn", [*range(0, 60, 4), 100, 200])
def test_a_torn_slot_falls_back_to_the_other_and_two_torn_slots_are_refused(place, torn):
    with place.create() as log:
        for n in range(3):
            log.append(entries(1, n))
    whole = place.guard.read_bytes()  # generation 2 lies in slot 0, generation 3 in slot 1
    one_torn, both_torn = bytearray(whole), bytearray(whole)
    one_torn[SLOT_BYTES + torn] ^= 0xFF
    for at in (0, SLOT_BYTES):
        both_torn[at + torn] ^= 0xFF
    place.guard.write_bytes(both_torn)
    with pytest.raises(RefusedError, match="is damaged") as refused:
        place.open()
    assert refused.value.code is Code.LOG_INCONSISTENT
    place.guard.write_bytes(one_torn)
    with place.open() as log:
        verify(log, place, entries(3))


@pytest.mark.parametrize(("size", "opens"), [(0, False), (1, False), (51, False), (52, False), (150, False),
                                             (SLOT_BYTES, True), (SLOT_BYTES + 100, True)])  # fmt: skip
def test_a_cut_guard_is_refused_unless_its_other_slot_is_whole(place, size, opens):
    with place.create() as log:
        log.append(entries(1))
    place.guard.write_bytes(place.guard.read_bytes()[:size])
    if opens:
        with place.open() as log:
            verify(log, place, entries(1))
    else:
        with pytest.raises(RefusedError, match="is damaged"):
            place.open()


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_a_guard_of_any_bytes_is_refused(tmp_path_factory, first, second):
    path = tmp_path_factory.mktemp("guard") / "any.guard"
    path.write_bytes(MAGIC + first.ljust(SLOT_BYTES - 8, b"\0") + MAGIC + second)
    with pytest.raises(RefusedError, match="is damaged"):
        open_guard(path)


def test_a_checkpoint_too_long_for_the_guard_is_refused_before_it_is_given_out(place):
    long_name = Place(place.folder, type(place.signer)("log.example/" + "n" * 5000, place.signer.private_key))
    with pytest.raises(RefusedError, match="the guard takes"):
        long_name.create()


CHILD = """
import resource, sys
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sealwright.core.errors import UnavailableError
from sealwright.storage.log import LogStore
from sealwright.translog.notes import NoteSigner

folder, key, mode = Path(sys.argv[1]), bytes.fromhex(sys.argv[2]), sys.argv[3]
signer = NoteSigner("log.example/one", Ed25519PrivateKey.from_private_bytes(key))
log = LogStore(folder / "log.sqlite", signer=signer, guard_directory=folder / "guard")


def append(count):
    size = log.size
    first, _ = log.append([b"entry %d" % n for n in range(size, size + count)])
    print(first, count, flush=True)


if mode == "forever":
    count = 1
    while True:
        append(count)
        count = count % 40 + 1
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
try:
    for _ in range(1000):
        append(20)
except UnavailableError as e:
    print("full", flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
append(1)
"""


def child(place: Place, mode: str) -> subprocess.Popen[bytes]:
    key = place.signer.private_key.private_bytes(
        serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
    )
    command = [sys.executable, "-c", CHILD, str(place.folder), key.hex(), mode]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def test_after_kill_9_at_any_moment_everything_acknowledged_is_there_and_the_log_verifies(place):
    place.create().close()
    chance, acknowledged, rounds_that_appended = random.SystemRandom(), 0, 0
    for _ in range(10):
        with child(place, "forever") as writer:
            assert writer.stdout.readline()
            time.sleep(chance.uniform(0, 0.3))
            writer.send_signal(signal.SIGKILL)
            lines = writer.stdout.read().split(b"\n")[:-1]
        if lines:
            rounds_that_appended += 1
            first, count = map(int, lines[-1].split())
            assert first + count > acknowledged
            acknowledged = first + count
        with place.open() as log:
            assert log.size >= acknowledged
            verify(log, place, entries(log.size))
    assert rounds_that_appended


def test_a_full_disk_is_reported_and_the_log_goes_on_when_there_is_room(place):
    place.create().close()
    with child(place, "full") as writer:
        lines = writer.stdout.read().split(b"\n")[:-1]
    assert b"full" in lines
    first, count = map(int, lines[-1].split())
    with place.open() as log:
        assert log.size == first + count
        verify(log, place, entries(log.size))
