"""Help looks the same everywhere, and `-h` is enough."""

import re
import ssl
import subprocess
import sys

import pytest

from sealwright.cli.main import COMMANDS, main
from sealwright.client.api import _tls

NAMES = [name for group in COMMANDS.values() for name in group]


def help_of(capsys, *words: str) -> str:
    capsys.readouterr()
    try:
        assert main(words) == 0
    except SystemExit as e:
        assert not e.code  # noqa: PT017 - argparse ends so
    return capsys.readouterr().out


def subcommands(text: str) -> list[str]:
    _, _, commands = text.partition("\nCommands:\n")
    return re.findall(r"(?m)^  ([a-z-]+)", commands)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_and_sub_command_takes_h_and_looks_alike(capsys, name):
    text = help_of(capsys, name, "-h")
    assert text == help_of(capsys, name, "--help")
    for words in ([name], *([name, sub] for sub in subcommands(text))):
        said = help_of(capsys, *words, "-h")
        assert said.startswith(f"Usage: sealwright {' '.join(words)} ")
        assert "\nOptions:\n" in said
        assert "-h, --help" in said
        assert "usage:" not in said


def test_the_http_client_is_loaded_for_calls_and_not_for_help():
    """Nor Rich with it, which costs as much again (docs/adr/0010)."""
    said = loaded("main(['request', 'list', '-h'])")
    assert "httpx" not in said
    said = loaded("Api(Connection(url='http://127.0.0.1:1', instance='', identity=Path('x')))")
    assert "httpx" in said
    assert "rich" not in said


def loaded(call: str) -> set[str]:
    code = (
        "import sys; from pathlib import Path; from sealwright.client.api import Api, Connection;"
        f"from sealwright.cli.main import main; {call}; print('loaded', *{{n.split('.')[0] for n in sys.modules}})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("loaded ")[2].split())


def test_plain_http_reads_no_authorities_and_trusts_none():
    assert not _tls("http://127.0.0.1").get_ca_certs()
    for url in ("http://127.0.0.1", "https://sign.example"):
        assert _tls(url).verify_mode is ssl.CERT_REQUIRED
        assert _tls(url).check_hostname
