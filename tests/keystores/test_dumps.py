"""Memory that holds secrets goes into no core file and is read by nobody of the same user."""

import ctypes
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from sealwright.keystores.dumps import processes

_PR_GET_DUMPABLE = 3
OPEN, CLOSED = "dumpable 1", "core files of 0 bytes, dumpable 0"
WATCHED = """
import resource, sys
from tests.keystores.test_dumps import kept
if resource.getrlimit(resource.RLIMIT_CORE)[1] == resource.RLIM_INFINITY:
    resource.setrlimit(resource.RLIMIT_CORE, (4096, 4096))
print(kept())
from sealwright.cli import key_ceremony, key_making
from sealwright.keystores import secrets
from sealwright.wiring import configuration

def seen(*_, **__):
    print(kept())
    raise SystemExit(0)

configuration.load = secrets.read_secret = key_ceremony.read_script = seen
from sealwright.cli.main import main
raise SystemExit(main(sys.argv[1:]))
"""


def kept() -> str:
    """Say how the memory of this process is kept."""
    dumpable = ctypes.CDLL(None).prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0)
    return f"core files of {resource.getrlimit(resource.RLIMIT_CORE)[0]} bytes, dumpable {dumpable}"


@pytest.mark.parametrize(
    "words",
    [
        ["create", "router/production/1", "--algorithm", "ed25519"],
        ["import", "router/production/1", "key.pem", "--algorithm", "ed25519", "--passphrase", "fd:9"],
        ["ceremony", "script.toml"],
    ],
    ids=lambda words: words[0],
)
def test_a_command_that_makes_keys_forbids_dumps_before_it_reads_anything(words: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-c", WATCHED, "key", *words, "--instance", str(tmp_path)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    before, after = done.stdout.splitlines() or ["", done.stderr]
    assert before.endswith(OPEN)  # as the machine has it
    assert after == CLOSED


def test_processes_that_get_the_seed_of_a_tree_forbid_dumps_before_their_first_task() -> None:
    with processes() as executor:
        assert executor.submit(kept).result(timeout=60) == CLOSED
