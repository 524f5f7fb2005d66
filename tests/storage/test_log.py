"""The log store: appending, reading, proofs, tampering, backups, exports; the whole log is verified after each step."""

import re
import sqlite3
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.conftest import PROJECT

from sealwright.core.errors import Code, ConfigurationError, RefusedError, UnavailableError, VerificationError
from sealwright.storage.log import LogStore
from sealwright.storage.log_export import export
from sealwright.storage.log_reader import LogReader
from sealwright.translog.log_keys import LogKeys, open_checkpoint
from sealwright.translog.merkle import EMPTY_ROOT, leaf_hash, root_of, verify_consistency, verify_inclusion
from sealwright.translog.notes import NoteSigner
from sealwright.translog.tiles import Tile, decode_bundle, tiles_between

ORIGIN = "log.example/one"


@dataclass
class Place:
    """Where a log lives in a test, and its key."""

    folder: Path
    signer: NoteSigner

    @property
    def database(self) -> Path:
        return self.folder / "log.sqlite"

    @property
    def guard_directory(self) -> Path:
        return self.folder / "guard"

    @property
    def guard(self) -> Path:
        (guard,) = self.guard_directory.glob("*.guard")
        return guard

    def create(self) -> LogStore:
        self.guard_directory.mkdir(exist_ok=True)
        return LogStore.create(self.database, signer=self.signer, guard_directory=self.guard_directory)

    def open(self) -> LogStore:
        return LogStore(self.database, signer=self.signer, guard_directory=self.guard_directory)

    def sql(self, *statements: str) -> None:
        """What somebody with the database file can do."""
        connection = sqlite3.connect(self.database, isolation_level=None)
        for statement in statements:
            connection.execute(statement)
        connection.close()


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(tmp_path, NoteSigner(ORIGIN, Ed25519PrivateKey.generate()))


def entries(count: int, start: int = 0) -> list[bytes]:
    return [b"entry %d" % n for n in range(start, start + count)]


def verify(log: LogReader, place: Place, expected: list[bytes]) -> None:
    """Everything that can be said of the whole log: entries, tree, checkpoint, and that it adds up inside."""
    head = log.verify_all(LogKeys(place.signer.verifier_key))
    opened = open_checkpoint(log.checkpoint(), origin=ORIGIN, log_keys=LogKeys(place.signer.verifier_key)).checkpoint
    assert head == opened
    assert log.size == head.size == len(expected)
    assert log.entries(0, len(expected)) == expected
    assert head.root == root_of(map(leaf_hash, expected))


def test_a_new_log_is_empty_and_signed(place):
    with place.create() as log:
        verify(log, place, [])
        assert log.root(0) == EMPTY_ROOT
        assert log.append([]) == (0, log.checkpoint())
        verify(log, place, [])


def test_batches_of_any_size_land_in_order_and_survive_closing(place):
    expected: list[bytes] = []
    place.create().close()
    for batch in (1, 1, 3, 250, 1, 1, 256, 1000, 1):
        with place.open() as log:
            new = entries(batch, len(expected))
            first, note = log.append(new)
            assert first == len(expected)
            expected += new
            assert note == log.checkpoint()
            verify(log, place, expected)


def test_proofs_of_all_kinds_verify_and_fail_for_another_entry_or_an_older_root(place):
    with place.create() as log:
        for start in range(0, 600, 100):
            log.append(entries(100, start))
        roots = {size: log.root(size) for size in (0, 1, 255, 256, 257, 511, 512, 600)}
        leaves = [leaf_hash(e) for e in entries(600)]
        for size, root in roots.items():
            assert root == root_of(leaves[:size])
            for index in {0, 1, 254, 255, 256, size - 1} & set(range(size)):
                proof = {"index": index, "size": size, "proof": log.inclusion_proof(index, size), "root": root}
                verify_inclusion(leaves[index], **proof)
                with pytest.raises(VerificationError):
                    verify_inclusion(leaf_hash(b"another"), **proof)
            for old_size, old_root in roots.items():
                if old_size <= size:
                    growth = {
                        "old_size": old_size,
                        "new_size": size,
                        "new_root": root,
                        "proof": log.consistency_proof(old_size, size),
                    }
                    verify_consistency(**growth, old_root=old_root)
                    with pytest.raises(VerificationError):
                        verify_consistency(**growth, old_root=leaf_hash(b"fork"))


def test_tiles_and_bundles_are_those_of_every_size_that_was_published(place):
    with place.create() as log:
        log.append(entries(300))
        leaves = [leaf_hash(e) for e in entries(300)]
        assert log.tile(0, 0) == b"".join(leaves[:256])
        assert log.tile(0, 1, 44) == b"".join(leaves[256:])
        assert log.tile(0, 0, 7) == b"".join(leaves[:7])
        assert log.tile(1, 0, 1) == root_of(leaves[:256])
        assert decode_bundle(log.bundle(1, 44), 44) == entries(44, 256)
        missing = (Tile(0, 1), Tile(0, 1, 45), Tile(1, 0, 2), Tile(2, 0, 1), Tile(None, 1), Tile(63, 0, 1))
        for tile in missing:
            with pytest.raises(RefusedError, match="the log has no tile") as refused:
                log.file(tile)
            assert refused.value.code is Code.NOT_FOUND


def test_what_the_log_does_not_have_is_not_found(place):
    with place.create() as log:
        log.append(entries(5))
        for ask in (
            lambda: log.entries(0, 6),
            lambda: log.entries(-1, 2),
            lambda: log.entries(3, 2),
            lambda: log.root(6),
            lambda: log.inclusion_proof(5, 5),
            lambda: log.inclusion_proof(0, 6),
            lambda: log.consistency_proof(2, 6),
        ):
            with pytest.raises(RefusedError) as refused:
                ask()
            assert refused.value.code is Code.NOT_FOUND


def test_an_entry_that_no_bundle_can_hold_is_refused_with_its_whole_batch(place):
    with place.create() as log:
        with pytest.raises(RefusedError, match="log entry of 65536 bytes") as refused:
            log.append([b"small", bytes(65_536)])
        assert refused.value.code is Code.TOO_LARGE
        verify(log, place, [])
        log.append([b"", bytes(65_535)])
        verify(log, place, [b"", bytes(65_535)])


def test_threads_append_at_once_and_every_entry_is_where_its_index_says(place):
    acknowledged: dict[int, bytes] = {}

    def produce(name: int) -> None:
        for number in range(20):
            batch = [b"%d %d %d" % (name, number, n) for n in range(3)]
            first, note = log.append(batch)
            opened = open_checkpoint(note, origin=ORIGIN, log_keys=LogKeys(place.signer.verifier_key))
            assert opened.checkpoint.size >= first + 3
            acknowledged.update(enumerate(batch, first))
            assert log.entries(first, first + 3) == batch

    with place.create() as log:
        threads = [threading.Thread(target=produce, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(acknowledged) == list(range(8 * 20 * 3))
        verify(log, place, [acknowledged[n] for n in range(len(acknowledged))])


# --- one writer ---


def test_a_second_writer_is_turned_away_and_readers_are_not(place):
    with place.create() as log:
        log.append(entries(3))
        with pytest.raises(UnavailableError, match="another process writes this log") as refused:
            place.open()
        assert refused.value.code is Code.STORAGE_UNAVAILABLE
        with LogReader(place.database) as reader:
            verify(reader, place, entries(3))
    with place.open() as log:
        verify(log, place, entries(3))


def test_another_process_is_turned_away_too(place):
    code = (
        "import fcntl, sys\n"
        "f = open(sys.argv[1], 'r+')\n"
        "fcntl.flock(f, fcntl.LOCK_EX)\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()"
    )
    place.create().close()
    lock = place.database.with_name("log.sqlite.lock")
    for path in (lock, place.guard):  # the guard as well, so that two copies of one log do not share it
        with subprocess.Popen(
            [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other:
            assert other.stdout.readline() == b"locked\n"
            with pytest.raises(UnavailableError, match="is locked"):
                place.open()
            other.stdin.close()
            other.wait()
        place.open().close()


def test_a_key_of_another_name_cannot_open_the_log(place):
    place.create().close()
    with pytest.raises(ConfigurationError, match=r"cannot be signed by a key named log\.example/two"):
        Place(place.folder, NoteSigner("log.example/two", place.signer.private_key)).open()
    with pytest.raises(VerificationError, match="checkpoint is not signed by the key of log"):
        Place(place.folder, NoteSigner(ORIGIN, Ed25519PrivateKey.generate())).open()
    place.open().close()


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, ConfigurationError, "there is no log at"),
        (b"", ConfigurationError, "is not a Sealwright log"),
        (b"\x5a" * 5000, VerificationError, "is damaged: file is not a database"),
    ],
)
def test_a_file_that_is_no_log_is_refused(place, content, error, message):
    if content is not None:
        place.database.write_bytes(content)
    for opening in (place.open, lambda: LogReader(place.database)):
        with pytest.raises(error, match=message):
            opening()


def test_a_newer_schema_is_refused_with_a_hint(place):
    place.create().close()
    place.sql("PRAGMA user_version = 2")
    with pytest.raises(ConfigurationError, match="has schema version 2, this program knows 1") as refused:
        place.open()
    assert "newer Sealwright" in refused.value.hint


def test_an_existing_log_is_never_made_anew(place):
    place.create().close()
    with pytest.raises(ConfigurationError, match="exists"):
        place.create()


# --- tampering ---


def test_entries_cannot_be_changed_or_deleted_by_plain_sql(place):
    with place.create() as log:
        log.append(entries(3))
    for statement in ("UPDATE entry SET content = x'00' WHERE number = 1", "DELETE FROM entry WHERE number = 1"):
        with pytest.raises(sqlite3.IntegrityError, match="log entries"):
            place.sql(statement)


DROP = ("DROP TRIGGER entry_never_changes", "DROP TRIGGER entry_never_goes")


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        ((*DROP, "UPDATE entry SET content = x'00' WHERE number = 1"), "tile 0/0 does not fit the entries below it"),
        ((*DROP, "UPDATE entry SET content = x'00' WHERE number = 299"), "tile 0/1 does not fit the entries below it"),
        ((*DROP, "DELETE FROM entry WHERE number = 260"), "lacks entries from 256 on"),
        ((*DROP, "DELETE FROM entry WHERE number = 299"), "has 299 entries, its head says 300"),
        (("INSERT INTO entry VALUES (300, x'00')",), "has 301 entries, its head says 300"),
        (("INSERT INTO tile VALUES (0, 2, x'00')",), "has 4 tiles, 3 belong to size 300"),
        (("UPDATE tile SET hashes = zeroblob(8192) WHERE level = 0 AND number = 0",), "tile 0/0 does not fit"),
        (("UPDATE tile SET hashes = zeroblob(32) WHERE level = 1",), "tile 1/0 does not fit"),
        (("DELETE FROM tile WHERE level = 1",), "lacks hashes of tile 1/0"),
        (("UPDATE head SET root = zeroblob(32)",), "log head does not fit its entries"),
        (
            ("UPDATE head SET checkpoint = CAST(replace(checkpoint, '300', '301') AS BLOB)",),
            "note signature of log.example/one",
        ),
        (
            (
                "ALTER TABLE head RENAME TO old",
                "CREATE TABLE head AS SELECT origin, 'x' AS size, root, checkpoint FROM old",
            ),
            "has no head",
        ),
        (("DELETE FROM head",), "has no head"),
    ],
)
def test_whatever_is_changed_in_the_database_the_check_finds(place, statements, message):
    with place.create() as log:
        log.append(entries(300))
        verify(log, place, entries(300))
        reader = LogReader(place.database)
    place.sql(*statements)
    with reader, pytest.raises(VerificationError, match=message):
        reader.verify_all(LogKeys(place.signer.verifier_key))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE head SET size = 299",
        "UPDATE head SET root = zeroblob(32)",
        "UPDATE tile SET hashes = zeroblob(32) WHERE level = 1",
        "UPDATE tile SET hashes = zeroblob(1408) WHERE level = 0 AND number = 1",
        "DELETE FROM tile",
        "DELETE FROM head",
    ],
)
def test_a_log_whose_head_or_newest_tiles_were_changed_does_not_open(place, statement):
    with place.create() as log:
        log.append(entries(300))
    place.sql(statement)
    with pytest.raises((RefusedError, VerificationError)) as refused:
        place.open()
    assert refused.value.code is Code.LOG_INCONSISTENT


def test_a_head_that_somebody_else_moved_is_not_appended_to(place):
    with place.create() as log:
        log.append(entries(3))
        place.sql("UPDATE head SET size = 2")
        with pytest.raises(VerificationError, match="was changed by somebody else after size 3"):
            log.append(entries(1, 3))
        with pytest.raises(VerificationError):
            log.append(entries(1, 3))
        place.sql("UPDATE head SET size = 3")
        assert log.append(entries(1, 3))[0] == 3
        verify(log, place, entries(4))


# --- backup and export ---


def test_a_backup_made_while_appending_verifies_by_itself(place, tmp_path):
    with place.create() as log:
        log.append(entries(700))
        stop = threading.Event()

        def keep_appending() -> None:
            while not stop.is_set():
                log.append(entries(1, log.size))

        thread = threading.Thread(target=keep_appending)
        thread.start()
        log.backup(tmp_path / "backup.sqlite")
        stop.set()
        thread.join()
        verify(log, place, entries(log.size))
        with LogReader(tmp_path / "backup.sqlite") as copy:
            assert 700 <= copy.size <= log.size
            verify(copy, place, entries(copy.size))
            assert copy.root(copy.size) == log.root(copy.size)
        with pytest.raises(RefusedError, match="exists"):
            log.backup(tmp_path / "backup.sqlite")


def test_a_backup_is_one_file_that_reads_from_read_only_media(place, tmp_path):
    with place.create() as log:
        log.append(entries(10))
        media = tmp_path / "media"
        media.mkdir()
        log.backup(media / "backup.sqlite")
    assert [p.name for p in media.iterdir()] == ["backup.sqlite"]
    with LogReader(media / "backup.sqlite") as copy:
        verify(copy, place, entries(10))
    assert [p.name for p in media.iterdir()] == ["backup.sqlite"]


def test_an_export_is_the_tree_of_files_that_a_reader_of_tiles_expects(place, tmp_path):
    folder, published = tmp_path / "public", set()
    with place.create() as log:
        for batch in (0, 5, 251, 1, 300):
            old = log.size
            log.append(entries(batch, old))
            head = export(log, folder)
            assert (folder / "checkpoint").read_bytes() == log.checkpoint()
            published |= {tile.path for tile in tiles_between(old, head.size)}
            assert {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} == {
                "checkpoint",
                *published,
            }
            for tile in tiles_between(0, head.size):
                assert (folder / tile.path).read_bytes() == log.file(tile)
            verify(log, place, entries(log.size))


def test_an_export_never_covers_another_log_or_a_later_state(place, tmp_path):
    folder = tmp_path / "public"
    other = Place(tmp_path / "other", place.signer)
    other.folder.mkdir()
    with place.create() as log, other.create() as fork:
        log.append(entries(10))
        fork.append(entries(9))
        export(log, folder)
        before = (folder / "checkpoint").read_bytes()
        with pytest.raises(RefusedError, match="which this one does not continue") as refused:
            export(fork, folder)  # shorter
        assert refused.value.code is Code.LOG_INCONSISTENT
        fork.append([b"a fork"] * 5)
        with pytest.raises(RefusedError, match="which this one does not continue"):
            export(fork, folder)  # longer, but of another history
        assert (folder / "checkpoint").read_bytes() == before
        log.append(entries(1, 10))
        assert export(log, folder).size == 11


def test_the_program_in_the_specification_verifies_an_export_and_finds_a_changed_entry(place, tmp_path):
    page = (PROJECT / "docs" / "spec" / "log.md").read_text()
    program = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    command = [sys.executable, "-c", program.group(1), str(tmp_path / "public")]
    with place.create() as log:
        for batch in (700, 1, 0, 66_000):
            log.append(entries(batch, log.size))
            export(log, tmp_path / "public")
            run = subprocess.run(command, capture_output=True, text=True, check=True)
            assert run.stdout == f"{log.size} entries have the root that the checkpoint says\n"
    bundle = tmp_path / "public" / Tile(None, 1).path
    bundle.write_bytes(bundle.read_bytes().replace(b"entry 300", b"entry 30O"))
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (1, "the entries have another root than the checkpoint says\n")
