"""Whom the client talks to and as whom: from ``connect``, or from SEALWRIGHT_URL, _TRUST, _IDENTITY and _CA.

Nothing here is secret: the identity is the path of a key, the trust file is public.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from sealwright.client.api import Api, Connection
from sealwright.client.files import read_small
from sealwright.core import records
from sealwright.core.errors import ConfigurationError, FormatError
from sealwright.evidence.bundle import TrustFile

MAX_TRUST_BYTES = 8 << 20
AUTHORITIES = "SEALWRIGHT_CA"
FOLDER, URL, TRUST, IDENTITY = "SEALWRIGHT_CONFIG", "SEALWRIGHT_URL", "SEALWRIGHT_TRUST", "SEALWRIGHT_IDENTITY"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionFile:
    """What ``connect`` keeps."""

    type: Literal["connection"]
    format: Literal[1]
    url: str
    trust: str
    identity: str
    authorities: str | None = None
    """PEM file with the authorities of the server's certificate; the machine's own without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The connection in force."""

    url: str
    trust_path: Path
    trust: TrustFile
    identity: Path
    authorities: Path | None = None

    def api(self) -> Api:
        """Return the API, not yet logged in; use it in a ``with`` block."""
        return Api(
            Connection(
                url=self.url,
                instance=self.trust.instance,
                identity=self.identity,
                log=self.trust.log,
                authorities=self.authorities,
            )
        )


def folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the client keeps its connection and policy draft."""
    if chosen := environment.get(FOLDER):
        return Path(chosen)
    base = environment.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "sealwright"


def draft_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the policy draft lies."""
    return folder(environment) / "policy-draft.json"


def load(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings in force; the environment wins over what ``connect`` kept, member by member."""
    kept = _kept(folder(environment) / "connection.json")
    url = environment.get(URL) or (kept.url if kept else "")
    trust = environment.get(TRUST) or (kept.trust if kept else "")
    identity = environment.get(IDENTITY) or (kept.identity if kept else "")
    for name, value in ((URL, url), (TRUST, trust), (IDENTITY, identity)):
        if not value:
            raise ConfigurationError(
                f"{name} is not set and nothing is connected",
                setting=name,
                hint="`sealwright connect URL --trust FILE --identity KEY`",
            )
    check_url(url, URL if environment.get(URL) else "url")
    authorities = environment.get(AUTHORITIES) or (kept.authorities if kept else "")
    return Settings(
        url=url,
        trust_path=Path(trust),
        trust=load_trust(Path(trust)),
        identity=Path(identity),
        authorities=Path(authorities) if authorities else None,
    )


def check_url(url: str, setting: str) -> bool:
    """Refuse what is no URL of a server; return whether nobody in between can listen: https, or this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment or parts.username:
        raise ConfigurationError(
            f"{setting}: {url[:100]!r} is no URL of a server", setting=setting, hint="as https://sign.example"
        )
    return parts.scheme == "https" or host == "localhost" or _is_loopback(host)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def save(
    url: str,
    trust: Path,
    identity: Path,
    authorities: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Path:
    """Keep a connection; return the file it is kept in."""
    load_trust(trust)
    target = folder(environment)
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = target / "connection.json"
    draft = path.with_suffix(".new")
    draft.write_bytes(
        records.serialise(
            ConnectionFile(
                type="connection",
                format=1,
                url=url,
                trust=str(trust.resolve()),
                identity=str(identity.absolute()),
                authorities=str(authorities.absolute()) if authorities else None,
            )
        )
    )
    draft.replace(path)
    return path


def load_trust(path: Path) -> TrustFile:
    """Read a trust file."""
    data = read_small(path, max_bytes=MAX_TRUST_BYTES, what="trust file")
    try:
        return records.parse(TrustFile, data.rstrip(b"\n"), max_bytes=MAX_TRUST_BYTES)
    except FormatError as e:
        raise FormatError(
            f"{path} is no trust file: {e.message}", code=e.code, hint="`sealwright init` makes it as trust.json"
        ) from None


def save_trust(path: Path, trust: TrustFile) -> None:
    """Write a trust file; it changes as a whole or not."""
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.write_bytes(records.serialise(trust))
        draft.replace(path)
    except OSError as e:
        raise ConfigurationError(
            f"{path} cannot be written: {e.strerror}", setting="output", hint="name another file with -o"
        ) from None


def _kept(path: Path) -> ConnectionFile | None:
    if not path.is_file():
        return None
    try:
        return records.parse(ConnectionFile, read_small(path, max_bytes=65536, what="connection"))
    except FormatError as e:
        raise ConfigurationError(
            f"{path} is damaged: {e.message}", setting="connection", hint="run `sealwright connect` again"
        ) from None
