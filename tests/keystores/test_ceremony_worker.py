"""Keys made in a token through a process of its user: the same calls, the same refusals, and no belief in it."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.simulators import users
from tests.simulators.softhsm import SoftHsm

from sealwright.core import records
from sealwright.core.errors import Code, ConfigurationError, FormatError, RefusedError, UnavailableError
from sealwright.core.keys import Algorithm
from sealwright.keystores import ceremony_client, private_keys
from sealwright.keystores.ceremony_calls import Call, Order
from sealwright.keystores.ceremony_client import RemoteCeremony
from sealwright.keystores.interface import CertificateTemplate, Grade
from sealwright.keystores.secrets import Secret

PIN, SO_PIN = Secret(b"user-4321"), Secret(b"so-4321")
P256 = Algorithm.ECDSA_P256_SHA256
TEMPLATE = CertificateTemplate(
    common_name="TEST ONLY", not_before=datetime(2026, 1, 1, tzinfo=UTC), not_after=datetime(2036, 1, 1, tzinfo=UTC)
)


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> Iterator[RemoteCeremony]:
    users.require_root()
    users.use_python(monkeypatch)
    with users.open_folder() as folder:
        hsm = SoftHsm(folder)
        hsm.tokens_folder.chmod(0o1777)
        hsm.configuration.chmod(0o644)
        with ceremony_client.asked(hsm.uri("router"), users.FIRST) as remote:
            assert not remote.exists()
            remote.make(SO_PIN, PIN)
            assert remote.exists()
            yield remote
        hsm.close()


def test_every_call_does_what_it_does_without_a_process_between(token: RemoteCeremony) -> None:
    with pytest.raises(FormatError, match="the token is not open"):
        token.list_keys()
    token.open(PIN)
    assert token.describe().device == "softhsm-2"
    made = token.create_key("router/production/1", P256, 256, TEMPLATE)
    assert made.grade is Grade.HARDWARE_CLAIMED
    assert token.read_back(made.public_key.fingerprint) == made.attributes
    assert [half.split(" object")[0] for half in token.remains(made.label)] == ["public key", "private key"]
    again = token.take_up(made.label, P256, TEMPLATE)
    assert (again.public_key, again.attributes) == (made.public_key, made.attributes)
    outside = private_keys.generate(P256, 256)
    imported = token.import_key("router/production/2", outside, ())
    assert (imported.grade, imported.attributes["LOCAL"]) == (Grade.SOFTWARE, False)
    with pytest.raises(RefusedError, match="already holds key") as raised:
        token.import_key("router/production/2", outside, ())
    assert raised.value.code is Code.CONFLICT
    assert {key.public_key for key in token.list_keys()} == {made.public_key, imported.public_key}
    token.discard(made.label)
    assert token.remains(made.label) == ()
    with pytest.raises(RefusedError, match="holds no key"):
        token.read_back(made.public_key.fingerprint)
    with pytest.raises(ConfigurationError, match="not used through PKCS#11"):
        token.create_key("router/production/3", Algorithm.SLH_DSA_SHA2_128S, 256, TEMPLATE)


def test_a_wrong_pin_is_refused_as_such_and_a_process_that_ends_is_said(token: RemoteCeremony) -> None:
    with pytest.raises(ConfigurationError, match="does not take the PIN") as raised:
        token.open(Secret(b"wrong-pin"))
    assert raised.value.code is Code.CREDENTIAL
    token._process.kill()
    with pytest.raises(UnavailableError, match="the process with its module ended"):
        token.exists()


LYING = """
import socket, sys
from sealwright.keystores import frames
channel = socket.socket(fileno=0)
frames.Incoming(channel).receive()
channel.sendall(frames.encode(frames.pack_answers([open(sys.argv[-1], "rb").read()])))
"""


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b'{"lines":["router"]}', ""),
        (b"{}", ""),
        (b'{"lines":[1]}', "expected str, found int"),
        (b'{"lines":["a"],"more":1}', "unknown members"),
        (b"\x80\x04N.", "not JSON"),  # of pickle
        (b"", "not JSON"),
    ],
)
def test_an_answer_is_a_record_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes, why: str):
    said = tmp_path / "said"
    said.write_bytes(answer)
    program = (*ceremony_client._COMMAND[:1], "-I", "-c", LYING, str(said))
    monkeypatch.setattr(ceremony_client, "_COMMAND", program)
    with ceremony_client.asked("pkcs11:token=a", os.getuid()) as remote:
        if not why:
            assert remote.remains("router") in ((), ("router",))
            return
        with pytest.raises(FormatError, match=why):
            remote.remains("router")


def test_another_key_than_was_asked_for_is_none(token: RemoteCeremony, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that answers with a key of its own: label, algorithm and certificate must be those of the call."""
    token.open(PIN)
    honest = records.serialise

    def relabelled(value: object) -> bytes:
        return honest(value).replace(b"router/production/1", b"router/production/2")

    monkeypatch.setattr("sealwright.keystores.ceremony_client.records.serialise", relabelled)
    with pytest.raises(FormatError, match="answered with another key than was asked for"):
        token.create_key("router/production/1", P256, 256, TEMPLATE)


def test_an_order_shows_no_secret() -> None:
    shown = repr(Order(call=Call.MAKE, secrets=(b"so-pin-1234", b"pin-5678"), private_key=b"pkcs8 of a key"))
    assert "make-token" in shown
    assert not any(secret in shown for secret in ("1234", "5678", "pkcs8"))
