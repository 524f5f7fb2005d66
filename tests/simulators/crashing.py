"""Server or signer that ends itself with SIGKILL at a named point: ``python -m tests.simulators.crashing server DIR``.

The points are put around production code from outside; it has none of its own.  A test arms a point by writing its
name into the file ``crash`` beside the instance's folder; the first process that comes by takes the file and dies.
"""

import functools
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

FILE_NAME = "crash"


class Process:
    """This process: the file that arms a point, and what it is about at present (``intent``, ``outcome`` ...)."""

    armed = Path()
    now = ""


SERVER_POINTS = (
    "before-request-commit",
    "after-request-commit",
    "before-vote-commit",
    "after-vote-commit",
    "before-intent-append",
    "intent-between-commit-and-guard",
    "after-intent-append",
    "before-round-sent",
    "after-round-sent",
    "after-round-received",
    "after-outcome-commit",
    "before-outcome-append",
    "outcome-between-commit-and-guard",
    "after-outcome-append",
    "before-release-sent",
    "after-release-sent",
    "after-release-received",
    "after-signatures-commit",
)
SIGNER_POINTS = (
    "signer-intent-entries-taken",
    "signer-intent-head-stored",
    "signer-authorised",
    "signer-signed",
    "signer-outcome-made",
    "signer-outcome-answered",
    "signer-outcome-entries-taken",
    "signer-outcome-head-stored",
    "signer-release-decided",
    "signer-release-answered",
)
RESTRICTION_POINTS = (
    "after-restriction-commit",
    "restriction-between-commit-and-guard",
    "after-restriction-append",
)
POLICY_POINTS = ("before-policy-append", "policy-between-commit-and-guard", "after-policy-append")


def arm(folder: Path, point: str) -> None:
    """Have the next process that reaches ``point`` die there; ``folder`` is the instance's."""
    (folder.parent / FILE_NAME).write_text(point)


def is_armed(folder: Path) -> bool:
    """Whether nobody has died there yet."""
    return (folder.parent / FILE_NAME).exists()


def reach(point: str) -> None:
    """Die here if this point is armed."""
    try:
        if Process.armed.read_text() != point:
            return
    except FileNotFoundError:
        return
    Process.armed.unlink()
    os.kill(os.getpid(), signal.SIGKILL)


def around(owner: Any, name: str, before: str = "", after: str = "", when: Callable[..., bool] | None = None) -> None:
    """Put points before and after a function; after a future means when it is done, before anybody else hears of it."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args: Any, **keywords: Any) -> Any:
        if when is not None and not when(*args, **keywords):
            return original(*args, **keywords)
        reach(before.format(now=Process.now))
        result = original(*args, **keywords)
        if isinstance(result, Future):
            result.add_done_callback(lambda _: reach(after.format(now=Process.now)))
        else:
            reach(after.format(now=Process.now))
        return result

    setattr(owner, name, wrapped)


def about(owner: Any, name: str, what: Callable[..., str]) -> None:
    """Remember what this process is about while a function runs, and until it is about something else."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args: Any, **keywords: Any) -> Any:
        Process.now = what(*args, **keywords) or Process.now
        return original(*args, **keywords)

    setattr(owner, name, wrapped)


def prepare_server() -> None:
    from sealwright.service.ledger import Ledger
    from sealwright.storage.documents import Documents
    from sealwright.storage.log_guard import Guard
    from sealwright.wiring import signer_link

    def kind(_self: Any, entries: Any) -> str:
        return str(entries[-1].entry)

    def order(_self: Any, order: Any) -> str:
        return "round" if order.sign else "release" if order.release else "other"

    around(Documents, "add_request", "before-request-commit", "after-request-commit")
    around(Documents, "add_vote", "before-vote-commit", "after-vote-commit")
    around(Documents, "add_outcomes", "", "after-outcome-commit")
    around(Documents, "finish", "", "after-signatures-commit")
    around(Documents, "add_restriction", "", "after-restriction-commit")
    around(Guard, "write", "{now}-between-commit-and-guard")
    around(Ledger, "append", "before-{now}-append", "after-{now}-append")
    about(Ledger, "append", kind)
    around(signer_link, "receive_frame", "after-{now}-sent", "after-{now}-received")
    around(signer_link.LocalSigner, "exchange", "before-{now}-sent")
    about(signer_link.LocalSigner, "exchange", order)


def prepare_signer() -> None:
    from sealwright.policy.entries import parse_entry
    from sealwright.signer import endpoint
    from sealwright.signer.engine import Engine
    from sealwright.signer.follower import Follower
    from sealwright.signer.heads import FileHeadStore
    from sealwright.signer.shifts import Shift

    def newest(_self: Any, _start: int, entries: Any, _checkpoint: bytes) -> str:
        return str(parse_entry(entries[-1]).entry) if entries else ""

    def answer(_self: Any, **made: Any) -> str:
        return "outcome" if made.get("signed") else "release" if made.get("released") else "other"

    around(Follower, "_confirm", "signer-{now}-entries-taken")
    around(FileHeadStore, "store", "", "signer-{now}-head-stored")
    about(Follower, "take", newest)
    around(Engine, "_authorise", "", "signer-authorised")
    around(Shift, "results", "", "signer-signed")
    around(Engine, "_sign_all", "", "signer-outcome-made", when=lambda _self, orders: bool(orders))
    around(Engine, "_release", "", "signer-release-decided")
    about(Engine, "_result", answer)
    around(endpoint, "receive_frame", "signer-{now}-answered")


def main(name: str, folder: Path) -> int:
    from sealwright.wiring.__main__ import main as run

    Process.armed = folder.parent / FILE_NAME
    prepare_server() if name == "server" else prepare_signer()
    return run([name, str(folder)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
