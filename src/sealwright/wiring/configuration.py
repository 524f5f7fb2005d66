"""An instance on disk: one folder, one ``sealwright.toml``, and where everything lies.

The server's and the signer's files are apart so that a large installation can give each its own user and host.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sealwright.core.errors import ConfigurationError

FILE_NAME = "sealwright.toml"
MAX_SOCKET_PATH_BYTES = 100
"""sun_path holds 108 bytes (unix(7)); said before the kernel says it less clearly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionSetting:
    """Where a partition's keys live and where its PIN or passphrase comes from."""

    uri: str
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Everything the processes of one instance are told."""

    folder: Path
    instance: str
    origin: str
    host: str
    port: int
    log_key: str
    """Source of the log key (32 bytes, hex), as ``keystores.secrets`` reads it."""
    signer_id: str
    signer_identity: str
    """Source of the signer's identity key (32 bytes, hex)."""
    partitions: dict[str, PartitionSetting]
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    signer_user: int | None = None
    """User id that may talk to the signer; the signer's own by default."""

    @property
    def log_database(self) -> Path:
        return self.folder / "server" / "log.db"

    @property
    def documents_database(self) -> Path:
        return self.folder / "server" / "documents.db"

    @property
    def images(self) -> Path:
        return self.folder / "server" / "images"

    @property
    def guard(self) -> Path:
        """What the log must never fall behind; not part of any backup."""
        return self.folder / "guard"

    @property
    def signer_head(self) -> Path:
        return self.folder / "signer" / "head"

    @property
    def keys(self) -> Path:
        return self.folder / "signer" / "keys"

    @property
    def secrets(self) -> Path:
        return self.folder / "signer" / "secrets"

    @property
    def socket(self) -> Path:
        return self.folder / "run" / "signer.sock"

    @property
    def trust_file(self) -> Path:
        return self.folder / "trust.json"

    @property
    def url(self) -> str:
        scheme = "https" if self.tls_certificate else "http"
        return f"{scheme}://{self.host}:{self.port}"


def load(folder: Path) -> Configuration:
    """Read an instance's settings; ``ConfigurationError`` names the setting that is wrong."""
    path = folder / FILE_NAME
    try:
        values = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigurationError(
            f"{folder} holds no instance", setting=FILE_NAME, hint="make one with `sealwright init DIR`"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise ConfigurationError(f"{path} cannot be read: {e}", setting=FILE_NAME) from None
    folder = folder.resolve()
    server, signer = _table(values, "server"), _table(values, "signer")
    certificate, key = server.get("tls_certificate"), server.get("tls_key")
    configuration = Configuration(
        folder=folder,
        instance=_text(values, "instance"),
        origin=_text(values, "origin"),
        host=_text(server, "host"),
        port=_number(server, "port"),
        log_key=_source(_text(server, "log_key"), folder),
        signer_id=_text(signer, "id"),
        signer_identity=_source(_text(signer, "identity"), folder),
        signer_user=_number(signer, "user") if "user" in signer else None,
        partitions={
            name: PartitionSetting(
                uri=_uri(_text(setting, "uri"), folder), secret=_source(_text(setting, "secret"), folder)
            )
            for name, setting in _table(values, "partitions").items()
        },
        tls_certificate=folder / certificate if certificate else None,
        tls_key=folder / key if key else None,
    )
    if len(str(configuration.socket)) > MAX_SOCKET_PATH_BYTES:
        raise ConfigurationError(
            f"{configuration.socket} is too long for a local socket",
            setting="instance folder",
            hint=f"use a folder whose path is shorter than {MAX_SOCKET_PATH_BYTES - 20} bytes",
        )
    return configuration


def write(configuration: Configuration) -> None:
    """Write the settings file of a new instance, or one with another partition."""
    lines = [
        "# A Sealwright instance.  Sources of secrets: file:PATH (mode 0600), credential:NAME (systemd), fd:NUMBER.",
        f'instance = "{configuration.instance}"',
        f'origin = "{configuration.origin}"',
        "",
        "[server]",
        f'host = "{configuration.host}"',
        f"port = {configuration.port}",
        f'log_key = "{_relative(configuration.log_key, configuration.folder)}"',
        "",
        "[signer]",
        f'id = "{configuration.signer_id}"',
        f'identity = "{_relative(configuration.signer_identity, configuration.folder)}"',
        "",
        "[partitions]",
    ]
    if configuration.tls_certificate and configuration.tls_key:
        at = lines.index("[signer]") - 1
        lines[at:at] = [
            f'tls_certificate = "{configuration.tls_certificate}"',
            f'tls_key = "{configuration.tls_key}"',
        ]
    for name, setting in sorted(configuration.partitions.items()):
        lines += [
            "",
            f'[partitions."{name}"]',
            f'uri = "{_relative(setting.uri, configuration.folder)}"',
            f'secret = "{_relative(setting.secret, configuration.folder)}"',
        ]
    path = configuration.folder / FILE_NAME
    draft = path.with_suffix(".new")
    draft.write_text("\n".join(lines) + "\n")
    draft.replace(path)


def _source(source: str, folder: Path) -> str:
    kind, _, where = source.partition(":")
    return f"file:{folder / where}" if kind == "file" else source


def _uri(uri: str, folder: Path) -> str:
    kind, _, where = uri.partition(":")
    return f"files:{folder / where}" if kind == "files" else uri


def _relative(source: str, folder: Path) -> str:
    kind, _, where = source.partition(":")
    if kind in ("file", "files") and Path(where).is_relative_to(folder):
        return f"{kind}:{Path(where).relative_to(folder)}"
    return source


def _table(values: dict[str, Any], name: str) -> dict[str, Any]:
    value = values.get(name, {})
    if not isinstance(value, dict):
        raise ConfigurationError(f"{name} is not a table", setting=name)
    return value


def _text(values: dict[str, Any], name: str) -> str:
    value = values.get(name)
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{name} is missing or not a text", setting=name)
    return value


def _number(values: dict[str, Any], name: str) -> int:
    value = values.get(name)
    if type(value) is not int or not 0 <= value < 1 << 31:
        raise ConfigurationError(f"{name} is missing or not a number", setting=name)
    return value
