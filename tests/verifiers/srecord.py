"""The srecord package judges Intel HEX and S-record: what it loads is what a verifier without us hashes."""

import subprocess
from pathlib import Path

from tests.conftest import require_tool


def srec_cat(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [require_tool("srec_cat"), *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def flat(source: Path, kind: str, base: int, size: int, fill: int) -> bytes:
    """Return the window as srec_cat lays it out: filled, cut to the window, moved to zero, written as binary."""
    out = source.with_suffix(".flat")
    done = srec_cat(
        source, f"-{kind}", "-crop", hex(base), hex(base + size), "-fill", hex(fill), hex(base), hex(base + size),
        "-offset", f"-{base:#x}", "-o", out, "-binary",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out.read_bytes()


def convert(source: Path, kind: str, out: Path, to: str, *options: str) -> bytes:
    """Write the same memory in another text."""
    done = srec_cat(source, f"-{kind}", "-o", out, f"-{to}", *options)
    assert done.returncode == 0, done.stderr
    return out.read_bytes()


def says(source: Path, kind: str) -> str:
    """Return what srec_info says of a file, errors included."""
    command = [require_tool("srec_info"), str(source), f"-{kind}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout + done.stderr
