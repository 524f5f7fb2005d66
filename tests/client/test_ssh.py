"""Signing with a person's own SSH key: file, agent, passphrase; ``ssh-keygen -Y verify`` judges."""

import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.conftest import require_tool
from tests.simulators.fido import SecurityKey

from sealwright.client import ssh
from sealwright.core import ssharmour, sshsig
from sealwright.core.errors import ConfigurationError

NAMESPACE = "sealwright-vote-v1"
MESSAGE = bytes(range(32))
PASSPHRASE = "TEST-ONLY-passphrase"  # noqa: S105
KINDS = [("ed25519", 256), ("ecdsa", 256), ("ecdsa", 384), ("ecdsa", 521), ("rsa", 2048)]


def make_key(folder: Path, kind: str = "ed25519", bits: int = 256, passphrase: str = "") -> Path:
    require_tool("ssh-keygen")
    path = folder / f"{kind}{bits}"
    command = ["ssh-keygen", "-q", "-t", kind, "-b", str(bits), "-a", "1", "-N", passphrase, "-C", "TEST ONLY"]
    subprocess.run([*command, "-f", path], check=True)
    return path


def keygen_verify(folder: Path, key_line: str, signature: bytes, message: bytes) -> subprocess.CompletedProcess[bytes]:
    (folder / "allowed").write_text(f"approver {key_line}\n")
    (folder / "sig").write_text(ssharmour.armour(signature))
    command = ["ssh-keygen", "-Y", "verify", "-n", NAMESPACE, "-f", "allowed", "-I", "approver", "-s", "sig"]
    return subprocess.run(command, cwd=folder, input=message, capture_output=True, check=False)


def assert_openssh_accepts(folder: Path, identity: Path, signature: bytes) -> None:
    line = ssh.public_key(identity).line()
    good = keygen_verify(folder, line, signature, MESSAGE)
    assert b'Good "sealwright-vote-v1" signature for approver' in good.stdout, good.stderr
    bad = keygen_verify(folder, line, signature, MESSAGE + b"!")
    assert bad.returncode != 0
    assert b"Signature verification failed: incorrect signature" in bad.stderr


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A real ssh-agent of this test alone."""
    require_tool("ssh-agent")
    path = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # printed once the socket listens
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        yield path
        process.send_signal(signal.SIGTERM)


@pytest.fixture(autouse=True)
def _no_agent_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setattr("sys.stdin", None)  # no terminal, whoever runs the tests


@pytest.mark.parametrize(("kind", "bits"), KINDS)
def test_openssh_accepts_what_a_key_file_signs(tmp_path: Path, kind: str, bits: int) -> None:
    identity = make_key(tmp_path, kind, bits)
    assert_openssh_accepts(tmp_path, identity, ssh.sign(MESSAGE, namespace=NAMESPACE, identity=identity))


@pytest.mark.parametrize(("kind", "bits"), KINDS)
@pytest.mark.usefixtures("agent")
def test_openssh_accepts_what_the_agent_signs(tmp_path: Path, kind: str, bits: int) -> None:
    private = make_key(tmp_path, kind, bits)
    subprocess.run(["ssh-add", "-q", private], check=True)
    private.unlink()
    identity = private.with_suffix(".pub")
    assert_openssh_accepts(tmp_path, identity, ssh.sign(MESSAGE, namespace=NAMESPACE, identity=identity))


@pytest.mark.usefixtures("agent")
def test_an_encrypted_key_file_is_signed_with_by_the_agent_that_holds_it(tmp_path: Path) -> None:
    identity = make_key(tmp_path)
    subprocess.run(["ssh-add", "-q", identity], check=True)
    encrypt = ["ssh-keygen", "-q", "-p", "-a", "1", "-P", "", "-N", PASSPHRASE, "-f", identity]
    subprocess.run(encrypt, check=True, stdout=subprocess.DEVNULL)
    assert b"none" not in sshsig.canonical.from_base64("".join(identity.read_text().splitlines()[1:-1]))[:40]
    assert_openssh_accepts(tmp_path, identity, ssh.sign(MESSAGE, namespace=NAMESPACE, identity=identity))


def test_a_passphrase_is_asked_for_at_the_terminal_by_ssh_keygen(tmp_path: Path) -> None:
    identity = make_key(tmp_path, passphrase=PASSPHRASE)
    output = tmp_path / "out.sig"
    code = (
        "import sys; from pathlib import Path; from sealwright.client import ssh;"
        f"s = ssh.sign(bytes(range(32)), namespace={NAMESPACE!r}, identity=Path(sys.argv[1]));"
        "Path(sys.argv[2]).write_bytes(s)"
    )
    process, terminal = pty.fork()
    if process == 0:
        os.execv(sys.executable, [sys.executable, "-c", code, str(identity), str(output)])  # noqa: S606
    shown = b""
    while b"passphrase" not in shown:
        shown += os.read(terminal, 1024)
    os.write(terminal, PASSPHRASE.encode() + b"\n")
    try:
        while more := os.read(terminal, 1024):
            shown += more
    except OSError:
        pass  # the terminal's other end closed
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0, shown
    os.close(terminal)
    assert PASSPHRASE.encode() not in shown
    assert_openssh_accepts(tmp_path, identity, output.read_bytes())


def test_an_encrypted_key_without_agent_and_terminal_is_refused_with_the_way_out(tmp_path: Path) -> None:
    identity = make_key(tmp_path, passphrase=PASSPHRASE)
    with pytest.raises(ConfigurationError, match="not in ssh-agent, and there is no terminal") as caught:
        ssh.sign(MESSAGE, namespace=NAMESPACE, identity=identity)
    assert caught.value.setting == "identity"
    assert "ssh-add" in caught.value.hint


@pytest.mark.usefixtures("agent")
def test_a_public_key_whose_private_half_the_agent_does_not_hold_is_refused(tmp_path: Path) -> None:
    identity = make_key(tmp_path).with_suffix(".pub")
    with pytest.raises(ConfigurationError, match="does not hold the private half"):
        ssh.sign(MESSAGE, namespace=NAMESPACE, identity=identity)


def test_a_locked_agent_does_not_sign(tmp_path: Path, agent: Path) -> None:
    identity = make_key(tmp_path)
    subprocess.run(["ssh-add", "-q", identity], check=True)
    body = bytes([22]) + sshsig.string(b"TEST ONLY")  # SSH_AGENTC_LOCK
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(agent))
        connection.sendall(sshsig.string(body))
        assert connection.recv(5)[4] == 6  # SSH_AGENT_SUCCESS
    with pytest.raises(ConfigurationError, match="does not hold the private half"):
        ssh.sign(MESSAGE, namespace=NAMESPACE, identity=identity.with_suffix(".pub"))


def test_a_dead_agent_is_as_good_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "nobody"))
    with pytest.raises(ConfigurationError, match="does not hold the private half"):
        ssh.sign(MESSAGE, namespace=NAMESPACE, identity=make_key(tmp_path).with_suffix(".pub"))


Answer = Callable[[bytes], bytes]


@contextmanager
def simulated_agent(monkeypatch: pytest.MonkeyPatch, folder: Path, *answers: Answer) -> Iterator[None]:
    """Answer each request with the next of ``answers``."""
    path = folder / "simulated-agent"
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(1)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                for answer in answers:
                    connection.sendall(answer(connection.recv(4096)[5:]))

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def holds(blob: bytes) -> Answer:
    return lambda _: sshsig.string(bytes([12, 0, 0, 0, 1]) + sshsig.string(blob) + sshsig.string(b"comment"))


def test_a_fido_key_in_the_agent_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fido = SecurityKey()
    identity = tmp_path / "fido.pub"
    identity.write_text(fido.line)

    def touch(request: bytes) -> bytes:
        reader = sshsig.Reader(request)
        assert reader.string() == fido.blob
        return sshsig.string(bytes([14]) + sshsig.string(fido.sign_blob(reader.string())))

    with simulated_agent(monkeypatch, tmp_path, holds(fido.blob), touch):
        signature = ssh.sign(MESSAGE, namespace=NAMESPACE, identity=identity)
    assert_openssh_accepts(tmp_path, identity, signature)


def test_an_agent_that_declines_is_an_error_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = make_key(tmp_path).with_suffix(".pub")
    decline = sshsig.string(bytes([5]))
    with (
        simulated_agent(monkeypatch, tmp_path, holds(ssh.public_key(identity).blob), lambda _: decline),
        pytest.raises(ConfigurationError, match="ssh-agent refuses to sign"),
    ):
        ssh.sign(MESSAGE, namespace=NAMESPACE, identity=identity)


def test_a_wrong_signature_from_the_agent_is_found_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = make_key(tmp_path).with_suffix(".pub")
    key = ssh.public_key(identity)
    junk = sshsig.string(bytes([14]) + sshsig.string(sshsig.string(b"ssh-ed25519") + sshsig.string(bytes(64))))
    with (
        simulated_agent(monkeypatch, tmp_path, holds(key.blob), lambda _: junk),
        pytest.raises(ConfigurationError, match="no valid signature: SSH signature does not verify"),
    ):
        ssh.sign(MESSAGE, namespace=NAMESPACE, identity=identity)


@pytest.mark.parametrize("answer", [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\x05\x0c\xff\xff\xff\xff", b"\0"])
def test_an_agent_that_talks_nonsense_is_as_good_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    identity = make_key(tmp_path).with_suffix(".pub")
    with (
        simulated_agent(monkeypatch, tmp_path, lambda _: answer),
        pytest.raises(ConfigurationError, match="does not hold the private half"),
    ):
        ssh.sign(MESSAGE, namespace=NAMESPACE, identity=identity)


def test_a_private_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    identity = make_key(tmp_path)
    identity.chmod(0o640)
    with pytest.raises(ConfigurationError, match="can be read by others") as caught:
        ssh.sign(MESSAGE, namespace=NAMESPACE, identity=identity)
    assert caught.value.hint == f"run `chmod 600 {identity}`"


def write_key(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def test_files_that_are_no_usable_key_are_refused_with_the_way_out(tmp_path: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    pkcs8 = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    certificate = (
        b"ssh-ed25519-cert-v01@openssh.com "
        + ssharmour.canonical.to_base64(sshsig.string(b"ssh-ed25519-cert-v01@openssh.com")).encode()
    )
    for content, reason in [
        (b"", "not short|wanted"),
        (b"hello", "wanted"),
        (pkcs8, "not in OpenSSH's own format"),
        (certificate, "certificates are not accepted"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", "wanted"),
    ]:
        with pytest.raises(ConfigurationError, match=reason) as caught:
            ssh.sign(MESSAGE, namespace=NAMESPACE, identity=write_key(tmp_path / "key", content))
        assert caught.value.hint
    with pytest.raises(ConfigurationError, match="No such file"):
        ssh.sign(MESSAGE, namespace=NAMESPACE, identity=tmp_path / "absent")


def test_a_damaged_private_half_is_refused_without_showing_any_of_it(tmp_path: Path) -> None:
    identity = make_key(tmp_path)
    lines = identity.read_text().splitlines()
    raw = bytearray(sshsig.canonical.from_base64("".join(lines[1:-1])))
    raw[-40] ^= 1
    text = "\n".join([lines[0], sshsig.canonical.to_base64(bytes(raw)), lines[-1], ""])
    with pytest.raises(ConfigurationError) as caught:
        ssh.sign(MESSAGE, namespace=NAMESPACE, identity=write_key(tmp_path / "damaged", text.encode()))
    assert caught.value.message.endswith("private key file is damaged")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_fido_key_file_is_handed_to_ssh_keygen_which_says_what_is_missing(tmp_path: Path) -> None:
    """The stub of a FIDO key names a device; none is plugged in here."""
    fido = SecurityKey()
    reader = sshsig.Reader(fido.blob)
    name, point, application = reader.string(), reader.string(), reader.string()
    stub = b"".join(
        [
            *(bytes([1, 2, 3, 4] * 2), sshsig.string(name), sshsig.string(point), sshsig.string(application), b"\x01"),
            *(sshsig.string(b"TEST ONLY handle"), sshsig.string(b""), sshsig.string(b"TEST ONLY")),
        ]
    )
    stub += bytes(range(1, 9))[: -len(stub) % 8]
    head = b"openssh-key-v1\x00" + sshsig.string(b"none") * 2 + sshsig.string(b"") + b"\0\0\0\1"
    body = sshsig.canonical.to_base64(head + sshsig.string(fido.blob) + sshsig.string(stub))
    text = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n"
    identity = write_key(tmp_path / "fido", text.encode())
    assert ssh.public_key(identity).line() == fido.line
    with pytest.raises(ConfigurationError, match=r"ssh-keygen could not sign: .*device not found"):
        ssh.sign(MESSAGE, namespace=NAMESPACE, identity=identity)
