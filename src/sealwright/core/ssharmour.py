"""The text form of SSH signatures that ``ssh-keygen -Y`` reads and writes.  Reference: PROTOCOL.sshsig, section 1."""

from sealwright.core import canonical
from sealwright.core.errors import Code, FormatError
from sealwright.core.sshsig import MAX_BYTES

BEGIN, END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"


def armour(signature: bytes) -> str:
    """Return the text form of a binary signature."""
    text = canonical.to_base64(signature)
    return "\n".join([BEGIN, *(text[i : i + 70] for i in range(0, len(text), 70)), END, ""])


def dearmour(text: str) -> bytes:
    """Return the binary form of an armoured signature; ``FormatError`` for anything around it."""
    lines = text.strip().splitlines()
    if len(lines) < 3 or len(text) > 2 * MAX_BYTES or lines[0] != BEGIN or lines[-1] != END:
        raise FormatError("not an armoured SSH signature", code=Code.INVALID_DOCUMENT)
    return canonical.from_base64("".join(lines[1:-1]))
