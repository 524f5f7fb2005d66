"""mkeficapsule (u-boot-tools) builds capsules, unsigned and signed; its layout is compared with ours."""

import subprocess
from pathlib import Path

from tests.conftest import require_tool


def build(
    payload: bytes,
    folder: Path,
    *,
    image_type: str,
    index: int = 1,
    instance: int = 0,
    count: int = 0,
    key: Path | None = None,
    certificate: Path | None = None,
) -> bytes:
    """Wrap a payload; with a key it is signed too."""
    source, out = folder / "payload.bin", folder / "payload.cap"
    source.write_bytes(payload)
    command = [require_tool("mkeficapsule"), "--guid", image_type, "--index", str(index), "--instance", str(instance)]
    if key and certificate:
        command += ["--monotonic-count", str(count), "--private-key", str(key), "--certificate", str(certificate)]
    subprocess.run([*command, str(source), str(out)], capture_output=True, check=True, timeout=60)
    return out.read_bytes()
