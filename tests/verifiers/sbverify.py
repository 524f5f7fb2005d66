"""sbverify (sbsigntool) judges Authenticode signatures of UEFI images."""

import subprocess
from pathlib import Path

from tests.conftest import require_tool


def verify(image: Path, anchor: Path | None) -> subprocess.CompletedProcess[str]:
    """Verify against one certificate; without one any signature whose hash fits is taken."""
    trust = ["--cert", str(anchor)] if anchor else []
    command = [require_tool("sbverify"), *trust, str(image)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def signatures(image: Path) -> str:
    """Return what ``--list`` prints: each signature with subject and issuer."""
    command = [require_tool("sbverify"), "--list", str(image)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
