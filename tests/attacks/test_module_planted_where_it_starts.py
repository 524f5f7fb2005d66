"""Attack: leave a module in the folder where an administrator will type ``sealwright up``, to run in the signer."""

import subprocess
import sys
import time

import pytest
from tests.simulators.live import Live

SECONDS = 30
PLANTED = """
import os, pathlib
pathlib.Path(__file__).with_name("ran").write_text(open("/proc/self/cmdline").read())
os._exit(1)
"""


@pytest.mark.slow
@pytest.mark.parametrize("module", ["cryptography", "uvicorn", "sealwright"])
def test_it_does_not_run(tmp_path, module):
    live, planted = Live(tmp_path).make(), tmp_path / "shared"
    planted.mkdir()
    (planted / f"{module}.py").write_text(PLANTED)
    command = "import sys; from sealwright.cli.main import main; sys.exit(main())"
    out = tmp_path / "up.out"
    with out.open("wb") as file:
        # -P: as the installed command, whose own search path does not begin with the current folder.
        up = subprocess.Popen(
            [sys.executable, "-P", "-c", command, "up", str(live.folder / "i")], cwd=planted, stdout=file, stderr=file
        )
    try:
        deadline = time.monotonic() + SECONDS
        while "stop:" not in out.read_text():
            assert up.poll() is None, out.read_text()
            assert not (planted / "ran").exists(), (planted / "ran").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert not (planted / "ran").exists()
    finally:
        up.terminate()
        up.wait(timeout=SECONDS)
