"""``sealwright inspect`` says of signature files beside an image what they say of themselves, and which are damaged."""

import json

import pytest
from tests.cli.test_offline import run
from tests.formats.memory_files import hex_text
from tests.formats.throwaway import signer

from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm
from sealwright.formats import ihex, raw, raw_minisign, targets
from sealwright.formats.raw_outputs import Output

TIME = 1_790_000_000
SPELLED, ISO = "2026-09-21 14:13:20 UTC", "2026-09-21T14:13:20Z"
P256 = signer(Algorithm.ECDSA_P256_SHA256, "ec")
ED = signer(Algorithm.ED25519, "ed")
HEX = hex_text([(0x1000, b"firmware")])


def beside(folder, image, module, who, name="fw", **options):
    """Write an image and its signature file; return the image's path and the signature file's."""
    made = module.prepare(MemorySource(image), [who.signing_key()], options, targets.ANY)
    (sidecar,) = made.assemble(who.sign_all(made)).sidecars
    path = folder / name
    path.write_bytes(image)
    signature = folder / f"{name}{sidecar.suffix}"
    signature.write_bytes(sidecar.content)
    return path, signature


def shown(capsys, path):
    assert run("inspect", path) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "beside the file" in line)
    assert run("inspect", path, "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)["signature_files"]
    return line, found


@pytest.mark.parametrize(
    ("options", "covers"),
    [
        ({"profile": "file"}, "the whole file"),
        ({"profile": "segments"}, "memory image: segments"),
        (
            {"profile": "flat", "base": 0x1000, "size": 64, "fill": 255},
            "memory image: flat base=0x1000 size=0x40 fill=0xff",
        ),
    ],
)
def test_inspect_says_which_content_of_a_hex_file_is_signed_and_whether_it_is_that_of_this_file(
    tmp_path, capsys, options, covers
):
    path, _ = beside(tmp_path, HEX, ihex, P256, "fw.hex", signing_time=TIME, **options)
    line, found = shown(capsys, path)
    assert f"fw.hex.p7s: ecdsa-p256-sha256 by key {P256.public_key.fingerprint}" in line
    assert line.endswith(f"at {SPELLED}, over {covers}")
    assert (found["algorithm"], found["signing_time"], found["covers"], found["fits"]) == (
        "ecdsa-p256-sha256",
        ISO,
        covers,
        True,
    )
    path.write_bytes(hex_text([(0x1000, b"firmwarf")]))
    line, found = shown(capsys, path)
    assert line.endswith("does not match this file")
    assert found["fits"] is False


def test_a_hex_file_that_is_spelt_otherwise_still_fits_its_signature_over_segments(tmp_path, capsys):
    path, _ = beside(tmp_path, HEX, ihex, P256, "fw.hex", signing_time=TIME)
    path.write_bytes(HEX.lower())
    assert shown(capsys, path)[1]["fits"] is True


@pytest.mark.parametrize(
    ("output", "who", "signer_said", "time"),
    [
        (Output.CMS, ED, f"key {ED.public_key.fingerprint}", ISO),
        (Output.COSE, P256, P256.public_key.fingerprint[:16], ISO),
        (Output.SSHSIG, ED, f"{ED.public_key.fingerprint[:16]} in namespace file", None),
        (Output.MINISIGN, ED, f"minisign key {raw_minisign.spelled(raw_minisign.key_id(ED.public_key))}", ISO),
    ],
    ids=["cms", "cose", "sshsig", "minisign"],  # keys are new in each process
)
def test_inspect_lists_every_kind_of_signature_file_and_says_which_is_damaged(
    tmp_path, capsys, output, who, signer_said, time
):
    path, signature = beside(tmp_path, b"data", raw, who, signing_time=TIME, output=str(output))
    line, found = shown(capsys, path)
    assert found["name"] == signature.name
    assert found["algorithm"] == who.algorithm
    assert found["signer"].startswith(signer_said)
    assert found["signing_time"] == time
    assert f"{signature.name}: {who.algorithm} by {signer_said}" in line
    whole = signature.read_bytes()
    for stop in (0, 1, len(whole) // 2, len(whole) - 1):
        signature.write_bytes(whole[:stop])
        line, found = shown(capsys, path)
        assert f"{signature.name}: cannot be read: " in line
        assert found.keys() == {"name", "error"}


def test_a_signature_file_that_is_too_large_is_not_read(tmp_path, capsys):
    path = tmp_path / "fw"
    path.write_bytes(b"data")
    (tmp_path / "fw.p7s").write_bytes(bytes((1 << 20) + 1))
    assert "at most 1048576 are accepted" in shown(capsys, path)[1]["error"]
