"""MCUboot's own imgtool judges images; it is never imported, so who helped to make an image cannot judge it."""

import subprocess
import sys
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from tests.conftest import missing

from sealwright.core.keys import PublicKey

ACCEPTED = "Image was correctly validated"
WRONG_HASH = "Image has an invalid hash"
NO_SIGNATURE = "No signature found for the given key"
NO_TLVS = "Invalid TLV info magic; is this an MCUboot image?"
NO_MAGIC = "Invalid image magic; is this an MCUboot image?"


def imgtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("imgtool")
    if not program.is_file():
        missing("program imgtool")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=60)


def verify(folder: Path, image: bytes, key: PublicKey | None) -> str:
    """Return the first line imgtool says; without a key it checks the hash alone, its known fail-open."""
    (folder / "judged.bin").write_bytes(image)
    trust: list[str | Path] = []
    if key is not None:
        (folder / "trusted.pem").write_bytes(public_pem(key))
        trust = ["-k", folder / "trusted.pem"]
    done = imgtool("verify", *trust, folder / "judged.bin")
    said = (done.stdout or done.stderr).splitlines()
    assert said, done
    # Word and exit code must agree: one without the other is neither yes nor no.
    assert (said[0] == ACCEPTED) == (done.returncode == 0), done
    return said[0]


def public_pem(key: PublicKey) -> bytes:
    """Return a public key as imgtool reads it."""
    return key.key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def sign(folder: Path, application: bytes, *options: str, key: Path | None) -> bytes:
    """Have imgtool build an image, signed when a private key is given."""
    source, out = folder / "application.bin", folder / "built.bin"
    source.write_bytes(application)
    secret: list[str | Path] = ["-k", key] if key else []
    done = imgtool("sign", *options, *secret, source, out)
    assert done.returncode == 0, done.stderr
    return out.read_bytes()
