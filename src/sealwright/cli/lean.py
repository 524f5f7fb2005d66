"""A parser for the commands that must start fast: argparse, with usage errors in our words."""

import argparse
from collections.abc import Iterable
from typing import Any, NoReturn

from sealwright.cli.output import PROGRAM, UsageError


class _Formatter(argparse.HelpFormatter):
    """The same looks as the help of the other commands, which Typer writes."""

    def add_usage(self, usage: str | None, actions: Iterable[argparse.Action], groups: Any, prefix: Any = None) -> None:  # noqa: ARG002 - as argparse calls it
        positionals = " ".join(str(action.metavar) for action in actions if not action.option_strings)
        super().add_usage(f"{self._prog} [OPTIONS] {positionals}".rstrip(), actions, groups, "Usage: ")

    def add_text(self, text: str | None) -> None:
        super().add_text(text and f"  {text}")

    def _fill_text(self, text: str, width: int, indent: str) -> str:  # noqa: ARG002 - as argparse calls it
        return super()._fill_text(text, width, "  ")


class Parser(argparse.ArgumentParser):
    """Arguments of one command."""

    def __init__(self, command: str, description: str) -> None:
        super().__init__(
            prog=f"{PROGRAM} {command}",
            description=description,
            allow_abbrev=False,
            add_help=False,
            formatter_class=_Formatter,
        )
        self._positionals.title, self._optionals.title = "Arguments", "Options"
        self.add_argument("--json", action="store_true", help="print the result as JSON")
        self.add_argument("-h", "--help", action="help", help="Show this message and exit.")

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"see `{self.prog} --help`")
