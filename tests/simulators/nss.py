"""The software token of NSS, a PKCS#11 module with ML-DSA; ``scripts/nss-softoken.sh`` fetches it.

Its key database lies in a folder of the test.  It takes its settings from ``NSS_LIB_PARAMS`` alone, and its libraries
from beside it: a child finds them by ``LD_LIBRARY_PATH``, this process by having loaded them before.
"""

import ctypes
import os
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.conftest import PROJECT, missing

from sealwright.keystores import pkcs11_abi as abi
from sealwright.keystores.pkcs11_module import Module
from sealwright.keystores.pkcs11_session import Session
from sealwright.keystores.secrets import Secret

FOLDER = PROJECT / "build" / "nss"
LABEL = "NSS Certificate DB"
_NEEDED = ("libnssutil3.so",)  # the others are those of the system


def module_path() -> Path:
    """Return where the module lies."""
    pointer = FOLDER / "module"
    if not pointer.exists():
        missing("NSS 3.132 (scripts/nss-softoken.sh could not fetch it, or was not run)")
    return FOLDER / pointer.read_text().strip()


def make_token(folder: Path, pin: Secret, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make an empty key database with a PIN and return the token's URI."""
    path = module_path()
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{path.parent}:{os.environ.get('LD_LIBRARY_PATH', '')}".rstrip(":"))
    parameters = f"configdir='sql:{folder}' certPrefix='' keyPrefix='' secmod='' flags= "
    monkeypatch.setenv("NSS_LIB_PARAMS", parameters)
    for name in _NEEDED:
        ctypes.CDLL(str(path.parent / name), mode=ctypes.RTLD_GLOBAL)
    module = Module.load(str(path))
    try:
        slot = next(token.slot for token in module.tokens() if token.label == LABEL)
        session = Session(module, slot, writable=True)
        # A new database has the empty word for the PIN of its officer, which is no secret by our own rules.
        module.call("C_Login", session._handle, abi.CKU_SO, b"", 0)
        session.set_user_pin(pin)
        session.close()
    finally:
        module.release()
    return f"pkcs11:token={quote(LABEL, safe='')}?module-path={path}"
