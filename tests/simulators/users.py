"""Users by number, and a Python that they can run; for tests that are started by root."""

import atexit
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from tests.conftest import PROJECT, missing

from sealwright.keystores import ceremony_client, worker_client

FIRST, SECOND = 61001, 61002


def require_root() -> None:
    """Changing users is for root alone."""
    if os.geteuid() != 0:
        missing("root: users can only be kept apart by it")


@contextmanager
def open_folder() -> Iterator[Path]:
    """Yield a new folder that everybody may pass through; those of pytest are closed to others."""
    with tempfile.TemporaryDirectory(prefix="users-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


@cache
def python() -> str:
    """Return a Python that all users can read: this one, or the system's with the same packages."""
    if all(is_open(Path(p)) for p in (sys.executable, sysconfig.get_path("stdlib"))):
        return sys.executable
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    other = Path("/usr/bin") / f"python{version}"
    if not other.exists():
        missing(f"{other}, since others cannot read {sys.executable}")
    environment = Path(tempfile.mkdtemp(prefix="python-"))
    atexit.register(shutil.rmtree, environment)
    environment.chmod(0o755)
    subprocess.run([other, "-m", "venv", "--without-pip", environment], check=True, timeout=60)
    packages = (sysconfig.get_path("purelib"), str(PROJECT / "src"), str(PROJECT))
    paths = environment / "lib" / f"python{version}" / "site-packages" / "same.pth"
    paths.write_text("".join(f"{path}\n" for path in packages))
    return str(environment / "bin" / "python")


def use_python(monkeypatch: pytest.MonkeyPatch) -> str:
    """Have processes of other users started with that Python, and return it."""
    program = python()
    for module in (worker_client, ceremony_client):
        monkeypatch.setattr(module, "_COMMAND", (program, *module._COMMAND[1:]))
    return program


def is_open(path: Path) -> bool:
    """Whether everybody can reach a file."""
    real = path.resolve()
    return all(folder.stat().st_mode & 0o001 for folder in real.parents) and bool(real.stat().st_mode & 0o004)


def run_as(user: int, program: str, code: str, *arguments: object) -> str:
    """Run a piece of Python as a user; return what it prints."""
    command = [program, "-I", "-c", code, *map(str, arguments)]
    done = subprocess.run(
        command,
        user=user,
        group=user,
        extra_groups=(),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
