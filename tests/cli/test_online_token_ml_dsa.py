"""ML-DSA keys on a PKCS#11 token through the whole path over HTTP, judged by OpenSSL."""

from pathlib import Path

import pytest
from tests.cli.online import Terminal
from tests.keystores.conftest import PIN
from tests.simulators import nss
from tests.simulators.live import PEOPLE, Live
from tests.verifiers import openssl35

from sealwright.core.keys import Algorithm
from sealwright.formats.raw_outputs import Output, suffix_of
from sealwright.wiring import partitions

DIFFERENT = 1
ALGORITHM = Algorithm.ML_DSA_65


@pytest.mark.slow
def test_a_key_on_a_token_signs_what_two_approved_and_a_flipped_byte_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    database = tmp_path / "nss"
    database.mkdir()
    uri = nss.make_token(database, PIN, monkeypatch)
    pin = tmp_path / "pin"
    pin.write_bytes(PIN.reveal())
    pin.chmod(0o600)
    live = Live(tmp_path / "live").make()
    for environment in ("production", "development"):  # a token of NSS is a database, and there is one for all
        partitions.ensure_partition(live.configuration, f"router-{environment}", uri=uri, secret=f"file:{pin}")
    try:
        live.start().found_policy(algorithm=ALGORITHM, size_bits=ALGORITHM.key_size_bits or 0)
        terminal = Terminal(live, capsys, monkeypatch)
        for person in ("root-a", *PEOPLE):
            terminal.connect(person)
        image = tmp_path / "fw.bin"
        image.write_bytes(b"firmware")
        command = ("sign", image, "--product", "router", "--release", "1.0", "--new", "--json")
        request = terminal.good("ada", *command).json["id"]
        for person in ("ben", "cleo"):
            terminal.good(person, "request", "approve", request, image, "--yes")
        terminal.good("ada", "request", "fetch", request, image, "--wait", "60")
        trust = ("--trust", live.configuration.trust_file)
        said = terminal.good("dan", "verify", image, *trust)
        assert f"router/production/1, {ALGORITHM}, hardware-claimed key" in said.out
        certificate = tmp_path / "certificate.pem"
        certificate.write_text(terminal.good("ada", "key", "show", "router/production/1", "--certificate").out)
        signature = tmp_path / f"fw.bin{suffix_of(Output.CMS, ALGORITHM)}"
        assert "CMS Verification successful" in openssl35.cms_verify(signature, image, certificate).stderr
        image.write_bytes(b"firmwarf")
        assert "CMS Verification failure" in openssl35.cms_verify(signature, image, certificate).stderr
        assert terminal.run("dan", "verify", image, *trust).code == DIFFERENT
    finally:
        live.stop()
