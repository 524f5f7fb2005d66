"""The README's walk works as written: its commands are run, in order, in one shell."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.conftest import PROJECT, require_tool
from tests.simulators.live import free_port

README = (PROJECT / "README.md").read_text()


def walk() -> str:
    """The shell blocks from the first signature on."""
    text = README[README.index("## A first signature") :]
    return "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


@pytest.mark.slow
def test_the_first_signature_works_as_written(tmp_path: Path):
    require_tool("ssh-keygen")
    require_tool("openssl")
    # Beside the walk's folder lies the checkout in the README's story; here, what it uses of it.
    for part in ("tests/independent", "docs/spec"):
        shutil.copytree(PROJECT / part, tmp_path / part)
    # Another instance may run on this machine: the port is the only word that is changed.
    script = "set -eu\n" + walk().replace("8470", str(free_port()))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SEALWRIGHT_")}
    environment["PATH"] = f"{PROJECT / '.venv' / 'bin'}:{environment['PATH']}"
    try:
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
    finally:
        pid = tmp_path / "first" / "up.pid"
        if pid.is_file():
            subprocess.run(["kill", pid.read_text().strip()], capture_output=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "CMS Verification successful" in done.stderr
    assert "Traceback" not in done.stderr
    assert "sealwright: error" not in done.stderr


def test_the_commands_of_the_first_page_are_make_targets():
    targets = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z]+)", README))
    assert named <= targets
