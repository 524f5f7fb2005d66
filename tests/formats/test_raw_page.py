"""The programs on the page of raw files verify what we sign with other people's libraries, and refuse the rest."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from tests.conftest import PROJECT
from tests.formats.test_raw_hss_lms import IMAGE, LmsSigner
from tests.formats.throwaway import signer

from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm
from sealwright.formats import raw, targets

COSE, HSS_LMS = re.findall(r"```python\n(.*?)```", (PROJECT / "docs" / "formats" / "raw.md").read_text(), re.DOTALL)


def judge(folder: Path, program: str, key: str, image: bytes = IMAGE) -> tuple[int, str]:
    """Exit code and words of a program of the page."""
    (folder / "image").write_bytes(image)
    command = [sys.executable, "-c", program, "image", key]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("algorithm", [Algorithm.ECDSA_P256_SHA256, Algorithm.ECDSA_P384_SHA384, Algorithm.ED25519])
def test_the_program_for_cose_accepts_the_image_and_no_other(tmp_path: Path, algorithm: Algorithm) -> None:
    pem = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    for name, who in (("maker", signer(algorithm)), ("stranger", signer(algorithm, "stranger"))):
        (tmp_path / f"{name}.pub.pem").write_bytes(who.key.public_key().public_bytes(*pem))
    maker = signer(algorithm)
    options = {"signing_time": 1_790_000_000, "output": "cose"}
    made = raw.prepare(MemorySource(IMAGE), [maker.signing_key()], options, targets.ANY)
    (sidecar,) = made.assemble(maker.sign_all(made)).sidecars
    (tmp_path / "image.cose").write_bytes(sidecar.content)
    assert judge(tmp_path, COSE, "maker.pub.pem") == (0, "verified, signed at 1790000000\n")
    for key, image in (("stranger.pub.pem", IMAGE), ("maker.pub.pem", IMAGE[1:])):
        code, said = judge(tmp_path, COSE, key, image)
        assert (code, "Failed to verify" in said) == (1, True), said


def test_the_program_for_hss_lms_accepts_the_image_and_no_other(tmp_path: Path) -> None:
    maker, stranger = LmsSigner("sha256-n24-h5-w4"), LmsSigner("sha256-n24-h5-w4")
    (tmp_path / "maker.pub.der").write_bytes(maker.public_key.spki_der)
    (tmp_path / "stranger.pub.der").write_bytes(stranger.public_key.spki_der)
    (tmp_path / "image.hsslms.p7s").write_bytes(maker.signed("cms"))
    assert judge(tmp_path, HSS_LMS, "maker.pub.der") == (0, "verified\n")
    code, said = judge(tmp_path, HSS_LMS, "maker.pub.der", IMAGE[1:])
    assert (code, "another image" in said) == (1, True)
    code, said = judge(tmp_path, HSS_LMS, "stranger.pub.der")
    assert (code, "not signed by this key" in said) == (1, True)
