"""``sealwright inspect IMAGE --against OLD``: what an approver should look at, for every format alike."""

import json
from pathlib import Path

import pytest
from tests.formats.fits import Recipe, node_of, sign, with_other_kernel
from tests.formats.flips import flipped

from sealwright.cli.main import main
from sealwright.client.comparison import Change


def inspected(capsys: pytest.CaptureFixture[str], new: bytes, old: bytes, folder: Path) -> dict[str, tuple[str, str]]:
    (folder / "new").write_bytes(new)
    (folder / "old").write_bytes(old)
    assert main(["inspect", str(folder / "new"), "--against", str(folder / "old"), "--json"]) == 0
    against = json.loads(capsys.readouterr().out)["against"]
    assert against["image"] == str(folder / "old")
    return {change["label"]: (change["before"], change["after"]) for change in against["changes"]}


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return sign(Recipe().build(tmp_path_factory.mktemp("fit")))


def test_an_image_does_not_differ_from_itself(
    signed: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert inspected(capsys, signed, signed, tmp_path) == {}
    main(["inspect", str(tmp_path / "new"), "--against", str(tmp_path / "old")])
    assert capsys.readouterr().out.endswith(f"changed since {tmp_path / 'old'}: nothing\n")


def test_a_moved_load_address_is_shown(signed: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at = node_of(signed, "/images/kernel-1").properties["load"].value.start + 3
    changed = inspected(capsys, flipped(signed, at), signed, tmp_path)
    assert changed["image kernel-1 load"] == ("0x44000000", "0x44000001")
    assert changed.keys() == {"image kernel-1 load", "covered bytes"}
    main(["inspect", str(tmp_path / "new"), "--against", str(tmp_path / "old")])
    assert "image kernel-1 load  0x44000000 -> 0x44000001" in capsys.readouterr().out


def test_another_payload_is_shown_by_its_hash(
    signed: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = inspected(capsys, with_other_kernel(signed), signed, tmp_path)
    assert changed.keys() == {"image kernel-1 hash-1", "covered bytes"}


def test_a_signature_that_is_gone_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unsigned = Recipe().build(tmp_path)
    changed = inspected(capsys, unsigned, sign(unsigned), tmp_path)
    assert changed["keys of every configuration"] == ("dev", "none")
    assert changed["signature conf-1/signature-1"] == ("signed, sha256,rsa2048 by key dev", None)


def test_a_change_that_no_fact_tells_shows_in_the_covered_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = inspected(capsys, b"firmware 2", b"firmware 1", tmp_path)
    assert "covered bytes" in changed
    assert changed["covered bytes"][0] != changed["covered bytes"][1]


def test_images_of_two_formats_are_compared_too(
    signed: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert inspected(capsys, signed, b"firmware", tmp_path)["format"] == ("raw", "u-boot-fit")


def test_a_broken_old_image_is_an_error(signed: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "new").write_bytes(signed)
    (tmp_path / "old").write_bytes(signed[:100])
    assert main(["inspect", str(tmp_path / "new"), "--against", str(tmp_path / "old")]) == 65
    assert main(["inspect", str(tmp_path / "new"), "--against", str(tmp_path / "missing")]) != 0
    assert "missing" in capsys.readouterr().err


def test_a_change_of_what_no_signature_covers_shows_too(
    signed: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = inspected(capsys, signed + b"behind", signed + b"beside", tmp_path)
    (label,) = changed
    assert label.startswith("not covered")
    assert changed[label][0].split(",")[0] == changed[label][1].split(",")[0]


def test_a_file_that_cannot_be_read_is_named(signed: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "new").write_bytes(signed)
    (tmp_path / "old").write_bytes(signed[:-9])
    assert main(["inspect", str(tmp_path / "new"), "--against", str(tmp_path / "old")]) == 65
    assert capsys.readouterr().err.startswith("sealwright: error: old: ")


def test_an_option_that_nothing_asks_for_is_refused(
    signed: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "new").write_bytes(signed)
    assert main(["inspect", str(tmp_path / "new"), "--option", "profile=flat"]) == 64
    assert "--option says what --content writes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("label", "before", "after", "is_rollback"),
    [
        ("Security counter", "7", "6", True),
        ("Security counter", "6", "7", False),
        ("Security counter", "none", "6", False),
        ("Secure version", "5 (rollback counter)", "3 (rollback counter)", True),
        ("Sequence number", "10", "9", True),
        ("Size", "10 bytes", "9 bytes", False),
        ("Security counter", "7", None, False),
    ],
)
def test_a_number_that_devices_count_is_marked_where_it_goes_down(
    label: str, before: str, after: str | None, *, is_rollback: bool
) -> None:
    assert Change(label=label, before=before, after=after).is_rollback is is_rollback
