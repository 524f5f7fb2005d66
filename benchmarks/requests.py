"""Small images through the whole path over HTTP: latency with one client, throughput with many."""

import json
import subprocess
import sys
from pathlib import Path

from tests.simulators.live import Live

from benchmarks import load
from benchmarks.live import PARTITION, cpu, installation, peak
from benchmarks.measuring import Figure, alternate

CLIENTS, BATCH_CLIENTS, BATCH = 64, 8, 50


def figures(folder: Path, *, requests: int, runs: int, seconds: float) -> list[Figure]:
    """Measure an installation with keys in files, then one with a SoftHSM token."""
    found = []
    for keystore in ("files", "softhsm"):
        (folder / keystore).mkdir()
        with installation(folder / keystore, keystore) as live:
            found += _installation(live, keystore, requests, runs, seconds)
    return found


def _installation(live: Live, keystore: str, requests: int, runs: int, seconds: float) -> list[Figure]:
    used: dict[str, float] = {}

    def run(what: str, *, clients: int = 1, artifacts: int = 1, share: int = 1, is_uploading: bool = True) -> float:
        plan = load.Plan(
            folder=str(live.folder), port=live.configuration.port, clients=clients, artifacts=artifacts,
            requests=max(requests // share, clients), is_uploading=is_uploading,
        )  # fmt: skip
        before = cpu(live)
        result = _json(load.arguments(plan))
        if what == "requests":
            used.update({name: 1e3 * (after - before[name]) / result["requests"] for name, after in cpu(live).items()})
            used["load generator"] = 1e3 * result["cpu_seconds"] / result["requests"]
        return result["median_ms"] if what == "median_ms" else result[what] / result["seconds"]

    medians = alternate(
        runs,
        bare=lambda: _json(_bare_loop(live, seconds))["rate"],
        latency=lambda: run("median_ms", share=8),
        uploaded=lambda: run("median_ms", share=8, is_uploading=False),
        throughput=lambda: run("requests", clients=CLIENTS),
        without_upload=lambda: run("requests", clients=CLIENTS, is_uploading=False),
        batches=lambda: run("signatures", clients=BATCH_CLIENTS, artifacts=BATCH, share=20, is_uploading=False),
    )
    bare = "bare C_Sign loop" if keystore == "softhsm" else "bare signing loop"
    name = f"P-256, {keystore}"
    return [
        Figure(name=f"{name}, 1 client", ours=medians["latency"], other=1e3 / medians["bare"], unit="ms",
               beside=bare, aim="7"),
        Figure(name=f"{name}, 1 client, image there", ours=medians["uploaded"], other=1e3 / medians["bare"], unit="ms",
               beside=bare),
        Figure(name=f"{name}, {CLIENTS} clients", ours=medians["throughput"], other=medians["bare"], unit="requests/s",
               beside=bare, aim="> 500"),
        Figure(name=f"{name}, {CLIENTS} clients, image there", ours=medians["without_upload"], other=medians["bare"],
               unit="requests/s", beside=bare, aim="> 500"),
        Figure(name=f"{name}, {BATCH} artifacts a request", ours=medians["batches"], other=medians["bare"],
               unit="signatures/s", beside=bare, aim="> 6300"),
        *(
            Figure(name=f"{name}, processor time a request, {process}", ours=milliseconds, unit="ms")
            for process, milliseconds in used.items()
        ),
        Figure(name=f"{name}, memory", ours=peak(live), unit="MiB", aim="<= 150"),
    ]  # fmt: skip


def _bare_loop(live: Live, seconds: float) -> list[str]:
    setting = live.configuration.partitions[PARTITION]
    return [sys.executable, "-m", "benchmarks.keystore_loop", setting.uri, setting.secret, str(seconds)]


def _json(command: list[str]) -> dict[str, float]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[2]}: {done.stderr[-1000:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found
