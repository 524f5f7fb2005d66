"""SSH signatures that a browser made with a FIDO key (``webauthn-sk-ecdsa-sha2-nistp256@openssh.com``).

Kept apart because votes are never taken in this form: a browser shows an origin, not what is signed.
Reference: OpenSSH PROTOCOL.u2f, "webauthn signatures"; WebAuthn, section 5.8.1.1.
"""

import base64
import hashlib
from collections.abc import Collection

from sealwright.core import sshsig
from sealwright.core.errors import VerificationError

ALGORITHM = "webauthn-sk-ecdsa-sha2-nistp256@openssh.com"
ATTESTED_DATA, EXTENSIONS = 0x40, 0x80


def verify(
    signature: bytes,
    *,
    key: sshsig.SshPublicKey,
    namespace: str,
    message: bytes,
    origins: Collection[str],
    application: str,
    require_user_verification: bool = False,
) -> sshsig.SshVerified:
    """As ``sshsig.verify``, for signatures made on a page of one of ``origins`` (``https://example.org``)."""
    signed, algorithm, reader = sshsig.open_signature(signature, key=key, namespace=namespace, message=message)
    if (algorithm, key.kind) != (ALGORITHM, ALGORITHM.removeprefix("webauthn-")):
        raise VerificationError("SSH signature was not made by a browser", expected=ALGORITHM, got=algorithm)
    value, flags, counter = reader.string(), reader.take(1)[0], reader.u32()
    origin, client_data, extensions = sshsig.text(reader.string()), reader.string(), reader.string()
    reader.end()
    if origin not in origins:
        raise VerificationError("browser signature is not from an accepted origin", expected=str(origins), got=origin)
    if flags & ATTESTED_DATA or bool(flags & EXTENSIONS) != bool(extensions):
        raise VerificationError("browser signature has flags that contradict its extensions")
    _check_client_data(client_data, signed, origin)
    rest = extensions + hashlib.sha256(client_data).digest()
    sshsig.check_value(key, algorithm, value, sshsig.fido_message(key, flags, counter, rest))
    return sshsig.check_flags(key, flags, counter, application, require_user_verification=require_user_verification)


def _check_client_data(client_data: bytes, signed: bytes, origin: str) -> None:
    """The challenge is the signed bytes themselves; members stand in the one order that WebAuthn fixes."""
    challenge = base64.urlsafe_b64encode(signed).rstrip(b"=").decode()
    start = f'{{"type":"webauthn.get","challenge":"{challenge}","origin":"{origin}"'.encode()
    # After the origin comes crossOrigin, or members that browsers may add.
    if client_data[: len(start) + 1] not in (start + b",", start + b"}"):
        raise VerificationError("browser signature is over other client data")
    if b'"crossOrigin":true' in client_data:
        raise VerificationError("browser signature was made inside a page of another origin")
