"""`sign --wait` as a job of a pipeline calls it: again after success, ended from outside, told wrong things."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from tests.cli.test_online import approve

CONFIGURATION, USAGE = 78, 64


def command(image, *more: object, release: str) -> tuple:
    return ("sign", image, "--product", "router", "--release", release, "--json", *more)


def test_the_same_job_after_success_is_success_again(terminal, live, image, tmp_path):
    out = tmp_path / "signed"
    waiting = command(image, "--wait", "30", "-o", f"{out}/", release="9.0")
    request = terminal.good("ada", *command(image, release="9.0")).json["id"]
    approve(terminal, request, image)
    first = terminal.good("ada", *waiting).json
    files = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.iterdir()}
    terminal.sign(image, release="9.0.1")  # the log grows, so evidence made now would have another checkpoint
    again = terminal.good("ada", *waiting)
    assert (again.json["id"], again.json["outputs"]) == (request, first["outputs"])
    assert again.json["resumed"] is True
    assert "waits" not in again.err
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.iterdir()} == files
    terminal.good("ada", "request", "fetch", request, image, "-o", f"{out}/")
    terminal.good("ada", "verify", out / "fw.bin", "--trust", live.configuration.trust_file)


@pytest.mark.parametrize("changed", ["fw.bin", "fw.bin.p7s", "fw.bin.sealwright"])
def test_files_that_are_anything_else_are_refused_with_the_request_and_how_to_go_on(terminal, image, tmp_path, changed):
    out = tmp_path / "signed"
    request = terminal.good("ada", *command(image, "--new", release="9.1")).json["id"]
    approve(terminal, request, image)
    waiting = command(image, "--wait", "30", "-o", f"{out}/", release="9.1")
    terminal.good("ada", *waiting)
    data = bytearray((out / changed).read_bytes())
    data[len(data) // 2] ^= 1
    (out / changed).write_bytes(data)
    said = terminal.run("ada", *waiting)
    assert said.code == CONFIGURATION
    assert said.json["id"] == request
    assert said.json["resume"].startswith(f"sealwright request fetch {request}")
    assert "exists already" in said.json["error"]["message"]
    assert (out / changed).read_bytes() == data


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_job_that_is_ended_says_its_request_and_how_to_go_on(terminal, live, image, number, code):
    terminal.good("ada", "request", "list", "--json")
    environment = {**os.environ, "SEALWRIGHT_CONFIG": str(live.folder / "config-ada")}
    words = map(str, command(image, "--wait", release="9.2"))
    job = subprocess.Popen(
        [sys.executable, "-m", "sealwright.cli", *words], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert job.stderr is not None
    while "if this ends first" not in job.stderr.readline():
        assert job.poll() is None
    time.sleep(0.5)
    job.send_signal(number)
    out, err = job.communicate(timeout=30)
    said = json.loads(out)
    assert job.returncode == said["error"]["exit_code"] == code
    assert said["error"]["code"] == "interrupted"
    assert said["resume"].startswith(f"sealwright request fetch {said['id']}")
    assert f"resume with `{said['resume']}`" in err
    assert "Traceback" not in err
    assert terminal.good("ada", "request", "show", said["id"], "--json").json["state"] == "waiting"


def test_another_lifetime_for_a_request_that_waits_is_said_to_change_nothing(terminal, image):
    request = terminal.good("ada", *command(image, release="9.3")).json["id"]
    said = terminal.good("ada", *command(image, "--expires", "2d", release="9.3"))
    assert said.json["id"] == request
    assert "--expires 2d changes nothing: it expires at" in said.err
    assert "changes nothing" not in terminal.good("ada", *command(image, "--expires", "7d", release="9.3")).err


@pytest.mark.parametrize("url", ["127.0.0.1:8470", "server", "ftp://server", "http://"])
def test_an_environment_with_a_wrong_url_is_told_which_setting_is_wrong(terminal, monkeypatch, url, capsys):
    terminal.good("ada", "request", "list")
    monkeypatch.setenv("SEALWRIGHT_URL", url)
    from sealwright.cli.main import main

    assert main(["request", "list"]) == CONFIGURATION
    assert f"SEALWRIGHT_URL: '{url}' is no URL of a server" in capsys.readouterr().err
