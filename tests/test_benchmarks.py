"""The benchmarks run and write what ``make bench`` promises.  Nothing is said about time."""

import json

import pytest
from benchmarks.run import SECTIONS, main


@pytest.mark.slow
def test_every_section_writes_its_figures(tmp_path, capsys):
    written = tmp_path / "bench.json"
    assert main(["--quick", "--output", str(written)]) == 0
    figures = json.loads(written.read_text())
    for name, figure in figures.items():
        assert figure["ours"] > 0, name
        assert figure["unit"], name
        assert figure["ratio"] is None or figure["ratio"] == figure["ours"] / figure["other"], name
    parts = ["file to file", "through the server", "P-256, softhsm", "ml-dsa-44, files, two partitions"]
    for part in (*parts, "verify with evidence", "log, append"):
        assert any(part in name for name in figures), part
    assert len(capsys.readouterr().out.splitlines()) > len(figures)


def test_a_section_that_does_not_exist_is_named(capsys):
    with pytest.raises(SystemExit):
        main(["everything"])
    assert "there is no section everything" in capsys.readouterr().err
    assert set(SECTIONS) == {"files", "hex", "upload", "requests", "keystores", "verify", "log"}
