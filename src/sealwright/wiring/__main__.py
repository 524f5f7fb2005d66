"""``python -m sealwright.wiring server|signer DIR``: one process of an instance, as ``sealwright up`` starts them."""

import logging
import sys
from pathlib import Path

from sealwright.core.errors import SealwrightError

INTERRUPTED = 130


def serve(name: str, folder: Path) -> None:
    """Run one process to its end; raises what keeps it from running."""
    logging.basicConfig(format="sealwright %(name)s: %(levelname)s: %(message)s", level=logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # Each process imports what it needs and nothing of the other's.
    if name == "signer":
        from sealwright.wiring.signer import run  # noqa: PLC0415
    else:
        from sealwright.wiring.server import run  # noqa: PLC0415
    run(folder)


def main(arguments: list[str]) -> int:
    """Run the process that the arguments name and return its exit code."""
    name, folder = arguments
    try:
        serve(name, Path(folder))
    except SealwrightError as e:
        print(f"sealwright {name}: error: {e}", file=sys.stderr)  # noqa: T201
        if e.hint:
            print(f"sealwright {name}: hint: {e.hint}", file=sys.stderr)  # noqa: T201
        return e.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
