"""A second implementation of SUIT judges envelopes: ``suit_node.js``, with Debian's node-cbor and node:crypto.

No SUIT processor is packaged for Debian, PyPI or npm; this one shares no code, no CBOR library and no cryptography with
ours.  It knows ECDSA and Ed25519, and says "unknown algorithm" of ML-DSA and HSS/LMS blocks, as a device would.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.conftest import missing, require_tool

from sealwright.core.keys import PublicKey

PROGRAM = Path(__file__).with_suffix(".js")
MODULES = Path("/usr/share/nodejs")
"""Where Debian puts node-cbor."""


def verify(folder: Path, envelope: bytes, *keys: PublicKey) -> dict[str, Any]:
    """Return what it says: ``accepted``, the digests, and number and verdict of each block."""
    if not (MODULES / "cbor").is_dir():
        missing("Debian package node-cbor")
    image = folder / "judged.suit"
    image.write_bytes(envelope)
    trusted = []
    for key in keys:
        trusted.append(folder / f"{key.fingerprint[:16]}.pem")
        trusted[-1].write_bytes(key.pem)
    command = [require_tool("nodejs"), str(PROGRAM), str(image), *map(str, trusted)]
    environment = {**os.environ, "NODE_PATH": str(MODULES)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=environment)
    said: dict[str, Any] = json.loads(done.stdout)
    return said
