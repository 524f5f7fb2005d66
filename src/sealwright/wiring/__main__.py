"""``python -m sealwright.wiring server|signer DIR``: one process of an instance, as ``sealwright up`` starts them."""

import logging
import sys
from pathlib import Path

from sealwright.core.errors import SealwrightError


def main(name: str, folder: Path) -> int:
    """Run one process to its end."""
    logging.basicConfig(format="sealwright %(name)s: %(levelname)s: %(message)s", level=logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        # Each process imports what it needs and nothing of the other's.
        if name == "signer":
            from sealwright.wiring.signer import run  # noqa: PLC0415
        elif name == "server":
            from sealwright.wiring.server import run  # noqa: PLC0415
        else:
            print(f"sealwright: error: no process {name}", file=sys.stderr)  # noqa: T201
            return 64
        run(folder)
    except SealwrightError as e:
        print(f"sealwright {name}: error: {e}", file=sys.stderr)  # noqa: T201
        if e.hint:
            print(f"sealwright {name}: hint: {e.hint}", file=sys.stderr)  # noqa: T201
        return e.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
