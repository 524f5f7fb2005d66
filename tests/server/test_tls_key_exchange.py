"""TLS of the server: hybrid key exchange where the platform's OpenSSL has it, classical beside it, and nothing pinned.

The judge is ``openssl s_client`` of Debian 13.  The server runs with the OpenSSL that this Python has, and with that of
Debian 13.
"""

import ipaddress
import os
import socket
import ssl
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.simulators.live import Live, free_port
from tests.verifiers import openssl35

from sealwright.wiring import configuration as settings
from sealwright.wiring import doctor

pytestmark = pytest.mark.slow
HYBRID, CLASSICAL = "X25519MLKEM768", "X25519"
AGREED = {HYBRID: f"Negotiated TLS1.3 group: {HYBRID}", CLASSICAL: f"Peer Temp Key: {CLASSICAL}, 253 bits"}
NOTHING = ("Negotiated TLS1.3 group: <NULL>", "New, (NONE), Cipher is (NONE)")
START_SECONDS = 30
ASK = """
import sys, httpx
from sealwright.client import api
print(httpx.get(sys.argv[1], verify=api._tls(sys.argv[1]), trust_env=False).status_code)
"""


@pytest.fixture(scope="module")
def configuration(tmp_path_factory):
    configuration = Live(tmp_path_factory.mktemp("tls")).make().configuration
    folder = configuration.folder
    configuration = replace(configuration, tls_certificate=folder / "tls.pem", tls_key=folder / "tls.key")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "TEST ONLY")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=90))
    certificate = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    configuration.tls_certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
    configuration.tls_key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    settings.write(configuration)
    return configuration


@pytest.fixture(params=["own", "3.5"])
def program(request):
    """This Python with its own OpenSSL, or with 3.5, and whether that has the hybrid group."""
    command = [sys.executable] if request.param == "own" else openssl35.python()
    code = "import ssl; print(ssl.OPENSSL_VERSION_INFO >= (3, 5))"
    asked = subprocess.run([*command, "-c", code], capture_output=True, check=True)
    has_hybrid = asked.stdout.strip() == b"True"
    assert has_hybrid or request.param == "own"
    return command, has_hybrid


@contextmanager
def listening(process, port):
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


def test_the_server_agrees_on_keys_by_ml_kem_where_the_platform_has_it_and_classically_beside_it(
    program, configuration
):
    command, has_hybrid = program
    process = subprocess.Popen([*command, "-m", "sealwright.wiring", "server", str(configuration.folder)])
    expected = {
        HYBRID: HYBRID if has_hybrid else None,
        CLASSICAL: CLASSICAL,
        f"{HYBRID}:{CLASSICAL}": HYBRID if has_hybrid else CLASSICAL,
    }
    with listening(process, configuration.port):
        for groups, agreed in expected.items():
            done = openssl35.handshake(configuration.port, groups, configuration.tls_certificate)
            said = done.stdout + done.stderr
            if agreed is None:
                assert (done.returncode, [word for word in NOTHING if word not in said]) == (1, []), said
            else:
                assert (done.returncode, AGREED[agreed] in said, "Verification: OK" in said) == (0, True, True), said


def test_the_client_does_so_too(program, configuration):
    command, has_hybrid = program
    for groups, works in ((HYBRID, has_hybrid), (CLASSICAL, True)):
        port = free_port()
        process = openssl35.serve(port, groups, configuration.tls_certificate, configuration.tls_key)
        environment = {**os.environ, "SSL_CERT_FILE": str(configuration.tls_certificate)}
        with listening(process, port):
            asked = subprocess.run(
                [*command, "-c", ASK, f"https://127.0.0.1:{port}/"],
                capture_output=True, text=True, check=False, env=environment, timeout=60,
            )  # fmt: skip
        assert (asked.returncode == 0, asked.stdout.strip()) == (works, "200" if works else ""), asked.stderr
        assert works or "handshake failure" in asked.stderr


def test_the_doctor_says_which_it_is(configuration, monkeypatch):
    for version, level, word in (
        ((3, 0, 0), doctor.Level.NOTE, "is classical"),
        ((3, 5, 0), doctor.Level.FINE, "hybrid"),
    ):
        monkeypatch.setattr(ssl, "OPENSSL_VERSION_INFO", version)
        (found,) = [f for f in doctor.check_address(configuration) if "key exchange" in f.found]
        assert (found.level, word in found.found) == (level, True)
