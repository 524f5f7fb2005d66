"""What every test shares: where the vectors lie, and when a missing tool is a failure instead of a skip."""

import os
import shutil
from pathlib import Path

import pytest

IN_CI = os.environ.get("CI") == "true"
PROJECT = Path(__file__).resolve().parent.parent
VECTORS = PROJECT.parent / "shared" / "vectors"


def missing(what: str) -> None:
    """A tool or vector folder is not here: a failure under CI, a skip with its reason elsewhere."""
    if IN_CI:
        pytest.fail(f"{what} is missing; `make setup` installs what the tests need")
    pytest.skip(f"{what} is missing")


def require_tool(name: str) -> str:
    """Return the path of an outside verifier."""
    path = shutil.which(name)
    if path is None:
        missing(f"program {name}")
    assert path is not None
    return path


def vectors(name: str) -> Path:
    """Return a folder of public test vectors, read where it lies."""
    folder = VECTORS / name
    if not folder.is_dir():
        missing(f"vector folder {name}")
    return folder
