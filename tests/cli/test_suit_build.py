"""``sealwright suit``: builds what the function builds beside the template, and refuses by name."""

import json
from pathlib import Path

import pytest
from tests.formats import test_suit_template as templates

from sealwright.cli.main import main


@pytest.fixture
def template(tmp_path: Path) -> Path:
    for name, data in templates.FILES.items():
        (tmp_path / name).write_bytes(data)
    path = tmp_path / "update.json"
    component = {"id": ["app"], "image": "fw.bin", "integrated": True, "invoke": True}
    path.write_text(json.dumps(templates.template(component), indent=2))
    return path


def test_an_envelope_is_built_and_inspected(template: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = template.with_name("update.suit")
    assert main(["suit", "build", str(template), "--output", str(output)]) == 0
    assert capsys.readouterr().out == f"built: {output}\n"
    assert output.read_bytes() == templates.build(json.loads(template.read_text()))
    assert main(["inspect", str(output), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)["facts"]
    assert (facts["Sequence number"], facts["Component 0"], facts["validate 1"]) == (
        "7",
        "app",
        "condition image-match",
    )


def test_an_existing_file_is_not_written_over_unless_asked(template: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = template.with_name("update.suit")
    output.write_bytes(b"precious")
    command = ["suit", "build", str(template), "--output", str(output)]
    assert main(command) == 78
    assert "update.suit" in capsys.readouterr().err
    assert output.read_bytes() == b"precious"
    assert main([*command, "--force"]) == 0


def test_a_template_without_its_image_is_refused_and_leaves_nothing(
    template: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(template.parent.iterdir())
    command = ["suit", "build", str(template), "--output", str(template.with_name("new.suit"))]
    assert main([*command, "--folder", str(template.parent / "nowhere")]) != 0
    assert "fw.bin" in capsys.readouterr().err
    template.write_text("{}")
    assert main(command) == 65
    assert sorted(template.parent.iterdir()) == before


def test_against_the_release_before_it_tells_what_changed(template: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = template.with_name("old.suit"), template.with_name("new.suit")
    assert main(["suit", "build", str(template), "-o", str(old)]) == 0
    value = json.loads(template.read_text())
    del value["components"][0]["invoke"]
    template.write_text(json.dumps(value | {"sequence_number": 8}))
    template.with_name("fw.bin").write_bytes(b"other firmware")
    assert main(["suit", "build", str(template), "-o", str(new)]) == 0
    capsys.readouterr()
    assert main(["inspect", str(new), "--against", str(old), "--json"]) == 0
    changes = {c["label"]: (c["before"], c["after"]) for c in json.loads(capsys.readouterr().out)["against"]["changes"]}
    assert changes["Sequence number"] == ("7", "8")
    assert changes["shared-sequence 1 image-size"] == ("34768 bytes", "14 bytes")
    assert changes["invoke 1"] == ("directive invoke (reporting 2)", None)
    assert "shared-sequence 1 vendor-id" not in changes
