"""osslsigncode judges Authenticode signatures.  What is asserted holds for 2.5 (Debian 12) and 2.9 alike."""

import re
import subprocess
from pathlib import Path

from tests.conftest import require_tool


def verify(image: Path, anchor: Path | None) -> subprocess.CompletedProcess[str]:
    """Verify against one certificate; without one the system's certificates are asked."""
    trust = ["-CAfile", str(anchor)] if anchor else []
    command = [require_tool("osslsigncode"), "verify", *trust, "-in", str(image)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def sign(image: Path, key: Path, certificate: Path, out: Path) -> None:
    """Have osslsigncode sign, to see whether we read what others write."""
    command = [require_tool("osslsigncode"), "sign", "-h", "sha256", "-certs", str(certificate), "-key", str(key)]
    subprocess.run([*command, "-in", str(image), "-out", str(out)], capture_output=True, check=True, timeout=120)


def says_digest_differs(output: str) -> bool:
    return re.search(r"Calculated message digest.*MISMATCH", output) is not None


def says_checksum_differs(output: str) -> bool:
    """2.9 warns in a line of its own, earlier ones behind the calculated value."""
    return "invalid PE checksum" in output or re.search(r"Calculated PE checksum.*MISMATCH", output) is not None
