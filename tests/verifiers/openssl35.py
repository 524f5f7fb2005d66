"""OpenSSL 3.5 or newer judges ML-DSA and SLH-DSA; ``scripts/openssl-3.5.sh`` fetches it beside the system's own."""

import subprocess
from pathlib import Path

from tests.conftest import PROJECT, missing

PROGRAM = PROJECT / "build" / "openssl" / "openssl"


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it with these arguments."""
    if not PROGRAM.exists():
        missing("OpenSSL 3.5 (scripts/openssl-3.5.sh could not fetch it, or was not run)")
    command = [str(PROGRAM), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def cms_verify(signature: Path, content: Path, anchor: Path) -> subprocess.CompletedProcess[str]:
    """Verify a detached DER signature."""
    options = ("-binary", "-inform", "DER", "-in", signature, "-content", content, "-CAfile", anchor)
    return run("cms", "-verify", *options, "-purpose", "any", "-out", "/dev/null")


def cms_sign(content: Path, key: Path, certificate: Path, out: Path) -> None:
    """Make a detached signature; without ``-md`` it says "no default digest" for ML-DSA."""
    options = ("-binary", "-outform", "DER", "-md", "sha512", "-in", content, "-inkey", key, "-signer", certificate)
    made = run("cms", "-sign", *options, "-out", out)
    assert made.returncode == 0, made.stderr


def verify(public_key: Path, message: Path, signature: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Verify a bare signature over a message."""
    options = ("-pubin", "-inkey", public_key, "-rawin", "-in", message, "-sigfile", signature)
    return run("pkeyutl", "-verify", *options, *more)


def sign(private_key: Path, message: Path, out: Path) -> None:
    """Make a bare signature over a message."""
    made = run("pkeyutl", "-sign", "-inkey", private_key, "-rawin", "-in", message, "-out", out)
    assert made.returncode == 0, made.stderr


def generate(algorithm: str, out: Path) -> None:
    """Make a private key; ``algorithm`` as OpenSSL names it (its names differ from ours in case only)."""
    made = run("genpkey", "-algorithm", algorithm, "-out", out)
    assert made.returncode == 0, made.stderr
