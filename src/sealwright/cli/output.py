"""How commands speak: results to stdout, for people or as JSON; errors, notes and progress to stderr.

Text from files, servers and names may hold terminal control sequences: everything passes through ``plain``.
"""

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sealwright.core.errors import FormatError, SealwrightError, UnavailableError, VerificationError

PROGRAM = "sealwright"
EX_USAGE = 64
INTERNAL = 70


class UsageError(Exception):
    """The command line itself is wrong."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


class EndedError(Exception):
    """A command ended with an error, and programs are told more than the error: what was reached, how to go on."""

    def __init__(self, error: SealwrightError, value: Mapping[str, Any]) -> None:
        super().__init__(error.message)
        self.error, self.value = error, value


class StoppedError(Exception):
    """Somebody ended a command with a signal, and is told how to go on."""

    def __init__(self, exit_code: int, value: Mapping[str, Any]) -> None:
        super().__init__("interrupted")
        self.exit_code, self.value = exit_code, value


class DeclinedError(Exception):
    """Somebody was asked and said no: nothing was done, and that was said."""


def plain(text: str) -> str:
    """Return one line without anything that a terminal could take for a command or draw in a misleading way."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def show(line: str = "") -> None:
    """Print one line of a result."""
    print(plain(line))


def show_table(rows: Iterable[tuple[str, str]], *, indent: str = "  ") -> None:
    """Print labels and values in two columns."""
    rows = list(rows)
    width = max((len(plain(label)) for label, _ in rows), default=0)
    for label, value in rows:
        show(f"{indent}{plain(label):<{width}}  {value}".rstrip())


def show_columns(rows: Iterable[Sequence[str]]) -> None:
    """Print rows of cells in columns as wide as they need to be."""
    lines = [[plain(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        show("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


def show_json(value: Any) -> None:
    """Print a result for programs."""
    print(json.dumps(value, indent=2, ensure_ascii=True))


def note(text: str) -> None:
    """Say something beside the result."""
    print(f"{PROGRAM}: note: {plain(text)}", file=sys.stderr)


def counted(number: int, noun: str) -> str:
    """Spell a number of things: ``1 approval``, ``2 approvals``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def show_error(message: str, hint: str = "") -> None:
    """Say what went wrong and what would help."""
    print(f"{PROGRAM}: error: {plain(message)}", file=sys.stderr)
    if hint:
        print(f"{PROGRAM}: hint: {plain(hint)}", file=sys.stderr)


def error_json(error: SealwrightError) -> Mapping[str, Any]:
    """Return an error for programs: its stable code, the sentence, and what the family adds."""
    value: dict[str, Any] = {"code": str(error.code), "message": error.message, "exit_code": error.exit_code}
    if error.hint:
        value["hint"] = error.hint
    match error:
        case FormatError() if error.at is not None:
            value["at"] = error.at
        case VerificationError() if error.expected or error.got:
            value |= {"expected": error.expected, "got": error.got}
        case UnavailableError():
            value["retry_after_seconds"] = error.retry_after_seconds
    return value


def utc(seconds: int) -> str:
    """Spell a POSIX time for people."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def iso(seconds: int) -> str:
    """Spell a POSIX time for programs (RFC 3339)."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
