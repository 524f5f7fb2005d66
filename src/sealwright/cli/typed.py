"""Runs commands declared with Typer, and says their usage errors in our words."""

import os
import re
from collections.abc import Callable, Sequence
from typing import Any

import typer

from sealwright.cli.output import UsageError
from sealwright.cli.times import duration

WAIT, WAIT_SECONDS = "--wait", 3600
INTERRUPTED = 130


def noun(help_text: str) -> typer.Typer:
    """Return an empty group of sub-commands: ``request = noun("…")``, then ``@request.command()``."""
    return typer.Typer(
        help=help_text,
        no_args_is_help=False,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def run(target: typer.Typer | Callable[..., Any], program: str, arguments: Sequence[str]) -> None:
    """Parse ``arguments`` and call the command; raises what it raises, and ``UsageError``."""
    if isinstance(target, typer.Typer):
        app = target
    else:
        app = noun(target.__doc__ or "")
        app.command()(target)
    try:
        ended = app(args=_with_values(arguments), prog_name=program, standalone_mode=False)
    except typer.Abort:  # Ctrl-C at a prompt
        raise KeyboardInterrupt from None
    except typer.TyperException as e:
        message = e.format_message().rstrip(".").replace(": Value error, ", ": ")
        context = getattr(e, "ctx", None)
        command = context.command_path if context else program
        raise UsageError(message[:1].lower() + message[1:], hint=f"see `{command} --help`") from None
    if ended == INTERRUPTED:  # Typer turns Ctrl-C into a value; 0 would say that all is done
        raise KeyboardInterrupt


def _with_values(arguments: Sequence[str]) -> list[str]:
    """Say in seconds how long ``--wait`` waits, bare or with ``90s``: Typer knows no value that may be left out."""
    words: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if name != WAIT:
            words.append(word)
            continue
        if not equals:
            value = rest.pop(0) if rest and _is_duration(rest[0]) else ""
        words += [WAIT, str(_seconds(value) if equals or value else WAIT_SECONDS)]
        if not value and rest:
            _check_follows(rest[0])
    return words


def _is_duration(word: str) -> bool:
    return re.fullmatch("[0-9]{1,9}[smhdw]?", word) is not None


def _seconds(text: str) -> int:
    return int(text) if text.isdecimal() and text.isascii() else duration(text)


def _check_follows(word: str) -> None:
    """Refuse a word behind a bare ``--wait`` that was meant as its value."""
    if re.fullmatch(r"[A-Za-z0-9]{1,12}", word) and not os.path.lexists(word):
        raise UsageError(
            f"{word!r} behind {WAIT} is neither a duration nor a file",
            hint=f"write {WAIT} alone, or with 90, 90s, 10m or 1h",
        )
