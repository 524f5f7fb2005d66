"""GnuTLS's certtool judges detached CMS signatures; OpenSSL 3 cannot where the key is Ed25519."""

import subprocess
from pathlib import Path

from tests.conftest import require_tool


def verify(signature: Path, content: Path, anchor: Path) -> subprocess.CompletedProcess[str]:
    """Verify a detached DER signature against one certificate."""
    command = [require_tool("certtool"), "--p7-verify", "--inder", "--infile", str(signature)]
    command += ["--load-data", str(content), "--load-ca-certificate", str(anchor)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
