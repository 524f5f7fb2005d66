"""Running commands for people to follow: each is shown, and a command that should fail and does not ends the demo."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
SEALWRIGHT = [sys.executable, "-m", "sealwright.cli"]


class UnexpectedError(Exception):
    """A command did not do what the story says."""


def say(text: str = "") -> None:
    """Tell the story."""
    print(text, flush=True)


def run(command: list[str], **options: Any) -> str:
    """Run a program that must succeed; return its standard output."""
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stdin", subprocess.DEVNULL)  # at a terminal commands would ask, and nobody sees the question
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **options)
    if done.returncode != 0:
        raise UnexpectedError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout or ""


class Desk:
    """One person at the command line, with a configuration folder of their own."""

    def __init__(self, name: str, folder: Path, identity: Path) -> None:
        self.name, self.identity = name, identity
        self._environment = {**os.environ, "SEALWRIGHT_CONFIG": str(folder / f"config-{name}")}
        for variable in ("SEALWRIGHT_URL", "SEALWRIGHT_TRUST", "SEALWRIGHT_IDENTITY"):
            self._environment.pop(variable, None)

    def sealwright(self, *arguments: str | Path, show: bool = False) -> str:
        """Run a command that must succeed."""
        words = [str(a) for a in arguments]
        if show:
            say(f"  {self.name}$ sealwright {' '.join(_short(w) for w in words)}")
        return run([*SEALWRIGHT, *words], env=self._environment)

    def json(self, *arguments: str | Path, show: bool = False) -> Any:
        """Run a command with --json and return what it printed."""
        if show:
            say(f"  {self.name}$ sealwright {' '.join(_short(str(a)) for a in arguments)}")
        return json.loads(self.sealwright(*arguments, "--json"))

    def refused(self, *arguments: str | Path) -> str:
        """Run a command that must fail; return the first line of its complaint."""
        done = subprocess.run(
            [*SEALWRIGHT, *map(str, arguments)],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            raise UnexpectedError(f"sealwright {' '.join(map(str, arguments))} should have been refused")
        return next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip())


def _short(word: str) -> str:
    """Show file names from the demo's folder on, as in its own closing words: they can be found there."""
    before, equals, path = word.rpartition("=")
    return before + equals + (os.path.relpath(path, PROJECT) if Path(path).is_relative_to(PROJECT) else path)
