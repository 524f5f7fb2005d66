"""``sealwright uki``: builds what the function builds, prints what systemd-measure expects, and refuses by name."""

import json
from pathlib import Path

import pytest
from tests.formats import efi_images, ukis
from tests.verifiers import systemd_measure

from sealwright.cli.main import main

PARTS = {".linux": efi_images.image(), ".initrd": b"initrd", ".cmdline": ukis.CMDLINE, ".osrel": ukis.OS_RELEASE}


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    words = ["--stub", str(ukis.STUB), "--output", str(tmp_path / "image.efi")]
    for name, content in PARTS.items():
        path = tmp_path / name.removeprefix(".")
        path.write_bytes(content)
        words += [f"--{path.name}", str(path)]
    return words


def test_an_image_is_built_from_its_parts_and_measured_as_systemd_does(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["uki", "build", *arguments]) == 0
    image = tmp_path / "image.efi"
    assert capsys.readouterr().out == f"built: {image}\n"
    assert image.read_bytes() == ukis.build(PARTS)
    assert main(["uki", "measure", str(image), "--bank", "sha384", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["phases"] == systemd_measure.calculate(PARTS, tmp_path, "sha384")
    assert main(["uki", "measure", str(image)]) == 0
    printed_text = capsys.readouterr().out
    assert systemd_measure.calculate(PARTS, tmp_path)["ready"] in printed_text


def test_an_existing_file_is_not_written_over_unless_asked(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "image.efi").write_bytes(b"precious")
    assert main(["uki", "build", *arguments]) == 78
    assert "image.efi" in capsys.readouterr().err
    assert (tmp_path / "image.efi").read_bytes() == b"precious"
    assert main(["uki", "build", *arguments, "--force"]) == 0
    assert (tmp_path / "image.efi").read_bytes() == ukis.build(PARTS)


def test_a_stub_that_is_none_is_refused_and_leaves_nothing(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").write_bytes(b"MZ no stub")
    before = sorted(tmp_path.iterdir())
    assert main(["uki", "build", *arguments, "--stub", str(tmp_path / "other")]) == 65
    assert "the image ends at" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before
    assert main(["uki", "measure", str(tmp_path / "other")]) == 65


@pytest.mark.parametrize("kernel", [b"kernel" * 100, b"\x1f\x8b compressed", b"", b"MZ"])
def test_a_kernel_that_firmware_could_not_start_is_refused(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str], kernel: bytes
) -> None:
    (tmp_path / "linux").write_bytes(kernel)
    assert main(["uki", "build", *arguments]) == 65
    assert "is no kernel with an EFI stub: it does not begin as a PE program" in capsys.readouterr().err
    assert not (tmp_path / "image.efi").exists()
    (tmp_path / "linux").write_bytes(PARTS[".linux"])
    assert main(["uki", "build", *arguments]) == 0
