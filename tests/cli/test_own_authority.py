"""A server whose certificate is of the maker's own authority: clients name it once, and nobody else's counts."""

import subprocess
from dataclasses import replace

import pytest
from tests.cli.online import Terminal
from tests.conftest import require_tool
from tests.simulators.live import Live

from sealwright.wiring import configuration as settings
from sealwright.wiring import doctor

LATER, WRONG_SETTING = 75, 78
pytestmark = pytest.mark.slow


def authority(folder, name):
    """A root made by openssl, valid for a few days; return its certificate."""
    command = [require_tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-subj", f"/CN=TEST ONLY {name}", "-days", "9", "-keyout", folder / f"{name}.key"]
    subprocess.run([*command, "-out", folder / f"{name}.pem"], check=True, capture_output=True)
    return folder / f"{name}.pem"


def issued(folder, by):
    """A server's certificate for 127.0.0.1 and its key, issued by an authority."""
    tool, request = require_tool("openssl"), folder / "server.csr"
    make = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=TEST ONLY"]
    subprocess.run([tool, *make, "-keyout", folder / "server.key", "-out", request], check=True, capture_output=True)
    (folder / "names").write_text("subjectAltName = IP:127.0.0.1\n")
    sign = ["x509", "-req", "-in", request, "-CA", by, "-CAkey", by.with_suffix(".key"), "-CAcreateserial"]
    sign += ["-days", "9", "-extfile", folder / "names", "-out", folder / "server.pem"]
    subprocess.run([tool, *sign], check=True, capture_output=True)
    return folder / "server.pem", folder / "server.key"


@pytest.fixture
def live(tmp_path, monkeypatch):
    ours = authority(tmp_path, "ours")
    certificate, key = issued(tmp_path, ours)
    live = Live(tmp_path).make()
    settings.write(replace(live.configuration, tls_certificate=certificate, tls_key=key))
    with monkeypatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(ours))  # for the simulator, which looks whether the server answers
        live.start()
    try:
        yield live
    finally:
        live.stop()


def test_an_own_authority_is_named_once_and_no_other_counts(live, tmp_path, capsys, monkeypatch):
    terminal = Terminal(live, capsys, monkeypatch)
    url = live.configuration.url
    assert url.startswith("https://")
    connect = ("connect", url, "--trust", live.configuration.trust_file, "--identity", live.identities["root-a"])
    for more in ((), ("--ca", authority(tmp_path, "other"))):
        said = terminal.run("root-a", *connect, *more)
        assert said.code == LATER
        assert "certificate verify failed" in said.err.lower()
        assert "`sealwright connect --ca FILE`" in said.err
    said = terminal.run("root-a", *connect, "--ca", live.identities["root-a"])
    assert said.code == WRONG_SETTING
    assert "holds no certificates of authorities" in said.err
    terminal.good("root-a", *connect, "--ca", tmp_path / "ours.pem")
    terminal.good("root-a", "policy", "show")
    terminal.patch.setenv("SEALWRIGHT_CA", str(tmp_path / "other.pem"))
    assert terminal.run("root-a", "policy", "show").code == LATER
    assert doctor._server_health(live.configuration) == (True, "status 200")
    foreign = replace(live.configuration, tls_certificate=tmp_path / "other.pem")
    assert doctor._server_health(foreign)[0] is False
