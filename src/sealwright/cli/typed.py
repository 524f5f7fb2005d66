"""Runs commands declared with Typer, and says their usage errors in our words."""

from collections.abc import Callable, Sequence
from typing import Any

import typer

from sealwright.cli.output import UsageError

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
        message = e.format_message().rstrip(".")
        raise UsageError(message[:1].lower() + message[1:], hint=f"see `{program} --help`") from None
    if ended == INTERRUPTED:  # Typer turns Ctrl-C into a value; 0 would say that all is done
        raise KeyboardInterrupt


def _with_values(arguments: Sequence[str]) -> list[str]:
    """Say how long a bare ``--wait`` waits: Typer knows no option whose value may be left out."""
    words: list[str] = []
    for word, following in zip(arguments, [*arguments, ""][1:], strict=True):
        words.append(word)
        if word == WAIT and not following.isdecimal():
            words.append(str(WAIT_SECONDS))
    return words
