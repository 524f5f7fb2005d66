"""A large Intel HEX file: signed from end to end by us, and merely loaded and hashed by intelhex and bincopy.

Beside them a loop of the needed reads, hashes and conversion of digits, in C but for the loop.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.files import make_keys
from benchmarks.measuring import Figure, alternate

BANK_BYTES, RECORD_BYTES = 1 << 16, 16


def make_hex(path: Path, size: int) -> Path:
    """Write records of 16 bytes without a gap, as linkers do, until the text has ``size`` bytes."""
    data = os.urandom(BANK_BYTES)
    bank = b"".join(_record(0, at, data[at : at + RECORD_BYTES]) for at in range(0, BANK_BYTES, RECORD_BYTES))
    with path.open("wb") as file:
        for high in range(0x800, 0x800 - (-size // len(bank))):
            file.write(_record(4, 0, high.to_bytes(2, "big")) + bank)
        file.write(_record(1, 0, b""))
    return path


def figures(folder: Path, *, size: int, runs: int) -> list[Figure]:
    """Sign a file whose text has ``size`` bytes with a key in the client's process."""
    make_keys(folder / "keys")
    image, peaks = make_hex(folder / "image.hex", size), list[float]()

    def ours() -> float:
        seconds, stdout = _timed("file_ours", "intel-hex", image, folder / "out", folder / "keys")
        peaks.append(float(stdout))
        return seconds

    def other(name: str) -> Callable[[], float]:
        return lambda: _timed("hex_others", name, image)[0]

    def loop() -> float:
        return _timed("file_loop", "intel-hex", image, folder / "loop")[0]

    others = {"intelhex": other("intelhex"), "bincopy": other("bincopy"), "loop": loop}
    medians = alternate(runs, ours=ours, **others)
    name = f"Intel HEX {image.stat().st_size >> 20} MiB, file to file"
    found = [
        Figure(name=f"{name}, {beside}", ours=medians["ours"], other=medians[beside], unit="s",
               beside="loop" if beside == "loop" else f"{beside}, loading and one hash",
               aim="<= 1.5, or the tools" if beside == "loop" else "<= 0.33, or the loop")
        for beside in others
    ]  # fmt: skip
    return [*found, Figure(name=f"{name}, memory", ours=max(peaks), unit="MiB", aim="<= 150")]


def _record(kind: int, address: int, data: bytes) -> bytes:
    body = bytes([len(data)]) + address.to_bytes(2, "big") + bytes([kind]) + data
    return b":" + (body + bytes([-sum(body) & 0xFF])).hex().upper().encode() + b"\n"


def _timed(module: str, *arguments: object) -> tuple[float, str]:
    command: Sequence[str] = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{module}: {done.stderr[-500:]}")
    return seconds, done.stdout
