"""Makes SSH signatures (SSHSIG) with a person's own key: key file, ssh-agent, or ``ssh-keygen`` for the rest.

``ssh-keygen`` is asked only where it alone can help: FIDO keys (touch, PIN) and passphrases, typed at a terminal.
Every signature is verified before it is returned.
Reference: OpenSSH PROTOCOL.sshsig and PROTOCOL.key; draft-ietf-sshm-ssh-agent, sections 3.5 and 3.6.
"""

import os
import shutil
import socket
import stat
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa, utils

from sealwright.core import canonical, ssharmour, sshsig
from sealwright.core.errors import Code, ConfigurationError, FormatError, SealwrightError
from sealwright.core.sshsig import Reader, SshPublicKey, mpint, string

MAX_KEY_FILE_BYTES = 64 * 1024
MAX_AGENT_REPLY_BYTES = 1 << 20
AGENT_TIMEOUT_SECONDS = 120  # an agent may wait for a touch or a confirmation
REQUEST_IDENTITIES, IDENTITIES_ANSWER, SIGN_REQUEST, SIGN_RESPONSE = 11, 12, 13, 14
RSA_SHA2_512 = 4

_PRIVATE_BEGIN, _PRIVATE_END = b"-----BEGIN OPENSSH PRIVATE KEY-----", b"-----END OPENSSH PRIVATE KEY-----"


def public_key(identity: Path) -> SshPublicKey:
    """Return the public key of an identity: a private key file of OpenSSH, or a ``.pub`` file."""
    return _public_half(identity, _read(identity))[0]


def sign(message: bytes, *, namespace: str, identity: Path) -> bytes:
    """Sign ``message`` under ``namespace`` and return the binary SSHSIG.

    ``identity`` is an OpenSSH private key file, or a ``.pub`` file whose private half ssh-agent holds.
    Raises ``ConfigurationError``, with what to do about it.
    """
    data = _read(identity)
    key, is_plain_private = _public_half(identity, data)
    if is_plain_private:
        inner = _sign_with_file(identity, data, sshsig.to_be_signed(namespace, message))
        signature = encode(key, namespace, inner)
    elif (answer := _sign_with_agent(key, sshsig.to_be_signed(namespace, message))) is not None:
        signature = encode(key, namespace, answer)
    elif _PRIVATE_BEGIN in data:
        signature = _sign_with_ssh_keygen(message, namespace, identity, is_fido=key.application is not None)
    else:
        raise _refusal(
            f"{identity}: ssh-agent does not hold the private half of this key",
            hint="add it with `ssh-add`, or name the private key file instead",
        )
    try:
        sshsig.verify(signature, key=key, namespace=namespace, message=message, application=key.application or "ssh:")
    except SealwrightError as e:
        raise _refusal(f"{identity}: what came back is no valid signature: {e.message}") from e
    return signature


def encode(key: SshPublicKey, namespace: str, inner: bytes) -> bytes:
    """Return the binary SSHSIG around an inner signature blob (PROTOCOL.sshsig, section 2)."""
    head = sshsig.MAGIC + struct.pack(">I", 1) + string(key.blob) + string(namespace.encode()) + string(b"")
    return head + string(b"sha512") + string(inner)


def _read(identity: Path) -> bytes:
    try:
        with identity.open("rb") as file:
            status, data = os.fstat(file.fileno()), file.read(MAX_KEY_FILE_BYTES)
    except OSError as e:
        raise _refusal(f"{identity}: {e.strerror}", hint="name an SSH key file, such as ~/.ssh/id_ed25519") from e
    # The same rule as ssh: a private key that others can read is not private.
    if b"PRIVATE KEY" in data and status.st_uid == os.getuid() and stat.S_IMODE(status.st_mode) & 0o077:
        raise _refusal(f"{identity}: private key file can be read by others", hint=f"run `chmod 600 {identity}`")
    return data


def _public_half(identity: Path, data: bytes) -> tuple[SshPublicKey, bool]:
    """Return the public key, and whether the file holds the private half in a form that needs nothing else."""
    try:
        if _PRIVATE_BEGIN in data:
            return _parse_private(data)
        if b"PRIVATE KEY" in data:
            raise _refusal(
                f"{identity}: private key is not in OpenSSH's own format",
                hint=f"convert a copy with `ssh-keygen -p -f {identity}`",
            )
        return sshsig.parse_public_key(data.decode("ascii", "replace").strip()), False
    except FormatError as e:
        raise _refusal(f"{identity}: {e.message}", hint="use an Ed25519, ECDSA, RSA or FIDO key of OpenSSH") from e


def _parse_private(data: bytes) -> tuple[SshPublicKey, bool]:
    """Read the public head of a private key file; the rest may be encrypted (PROTOCOL.key)."""
    body = data.split(_PRIVATE_BEGIN, 1)[1].split(_PRIVATE_END, 1)[0]
    reader = Reader(canonical.from_base64(b"".join(body.split()).decode("ascii", "replace")))
    if reader.take(15) != b"openssh-key-v1\x00":
        raise FormatError("not a private key of OpenSSH", code=Code.INVALID_DOCUMENT)
    cipher, _, _ = reader.string(), reader.string(), reader.string()
    if reader.u32() != 1:
        raise FormatError("private key file with several keys", code=Code.INVALID_DOCUMENT)
    key = sshsig.parse_public_key(reader.string())
    return key, cipher == b"none" and key.application is None


def _sign_with_file(identity: Path, data: bytes, signed: bytes) -> bytes:
    try:
        private = serialization.load_ssh_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # No cause is chained: what the library saw is key material.
        raise _refusal(f"{identity}: private key file is damaged") from None
    match private:
        case ed25519.Ed25519PrivateKey():
            return string(b"ssh-ed25519") + string(private.sign(signed))
        case rsa.RSAPrivateKey():
            return string(b"rsa-sha2-512") + string(private.sign(signed, padding.PKCS1v15(), hashes.SHA512()))
        case ec.EllipticCurvePrivateKey():
            curve = f"nistp{private.curve.key_size}"
            r, s = utils.decode_dss_signature(private.sign(signed, ec.ECDSA(_CURVE_HASHES[curve])))
            return string(f"ecdsa-sha2-{curve}".encode()) + string(mpint(r) + mpint(s))
        case dsa.DSAPrivateKey():
            raise _refusal(f"{identity}: DSA keys are not supported")


_CURVE_HASHES = {"nistp256": hashes.SHA256(), "nistp384": hashes.SHA384(), "nistp521": hashes.SHA512()}


def _sign_with_agent(key: SshPublicKey, signed: bytes) -> bytes | None:
    """Return the inner signature blob, or None when no agent is there or it does not hold the key."""
    path = os.environ.get("SSH_AUTH_SOCK")
    if not path:
        return None
    try:
        with socket.socket(socket.AF_UNIX) as agent:
            agent.settimeout(AGENT_TIMEOUT_SECONDS)
            agent.connect(path)
            if not _agent_holds(agent, key):
                return None
            flags = RSA_SHA2_512 if key.kind == "ssh-rsa" else 0
            kind, reply = _ask(agent, SIGN_REQUEST, string(key.blob) + string(signed) + struct.pack(">I", flags))
            if kind == SIGN_RESPONSE:
                return Reader(reply).string()
    except (OSError, FormatError):
        return None  # as good as no agent
    raise _refusal(
        f"ssh-agent refuses to sign with key {key.fingerprint[:16]}",
        hint="was it declined, locked (`ssh-add -X`) or the token pulled out?",
    )


def _agent_holds(agent: socket.socket, key: SshPublicKey) -> bool:
    kind, reply = _ask(agent, REQUEST_IDENTITIES, b"")
    if kind != IDENTITIES_ANSWER:
        return False
    reader = Reader(reply)
    pairs = ((reader.string(), reader.string()) for _ in range(reader.u32()))
    return any(blob == key.blob for blob, _ in pairs)


def _ask(agent: socket.socket, kind: int, body: bytes) -> tuple[int, bytes]:
    """Send one message and return type and body of the answer."""
    agent.sendall(string(bytes([kind]) + body))
    length = int.from_bytes(_receive(agent, 4), "big")
    if not 1 <= length <= MAX_AGENT_REPLY_BYTES:
        raise FormatError(f"ssh-agent answers with {length} bytes", code=Code.INVALID_FRAME)
    reply = _receive(agent, length)
    return reply[0], reply[1:]


def _receive(agent: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        if not (piece := agent.recv(length - len(data))):
            raise FormatError("ssh-agent hung up", code=Code.INVALID_FRAME)
        data += piece
    return data


def _sign_with_ssh_keygen(message: bytes, namespace: str, identity: Path, *, is_fido: bool) -> bytes:
    """Let ``ssh-keygen`` ask for passphrase, PIN and touch."""
    program, at_terminal = shutil.which("ssh-keygen"), sys.stdin is not None and sys.stdin.isatty()
    if program is None:
        raise _refusal("ssh-keygen is needed for this key and is not installed", hint="install openssh-client")
    if not at_terminal and not is_fido:
        raise _refusal(
            f"{identity}: key is encrypted, not in ssh-agent, and there is no terminal to ask for its passphrase",
            hint=f"add it with `ssh-add {identity}` first",
        )
    with tempfile.TemporaryDirectory(prefix="sealwright-") as folder:
        # Not by standard input: ssh-keygen would take the message for a passphrase.
        file = Path(folder, "message")
        file.write_bytes(message)
        command = [program, "-q", "-Y", "sign", "-n", namespace, "-f", str(identity), str(file)]
        _run(command, identity, at_terminal=at_terminal)
        return ssharmour.dearmour(Path(folder, "message.sig").read_text())


def _run(command: list[str], identity: Path, *, at_terminal: bool) -> None:
    quiet = {} if at_terminal else {"SSH_ASKPASS_REQUIRE": "never"}
    try:
        done = subprocess.run(  # noqa: S603  # a fixed program; the arguments are ours
            command,
            stdin=None if at_terminal else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=None if at_terminal else subprocess.PIPE,
            env=os.environ | quiet,
            start_new_session=not at_terminal,
            timeout=None if at_terminal else AGENT_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _refusal(f"{identity}: ssh-keygen did not answer", hint="was the security key touched?") from None
    if done.returncode:
        said = (done.stderr or b"").decode("utf-8", "replace").strip().splitlines()
        reason = ascii(said[-1][:200])[1:-1] if said else "see its message above"
        raise _refusal(f"{identity}: ssh-keygen could not sign: {reason}", hint="is the security key plugged in?")


def _refusal(message: str, *, hint: str = "") -> ConfigurationError:
    return ConfigurationError(message, setting="identity", hint=hint)
