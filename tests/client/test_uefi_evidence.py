"""UEFI variables, capsules and kernel images go the whole way: request, signature, evidence, verification."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.client.signed import Maker
from tests.client.test_assembly import make, put
from tests.formats import efi_capsules, efi_variables, ukis
from tests.formats.efi_images import RSA
from tests.formats.throwaway import signer

from sealwright.cli.main import main
from sealwright.client.offline import verify_file
from sealwright.core import records
from sealwright.core.errors import FormatError, VerificationError
from sealwright.core.images import MemorySource
from sealwright.formats import FORMATS, pe, uefi_capsule

LISTS = efi_variables.certificates(signer(RSA, "new"))
CASES = {
    "uefi-variable": ("db.esl", LISTS, {"variable": "db", "append": True}),
    "uefi-capsule": (
        "firmware.bin",
        efi_capsules.PAYLOAD,
        {"image_type": efi_capsules.IMAGE_TYPE, "fw_version": 7, "lowest_supported_version": 5},
    ),
}


@pytest.mark.parametrize("image_format", sorted(CASES))
def test_evidence_accepts_what_was_signed_and_refuses_it_flipped(tmp_path: Path, image_format: str) -> None:
    maker, (name, data, options) = Maker(image_format, RSA), CASES[image_format]
    if image_format == "uefi-variable":
        options = {**options, "timestamp": maker.instance.clock.now()}
    path = put(tmp_path, data, name)
    delivered = make(maker, maker.sign(maker.prepare(path, options=options)), path)
    signed = delivered.image.read_bytes()
    assert signed.endswith(data)
    assert verify_file(delivered.image, None, maker.trust(), FORMATS)
    for at in (len(signed) - 1, len(signed) - len(data) - 1, 60):
        delivered.image.write_bytes(signed[:at] + bytes([signed[at] ^ 1]) + signed[at + 1 :])
        with pytest.raises((VerificationError, FormatError)):
            verify_file(delivered.image, None, maker.trust(), FORMATS)


@pytest.mark.parametrize("append", [True, False])
def test_verify_says_which_update_of_which_variable_was_approved(tmp_path: Path, capsys: Any, append: bool) -> None:
    maker, (name, data, _) = Maker("uefi-variable", RSA), CASES["uefi-variable"]
    options = {"variable": "db", "append": append, "timestamp": maker.instance.clock.now()}
    path, trust = put(tmp_path, data, name), tmp_path / "trust.json"
    delivered = make(maker, maker.sign(maker.prepare(path, options=options)), path)
    trust.write_bytes(records.serialise(maker.trust()))
    command = ["verify", str(delivered.image), "--trust", str(trust)]
    assert main(command) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "option variable db" in lines
    assert ("option append yes" in lines) is append
    assert main([*command, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["options"]
    assert (shown["variable"], shown.get("append", False)) == ("db", append)


def test_evidence_covers_the_headers_of_a_capsule_that_its_signature_leaves_out(tmp_path: Path) -> None:
    maker, (name, data, options) = Maker("uefi-capsule", RSA), CASES["uefi-capsule"]
    path = put(tmp_path, data, name)
    delivered = make(maker, maker.sign(maker.prepare(path, options=options)), path)
    signed = bytearray(delivered.image.read_bytes())
    signed[48] ^= 1  # another device
    delivered.image.write_bytes(signed)
    assert uefi_capsule.inspect(MemorySource(bytes(signed))).facts["Image type"] != efi_capsules.IMAGE_TYPE
    with pytest.raises(VerificationError):
        verify_file(delivered.image, None, maker.trust(), FORMATS)


def test_a_time_beyond_the_request_is_refused_for_a_variable(tmp_path: Path) -> None:
    maker, options = Maker("uefi-variable", RSA), {"variable": "db", "timestamp": 5}
    path = put(tmp_path, LISTS, "db.esl")
    artifact: Any = maker.prepare(path, options=options)
    with pytest.raises(Exception, match="timestamp"):
        maker.sign(artifact)


def test_a_kernel_image_is_a_program_with_evidence(tmp_path: Path) -> None:
    maker = Maker("uefi-pe")
    path = put(tmp_path, ukis.build({".linux": b"kernel" * 50, ".cmdline": ukis.CMDLINE}), "linux.efi")
    delivered = make(maker, maker.sign(maker.prepare(path)), path)
    assert verify_file(delivered.image, None, maker.trust(), FORMATS)
    facts = pe.inspect(MemorySource(delivered.image.read_bytes())).facts
    assert facts["Kernel command line"] == ukis.CMDLINE.decode()
