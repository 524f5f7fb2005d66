"""Espressif's own espsecure and esptool judge images; both are run as programs, never imported."""

import subprocess
import sys
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from tests.conftest import missing

from sealwright.core.keys import PublicKey

ACCEPTED = "verification successful using the supplied key"
FOREIGN = "Signature could not be verified with the provided key"
WRONG_DIGEST = "Signature block image digest does not match the actual image digest"
NO_BLOCK = "Signature block 0 invalid. Skipping."
# It also says "Signature block 0 is valid" of blocks by a foreign key; nobody may look for that.


def run(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    path = Path(sys.executable).with_name(program)
    if not path.is_file():
        missing(f"program {program}")
    return subprocess.run([path, *arguments], capture_output=True, text=True, check=False, timeout=60)


def public_pem(key: PublicKey) -> bytes:
    return key.key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def verify(folder: Path, image: bytes, key: PublicKey) -> str:
    """Return all that espsecure says, on one line; word and exit code must agree."""
    (folder / "judged.bin").write_bytes(image)
    (folder / "trusted.pem").write_bytes(public_pem(key))
    arguments = ["--version", "2", "--keyfile", folder / "trusted.pem", folder / "judged.bin"]
    done = run("espsecure", "verify-signature", *arguments)
    said = " ".join((done.stdout + done.stderr).split())
    assert (ACCEPTED in said) == (done.returncode == 0), said
    return said


def signature_info(folder: Path, image: bytes) -> str:
    (folder / "judged.bin").write_bytes(image)
    done = run("espsecure", "signature-info-v2", folder / "judged.bin")
    return done.stdout + done.stderr


def key_digest(folder: Path, key: PublicKey) -> str:
    """Return what espsecure says belongs into the eFuse, hex."""
    (folder / "trusted.pem").write_bytes(public_pem(key))
    out = folder / "digest.bin"
    done = run("espsecure", "digest-sbv2-public-key", "--keyfile", folder / "trusted.pem", "--output", out)
    assert done.returncode == 0, done.stdout + done.stderr
    return out.read_bytes().hex()


def sign(folder: Path, image: bytes, *keys: Path, append: bool = False) -> bytes:
    """Have espsecure sign with private keys."""
    return _sign(folder, image, [part for key in keys for part in ("--keyfile", key)], append=append)


def embed(folder: Path, image: bytes, signatures: list[tuple[PublicKey, bytes]], *, append: bool = False) -> bytes:
    """Have espsecure put ready signatures behind an image, which is padded already."""
    arguments: list[str | Path] = []
    for i, (key, signature) in enumerate(signatures):
        (folder / f"{i}.pem").write_bytes(public_pem(key))
        (folder / f"{i}.sig").write_bytes(signature)
        arguments += ["--pub-key", folder / f"{i}.pem", "--signature", folder / f"{i}.sig"]
    return _sign(folder, image, arguments, append=append)


def _sign(folder: Path, image: bytes, arguments: list[str | Path], *, append: bool) -> bytes:
    source, out = folder / "unsigned.bin", folder / "signed.bin"
    source.write_bytes(image)
    more = ["--append-signatures"] if append else []
    done = run("espsecure", "sign-data", "--version", "2", *more, *arguments, "--output", out, source)
    assert done.returncode == 0, done.stdout + done.stderr
    return out.read_bytes()


def image_info(folder: Path, image: bytes) -> str:
    """Return what esptool says of an image."""
    (folder / "judged.bin").write_bytes(image)
    done = run("esptool", "image-info", folder / "judged.bin")
    return done.stdout + done.stderr
