"""One installation with its processes for all tests of the online commands, and a terminal on it."""

import os

import pytest
from tests.cli.online import Terminal, more_policy
from tests.simulators.live import PEOPLE, Live


@pytest.fixture(scope="package")
def live(tmp_path_factory):
    live = Live(tmp_path_factory.mktemp("online")).make()
    try:
        live.start().found_policy()
        more_policy(live)
        yield live
    finally:
        live.stop()


@pytest.fixture
def terminal(live, capsys, monkeypatch):
    return Terminal(live, capsys, monkeypatch).connected("root-a", "pipeline-a", "eve", *PEOPLE)


@pytest.fixture
def image(tmp_path):
    """An image that no other test has."""
    path = tmp_path / "fw.bin"
    path.write_bytes(b"firmware " + os.urandom(16).hex().encode())
    return path
