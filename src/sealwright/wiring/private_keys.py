"""The two Ed25519 keys of our own processes, read from where the settings say."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwright.core.errors import Code, ConfigurationError
from sealwright.keystores.secrets import read_secret


def read_ed25519(source: str, setting: str) -> Ed25519PrivateKey:
    """Return the key whose 32 bytes stand in hex at ``source``."""
    try:
        return _parse(read_secret(source).reveal().decode("ascii"))
    except ValueError:
        raise ConfigurationError(
            f"{setting} does not hold 32 bytes in hex", setting=setting, code=Code.CREDENTIAL
        ) from None


def public_ed25519(text: str) -> bytes:
    """Return the public half of a key written so; ``ValueError`` when it is none."""
    return _parse(text.strip()).public_key().public_bytes_raw()


def _parse(text: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text))
