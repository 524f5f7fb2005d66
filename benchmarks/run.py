"""Measures, prints a table and writes ``build/bench.json``: name to ours, other, ratio and unit.

Everything runs beside what it is compared with, in turn and several times over; medians are kept.  On a busy machine
read the ratios, not the absolute values: the load before and after stands under the table.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))  # so that `python benchmarks/run.py` works as well

from benchmarks import files, hex_files, keystores, log, requests, verify  # noqa: E402
from benchmarks.measuring import Figure, table  # noqa: E402


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is done."""

    file_bytes: int
    hex_bytes: int
    file_runs: int
    requests: int
    runs: int
    seconds: float
    """For each rate that is counted in a loop."""


FULL = Effort(file_bytes=1 << 30, hex_bytes=100 << 20, file_runs=3, requests=2000, runs=3, seconds=1.0)
QUICK = Effort(file_bytes=8 << 20, hex_bytes=1 << 20, file_runs=1, requests=20, runs=1, seconds=0.05)

Section = Callable[[Path, Effort], list[Figure]]
SECTIONS: dict[str, Section] = {
    "files": lambda folder, effort: files.figures(folder, size=effort.file_bytes, runs=effort.file_runs),
    "hex": lambda folder, effort: hex_files.figures(folder, size=effort.hex_bytes, runs=effort.file_runs),
    "upload": lambda folder, effort: files.upload_figures(folder, size=effort.file_bytes, runs=effort.runs),
    "requests": lambda folder, effort: requests.figures(
        folder, requests=effort.requests, runs=effort.runs, seconds=effort.seconds
    ),
    "keystores": lambda folder, effort: keystores.figures(
        folder, runs=effort.runs, seconds=effort.seconds, is_quick=effort is QUICK
    ),
    "verify": lambda folder, effort: verify.figures(folder, runs=effort.runs * 7),
    "log": lambda folder, effort: log.figures(folder, seconds=effort.seconds),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen sections."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("section", nargs="*", help=f"of {', '.join(SECTIONS)}; all of them by default")
    parser.add_argument("--quick", action="store_true", help="see whether it works: the figures mean nothing")
    parser.add_argument("--output", type=Path, default=PROJECT / "build" / "bench.json")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.section) - SECTIONS.keys():
        parser.error(f"there is no section {', '.join(sorted(unknown))}")
    os.chdir(PROJECT)
    before, start, found = os.getloadavg(), time.monotonic(), list[Figure]()
    for name in chosen.section or SECTIONS:
        print(f"benchmarks: {name} ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            found += SECTIONS[name](Path(folder), QUICK if chosen.quick else FULL)
    print(table(found))
    print(f"\nload {before[0]:.1f} before, {os.getloadavg()[0]:.1f} after, {time.monotonic() - start:.0f} s")
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    written = {figure.name: figure.as_json() for figure in found}
    chosen.output.write_text(json.dumps(written, indent=1) + "\n")
    print(f"written to {chosen.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
