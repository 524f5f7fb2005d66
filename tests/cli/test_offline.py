"""``sealwright verify``, ``inspect`` and ``version``: they say what they found, open no socket, and never crash."""

import json
import os
import random
import struct
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.client.signed import Maker
from tests.formats import dfu_files, efi_images
from tests.formats.flips import flipped

from sealwright import __version__
from sealwright.cli.main import main
from sealwright.client.assembly import assemble, deliver
from sealwright.client.files import FileSource
from sealwright.core import records
from sealwright.evidence.bundle import MAX_EVIDENCE_BYTES, Evidence, TrustFile
from sealwright.formats import FORMATS

IMAGE = b"firmware of a router " * 40


@dataclass(frozen=True)
class Release:
    """A signed image with its evidence, and the trust file."""

    image: Path
    evidence: Path
    trust: Path


def release(folder: Path, maker: Maker, data: bytes = IMAGE, name: str = "router.bin") -> Release:
    image, trust = folder / name, folder / "trust.json"
    image.write_bytes(data)
    dossier = maker.sign(maker.prepare(image))
    with FileSource(image) as source:
        evidence = assemble(dossier, image.name, source, FORMATS)
        made = deliver(evidence, source, None, maker.trust(), FORMATS)
    trust.write_bytes(records.serialise(maker.trust()))
    return Release(made.image, made.evidence, trust)


@pytest.fixture(scope="module")
def maker() -> Maker:
    return Maker()


@pytest.fixture
def raw(tmp_path: Path, maker: Maker) -> Release:
    return release(tmp_path, maker)


def run(*arguments: str | Path) -> int:
    return main([str(argument) for argument in arguments])


def test_verify_says_what_it_rests_on(raw, capsys):
    assert run("verify", raw.image, "--trust", raw.trust, "--json") == 0
    (key,) = json.loads(capsys.readouterr().out)["keys"]
    assert run("verify", raw.image, "--trust", raw.trust) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert lines[0] == f"verified: {raw.image}"
    for expected in (
        "product gateway 1.2.3",
        "environment production",
        "requested by ada",
        "approved by ben (recomputed), cleo (recomputed)",
        f"signed by key gateway/production/1, ecdsa-p256-sha256, software key {key['fingerprint'][:16]}",
        "format raw",
        "option signing_time 1790000000 (2026-09-21 14:13:20 UTC)",
        "signed at 2026-09-21 14:13:20 UTC",
        "witnesses unwitnessed",
        "installation evaluation",
        "gates none",
    ):
        assert expected in lines
    assert any(line.startswith("log log.example/acme, entry ") for line in lines)


def test_verify_tells_programs_the_same(raw, capsys):
    assert run("verify", raw.image, "--trust", raw.trust, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["verified"] is True
    assert (shown["product"], shown["release"], shown["requester"]) == ("gateway", "1.2.3", "ada")
    assert shown["approvals"] == [{"person": p, "checked": "recomputed"} for p in ("ben", "cleo")]
    assert (shown["witnessed"], shown["grade"], shown["gates"], shown["notes"]) == (False, "evaluation", [], [])
    assert shown["signed_at"] == "2026-09-21T14:13:20Z"
    assert shown["options"] == {"signing_time": 1_790_000_000}


def test_a_missing_sidecar_is_a_note_beside_the_result(raw, capsys):
    raw.image.with_name("router.bin.p7s").unlink()
    assert run("verify", raw.image, "--trust", raw.trust) == 0
    assert "sealwright: note: router.bin.p7s is not beside the image" in capsys.readouterr().err


def test_evidence_and_trust_may_lie_elsewhere(raw, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    raw.evidence.rename(elsewhere)
    monkeypatch.setenv("SEALWRIGHT_TRUST", str(raw.trust))
    assert run("verify", raw.image, "--evidence", elsewhere) == 0


def in_a_process(before: str, raw: Release, after: str = "") -> subprocess.CompletedProcess[str]:
    arguments = ["verify", str(raw.image), "--trust", str(raw.trust)]
    call = f"import sys; from sealwright.cli.main import main; code = main({arguments!r})\n"
    command = [sys.executable, "-c", before + call + after + "\nsys.exit(code)"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


GUARD = """
import sys
def refuse(event, args):
    if event.startswith("socket.") or event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"):
        raise SystemExit(f"not offline: {event}")
sys.addaudithook(refuse)
"""


def test_verify_opens_no_socket_and_starts_no_program(raw):
    done = in_a_process(GUARD, raw)
    assert (done.returncode, done.stderr) == (0, "")
    assert "not offline: socket.__new__" in in_a_process(GUARD, raw, "import socket; socket.socket()").stderr


def test_verify_imports_no_more_than_it_needs(raw):
    known = {"typer", "rich", "httpx", "pydantic", "fastapi", "ssl", "sqlite3"}
    done = in_a_process("", raw, f"print(sorted({{name.split('.')[0] for name in sys.modules}} & {known}))")
    assert done.stdout.splitlines()[-1] == "[]"


def failure(capsys: pytest.CaptureFixture[str], code: int, *arguments: str | Path) -> str:
    """Run, expect this exit code and a plain error; return it."""
    found = run(*arguments)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("sealwright: error: ")
    assert "Traceback" not in shown.err
    assert found == code, shown.err
    first = shown.err.splitlines()[0]
    assert not first.endswith(".")
    return shown.err


def test_one_turned_bit_of_the_image_is_refused(raw, capsys):
    raw.image.write_bytes(b"G" + IMAGE[1:])
    assert "this is not the approved image" in failure(capsys, 1, "verify", raw.image, "--trust", raw.trust)


def test_one_turned_bit_of_a_signed_program_is_refused(tmp_path, capsys):
    made = release(tmp_path, Maker("uefi-pe"), efi_images.image(), "memtest.efi")
    assert made.image.name == "memtest.signed.efi"
    assert run("verify", made.image, "--trust", made.trust) == 0
    capsys.readouterr()
    made.image.write_bytes(flipped(made.image.read_bytes(), 0x1000))
    assert "this is not the approved image" in failure(capsys, 1, "verify", made.image, "--trust", made.trust)


def test_an_exchanged_sidecar_is_refused(raw, capsys):
    raw.image.with_name("router.bin.p7s").write_bytes(b"exchanged")
    said = failure(capsys, 1, "verify", raw.image, "--trust", raw.trust)
    assert "router.bin.p7s is not the file that the evidence proves" in said


def test_another_installations_trust_is_refused(raw, capsys):
    raw.trust.write_bytes(records.serialise(Maker().trust()))
    assert "evidence of another installation" in failure(capsys, 1, "verify", raw.image, "--trust", raw.trust)


def test_a_policy_newer_than_the_signature_is_refused_by_its_rule(raw, maker, capsys):
    size = json.loads(raw.evidence.read_bytes())["outcome_index"]
    as_of = replace(maker.trust().as_of, size=size, policy_version=9, policy_index=size - 1)
    raw.trust.write_bytes(records.serialise(maker.trust(as_of=as_of)))
    assert "was not the newest when this was signed" in failure(capsys, 77, "verify", raw.image, "--trust", raw.trust)


def test_without_evidence_or_trust_it_says_where_they_are_wanted(raw, capsys):
    raw.evidence.unlink()
    said = failure(capsys, 78, "verify", raw.image, "--trust", raw.trust)
    assert f"there is no evidence {raw.evidence}" in said
    assert "sealwright: hint: name it with --evidence FILE" in said
    assert "no trust file is named" in failure(capsys, 64, "verify", raw.image)


def twice(data: bytes) -> bytes:
    return data.replace(b'{"artifact":', b'{"artifact":"other.bin","artifact":', 1)


def changed(data: bytes, name: str, value: object) -> bytes:
    return json.dumps(json.loads(data) | {name: value}, sort_keys=True, separators=(",", ":")).encode()


EVIL_DOCUMENTS = {
    "empty": (b"", "not JSON"),
    "one byte": (lambda data: data[:1], "not JSON"),
    "cut": (lambda data: data[:-1], "not JSON"),
    "text": (b"hello", "not JSON"),
    "random": (random.Random(1).randbytes(4000), "not JSON"),  # noqa: S311
    "zeros": (bytes(1000), "not JSON"),
    "deep": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "not JSON"),
    "many digits": (b"1" * 100_000, "not JSON"),
    "a list": (b"[]", "expected an object, found list"),
    "a number": (b"17", "expected an object, found int"),
    "null": (b"null", "NoneType has no canonical form"),
    "no members": (b"{}", "missing members"),
    "twice": (twice, "not in canonical form"),
    "spaces": (lambda data: data + b"\n", "not in canonical form"),
    "an unknown member": (lambda data: changed(data, "zzz", 1), "unknown members ['zzz']"),
    "another type": (lambda data: changed(data, "type", "vote"), "type: expected one of"),
    "another format": (lambda data: changed(data, "format", 2), "format: expected one of [1]"),
    "a float": (lambda data: changed(data, "instance", 1.5), "not JSON"),
    "a number for text": (lambda data: changed(data, "instance", 7), "instance: expected str, found int"),
    "a surrogate": (lambda data: changed(data, "instance", "\ud800"), "forbidden character U+D800"),
    "too long a text": (lambda data: changed(data, "instance", "0" * 65), "does not match"),
}


@pytest.mark.parametrize("which", ["evidence", "trust"])
@pytest.mark.parametrize("case", EVIL_DOCUMENTS)
def test_a_broken_document_is_an_error_that_names_the_file(raw, capsys, which, case):
    spoil, said = EVIL_DOCUMENTS[case]
    path: Path = getattr(raw, which)
    data = path.read_bytes()
    if case == "twice" and which == "trust":
        data = data.replace(b'{"as_of":', b'{"artifact":"","as_of":', 1)
    path.write_bytes(spoil if isinstance(spoil, bytes) else spoil(data))
    message = failure(capsys, 65, "verify", raw.image, "--trust", raw.trust)
    assert str(path) in message
    assert said in message


def test_an_oversized_document_is_refused_unread(raw, capsys):
    os.truncate(raw.evidence, MAX_EVIDENCE_BYTES + 1)
    assert "at most 16777216 are accepted" in failure(capsys, 65, "verify", raw.image, "--trust", raw.trust)


@pytest.mark.parametrize("which", ["image", "evidence", "trust"])
def test_what_is_no_file_is_refused_wherever_it_stands(raw, capsys, which):
    path: Path = getattr(raw, which)
    path.unlink()
    os.mkfifo(path)
    assert "is a named pipe" in failure(capsys, 65, "verify", raw.image, "--trust", raw.trust)
    path.unlink()
    path.mkdir()
    assert "is a directory" in failure(capsys, 65, "verify", raw.image, "--trust", raw.trust)
    path.rmdir()
    path.symlink_to(path.name)
    said = failure(capsys, 65 if which == "evidence" else 78, "verify", raw.image, "--trust", raw.trust)
    assert "symbolic link" in said  # "too many levels of", or "is a": the evidence's name is ours, not the person's


@pytest.mark.parametrize("size", [0, 1, 100, len(IMAGE) - 1, len(IMAGE) + 1])
def test_an_image_of_another_length_is_refused(raw, capsys, size):
    raw.image.write_bytes((IMAGE + b"!")[:size])
    assert "patch is for another image" in failure(capsys, 1, "verify", raw.image, "--trust", raw.trust)


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_evidence_with_anything_changed_is_refused_and_never_crashes(raw, capsys, data):
    original = raw.evidence.read_bytes()
    at = data.draw(st.integers(0, len(original) - 1))
    cut = data.draw(st.integers(0, 3))
    new = data.draw(st.binary(max_size=3).filter(lambda new: new != original[at : at + cut]))
    raw.evidence.write_bytes(original[:at] + new + original[at + cut :])
    try:
        code = run("verify", raw.image, "--trust", raw.trust)
        shown = capsys.readouterr()
        assert code in (1, 65, 77), shown.err
        assert shown.out == ""
    finally:
        raw.evidence.write_bytes(original)


def test_records_of_another_kind_are_not_taken_for_each_other(raw, capsys):
    assert records.parse(Evidence, raw.evidence.read_bytes())
    assert records.parse(TrustFile, raw.trust.read_bytes())
    said = failure(capsys, 65, "verify", raw.image, "--trust", raw.evidence)
    assert "trust file" in said
    assert "missing members" in said


# Not ru_maxrss: Linux lets a child begin with the peak of the process that started it.
PEAK_KIB = "next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM'))"


@pytest.mark.slow
def test_a_sparse_gigabyte_is_refused_in_little_memory(raw):
    os.truncate(raw.image, 1 << 30)
    code = (
        "from sealwright.cli.main import main;"
        f"a = main(['verify', {str(raw.image)!r}, '--trust', {str(raw.trust)!r}]);"
        f"b = main(['inspect', {str(raw.image)!r}]);"
        f"print(a, b, {PEAK_KIB})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    refused, inspected, peak_kib = map(int, done.stdout.splitlines()[-1].split())
    assert (refused, inspected) == (1, 0)
    assert peak_kib < 150 * 1024


@pytest.mark.slow
def test_a_sparse_gigabyte_is_verified_in_little_memory(tmp_path, maker):
    image = tmp_path / "huge.bin"
    image.touch()
    os.truncate(image, 1 << 30)
    prepared = maker.prepare(image)
    dossier = maker.sign(prepared)
    with FileSource(image) as source:
        evidence = assemble(dossier, image.name, source, FORMATS, prepared=prepared)
        deliver(evidence, source, None, maker.trust(), FORMATS)
    (tmp_path / "trust.json").write_bytes(records.serialise(maker.trust()))
    code = (
        "from sealwright.cli.main import main;"
        f"a = main(['verify', {str(image)!r}, '--trust', {str(tmp_path / 'trust.json')!r}]);"
        f"print(a, {PEAK_KIB})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    verified, peak_kib = map(int, done.stdout.splitlines()[-1].split())
    assert verified == 0
    assert peak_kib < 150 * 1024


def test_inspect_describes_an_image(tmp_path, capsys):
    path = tmp_path / "memtest.efi"
    path.write_bytes(efi_images.image())
    assert run("inspect", path) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"{path}: uefi-pe\n")
    for expected in (
        "Machine",
        "x86-64",
        "signatures: none inside the file",
        "a signature would cover:",
        "not covered:",
    ):
        assert expected in shown


def test_inspect_tells_programs_the_same(tmp_path, capsys):
    path = tmp_path / "plain"
    path.write_bytes(b"plain")
    assert run("inspect", path, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["format"], shown["covered"], shown["uncovered"]) == ("raw", [{"start": 0, "stop": 5}], [])


def test_inspect_names_the_signature_files_beside_an_image(tmp_path, capsys):
    path = tmp_path / "plain"
    for name in ("plain", "plain.p7s", "plain.sealwright", "other.p7s"):
        (tmp_path / name).write_bytes(b"plain")
    assert run("inspect", path) == 0
    shown = capsys.readouterr().out
    assert "beside the file: plain.p7s" in shown
    assert "beside the file: plain.sealwright" in shown
    assert "other" not in shown
    assert run("inspect", path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["beside"] == ["plain.p7s", "plain.sealwright"]


def test_inspect_says_which_other_formats_claim_a_file(tmp_path, capsys):
    path, both = tmp_path / "both", "also claimed by uefi-pe: taken as dfu, or name its --format"
    path.write_bytes(dfu_files.with_suffix(efi_images.image()))
    assert run("inspect", path) == 0
    assert both in capsys.readouterr().err
    assert run("inspect", path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["claimed_by"] == ["dfu", "uefi-pe"]
    assert run("inspect", path, "--format", "dfu") == 0
    assert "claimed" not in capsys.readouterr().err


def test_inspect_does_not_contradict_itself_about_what_is_not_covered(tmp_path, capsys):
    path = tmp_path / "app.hex"
    path.write_text(":0400000001020304F2\n:00000001FF\n")
    assert run("inspect", path) == 0
    shown = capsys.readouterr().out
    assert "4 bytes in 1 segment\n" in shown
    assert "Not covered by profile segments" in shown
    assert "not covered: nothing" not in shown
    assert "not covered: see 'Not covered by profile segments' above" in shown


def test_inspect_writes_the_content_that_a_signature_covers_but_over_no_file(tmp_path, capsys):
    path, content = tmp_path / "f.hex", tmp_path / "content"
    path.write_bytes(b":0400100064617461 52\n:00000001FF\n".replace(b" ", b""))
    assert run("inspect", path, "--content", content) == 0
    assert content.read_bytes().endswith(b"SEG " + struct.pack(">QQ", 16, 4) + b"data")
    assert run("inspect", path, "--content", content) == 78
    assert "exists already" in capsys.readouterr().err
    window = ["--option", "profile=flat", "--option", "base=8", "--option", "size=0x10", "--option", "fill=0xff"]
    assert run("inspect", path, "--content", tmp_path / "flat", *window) == 0
    assert (tmp_path / "flat").read_bytes() == b"data".rjust(12, b"\xff").ljust(16, b"\xff")
    assert run("inspect", path, "--format", "raw", "--content", tmp_path / "none") == 78
    assert "covers parts of the file itself" in capsys.readouterr().err


@pytest.mark.parametrize("data", [b"", b"\0", b"MZ", b"\xd0\x0d\xfe\xed", b"\x3d\xb8\xf3\x96", os.urandom(999)])
def test_inspect_never_crashes(tmp_path, capsys, data):
    path = tmp_path / "image"
    path.write_bytes(data)
    for name in (None, *FORMATS):
        code = run("inspect", path, *(["--format", name] if name else []))
        assert code in (0, 65)
        assert "Traceback" not in capsys.readouterr().err


def test_inspect_with_an_unknown_format_names_the_known_ones(tmp_path, capsys):
    (tmp_path / "image").write_bytes(b"x")
    said = failure(capsys, 64, "inspect", tmp_path / "image", "--format", "elf")
    assert "sealwright: hint: it is one of " in said


def test_nothing_that_a_terminal_obeys_is_printed(tmp_path, capsys):
    path = tmp_path / "\x1b[2Jimage\u202e"
    path.write_bytes(b"x")
    assert run("inspect", path) == 0
    assert "\\u001b[2Jimage\\u202e" in capsys.readouterr().out
    path.unlink()
    assert "\x1b" not in failure(capsys, 78, "inspect", path)


def test_version_is_said(capsys):
    assert run("version") == 0
    assert run("--version") == 0
    assert capsys.readouterr().out == f"sealwright {__version__}\n" * 2
    assert run("version", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"version": __version__}


def test_a_fork_at_the_size_that_the_trust_file_knows_is_noticed(raw, maker, capsys):
    size = json.loads(raw.evidence.read_bytes())["outcome_index"] + 1
    as_of = replace(maker.trust().as_of, size=size, root_hash="0" * 64)
    raw.trust.write_bytes(records.serialise(maker.trust(as_of=as_of)))
    assert "the log forked" in failure(capsys, 1, "verify", raw.image, "--trust", raw.trust)


@pytest.mark.parametrize(
    ("option", "value"), [("--environment", "development"), ("--product", "toaster"), ("--release", "9.9.9")]
)
def test_an_image_signed_for_something_else_is_refused(raw, capsys, option, value):
    said = failure(capsys, 1, "verify", raw.image, "--trust", raw.trust, option, value)
    assert f"signed for another {option[2:]}: expected {value}" in said
    assert f"if that is what you want: {option} " in said


def test_an_image_signed_for_what_was_asked_is_accepted(raw):
    expected = ("--environment", "production", "--product", "gateway", "--release", "1.2.3")
    assert run("verify", raw.image, "--trust", raw.trust, *expected) == 0
