"""From a URI to an open keystore: ``files:FOLDER`` or ``pkcs11:token=LABEL?module-path=PATH``.

The adapter is imported when its scheme is used: key files need no PKCS#11, a token needs no Argon2.
"""
# ruff: noqa: PLC0415  # for the reason above

from pathlib import Path

from sealwright.core.errors import ConfigurationError
from sealwright.keystores.interface import Ceremony, Keystore
from sealwright.keystores.secrets import Secret

FILES = "files:"


def open_keystore(uri: str, secret: Secret) -> Keystore:
    """Open a partition for signing, with one login."""
    if uri.startswith(FILES):
        from sealwright.keystores.files import FilesKeystore

        files = FilesKeystore(_folder(uri))
        files.open(secret)
        return files
    from sealwright.keystores.pkcs11 import Pkcs11Keystore

    token = Pkcs11Keystore(uri)
    token.open(secret)
    return token


def open_ceremony(uri: str, secret: Secret) -> Ceremony:
    """Open a partition to make keys, with one login."""
    if uri.startswith(FILES):
        from sealwright.keystores.files import FilesCeremony

        files = FilesCeremony(_folder(uri))
        files.open(secret)
        return files
    from sealwright.keystores.pkcs11_ceremony import ScriptedPkcs11Ceremony

    token = ScriptedPkcs11Ceremony(uri)
    token.open(secret)
    return token


def partition_exists(uri: str) -> bool:
    """Return whether there is a partition already; nobody logs in."""
    if uri.startswith(FILES):
        from sealwright.keystores.files_partition import PARTITION_FILE

        return (_folder(uri) / PARTITION_FILE).exists()
    from sealwright.keystores.pkcs11_tokens import token_exists

    return token_exists(uri)


def create_partition(uri: str, secret: Secret, so_pin: Secret | None = None) -> None:
    """Make an empty partition; a token needs the PIN of its security officer as well."""
    if uri.startswith(FILES):
        from sealwright.keystores import files

        files.create_partition(_folder(uri), secret)
        return
    if so_pin is None:
        raise ConfigurationError("a new token needs a PIN for its security officer", setting="so-pin")
    from sealwright.keystores.pkcs11 import create_token

    create_token(uri, so_pin, secret)


def _folder(uri: str) -> Path:
    path = Path(uri.removeprefix(FILES))
    if not path.is_absolute():
        raise ConfigurationError("files: needs the absolute path of a partition's folder", setting="keystore")
    return path
