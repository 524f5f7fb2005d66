"""Signature numbers are never given out twice: many processes, kill -9, a full disk, an old copy."""

import multiprocessing
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest
from tests.conftest import PROJECT

from sealwright.core.errors import Code, ConfigurationError, RefusedError, UnavailableError
from sealwright.keystores.lms_state import Counters

KEY = "ab" * 32
TAKER = """
import sys
from pathlib import Path
from sealwright.keystores.lms_state import Counters
counters, key, stop = Counters(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
for _ in range(int(sys.argv[4])):
    print(counters.take(key, 0, stop), flush=True)
"""


def counters(folder, capacity: int = 1 << 20) -> Counters:
    made = Counters(folder / "state.sqlite")
    made.add(KEY, capacity)
    return made


def take_many(path, count):
    state = Counters(path)
    return [state.take(KEY, 0, 1 << 20) for _ in range(count)]


@pytest.mark.slow
def test_eight_processes_at_once_take_ten_thousand_numbers_and_none_twice(tmp_path):
    counters(tmp_path)
    with multiprocessing.get_context("spawn").Pool(8) as pool:
        portions = pool.starmap(take_many, [(tmp_path / "state.sqlite", 1250)] * 8)
    taken = [n for portion in portions for n in portion]
    assert sorted(taken) == list(range(10_000))
    assert all(portion == sorted(portion) for portion in portions)


@pytest.mark.slow
def test_kill_9_at_any_moment_gives_no_number_twice(tmp_path):
    state = counters(tmp_path)
    seen: list[int] = []
    for round_number in range(40):
        taker = subprocess.Popen(
            [sys.executable, "-c", TAKER, str(state._path), KEY, str(1 << 20), "100000"],
            stdout=subprocess.PIPE,
            cwd=PROJECT,
            text=True,
        )
        first = taker.stdout.readline()
        time.sleep(0.0007 * round_number)  # another moment each time
        taker.send_signal(signal.SIGKILL)
        rest, _ = taker.communicate()
        numbers = [int(line) for line in (first + rest).split("\n")[:-1]]
        assert numbers
        assert not seen or numbers[0] > seen[-1], "a number that was given out came again"
        seen += numbers
    assert len(set(seen)) == len(seen)
    assert state.take(KEY, 0, 1 << 20) > seen[-1]


def test_a_full_disk_gives_no_number_and_loses_none(tmp_path):
    state = counters(tmp_path)
    assert state.take(KEY, 0, 100) == 0
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    kept = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limit[1]))
        with pytest.raises(UnavailableError) as e:
            state.take(KEY, 0, 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, kept)
    assert e.value.code is Code.KEYSTORE_UNAVAILABLE
    assert state.take(KEY, 0, 100) == 1


def test_an_old_copy_cannot_repeat_a_number_because_a_new_block_begins_above(tmp_path):
    state = counters(tmp_path)
    shutil.copy(tmp_path / "state.sqlite", tmp_path / "old")
    used = [state.take(KEY, 0, 8) for _ in range(8)]
    shutil.copy(tmp_path / "old", tmp_path / "state.sqlite")
    assert state.next(KEY) == (0, 1 << 20), "the copy has forgotten"
    assert state.take(KEY, 8, 16) == 8 not in used, "the block in the log has not"


def test_a_block_that_is_used_up_says_so_and_a_key_that_is_used_up_too(tmp_path):
    state = counters(tmp_path, capacity=4)
    assert [state.take(KEY, 0, 2) for _ in range(2)] == [0, 1]
    with pytest.raises(RefusedError, match="2 of 4 taken") as e:
        state.take(KEY, 0, 2)
    assert (e.value.code, e.value.hint) == (Code.STATE_EXHAUSTED, "the signer announces a new block")
    assert [state.take(KEY, 2, 99) for _ in range(2)] == [2, 3]
    with pytest.raises(RefusedError) as e:
        state.take(KEY, 4, 99)
    assert e.value.hint == "the key is used up: rotate it"


def test_counting_never_begins_anew_and_a_key_without_counter_is_not_used(tmp_path):
    state = counters(tmp_path)
    state.take(KEY, 0, 9)
    with pytest.raises(RefusedError) as e:
        state.add(KEY, 1024)
    assert e.value.code is Code.CONFLICT
    assert state.take(KEY, 0, 9) == 1
    for call in (lambda: state.take("cd" * 32, 0, 9), lambda: state.next("cd" * 32)):
        with pytest.raises(ConfigurationError, match="does not know how far key cdcdcdcdcdcdcdcd is used up"):
            call()
    (tmp_path / "state.sqlite").unlink()
    for call in (lambda: state.take(KEY, 0, 9), lambda: state.next(KEY)):
        with pytest.raises(ConfigurationError, match="does not know how far") as e:
            call()
        assert e.value.hint == "a stateful key without its counter is not used any more: rotate it"
    assert not (tmp_path / "state.sqlite").exists(), "a lost counter is not made anew by looking"


def test_the_file_is_private(tmp_path):
    old = os.umask(0)
    try:
        counters(tmp_path)
    finally:
        os.umask(old)
    assert (tmp_path / "state.sqlite").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("counter", [(1025, 1024), (1 << 62, 1 << 60)])
def test_a_counter_beyond_its_end_is_as_good_as_lost(tmp_path, counter):
    state = counters(tmp_path, capacity=1024)
    with closing(sqlite3.connect(tmp_path / "state.sqlite")) as database:
        database.execute("UPDATE counter SET next = ?, capacity = ?", counter)
        database.commit()
    with pytest.raises(ConfigurationError, match="does not know how far"):
        state.next(KEY)
    with pytest.raises(ConfigurationError, match="does not know how far"):
        state.take(KEY, 0, 1024)
    assert not (tmp_path / "absent").exists()
    with pytest.raises(UnavailableError):
        Counters(tmp_path / "absent" / "state.sqlite").next(KEY)  # the folder may come back
