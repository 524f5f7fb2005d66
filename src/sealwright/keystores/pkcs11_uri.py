"""PKCS#11 URIs (RFC 7512), as much as names a token: ``pkcs11:token=LABEL[;serial=SERIAL]?module-path=PATH``.

Everything else is refused rather than ignored: an attribute that did not count would select the wrong token, and a PIN
in a URI ends up in logs.
"""

from dataclasses import dataclass
from urllib.parse import quote, unquote

from sealwright.core.errors import ConfigurationError

SCHEME = "pkcs11:"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUri:
    """Which token of which module."""

    token: str
    module_path: str
    serial: str = ""

    def __str__(self) -> str:
        serial = f";serial={quote(self.serial, safe='')}" if self.serial else ""
        return f"{SCHEME}token={quote(self.token, safe='')}{serial}?module-path={quote(self.module_path)}"


def parse_uri(text: str) -> TokenUri:
    """Parse a token's URI; ``ConfigurationError`` names what is missing or not understood, never a value."""
    if not text.startswith(SCHEME):
        raise _invalid("a PKCS#11 keystore starts with pkcs11:")
    path, _, query = text.removeprefix(SCHEME).partition("?")
    parts = _attributes(path, ";", {"token", "serial"}) | _attributes(query, "&", {"module-path"})
    token, module_path = parts.get("token", ""), parts.get("module-path", "")
    if not 1 <= len(token.encode()) <= 32:
        raise _invalid("token= needs the label of a token, 1 to 32 bytes (PKCS#11, CK_TOKEN_INFO)")
    if not module_path.startswith("/"):
        raise _invalid("module-path= needs the absolute path of the module")
    return TokenUri(token=token, module_path=module_path, serial=parts.get("serial", ""))


def _attributes(text: str, separator: str, known: set[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in filter(None, text.split(separator)):
        name, equals, value = part.partition("=")
        if name in ("pin-value", "pin-source"):
            raise _invalid("a PIN does not belong in a URI; name its source in the settings")
        if name not in known or not equals or name in found:
            raise _invalid(f"attribute {name[:32]!r} is unknown here, empty or given twice")
        try:
            found[name] = unquote(value, errors="strict")
        except UnicodeDecodeError:
            raise _invalid(f"{name}= is not UTF-8") from None
    return found


def _invalid(message: str) -> ConfigurationError:
    return ConfigurationError(message, setting="keystore", hint="pkcs11:token=LABEL?module-path=/path/of/module.so")
