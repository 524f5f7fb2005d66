"""``verify --log`` and ``log mirror``: on an exported log, and against real processes."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.client.signed import Maker

from sealwright.cli.main import main
from sealwright.client.assembly import assemble, deliver
from sealwright.client.files import FileSource
from sealwright.core import records
from sealwright.evidence.bundle import TrustFile
from sealwright.formats import FORMATS
from sealwright.policy.documents import RestrictionKind
from sealwright.storage.log import LogStore
from sealwright.storage.log_export import export
from sealwright.translog import merkle

PADDING = [b"garbage %d" % i for i in range(300)]
REFUSED, DIFFERENT, DATA, CONFIGURATION = 77, 1, 65, 78


@dataclass(frozen=True)
class Release:
    """A signed image, the trust file, and the exported log."""

    maker: Maker
    image: Path
    trust: Path
    log: Path

    def verify(self, *more: object) -> int:
        return main([str(a) for a in ("verify", self.image, "--trust", self.trust, "--log", self.log, *more)])

    def export(self, log: Path) -> None:
        """Export the log, as a server does, with the maker's key."""
        memory = self.maker.instance.log
        signer = memory.signer
        database = self.image.parent / "log.sqlite"
        if database.exists():
            shutil.rmtree(self.image.parent / "guard")
            database.unlink()
        (self.image.parent / "guard").mkdir()
        store = LogStore.create(database, signer=signer, guard_directory=self.image.parent / "guard")
        try:
            store.append(memory.entries)
            export(store, log)
        finally:
            store.close()


@pytest.fixture
def made(tmp_path):
    maker = Maker()
    maker.instance.log.entries += PADDING  # so that there are whole bundles too
    image, trust = tmp_path / "router.bin", tmp_path / "trust.json"
    image.write_bytes(b"firmware of a router")
    dossier = maker.sign(maker.prepare(image))
    root = merkle.root_of([merkle.leaf_hash(maker.instance.log.entries[0])]).hex()
    base = maker.trust()
    trust.write_bytes(records.serialise(replace(base, as_of=replace(base.as_of, root_hash=root))))
    with FileSource(image) as source:
        evidence = assemble(dossier, image.name, source, FORMATS)
        deliver(evidence, source, None, records.parse(TrustFile, trust.read_bytes()), FORMATS)
    release = Release(maker, image, trust, tmp_path / "log")
    release.export(release.log)
    return release


def test_verify_says_up_to_where_the_past_is_proven(made, capsys):
    assert made.verify() == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "history proven up to 305 entries of the log copy" in lines
    assert made.verify("--json") == 0
    assert json.loads(capsys.readouterr().out)["log"]["proven_size"] == 305


def test_without_a_copy_nothing_is_said_to_be_proven(made, capsys):
    assert main(["verify", str(made.image), "--trust", str(made.trust)]) == 0
    assert "history" not in capsys.readouterr().out


def test_a_later_revocation_is_a_note(made, capsys):
    made.maker.instance.restrict(RestrictionKind.REVOKE_PERSON, "ben")
    made.export(made.image.parent / "newer")
    shutil.rmtree(made.log)
    (made.image.parent / "newer").rename(made.log)
    assert made.verify() == 0
    assert "note: logged after the outcome, entry 305: revoke-person ben" in capsys.readouterr().err


def test_a_changed_missing_or_short_copy_is_refused(made, capsys):
    first, last = made.log / "tile/entries/000", made.log / "tile/entries/001.p/49"
    data = first.read_bytes()
    first.write_bytes(data.replace(b"garbage 9", b"garbage 8", 1))
    assert made.verify() == DIFFERENT
    assert "the copy is not of the log that the signer knows" in capsys.readouterr().err
    first.write_bytes(data[:-1])
    assert made.verify() == DATA
    first.write_bytes(data)
    last.unlink()
    assert made.verify() == CONFIGURATION
    assert f"the copy of the log lacks {last}" in capsys.readouterr().err
    (made.log / "checkpoint").write_bytes(made.maker.instance.log.checkpoint(256))
    assert made.verify() == REFUSED
    said = capsys.readouterr()
    assert "the copy of the log ends after 256 entries, the outcome is entry 304" in said.err
    assert said.out == ""
    shutil.rmtree(made.log)
    assert made.verify() == CONFIGURATION
    assert "holds no copy of a log" in capsys.readouterr().err


def test_with_a_copy_verify_opens_no_network_library_either(made):
    call = f"from sealwright.cli.main import main; code = main({['verify', str(made.image), '--trust', str(made.trust), '--log', str(made.log)]!r})"  # noqa: E501
    known = "{'typer', 'rich', 'httpx', 'pydantic', 'ssl', 'sqlite3'}"
    code = f"import sys; {call}; print(code, sorted({{n.split('.')[0] for n in sys.modules}} & {known}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_a_folder_with_other_files_is_no_place_for_a_mirror(terminal, tmp_path):
    copy = tmp_path / "mirror"
    copy.mkdir()
    (copy / "thesis.txt").write_text("dear")
    said = terminal.run("dan", "log", "mirror", copy)
    assert said.code == 78
    assert f"{copy} holds other files (thesis.txt) and no copy of a log" in said.err
    assert [path.name for path in copy.iterdir()] == ["thesis.txt"]
    (copy / "thesis.txt").unlink()
    (copy / "tile").mkdir()  # as a first copy that was cut short left it
    terminal.good("dan", "log", "mirror", copy)


def test_a_mirror_of_a_running_server_proves_what_it_signed(terminal, live, image, tmp_path):
    copy, trust = tmp_path / "mirror", live.configuration.trust_file
    first = terminal.good("dan", "log", "mirror", copy, "--json").json
    assert first["kept"] == 0
    request = terminal.sign(image)
    for person in ("ben", "cleo"):
        terminal.good(person, "request", "approve", request, image, "--yes")
    out = tmp_path / "out.bin"
    terminal.good("ada", "request", "fetch", request, image, "--wait", "20", "-o", out)
    verify = ("verify", out, "--trust", trust, "--log", copy)
    said = terminal.run("dan", *verify)
    assert said.code == REFUSED
    assert "hint: refresh the copy with `sealwright log mirror`" in said.err
    again = terminal.good("dan", "log", "mirror", copy)
    assert f"continues the {live.trust.as_of.size} entries that the trust file knows" in again.out
    assert "entries more than before" in again.out
    size = terminal.good("dan", "log", "mirror", copy, "--json").json["kept"]
    assert size > first["size"]
    assert f"proven up to {size} entries of the log copy" in terminal.good("dan", *verify).out
