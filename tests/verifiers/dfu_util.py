"""dfu-suffix, of the package dfu-util, judges suffix and CRC of DFU files; of DfuSe it looks at no more than that."""

import subprocess
from pathlib import Path

from tests.conftest import require_tool

ACCEPTED = "contains a DFU suffix with the following properties"
WRONG_CRC = "DFU suffix CRC does not match"
NO_SUFFIX = "Invalid DFU suffix signature"


def verify_suffix(folder: Path, image: bytes) -> str:
    """Return all that ``dfu-suffix -c`` says; word and exit code must agree."""
    path = folder / "judged.dfu"
    path.write_bytes(image)
    done = subprocess.run(
        [require_tool("dfu-suffix"), "-c", str(path)], capture_output=True, text=True, check=False, timeout=60
    )
    said = done.stdout + done.stderr
    assert (ACCEPTED in said) == (done.returncode == 0), done
    return said


def add_suffix(folder: Path, firmware: bytes, *, vendor: int, product: int, device: int) -> bytes:
    """Have dfu-suffix make a DFU file."""
    path = folder / "made.dfu"
    path.write_bytes(firmware)
    command = [require_tool("dfu-suffix"), "-v", hex(vendor), "-p", hex(product), "-d", hex(device), "-a", str(path)]
    subprocess.run(command, capture_output=True, check=True, timeout=60)
    return path.read_bytes()
