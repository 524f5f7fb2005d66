"""What ``sign --wait`` and ``request fetch`` say of files they wrote, and of those still to come."""

import shlex
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from sealwright.cli.output import PROGRAM, EndedError, StoppedError, note, show, show_table
from sealwright.client.assembly import Delivered
from sealwright.client.delivery import Place
from sealwright.core.errors import SealwrightError
from sealwright.policy.documents import Environment

OUTPUT_HELP = (
    "signed file, or a folder with a slash behind it; by default beside the image: IMAGE.p7s for raw and HEX files, "
    "else NAME.signed.SUFFIX of NAME.SUFFIX"
)


@contextmanager
def ending(value: dict[str, Any]) -> Iterator[None]:
    """Have an error inside the block end the command with ``value`` beside it, for programs that go on from there.

    So do Ctrl-C and SIGTERM, as of a job that is cancelled.  ``value`` may be filled further inside the block.
    """
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except SealwrightError as e:
        raise EndedError(e, value) from e
    except _TerminatedError:
        raise StoppedError(128 + signal.SIGTERM, value) from None
    except KeyboardInterrupt:
        raise StoppedError(128 + signal.SIGINT, value) from None
    finally:
        signal.signal(signal.SIGTERM, before)


class _TerminatedError(KeyboardInterrupt):
    """SIGTERM came."""


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise _TerminatedError


def show_delivered(delivered: Sequence[Delivered], trust: Path) -> None:
    """Print the files of each image, and how to verify them."""
    for done in delivered:
        show(str(done.image))
        rows = [("evidence", str(done.evidence))]
        rows += [("sidecar", str(path)) for path in done.sidecars]
        keys = dict.fromkeys(profile.id for profile in done.verified.signing_keys)
        rows += [
            ("signed by key", ", ".join(keys)),
            ("log", f"entry {done.verified.outcome_index} of {done.verified.checkpoint_size}"),
        ]
        rows += [("note", text) for text in done.notes]
        show_table(rows)
    note("all of it was verified before it was written; anybody can again, offline:")
    for done in delivered:
        note(f"`{verify_command(done, trust)}`")


def delivered_json(delivered: Sequence[Delivered], trust: Path) -> list[dict[str, Any]]:
    """Return the same for programs."""
    return [
        {
            "image": str(done.image),
            "evidence": str(done.evidence),
            "sidecars": [str(path) for path in done.sidecars],
            "notes": list(done.notes),
            "outcome_index": done.verified.outcome_index,
            "verify": verify_command(done, trust),
        }
        for done in delivered
    ]


def verify_command(done: Delivered, trust: Path) -> str:
    """Return the command that verifies a delivered image."""
    environment = str(done.verified.approved.request.environment)
    asked = [] if environment == Environment.PRODUCTION else ["--environment", environment]
    return shlex.join([PROGRAM, "verify", str(done.image), "--trust", str(trust), *asked])


def resume_command(request: str, images: Sequence[Path], place: Place, *, replace: bool) -> str:
    """Return the command that goes on waiting and fetches."""
    words = [PROGRAM, "request", "fetch", request, *map(str, images), "--wait"]
    words += ["-o", str(place)] if place.path else []
    return shlex.join(words + (["--force"] if replace else []))
