"""``log mirror`` and reading a copy: what is kept is what was signed, and a second run continues it or refuses."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.client.signed import Maker
from tests.simulators.instance import MemoryLog

from sealwright.client.log_copy import open_copy
from sealwright.client.log_mirror import mirror
from sealwright.core.errors import Code, ConfigurationError, FormatError, RefusedError, VerificationError
from sealwright.evidence.bundle import AsOf, TrustFile
from sealwright.service.messages import CheckpointAnswer, EntriesAnswer, ProofAnswer
from sealwright.translog import merkle, proofs


@dataclass
class LogApi:
    """The three calls of a server that concern its log, answered from memory."""

    log: MemoryLog
    served: int = 0

    def get(self, kind: type[Any], _: str, **query: int) -> Any:
        entries = self.log.entries
        if kind is CheckpointAnswer:
            return CheckpointAnswer(checkpoint=self.log.checkpoint())
        if kind is EntriesAnswer:
            start, stop = query["start"], query["stop"]
            self.served += stop - start
            return EntriesAnswer(start=start, entries=tuple(entries[start:stop]))
        leaves = [merkle.leaf_hash(entry) for entry in entries]
        return ProofAnswer(
            proof=tuple(
                proofs.consistency_proof(
                    query["old"], query["new"], lambda h, i: merkle.root_of(leaves[i << h : (i + 1) << h])
                )
            )
        )


@dataclass
class Mirror:
    """A log, whoever knows it, and the folder of a copy."""

    log: MemoryLog
    trust: TrustFile
    folder: Path

    def run(self, log: MemoryLog | None = None) -> tuple[int, int]:
        """Mirror; return the old size and how many entries the server was asked for."""
        api = LogApi(log or self.log)
        report, old_size = mirror(api, self.trust, self.folder, lambda *_: None)  # type: ignore[arg-type]
        assert report.head.checkpoint.size == len(api.log.entries)
        return old_size, api.served

    def kept(self) -> list[bytes]:
        return list(open_copy(self.folder).entries())

    def files(self) -> dict[str, bytes]:
        return {str(p.relative_to(self.folder)): p.read_bytes() for p in self.folder.rglob("*") if p.is_file()}


@pytest.fixture
def copy(tmp_path):
    maker = Maker()
    log = maker.instance.log
    log.entries += [b"garbage %d" % i for i in range(250)]
    root = merkle.root_of([merkle.leaf_hash(log.entries[0])]).hex()
    known = AsOf(size=1, root_hash=root, policy_version=0, policy_index=0)
    return Mirror(log, maker.trust(as_of=known), tmp_path / "new" / "copy")


def test_a_mirror_holds_the_log_and_a_second_run_fetches_what_is_new(copy):
    assert copy.run() == (0, 253)
    assert copy.kept() == copy.log.entries
    assert set(copy.files()) == {"checkpoint", "tile/entries/000.p/253"}
    copy.log.entries += [b"more %d" % i for i in range(10)]
    assert copy.run() == (253, 10)
    assert copy.kept() == copy.log.entries
    assert set(copy.files()) == {"checkpoint", "tile/entries/000.p/253", "tile/entries/000", "tile/entries/001.p/7"}
    assert copy.run() == (263, 0)


def test_a_partial_bundle_may_be_missing_once_the_full_one_is_there(copy):
    copy.run()
    old = (copy.folder / "checkpoint").read_bytes()
    entries = list(copy.log.entries)
    copy.log.entries += [b"more"] * 10
    copy.run()
    (copy.folder / "checkpoint").write_bytes(old)
    (copy.folder / "tile/entries/000.p/253").unlink()
    assert copy.kept() == entries


def fork(log: MemoryLog, at: int) -> MemoryLog:
    entries = list(log.entries)
    entries[at] = b"forked"
    return replace(log, entries=[*entries, b"longer"])


@pytest.mark.parametrize("at", [2, 252])
def test_a_log_that_does_not_continue_the_copy_is_refused_and_the_copy_stays(copy, at):
    copy.run()
    before = copy.files()
    for log in (fork(copy.log, at), replace(copy.log, entries=fork(copy.log, at).entries[:-1]), copy.log.copy(200)):
        with pytest.raises(RefusedError, match="the server's log does not continue the 253 entries") as caught:
            copy.run(log)
        assert caught.value.code is Code.LOG_INCONSISTENT
        assert copy.files() == before


def test_entries_that_are_not_those_of_the_checkpoint_leave_the_kept_checkpoint(copy):
    copy.run()
    before = copy.files()
    longer = replace(copy.log, entries=[*copy.log.entries, b"right"])
    api = LogApi(longer)
    honest = api.get

    def get(kind: type[Any], path: str, **query: int) -> Any:
        said = honest(kind, path, **query)
        return replace(said, entries=(b"wrong",)) if kind is EntriesAnswer else said

    api.get = get  # type: ignore[method-assign]
    with pytest.raises(VerificationError, match="entries that the server sent are not those of its checkpoint"):
        mirror(api, copy.trust, copy.folder, lambda *_: None)  # type: ignore[arg-type]
    assert copy.files().items() >= before.items()
    assert copy.kept() == copy.log.entries
    assert copy.run(longer) == (253, 1)
    assert copy.kept() == longer.entries


def test_a_copy_that_was_changed_on_the_disk_is_noticed(copy):
    copy.run()
    bundle = copy.folder / "tile/entries/000.p/253"
    bundle.write_bytes(bundle.read_bytes().replace(b"garbage 7", b"garbage 8"))
    with pytest.raises(VerificationError, match=r"the entries kept in .* are not those of its checkpoint"):
        copy.run()


def test_the_copy_of_another_log_is_not_continued(copy):
    copy.run()
    with pytest.raises(VerificationError, match="not signed by the key of log"):
        Mirror(copy.log, Maker().trust(as_of=copy.trust.as_of), copy.folder).run()


def test_a_copy_cut_anywhere_is_an_error_that_names_the_file(copy):
    copy.run()
    for name in ("checkpoint", "tile/entries/000.p/253"):
        path = copy.folder / name
        data = path.read_bytes()
        for cut in (0, 1, 2, 60, len(data) // 2, len(data) - 1):
            path.write_bytes(data[:cut])
            with pytest.raises(FormatError, match=name):
                copy.kept()
        path.unlink()
        with pytest.raises(ConfigurationError, match=name):
            copy.kept()
        path.write_bytes(data)
    assert copy.kept() == copy.log.entries


def test_a_folder_that_cannot_be_made_is_an_error(copy):
    copy.folder.parent.mkdir()
    copy.folder.write_bytes(b"")
    with pytest.raises(ConfigurationError):
        copy.run()
