"""sbverify (sbsigntool) judges Authenticode signatures of UEFI images."""

import subprocess
from pathlib import Path

from tests.conftest import require_tool


def verify(image: Path, anchor: Path | None) -> subprocess.CompletedProcess[str]:
    """Verify against one certificate."""
    trust = ["--cert", str(anchor)] if anchor else []
    command = [require_tool("sbverify"), *trust, str(image)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def subjects(image: Path) -> list[str]:
    """Return the certificate subjects that ``--list`` prints, in order."""
    command = [require_tool("sbverify"), "--list", str(image)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    return [line.split("subject: ")[1] for line in lines if "subject: " in line]


def sign(image: Path, key: Path, certificate: Path, out: Path) -> None:
    """Have sbsign sign, to see whether we read what others write."""
    command = [require_tool("sbsign"), "--key", str(key), "--cert", str(certificate), "--output", str(out), str(image)]
    subprocess.run(command, capture_output=True, check=True, timeout=120)
