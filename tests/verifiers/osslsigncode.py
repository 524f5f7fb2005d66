"""osslsigncode judges Authenticode signatures.  What is asserted holds for 2.5 (Debian 12) and 2.9 alike."""

import subprocess
from pathlib import Path

from tests.conftest import require_tool


def verify(image: Path, anchor: Path | None) -> subprocess.CompletedProcess[str]:
    """Verify against one certificate; without one the system's certificates are asked."""
    trust = ["-CAfile", str(anchor)] if anchor else []
    command = [require_tool("osslsigncode"), "verify", *trust, "-in", str(image)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
