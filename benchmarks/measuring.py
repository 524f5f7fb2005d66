"""How figures are made: alternating runs, medians, the greatest memory of a process, and its processor time."""

import re
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured value and what it stands beside."""

    name: str
    ours: float
    unit: str
    other: float | None = None
    beside: str = ""
    """What ``other`` is."""
    aim: str = ""

    @property
    def ratio(self) -> float | None:
        return self.ours / self.other if self.other else None

    def as_json(self) -> dict[str, object]:
        return {**{k: v for k, v in asdict(self).items() if k != "name"}, "ratio": self.ratio}


def alternate(runs: int, **jobs: Callable[[], float]) -> dict[str, float]:
    """Run every job in turn, ``runs`` times over, and return the median of each.

    What disturbs one then disturbs all.  Each round begins with another job, because what a job finds (warm memory, a
    busy disk) is what the one before left.
    """
    results: dict[str, list[float]] = {name: [] for name in jobs}
    names = list(jobs)
    for i in range(runs):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            results[name].append(jobs[name]())
    return {name: statistics.median(values) for name, values in results.items()}


def peak_mib(pid: int | str = "self") -> float:
    """Return the greatest resident size so far.

    Not ``ru_maxrss``: Linux lets a child begin with the peak of the process that started it.
    """
    found = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) / 1024


def cpu_seconds(pid: int) -> float:
    """Return the processor time that the running threads of a process have used."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def children(pid: int) -> list[int]:
    """Return the processes that ``pid`` has started and that still run."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for thread in threads for child in (thread / "children").read_text().split()]


def table(figures: list[Figure]) -> str:
    """Return the figures as an aligned table."""
    rows = [("figure", "ours", "beside it", "ratio", "unit", "what is beside it", "aim")]
    rows += [(f.name, _number(f.ours), _number(f.other), _number(f.ratio), f.unit, f.beside, f.aim) for f in figures]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
