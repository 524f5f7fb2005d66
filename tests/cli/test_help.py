"""Help looks the same everywhere, and `-h` is enough."""

import re

import pytest

from sealwright.cli.main import COMMANDS, main

NAMES = [name for group in COMMANDS.values() for name in group]


def help_of(capsys, *words: str) -> str:
    capsys.readouterr()
    try:
        assert main(words) == 0
    except SystemExit as e:
        assert not e.code  # noqa: PT017 - argparse ends so
    return capsys.readouterr().out


def subcommands(text: str) -> list[str]:
    _, _, commands = text.partition("\nCommands:\n")
    return re.findall(r"(?m)^  ([a-z-]+)", commands)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_and_sub_command_takes_h_and_looks_alike(capsys, name):
    text = help_of(capsys, name, "-h")
    assert text == help_of(capsys, name, "--help")
    for words in ([name], *([name, sub] for sub in subcommands(text))):
        said = help_of(capsys, *words, "-h")
        assert said.startswith(f"Usage: sealwright {' '.join(words)} ")
        assert "\nOptions:\n" in said
        assert "-h, --help" in said
        assert "usage:" not in said
