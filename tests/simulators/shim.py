"""A PKCS#11 module in front of SoftHSM that fails, hangs, dies or lies on command; made from ``shim_module.c``."""

import subprocess
from pathlib import Path

import pytest
from tests.conftest import require_tool
from tests.simulators.softhsm import SoftHsm

from sealwright.keystores import pkcs11_abi as abi

SOURCE = Path(__file__).with_name("shim_module.c")
HANG, CRASH, FLIP, LONG = -1, -2, -3, -4
ANSWERS = {name: number for number, name in (abi.UNAVAILABLE_ERRORS | abi.CREDENTIAL_ERRORS).items()}


class Shim:
    """The module and its command files."""

    def __init__(self, folder: Path, hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.path = folder / "shim", folder / "libshim.so"
        self.folder.mkdir()
        command = [require_tool("cc"), "-shared", "-fPIC", "-O1", "-w", "-o", str(self.path), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True, timeout=60)
        monkeypatch.setenv("SHIM_MODULE", hsm.module_path)
        monkeypatch.setenv("SHIM_FOLDER", str(self.folder))
        self._real = hsm.module_path

    def uri(self, uri: str, more: str = "") -> str:
        """Return the URI of the same token through this module."""
        return uri.replace(self._real, str(self.path)) + more

    def trouble(self, function: str, answer: str | int, *, skip: int = 0, times: int = 1) -> None:
        """Let ``times`` calls answer this, after ``skip`` good ones."""
        number = ANSWERS[answer] if isinstance(answer, str) else answer
        draft = self.folder / "draft"
        draft.write_text(f"{skip} {times} {number}\n")
        draft.replace(self.folder / function)

    def behave_like(self, what: str) -> None:
        """Set a way to behave, by the name of its file."""
        (self.folder / what).write_text("yes\n")

    def reverse_slots(self) -> None:
        """Let tokens change their slot numbers at the next initialisation."""
        (self.folder / "order").write_text("reversed\n")

    def well(self) -> None:
        """End all trouble."""
        for path in self.folder.iterdir():
            if path.name != "calls":
                path.unlink()

    def calls(self, function: str) -> int:
        """Return how often a function was called, by all processes together."""
        path = self.folder / "calls"
        return path.read_text().splitlines().count(function) if path.exists() else 0
