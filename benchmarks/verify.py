"""``sealwright verify`` with evidence as a whole process, beside an interpreter that imports one module."""

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.files import sign_by_command_line
from benchmarks.live import installation
from benchmarks.measuring import Figure, alternate

IMAGE = b"firmware\n" * 1000


def figures(folder: Path, *, runs: int) -> list[Figure]:
    """Sign a small image, then verify it again and again."""
    image, trust = folder / "firmware.bin", folder / "trust.json"
    image.write_bytes(IMAGE)
    with installation(folder / "live", "files") as live:
        sign_by_command_line(live, image, image, "router")
        trust.write_bytes(live.configuration.trust_file.read_bytes())
    ours = [str(Path(sys.executable).with_name("sealwright")), "verify", str(image), "--trust", str(trust)]
    medians = alternate(
        runs,
        ours=lambda: _seconds(ours),
        other=lambda: _seconds([sys.executable, "-c", "import cryptography.x509"]),
        bare=lambda: _seconds([sys.executable, "-c", ""]),
    )
    return [
        Figure(name="verify with evidence", ours=1e3 * medians["ours"], other=1e3 * medians["other"], unit="ms",
               beside="python -c 'import cryptography.x509'", aim="<= 5"),
        Figure(name="verify with evidence, bare python", ours=1e3 * medians["ours"], other=1e3 * medians["bare"],
               unit="ms", beside="python -c ''"),
    ]  # fmt: skip


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start
