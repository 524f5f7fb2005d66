"""The installation that is measured: real processes over HTTP, keys in files or on a SoftHSM token."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.simulators.live import Live
from tests.simulators.softhsm import SoftHsm

from benchmarks.measuring import children, cpu_seconds, peak_mib
from sealwright.client.compose import new_vote, sign_document
from sealwright.client.standing import fetch, needed
from sealwright.core import records
from sealwright.policy import documents as d
from sealwright.policy.authorise import rules_of
from sealwright.service.messages import RequestAnswer, Result, StatusList, VoteBody
from sealwright.wiring import partitions

PARTITION = "router-production"
PIN = "1234"


@contextmanager
def installation(folder: Path, keystore: str) -> Iterator[Live]:
    """Run an installation whose product ``router`` signs raw images with P-256, two approvals each."""
    live = Live(folder).make()
    token = None
    if keystore == "softhsm":
        token = SoftHsm(folder)
        pin = folder / "pin"
        pin.write_text(PIN)
        pin.chmod(0o600)
        partitions.ensure_partition(
            live.configuration, PARTITION, uri=token.token(PARTITION, PIN), secret=f"file:{pin}"
        )
    try:
        live.start().found_policy()
        yield live
    finally:
        live.stop()
        if token:
            token.close()


def processes(live: Live) -> dict[str, list[int]]:
    """Return the process ids of an installation by what they are."""
    server, signer = live.processes["server"].pid, live.processes["signer"].pid
    return {"server": [server], "signer": [signer], "worker": children(signer)}


def cpu(live: Live) -> dict[str, float]:
    """Return the processor seconds of each kind of process so far."""
    return {name: sum(map(cpu_seconds, pids)) for name, pids in processes(live).items()}


def peak(live: Live) -> float:
    """Return the greatest memory of any process of the installation."""
    return max(peak_mib(pid) for pids in processes(live).values() for pid in pids)


def approve_when_there(live: Live, seconds: float = 120) -> None:
    """Approve the next request twice, as people who looked at it."""
    deadline = time.monotonic() + seconds
    with live.api("ben") as ben, live.api("cleo") as cleo:
        standing = needed(fetch(ben, live.trust))
        while not (waiting := ben.get(StatusList, "/v1/requests", state=["waiting"]).requests):
            assert time.monotonic() < deadline, "no request came"
            time.sleep(0.02)
        shown = ben.get(RequestAnswer, f"/v1/requests/{waiting[0].digest}")
        request = records.parse(d.Request, shown.request.document)
        rules = rules_of(request, standing)[2]
        for name, api in (("ben", ben), ("cleo", cleo)):
            vote = new_vote(
                request, instance=standing.instance, rules=rules, decision=d.Decision.APPROVE, person=name,
                now=int(time.time()), entropy=os.urandom,
            )  # fmt: skip
            signed = sign_document(vote, instance=standing.instance, identity=live.identities[name], signer=name)
            api.post(Result, f"/v1/requests/{waiting[0].digest}/approve", VoteBody(vote=signed))
