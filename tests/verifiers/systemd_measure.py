"""systemd-measure judges what we expect in PCR 11; it needs no TPM to calculate."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.conftest import missing

PROGRAM = Path("/lib/systemd/systemd-measure")


def calculate(parts: Mapping[str, bytes], folder: Path, bank: str = "sha256") -> dict[str, str]:
    """Return the value of PCR 11, lower-case hex, after each phase (``enter-initrd``, ``leave-initrd`` and so on)."""
    if not PROGRAM.is_file():
        missing(f"{PROGRAM.name} (package systemd)")
    command = [str(PROGRAM), "calculate", f"--bank={bank}", "--json=short"]
    for name, content in parts.items():
        path = folder / name.removeprefix(".")
        path.write_bytes(content)
        command.append(f"--{path.name}={path}")
    done = subprocess.run(command, capture_output=True, check=True, timeout=120)
    found = json.loads(done.stdout)[bank]
    return {entry["phase"].rpartition(":")[2]: entry["hash"] for entry in found}
