"""Times and durations as people type them."""

import re
import time
from datetime import UTC, datetime

from sealwright.cli.output import UsageError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def duration(text: str) -> int:
    """Return seconds of ``90s``, ``30m``, ``12h``, ``7d`` or ``2w``."""
    found = re.fullmatch("([0-9]{1,9})([smhdw])", text)
    if found is None:
        raise UsageError(f"{text[:40]!r} is no duration", hint="write it as 90s, 30m, 12h, 7d or 2w")
    return int(found[1]) * _UNITS[found[2]]


def moment(text: str) -> int:
    """Return POSIX seconds of a date, of a date and time (RFC 3339, or as we print it), or of so long ago.

    A time is UTC unless it says otherwise.
    """
    if re.fullmatch("[0-9]{1,9}[smhdw]", text):
        return max(0, int(time.time()) - duration(text))
    try:
        found = datetime.fromisoformat(text.removesuffix(" UTC"))
        return max(0, int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()))
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text[:40]!r} is no time",
            hint="write it as 2026-01-31, 2026-01-31T12:00:00Z, or 3h or 2d for so long ago",
        ) from None
