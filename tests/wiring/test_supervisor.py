"""``sealwright up`` with real processes: what happens when they die, when it dies, and when it must not run."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from tests.simulators.live import Live

SECONDS = 20


class Up:
    """``sealwright up`` of one instance, its output in files."""

    def __init__(self, live: Live) -> None:
        self.live, self.folder = live, live.folder
        with (self.folder / "up.out").open("wb") as out, (self.folder / "up.err").open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-c", "import sys; from sealwright.cli.main import main; sys.exit(main())", "up",
                 str(self.folder / "i")], stdout=out, stderr=err,
            )  # fmt: skip

    @property
    def out(self) -> str:
        return (self.folder / "up.out").read_text()

    @property
    def err(self) -> str:
        return (self.folder / "up.err").read_text()

    def children(self) -> dict[str, int]:
        """Return the processes of the instance by name; workers of the signer are not among them."""
        found = {}
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().decode().split("\0")
            except OSError:
                continue
            if "sealwright.wiring" in words and str(self.folder / "i") in words:
                found[words[words.index("sealwright.wiring") + 1]] = int(path.parent.name)
        return found

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        until(lambda: not self.children())


def until(happens) -> None:
    deadline = time.monotonic() + SECONDS
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def health(live: Live) -> bool:
    try:
        return httpx.get(f"{live.configuration.url}/health").status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture
def up(tmp_path):
    up = Up(Live(tmp_path).make())
    yield up
    up.end()


@pytest.mark.slow
def test_a_process_that_dies_is_started_again_and_the_reason_is_said(up):
    until(lambda: "stop:     Ctrl-C" in up.out)
    assert health(up.live)
    assert f"serves at {up.live.configuration.url}" in up.out
    assert f"--trust {up.folder}/i/trust.json" in up.out
    for name in ("server", "signer"):
        before = up.children()
        os.kill(before[name], signal.SIGKILL)
        until(lambda name=name, before=before: up.children().get(name) not in (None, before[name]))
        assert f"{name} was ended by signal 9 (SIGKILL); starting it again in 1 s" in up.err
    until(lambda: health(up.live))
    assert up.out.count("serves at") == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_ends_cleanly_with_its_children(up, number):
    until(lambda: "stop:" in up.out)
    up.process.send_signal(number)
    assert up.process.wait(timeout=SECONDS) == 0
    assert not up.children()
    assert "sealwright: note: stopped" in up.err
    assert "Traceback" not in up.err
    assert not (up.folder / "i" / "run" / "up.sock").exists()


@pytest.mark.slow
def test_killed_it_leaves_no_orphan_and_can_be_started_again(up):
    until(lambda: "stop:" in up.out)
    up.process.kill()
    up.process.wait()
    until(lambda: not up.children())
    again = Up(up.live)
    try:
        until(lambda: "stop:" in again.out)
        assert health(up.live)
    finally:
        again.end()


@pytest.mark.slow
def test_a_second_one_on_the_same_instance_is_refused(up):
    until(lambda: "stop:" in up.out)
    second = Up(Live(up.folder))  # the same files
    assert second.process.wait(timeout=SECONDS) == 77
    assert "this instance is up already" in second.err
    assert health(up.live)
    assert len(up.children()) == 2


def test_a_port_that_is_taken_is_said_and_ends_it(tmp_path):
    live = Live(tmp_path).make()
    with socket.socket() as other:
        other.bind(("127.0.0.1", live.configuration.port))
        other.listen()
        up = Up(live)
        assert up.process.wait(timeout=SECONDS) == 78
    assert f"cannot listen on port {live.configuration.port} of 127.0.0.1: Address already in use" in up.err
    assert f"ss -ltnp sport = :{live.configuration.port}" in up.err
    assert "server cannot run (exit code 78); its message is above" in up.err
    assert not up.children()


def test_a_database_from_the_past_ends_it_instead_of_being_tried_again(tmp_path):
    live = Live(tmp_path).make()
    (guard,) = live.configuration.guard.glob("*.guard")
    guard.unlink()
    up = Up(live)
    assert up.process.wait(timeout=SECONDS) == 77
    assert "is missing, so nobody knows how far this log was published" in up.err
    assert "server cannot run (exit code 77)" in up.err
    assert not up.children()
