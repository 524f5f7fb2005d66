"""A FIDO security key in software: makes ``sk-`` keys and SSH signatures with chosen flags and counter.

Written from PROTOCOL.u2f and PROTOCOL.sshsig without using the code under test.
"""

import base64
import hashlib
import struct

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

PRESENT, VERIFIED = 0x01, 0x04


class SecurityKey:
    """One credential on one security key; ``kind`` is ``ed25519`` or ``ecdsa``."""

    def __init__(self, kind: str = "ed25519", application: str = "ssh:") -> None:
        self.application, self.counter = application, 0
        encoding, raw = serialization.Encoding, serialization.PublicFormat
        if kind == "ed25519":
            self.name = b"sk-ssh-ed25519@openssh.com"
            self.private = ed25519.Ed25519PrivateKey.generate()
            parts = [self.private.public_key().public_bytes(encoding.Raw, raw.Raw)]
        else:
            self.name = b"sk-ecdsa-sha2-nistp256@openssh.com"
            self.private = ec.generate_private_key(ec.SECP256R1())
            point = self.private.public_key().public_bytes(encoding.X962, raw.UncompressedPoint)
            parts = [b"nistp256", point]
        self.blob = b"".join(map(_string, [self.name, *parts, application.encode()]))

    @property
    def line(self) -> str:
        """The public key as in a ``.pub`` file."""
        return f"{self.name.decode()} {base64.b64encode(self.blob).decode()}"

    def sign(self, message: bytes, namespace: str, *, flags: int = PRESENT | VERIFIED) -> bytes:
        """Return a binary SSHSIG; the counter goes up by one."""
        head = _string(namespace.encode()) + _string(b"") + _string(b"sha512")
        signed = b"SSHSIG" + head + _string(hashlib.sha512(message).digest())
        inner = self.sign_blob(signed, flags=flags)
        return b"SSHSIG" + struct.pack(">I", 1) + _string(self.blob) + head + _string(inner)

    def sign_blob(self, signed: bytes, *, flags: int = PRESENT | VERIFIED) -> bytes:
        """Return the signature blob as ssh-agent gives it."""
        self.counter += 1
        says = struct.pack(">BI", flags, self.counter)
        value = self._sign(hashlib.sha256(self.application.encode()).digest() + says + hashlib.sha256(signed).digest())
        return _string(self.name) + _string(value) + says

    def _sign(self, data: bytes) -> bytes:
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(data)
        r, s = utils.decode_dss_signature(self.private.sign(data, ec.ECDSA(hashes.SHA256())))
        return b"".join(_string(n.to_bytes(n.bit_length() // 8 + 1, "big")) for n in (r, s))


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data
