"""The signer's memory of the log on disk: what a crash, a full disk or a second process can do to it."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealwright.core.errors import Code, ConfigurationError, UnavailableError
from sealwright.signer.heads import SLOT_BYTES, FileHeadStore
from sealwright.signer.ports import Head


def head(size: int) -> Head:
    return Head(size=size, root_hash=f"{size:064x}", time=1_790_000_000 + size)


def stored(path: Path, *sizes: int) -> FileHeadStore:
    """A store that holds these heads in this order, the first from its creation; left open."""
    store = FileHeadStore(path)
    store.create(head(sizes[0]))
    store.load()
    for size in sizes[1:]:
        store.store(head(size))
    return store


def loaded(path: Path) -> Head:
    store = FileHeadStore(path)
    try:
        return store.load()
    finally:
        store.close()


@pytest.mark.parametrize("sizes", [(1,), (1, 2), (1, 2, 3), tuple(range(1, 50))])
def test_the_newest_head_is_loaded_after_a_restart(tmp_path, sizes):
    stored(tmp_path / "head", *sizes).close()
    assert loaded(tmp_path / "head") == head(sizes[-1])
    assert (tmp_path / "head").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "head").stat().st_size == 2 * SLOT_BYTES


@pytest.mark.parametrize("written", [0, 1, 3, 4, 5, 100, 150, 200, 210, 220, 511, 512, SLOT_BYTES - 1, SLOT_BYTES])
def test_a_write_that_broke_off_leaves_the_head_before(tmp_path, written):
    path = tmp_path / "head"
    stored(path, 1, 2).close()
    before = path.read_bytes()
    store = FileHeadStore(path)
    store.load()
    store.store(head(3))
    store.close()
    after = path.read_bytes()
    at = next(i for i in (0, SLOT_BYTES) if before[i : i + SLOT_BYTES] != after[i : i + SLOT_BYTES])
    path.write_bytes(before[:at] + after[at : at + written] + before[at + written :])
    assert loaded(path) in ((head(2), head(3)) if written > 150 else (head(2),))


@settings(max_examples=60)
@given(at=st.integers(0, SLOT_BYTES - 1), slot=st.integers(0, 1), garbage=st.binary(min_size=1, max_size=600))
def test_whatever_happens_to_one_slot_the_head_is_a_stored_one(tmp_path_factory, at, slot, garbage):
    path = tmp_path_factory.mktemp("head") / "head"
    stored(path, 1, 2, 3).close()
    data = bytearray(path.read_bytes())
    place = slice(slot * SLOT_BYTES + at, min(slot * SLOT_BYTES + at + len(garbage), (slot + 1) * SLOT_BYTES))
    data[place] = garbage[: place.stop - place.start]
    path.write_bytes(bytes(data))
    assert loaded(path) in (head(2), head(3))


def test_after_a_spoilt_slot_it_goes_on_with_the_other(tmp_path):
    path = tmp_path / "head"
    stored(path, 1, 2, 3).close()
    newest = 0 if loaded_slot(path, 0) > loaded_slot(path, 1) else 1
    spoil(path, newest)
    store = FileHeadStore(path)
    assert store.load() == head(2)
    store.store(head(4))
    store.close()
    assert loaded(path) == head(4)


def loaded_slot(path: Path, slot: int) -> int:
    """The size that one slot names."""
    data = path.read_bytes()[slot * SLOT_BYTES :][:SLOT_BYTES]
    return int(data.split(b'"size":')[1].split(b",")[0])


def spoil(path: Path, slot: int) -> None:
    data = bytearray(path.read_bytes())
    data[slot * SLOT_BYTES + 20] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, bytes(2 * SLOT_BYTES), b"\xff" * 2 * SLOT_BYTES])
def test_a_file_without_any_head_is_refused(tmp_path, content):
    path = tmp_path / "head"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="is damaged") as error:
        loaded(path)
    assert error.value.code is Code.LOG_INCONSISTENT


def test_a_file_with_both_slots_spoilt_is_refused(tmp_path):
    path = tmp_path / "head"
    stored(path, 1, 2).close()
    spoil(path, 0)
    spoil(path, 1)
    with pytest.raises(ConfigurationError, match="is damaged"):
        loaded(path)


def test_a_signer_without_memory_does_not_start(tmp_path):
    with pytest.raises(ConfigurationError, match="no memory of the log") as error:
        loaded(tmp_path / "head")
    assert "--as-of" in error.value.hint


def test_a_memory_is_never_replaced(tmp_path):
    path = tmp_path / "head"
    stored(path, 5).close()
    with pytest.raises(ConfigurationError, match="exists"):
        FileHeadStore(path).create(head(1))
    assert loaded(path) == head(5)


def test_two_processes_cannot_have_one_memory(tmp_path):
    path = tmp_path / "head"
    first = stored(path, 1)
    with pytest.raises(ConfigurationError, match="is in use"):
        loaded(path)
    first.close()
    assert loaded(path) == head(1)


def test_nothing_is_stored_before_loading(tmp_path):
    store = FileHeadStore(tmp_path / "head")
    store.create(head(1))
    with pytest.raises(ConfigurationError, match="not loaded"):
        store.store(head(2))


@pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
def test_after_a_failed_write_the_slot_with_the_newest_head_is_left_alone(tmp_path, monkeypatch, call):
    path = tmp_path / "head"
    store = stored(path, 1, 2)

    def fail(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        for _ in range(3):
            with pytest.raises(UnavailableError) as error:
                store.store(head(3))
            assert error.value.code is Code.STORAGE_UNAVAILABLE
    # The power fails in the middle of the next attempt: its slot is spoilt, the one before must be whole.
    store.store(head(4))
    store.close()
    newest = 0 if loaded_slot(path, 0) > loaded_slot(path, 1) else 1
    spoil(path, newest)
    assert loaded(path) == head(2)


def test_a_short_write_is_a_failure(tmp_path, monkeypatch):
    store = stored(tmp_path / "head", 1)
    monkeypatch.setattr(os, "pwrite", lambda *_: SLOT_BYTES - 1)
    with pytest.raises(UnavailableError):
        store.store(head(2))
    store.close()
