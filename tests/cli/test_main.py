"""Every command is listed and starts; every failure is one line, a hint and an exit code."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
import typer

from sealwright.cli import main as entry
from sealwright.cli.main import COMMANDS, Command, main, overview
from sealwright.cli.output import show
from sealwright.cli.typed import noun
from sealwright.core.errors import (
    Code,
    ConfigurationError,
    FormatError,
    RefusedError,
    SealwrightError,
    UnavailableError,
    VerificationError,
)

ALL = {name: command for group in COMMANDS.values() for name, command in group.items()}


def test_the_help_lists_every_command(capsys):
    for arguments in ([], ["--help"], ["-h"], ["help"]):
        assert main(arguments) == 0
        assert capsys.readouterr().out == overview() + "\n"
    for name, command in ALL.items():
        assert f"  {name}" in overview()
        assert command.help in overview()


@pytest.mark.parametrize("name", ALL)
def test_every_command_is_there_and_has_its_own_help(name, capsys):
    module, _, attribute = ALL[name].target.partition(":")
    assert callable(getattr(importlib.import_module(module), attribute))
    try:
        code = main([name, "--help"])
    except SystemExit as e:  # argparse
        code = e.code
    assert code == 0
    shown = capsys.readouterr()
    assert f"sealwright {name}" in shown.out
    assert shown.err == ""


def test_no_name_is_in_two_groups():
    assert len(ALL) == sum(map(len, COMMANDS.values()))


def test_a_wrong_command_is_told_with_the_nearest(capsys):
    assert main(["verfy"]) == 64
    said = capsys.readouterr().err
    assert (
        said == "sealwright: error: there is no command 'verfy'\nsealwright: hint: did you mean `sealwright verify`?\n"
    )
    assert main(["xyzzy"]) == 64
    assert "hint: list the commands with `sealwright --help`" in capsys.readouterr().err


def test_a_wrong_option_is_told_with_the_help(capsys):
    assert main(["verify", "x", "--trsut", "y"]) == 64
    said = capsys.readouterr().err
    assert said.startswith("sealwright: error: unrecognized arguments: --trsut")
    assert said.endswith("sealwright: hint: see `sealwright verify --help`\n")


def raising(error: BaseException) -> Command:
    def command(arguments: list[str]) -> None:  # noqa: ARG001
        raise error

    entry.raised = command  # type: ignore[attr-defined]
    return Command("sealwright.cli.main:raised", "raises", is_lean=True)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch):
    """Register a command for one test."""

    def register(command: Command) -> None:
        monkeypatch.setitem(COMMANDS, "Test", {"test": command})

    monkeypatch.setattr(entry, "raised", None, raising=False)
    return register


@pytest.mark.parametrize(
    ("error", "code", "more"),
    [
        (FormatError("bad header", at=16), 65, {"at": 16}),
        (RefusedError("no quorum", code=Code.QUORUM_NOT_MET, hint="ask more"), 77, {"hint": "ask more"}),
        (VerificationError("hash", expected="a", got="b"), 1, {"expected": "a", "got": "b"}),
        (UnavailableError("wait", code=Code.STILL_WAITING, retry_after_seconds=5), 75, {"retry_after_seconds": 5}),
        (ConfigurationError("odd", setting="x"), 78, {}),
    ],
)
def test_each_family_has_its_exit_code_and_its_json(registered, capsys, error: SealwrightError, code, more):
    registered(raising(error))
    assert main(["test"]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines()[0] == f"sealwright: error: {error.message}"
    assert (f"sealwright: hint: {error.hint}" in shown.err) == bool(error.hint)
    assert main(["test", "--json"]) == code
    expected = {"code": error.code, "message": error.message, "exit_code": code} | more
    assert json.loads(capsys.readouterr().out) == {"error": expected}


def test_a_bug_is_told_without_a_traceback_unless_asked(registered, capsys, monkeypatch):
    registered(raising(KeyError("secret")))
    monkeypatch.delenv("SEALWRIGHT_DEBUG", raising=False)
    assert main(["test"]) == 70
    said = capsys.readouterr().err
    assert said.startswith("sealwright: error: internal error: KeyError\nsealwright: hint: this is a bug")
    assert "secret" not in said
    monkeypatch.setenv("SEALWRIGHT_DEBUG", "1")
    with pytest.raises(KeyError):
        main(["test"])


def test_an_interruption_is_told_in_two_lines(registered, capsys):
    registered(raising(KeyboardInterrupt()))
    assert main(["test"]) == 130
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[0] == "sealwright: error: interrupted"
    assert len(said.err.splitlines()) == 2


def test_a_reader_who_left_is_not_complained_to():
    command = f"{sys.executable} -m sealwright.cli inspect {sys.executable} | true; echo ${{PIPESTATUS[0]}}"
    for _ in range(3):
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
        assert done.stderr == ""
        assert done.stdout.strip() in ("141", "0")  # 0: the pipe had room and its end came late


def greet(name: Annotated[str, typer.Argument()], *, loud: bool = False) -> None:
    """Greet somebody."""
    if name == "nobody":
        raise RefusedError("nobody is there", code=Code.NOT_FOUND)
    show(f"hello {name}{'!' if loud else ''}")


greeting = noun("Greet and more.")
greeting.command()(greet)


@greeting.command("bye")
def leave() -> None:
    """Leave."""
    show("bye")


def test_a_function_with_annotations_is_a_command(registered, capsys):
    registered(Command("tests.cli.test_main:greet", "greet"))
    assert main(["test", "ada", "--loud"]) == 0
    assert capsys.readouterr().out == "hello ada!\n"
    assert main(["test", "nobody"]) == 77
    assert capsys.readouterr().err == "sealwright: error: nobody is there\n"
    assert main(["test"]) == 64
    said = capsys.readouterr().err
    assert said == "sealwright: error: missing argument 'name'\nsealwright: hint: see `sealwright test --help`\n"
    assert main(["test", "--help"]) == 0
    assert "sealwright test" in capsys.readouterr().out


def test_a_noun_has_sub_commands(registered, capsys):
    registered(Command("tests.cli.test_main:greeting", "greet"))
    assert main(["test", "greet", "ada"]) == 0
    assert main(["test", "bye"]) == 0
    assert capsys.readouterr().out == "hello ada\nbye\n"
    assert main(["test", "gree"]) == 64
    assert "no such command 'gree'" in capsys.readouterr().err
    assert main(["test"]) == 64
    assert "missing command" in capsys.readouterr().err
    assert main(["test", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "greet" in shown
    assert "bye" in shown


def test_a_wrong_word_points_to_the_help_of_that_very_command(capsys):
    for arguments, command in (
        (["request", "approve"], "request approve"), (["request", "fetch", "--bogus"], "request fetch"),
        (["sign", "--bogus"], "sign"), (["request", "bogus"], "request"),
    ):  # fmt: skip
        assert main(arguments) == 64
        assert f"see `sealwright {command} --help`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--help"], 75, "the output cannot be written: No space left on device"),
        (["sign", "--help"], 75, "the output cannot be written: No space left on device"),
        (["verify", "/no/such/image", "--trust", "/no/such/file", "--json"], 78, "No such file or directory"),
    ],
)
def test_an_output_that_takes_nothing_is_no_bug(arguments, code, message):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "sealwright.cli", *arguments],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == code
    assert message in done.stderr
    assert "bug" not in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
