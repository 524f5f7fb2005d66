"""minisign signs and judges files of its own kind."""

import base64
import subprocess
from pathlib import Path

from tests.conftest import require_tool

from sealwright.core import edwards
from sealwright.core.keys import PublicKey

VERIFIED = "Signature and comment signature verified"


def verify(image: Path, public_key: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Verify ``IMAGE.minisig`` with a public key file."""
    return _run("-V", "-p", public_key, "-m", image, *options)


def generate(folder: Path) -> tuple[Path, Path]:
    """Make a key that no password guards; return its public and its secret file."""
    public, secret = folder / "minisign.pub", folder / "minisign.key"
    made = _run("-G", "-W", "-p", public, "-s", secret)
    assert made.returncode == 0, made.stderr
    return public, secret


def key_of(public_key: Path) -> PublicKey:
    """Return the key of a public key file of minisign's own making."""
    return PublicKey(edwards.spki_of(base64.b64decode(public_key.read_text().splitlines()[1])[10:]))


def sign(image: Path, secret_key: Path, *options: str) -> None:
    """Write ``IMAGE.minisig``."""
    made = _run("-S", "-s", secret_key, "-m", image, *options)
    assert made.returncode == 0, made.stderr


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [require_tool("minisign"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)
