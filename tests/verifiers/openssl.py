"""OpenSSL's command line judges detached CMS signatures (``openssl cms``)."""

import subprocess
from pathlib import Path

from tests.conftest import require_tool


def cms_verify(signature: Path, content: Path, anchor: Path | None) -> subprocess.CompletedProcess[str]:
    """Verify a detached DER signature; without an anchor the system's certificates are asked."""
    trust = ["-CAfile", str(anchor)] if anchor else []
    command = [require_tool("openssl"), "cms", "-verify", "-binary", "-inform", "DER", "-in", str(signature)]
    command += ["-content", str(content), *trust, "-purpose", "any", "-out", "/dev/null"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def cms_verify_without_path(signature: Path, content: Path) -> subprocess.CompletedProcess[str]:
    """Verify with ``-noverify``: the known fail-open, since any certificate inside then speaks for itself."""
    command = [require_tool("openssl"), "cms", "-verify", "-noverify", "-binary", "-inform", "DER"]
    command += ["-in", str(signature), "-content", str(content), "-out", "/dev/null"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def cms_sign(content: Path, key: Path, certificate: Path, out: Path) -> None:
    """Have OpenSSL make a detached signature, to see whether we read what others write."""
    command = [require_tool("openssl"), "cms", "-sign", "-binary", "-outform", "DER", "-md", "sha256"]
    command += ["-in", str(content), "-inkey", str(key), "-signer", str(certificate), "-out", str(out)]
    subprocess.run(command, capture_output=True, check=True, timeout=60)
