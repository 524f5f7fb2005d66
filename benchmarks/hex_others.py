"""What others do to hash the memory of an Intel HEX file: load it, and feed SHA-256 segment by segment.

``python -m benchmarks.hex_others intelhex|bincopy IMAGE``.
"""

import hashlib
import sys
from pathlib import Path

import bincopy
import intelhex


def by_intelhex(image: Path) -> str:
    """Load with intelhex, which keeps each byte in a dictionary."""
    found, state = intelhex.IntelHex(str(image)), hashlib.sha256()
    for start, stop in found.segments():
        state.update(found.tobinstr(start=start, end=stop - 1))
    return state.hexdigest()


def by_bincopy(image: Path) -> str:
    """Load with bincopy."""
    found, state = bincopy.BinFile(), hashlib.sha256()
    found.add_ihex_file(str(image))
    for segment in found.segments:
        state.update(segment.data)
    return state.hexdigest()


if __name__ == "__main__":
    print({"intelhex": by_intelhex, "bincopy": by_bincopy}[sys.argv[1]](Path(sys.argv[2])))
