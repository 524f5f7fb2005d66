"""Which tokens a PKCS#11 module has, seen without a login."""

from sealwright.keystores import pkcs11_abi as abi
from sealwright.keystores.pkcs11_module import CryptokiError, Module
from sealwright.keystores.pkcs11_uri import parse_uri


def token_exists(uri: str) -> bool:
    """Return whether a slot has an initialised token of the name, and the serial number if one is given."""
    wanted = parse_uri(uri)
    try:
        module = Module.load(wanted.module_path)
        try:
            tokens = module.tokens()
        finally:
            module.release()
    except CryptokiError as e:
        raise e.family() from e
    return any(
        t.flags & abi.CKF_TOKEN_INITIALIZED and t.label == wanted.token and wanted.serial in ("", t.serial)
        for t in tokens
    )
