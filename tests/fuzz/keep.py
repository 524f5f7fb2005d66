"""Keep the few inputs of a run that together reach most: lines of our code that the kept corpus does not reach.

python -m tests.fuzz.keep mcuboot build/fuzz/mcuboot/corpus
"""

import argparse
import contextlib
import hashlib
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.harness import CORPUS
from tests.fuzz.targets import TARGETS

import sealwright

SOURCE = str(Path(sealwright.__file__).parent)
MAX_KEPT, MAX_KEPT_BYTES = 12, 4096

Lines = set[tuple[str, int, int]]
"""File and two lines that followed one another."""


def reached(run: Any, data: bytes) -> Lines:
    """Run a target and return the steps it took through our code."""
    found: Lines = set()

    def step(frame: FrameType, _event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(SOURCE):
            return None
        before = [frame.f_lineno]

        def line(frame: FrameType, event: str, _: Any) -> Any:
            if event == "line":
                found.add((frame.f_code.co_filename, before[0], frame.f_lineno))
                before[0] = frame.f_lineno
            return line

        return line

    before = sys.gettrace()
    sys.settrace(step)
    try:
        with contextlib.suppress(Exception):
            run(data)
    finally:
        sys.settrace(before)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.keep")
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args()
    target, kept = TARGETS[chosen.target], CORPUS / chosen.target
    kept.mkdir(exist_ok=True)
    seeds = [*target.inputs().values(), *(path.read_bytes() for path in sorted(kept.iterdir()))]
    known: Lines = set().union(*(reached(target.run, data) for data in [*seeds, *seeds]))
    inputs = sorted((path.read_bytes() for path in chosen.folder.iterdir()), key=lambda data: (len(data), data))
    news = {data: reached(target.run, data) - known for data in inputs if len(data) <= MAX_KEPT_BYTES}
    for _ in range(MAX_KEPT):
        best = max(news, key=lambda data: len(news[data]), default=b"")
        if not news.get(best):
            break
        (kept / f"found-{hashlib.sha256(best).hexdigest()[:12]}").write_bytes(best)
        print(f"{len(best)} bytes reach {len(news[best])} steps more")  # noqa: T201  (a command)
        covered = news.pop(best)
        news = {data: new - covered for data, new in news.items()}


if __name__ == "__main__":
    main()
