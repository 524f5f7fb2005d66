"""SoftHSM2 tokens in a temporary folder: a real PKCS#11 module, whose tokens vanish with the test."""

import os
import subprocess
from pathlib import Path
from urllib.parse import quote

from tests.conftest import missing, require_tool

_MODULE_PATHS = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)


def module_path() -> str:
    """Return where Debian and others put the module."""
    for path in _MODULE_PATHS:
        if Path(path).exists():
            return path
    missing("libsofthsm2.so (package softhsm2)")
    raise AssertionError


class SoftHsm:
    """An HSM of this test only.

    Making it sets ``SOFTHSM2_CONF`` in the environment, for this process and its children, until ``close``.
    """

    def __init__(self, folder: Path) -> None:
        self.module_path = module_path()
        self.tokens_folder = folder / "tokens"
        self.tokens_folder.mkdir(mode=0o700)
        self.configuration = folder / "softhsm2.conf"
        self.configuration.write_text(
            f"directories.tokendir = {self.tokens_folder}\n"
            "objectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n"
        )
        self._before = os.environ.get("SOFTHSM2_CONF")
        os.environ["SOFTHSM2_CONF"] = str(self.configuration)

    def token(self, label: str, pin: str = "1234") -> str:
        """Initialise one more token with Debian's own tool and return its URI."""
        tool = require_tool("softhsm2-util")
        arguments = ["--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", "so-" + pin]
        subprocess.run([tool, *arguments], check=True, capture_output=True)
        return self.uri(label)

    def uri(self, label: str) -> str:
        """Return the URI of a token, made or to be made."""
        return f"pkcs11:token={quote(label, safe='')}?module-path={self.module_path}"

    def close(self) -> None:
        """Put the environment back."""
        if self._before is None:
            os.environ.pop("SOFTHSM2_CONF", None)
        else:
            os.environ["SOFTHSM2_CONF"] = self._before
