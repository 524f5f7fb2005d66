"""A coverage-guided run of one target, with atheris, which is not among the project's requirements.

    python -m tests.fuzz mcuboot --seconds 600 --work build/fuzz

Findings do not end the run: each kind is written once into ``<work>/<target>/findings``, with its traceback.
"""

import argparse
import hashlib
import os
import random
import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import atheris

MIN_LIMIT_BYTES = 16 * 1024
MAX_SECONDS = 5  # of processor time, for one input
MAX_GROWTH_KIB = 300 * 1024


class Collector:
    """Runs a target and keeps one example of each kind of finding."""

    def __init__(self, run: "harness.Run", folder: Path) -> None:
        self.run, self.folder = run, folder
        self.seen: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, data: bytes) -> None:
        started, before = time.process_time(), _peak_kib()
        try:
            self.run(data)
        except Exception as error:  # noqa: BLE001  (whatever it is, it is a finding)
            self.note(data, _kind_of(error), traceback.format_exc())
        if (taken := time.process_time() - started) > MAX_SECONDS:
            self.note(data, "slow", f"{taken:.1f} s of processor time")
        if (growth := _peak_kib() - before) > MAX_GROWTH_KIB:
            self.note(data, "memory", f"{growth >> 10} MiB more")

    def note(self, data: bytes, kind: str, text: str) -> None:
        name = hashlib.sha256(kind.encode()).hexdigest()[:12]
        if name in self.seen:
            return
        self.seen.add(name)
        (self.folder / name).write_bytes(data)
        (self.folder / f"{name}.txt").write_text(f"{kind}\n\n{text}")
        print(f"FINDING {name}: {kind}", flush=True)  # noqa: T201  (a command)


def _kind_of(error: BaseException) -> str:
    """What the error is and the two innermost places it came through."""
    frames = traceback.extract_tb(error.__traceback__)[-2:]
    places = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames))
    message = str(error)[:40] if isinstance(error, harness.Finding) else ""
    return f"{type(error).__name__} {message} {places}"


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _mutator(target: "harness.Target") -> Callable[[bytes, int, int], bytes]:
    """Half of the mutants get their checksums put right; documents are changed as documents."""

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        dice = random.Random(seed)  # noqa: S311  (libFuzzer's own seed)
        if target.is_json and dice.random() < 0.9:
            changed = mutators.json_mutation(data, dice, lambda part: atheris.Mutate(part, len(part) + 64))
        else:
            changed = atheris.Mutate(data, max_size)
            if target.repair is not None and dice.random() < 0.7:
                changed = target.repair(changed)
        return changed[:max_size]

    return mutate


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--work", type=Path, default=Path("build/fuzz"))
    chosen = parser.parse_args()
    work = chosen.work / chosen.target
    for folder in (work / "corpus", work / "crashes", work / "inputs"):
        folder.mkdir(parents=True, exist_ok=True)
    target = TARGETS[chosen.target]
    harness.FormatTarget.one_in = 4
    target.run(b"")  # keys are made before the clock runs
    for name, data in target.inputs().items():
        (work / "inputs" / name).write_bytes(data)
    seeds = [folder for folder in (work / "inputs", harness.CORPUS / chosen.target) if folder.is_dir()]
    longest = max(path.stat().st_size for folder in seeds for path in folder.iterdir())
    arguments = [f"-max_total_time={chosen.seconds}", "-rss_limit_mb=1024", "-timeout=10"]
    arguments += [f"-max_len={max(MIN_LIMIT_BYTES, longest * 5 // 4)}"]  # what is longer would be cut short
    arguments += [f"-artifact_prefix={work / 'crashes'}{os.sep}", "-print_final_stats=1", "-reload=0"]
    atheris.Setup(
        [sys.argv[0], *arguments, str(work / "corpus"), *map(str, seeds)],
        Collector(target.run, work / "findings"),
        custom_mutator=_mutator(target),
    )
    atheris.Fuzz()


# The reader of ASN.1 is watched where it is the parser under test; elsewhere it takes half the time.
with atheris.instrument_imports(include=["sealwright", *(["asn1crypto"] if "raw-cms" in sys.argv else [])]):
    from tests.fuzz import harness, mutators
    from tests.fuzz.targets import TARGETS

main()
