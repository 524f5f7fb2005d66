"""An instance on disk: one folder, one ``sealwright.toml``, and where everything lies.

The server's and the signer's files are apart so that a large installation can give each its own user and host.
"""

import json
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sealwright.core.errors import ConfigurationError

FILE_NAME, REPLACED = "sealwright.toml", "replaced-by"
MAX_SOCKET_PATH_BYTES = 100
"""sun_path holds 108 bytes (unix(7)); said before the kernel says it less clearly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionSetting:
    """Where a partition's keys live and where its PIN or passphrase comes from."""

    uri: str
    secret: str
    user: int | None = None
    """User id that its worker runs as, and that its files belong to; the signer's own by default."""
    timeout_seconds: int | None = None
    """How long its worker may take for an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeystoreSetting:
    """What a key ceremony does for a partition that does not exist yet; ``{partition}`` stands for its name."""

    uri: str
    secret: str
    """Source of its passphrase or PIN; a file that is not there is made with a random one."""
    so_pin: str = ""
    """Source of the security officer's PIN; without it tokens are made beforehand, with their vendor's tool."""

    def partition(self, name: str) -> PartitionSetting:
        """Return where the partition of this name goes."""
        return PartitionSetting(uri=self.uri.replace(PARTITION, name), secret=self.secret.replace(PARTITION, name))


PARTITION = "{partition}"
KEY_FILES = KeystoreSetting(uri="files:signer/keys/{partition}", secret="file:signer/secrets/{partition}")  # noqa: S106 - sources
SO_PIN = "file:signer/secrets/so-pin"


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
    keystore: KeystoreSetting
    log_ml_dsa_key: str = ""
    """Source of the log's ML-DSA-44 key (seed of 32 bytes, hex); none in installations made before there was one."""
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    is_tls_in_front: bool = False
    """Whether a proxy speaks TLS to everybody else."""
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
    def up_lock(self) -> Path:
        """Held by ``sealwright up``, so that there is one."""
        return self.folder / "run" / "up.lock"

    @property
    def trust_file(self) -> Path:
        return self.folder / "trust.json"

    @property
    def is_everywhere(self) -> bool:
        """Whether the server listens on every address of the machine, which is none to connect to."""
        return self.host in ("0.0.0.0", "::")  # noqa: S104 - compared, not listened on

    @property
    def is_exposed(self) -> bool:
        """Whether others than this machine reach the server, and nothing encrypts what they say."""
        is_loopback = self.host in ("localhost", "::1") or self.host.startswith("127.")
        return not (is_loopback or self.tls_certificate or self.is_tls_in_front)

    @property
    def url(self) -> str:
        """Where this machine reaches the server; others, too, unless it listens everywhere or on loopback."""
        scheme = "https" if self.tls_certificate else "http"
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"


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
    _check_not_replaced(folder)
    server, signer, partitions = _table(values, "server"), _table(values, "signer"), _table(values, "partitions")
    certificate = _text(server, "tls_certificate", "server") if "tls_certificate" in server else ""
    key = _text(server, "tls_key", "server") if "tls_key" in server else ""
    configuration = Configuration(
        folder=folder,
        instance=_text(values, "instance"),
        origin=_text(values, "origin"),
        host=_text(server, "host", "server"),
        port=_number(server, "port", "server"),
        log_key=_source(_text(server, "log_key", "server"), folder),
        log_ml_dsa_key=(
            _source(_text(server, "log_ml_dsa_key", "server"), folder) if "log_ml_dsa_key" in server else ""
        ),
        signer_id=_text(signer, "id", "signer"),
        signer_identity=_source(_text(signer, "identity", "signer"), folder),
        signer_user=_number(signer, "user", "signer") if "user" in signer else None,
        partitions={name: _partition(partitions, name, folder) for name in partitions},
        keystore=_keystore(_table(values, "keystore"), folder),
        tls_certificate=folder / certificate if certificate else None,
        tls_key=folder / key if key else None,
        is_tls_in_front=_choice(server, "tls_in_front", "server"),
    )
    check(configuration)
    return configuration


def check_served(configuration: Configuration) -> None:
    """Raise ``ConfigurationError`` for a server that would speak plain HTTP to others: sessions are bearer tokens."""
    if configuration.is_exposed:
        raise ConfigurationError(
            f"the server would listen on {configuration.host} without TLS: who listens too could act as its clients",
            setting="server.tls_certificate",
            hint="set tls_certificate and tls_key under [server], or host to 127.0.0.1; where only a proxy with TLS "
            "reaches this address, tls_in_front = true",
        )


def mark_replaced(configuration: Configuration, by: Path) -> None:
    """Leave word in an instance's folder that another one has taken over."""
    (configuration.folder / REPLACED).write_text(f"{by}\n")


def _check_not_replaced(folder: Path) -> None:
    with suppress(FileNotFoundError):
        by = (folder / REPLACED).read_text(errors="replace").strip()
        raise ConfigurationError(
            f"{folder} was replaced by {by}: guard and signer memory went there, so it cannot go on",
            setting=REPLACED,
            hint=f"use {by}; once that works and its secrets are safe, this folder may be removed",
        )


def check(configuration: Configuration) -> None:
    """Raise ``ConfigurationError`` for settings that no process could work with."""
    if len(str(configuration.socket)) > MAX_SOCKET_PATH_BYTES:
        raise ConfigurationError(
            f"{configuration.socket} is too long for a local socket",
            setting="instance folder",
            hint=f"use a folder whose path is shorter than {MAX_SOCKET_PATH_BYTES - 20} bytes",
        )
    if not 0 < configuration.port < 1 << 16:
        raise ConfigurationError(f"{configuration.port} is no port", setting="server.port", hint="1 to 65535")
    if bool(configuration.tls_certificate) != bool(configuration.tls_key):
        raise ConfigurationError(
            "one of tls_certificate and tls_key is missing", setting="server.tls_key", hint="set both, or none"
        )


def write(configuration: Configuration) -> None:
    """Write the settings file of a new instance, or one with another partition; it changes as a whole or not."""
    path = configuration.folder / FILE_NAME
    draft = path.with_suffix(".new")
    draft.write_text("\n".join(_lines(configuration)) + "\n")
    if path.exists():
        draft.chmod(path.stat().st_mode & 0o777)
    draft.replace(path)


def _lines(configuration: Configuration) -> list[str]:
    folder, keystore = configuration.folder, configuration.keystore
    tables: dict[str, dict[str, str | int | Path | None]] = {
        "": {"instance": configuration.instance, "origin": configuration.origin},
        "server": {
            "host": configuration.host,
            "port": configuration.port,
            "log_key": configuration.log_key,
            "log_ml_dsa_key": configuration.log_ml_dsa_key or None,
            "tls_certificate": configuration.tls_certificate,
            "tls_key": configuration.tls_key,
            "tls_in_front": configuration.is_tls_in_front or None,
        },
        "signer": {
            "id": configuration.signer_id,
            "identity": configuration.signer_identity,
            "user": configuration.signer_user,
        },
        "keystore": {"uri": keystore.uri, "secret": keystore.secret, "so_pin": keystore.so_pin or None},
        "partitions": {},
    }
    for name, setting in sorted(configuration.partitions.items()):
        tables[f'partitions."{name}"'] = {
            "uri": setting.uri,
            "secret": setting.secret,
            "user": setting.user,
            "timeout_seconds": setting.timeout_seconds,
        }
    lines = [
        "# A Sealwright instance.  Sources of secrets: file:PATH (mode 0600), credential:NAME (systemd), fd:NUMBER."
    ]
    for heading, values in tables.items():
        lines += ["", f"[{heading}]"] if heading else []
        lines += [f"{name} = {_spelled(value, folder)}" for name, value in values.items() if value is not None]
    return lines


def _spelled(value: str | int | Path, folder: Path) -> str:
    if isinstance(value, int):
        return str(value).lower()  # true, of Python's True
    if isinstance(value, Path):
        value = str(value.relative_to(folder) if value.is_relative_to(folder) else value)
    return json.dumps(_relative(value, folder), ensure_ascii=False)  # a TOML basic string escapes as JSON does


def _partition(partitions: dict[str, Any], name: str, folder: Path) -> PartitionSetting:
    table, values = f"partitions.{name}", _table(partitions, name, "partitions")
    return PartitionSetting(
        uri=_uri(_text(values, "uri", table), folder),
        secret=_source(_text(values, "secret", table), folder),
        user=_number(values, "user", table) if "user" in values else None,
        timeout_seconds=_number(values, "timeout_seconds", table) if "timeout_seconds" in values else None,
    )


def _keystore(values: dict[str, Any], folder: Path) -> KeystoreSetting:
    setting = KEY_FILES
    if values:
        so_pin = _text(values, "so_pin", "keystore") if "so_pin" in values else ""
        setting = KeystoreSetting(
            uri=_text(values, "uri", "keystore"), secret=_text(values, "secret", "keystore"), so_pin=so_pin
        )
    return in_folder(setting, folder)


def in_folder(setting: KeystoreSetting, folder: Path) -> KeystoreSetting:
    """Return the setting with its paths taken from the instance's folder."""
    if PARTITION not in setting.uri:
        raise ConfigurationError(
            f"{setting.uri} would put all partitions into one place",
            setting="keystore.uri",
            hint="say {partition} where its name belongs, as pkcs11:token={partition}?module-path=/path/of/module.so",
        )
    return KeystoreSetting(
        uri=_uri(setting.uri, folder),
        secret=_source(setting.secret, folder),
        so_pin=_source(setting.so_pin, folder) if setting.so_pin else "",
    )


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


def _table(values: dict[str, Any], name: str, table: str = "") -> dict[str, Any]:
    value = values.get(name, {})
    if not isinstance(value, dict):
        raise _wrong(f"{table}.{name}" if table else name, "a table", is_missing=False)
    return value


def _text(values: dict[str, Any], name: str, table: str = "") -> str:
    value, setting = values.get(name), f"{table}.{name}" if table else name
    if not isinstance(value, str) or not value:
        raise _wrong(setting, "a text", is_missing=value is None)
    return value


def _choice(values: dict[str, Any], name: str, table: str) -> bool:
    value = values.get(name, False)
    if not isinstance(value, bool):
        raise _wrong(f"{table}.{name}", "true or false", is_missing=False)
    return value


def _number(values: dict[str, Any], name: str, table: str) -> int:
    value, setting = values.get(name), f"{table}.{name}"
    if type(value) is not int or not 0 <= value < 1 << 31:
        raise _wrong(setting, "a number", is_missing=value is None)
    return value


def _wrong(setting: str, kind: str, *, is_missing: bool) -> ConfigurationError:
    found = "is missing" if is_missing else f"is not {kind}"
    return ConfigurationError(
        f"setting {setting} {found}", setting=setting, hint=f"{FILE_NAME} of the instance; see docs/operate/settings.md"
    )
