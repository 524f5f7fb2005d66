"""A parser for the commands that must start fast: argparse, with usage errors in our words."""

import argparse
from typing import NoReturn

from sealwright.cli.output import PROGRAM, UsageError


class Parser(argparse.ArgumentParser):
    """Arguments of one command."""

    def __init__(self, command: str, description: str) -> None:
        super().__init__(prog=f"{PROGRAM} {command}", description=description, allow_abbrev=False)
        self.add_argument("--json", action="store_true", help="print the result as JSON")

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"see `{self.prog} --help`")
