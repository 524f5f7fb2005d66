"""OpenSSH's ``ssh-keygen -Y verify`` judges SSHSIG signatures."""

import subprocess
from pathlib import Path

from tests.conftest import require_tool


def verify(
    signature: Path, content: Path, key_line: str, namespace: str, folder: Path
) -> subprocess.CompletedProcess[bytes]:
    """Verify a signature by the one allowed key, which stands under the name ``maker``."""
    allowed = folder / "allowed_signers"
    allowed.write_text(f"maker {key_line}\n")
    command = [require_tool("ssh-keygen"), "-Y", "verify", "-f", str(allowed), "-I", "maker", "-n", namespace]
    return subprocess.run(
        [*command, "-s", str(signature)], input=content.read_bytes(), capture_output=True, check=False, timeout=60
    )
