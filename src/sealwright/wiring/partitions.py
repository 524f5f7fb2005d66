"""Where keys live: partitions that are there or are made, each for the keys of one product in one environment."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sealwright.client.ids import check_id
from sealwright.core.errors import ConfigurationError
from sealwright.keystores.interface import Ceremony
from sealwright.keystores.opening import FILES, create_partition, open_ceremony
from sealwright.keystores.pkcs11_uri import SCHEME, parse_uri
from sealwright.keystores.secrets import Secret, read_secret
from sealwright.policy.documents import Environment
from sealwright.policy.minutes import is_partition_of, partition_of
from sealwright.wiring import configuration as settings
from sealwright.wiring.configuration import Configuration, KeystoreSetting, PartitionSetting
from sealwright.wiring.folders import ensure_secret
from sealwright.wiring.partition_user import acting_as, give_to


def partition_name(profile: str) -> str:
    """Return the partition that holds the keys of a profile's product and environment, unless one is named."""
    product, environment, _ = split_profile(profile)
    return partition_of(product, environment)


def check_partition(name: str, profile: str) -> None:
    """Raise ``ConfigurationError`` for a partition that does not say whose keys it holds."""
    product, environment, _ = split_profile(profile)
    if not is_partition_of(name, product, environment):
        usual = partition_of(product, environment)
        raise ConfigurationError(
            f"keys of {product} in {environment} lie in {usual}, or in partitions whose names begin with {usual}-",
            setting="--partition",
            hint=f"such as {usual}-second",
        )
    check_id(name, "--partition", f"{partition_of(product, environment)}-second")


def split_profile(profile: str) -> tuple[str, str, str]:
    """Return product, environment and name of a key profile id."""
    parts = profile.split("/")
    if len(parts) != 3 or parts[1] not in set(Environment) or not all(parts):
        raise ConfigurationError(
            f"{profile} does not name a key",
            setting="key profile",
            hint="PRODUCT/ENVIRONMENT/NAME, such as router/production/2026",
        )
    return parts[0], parts[1], parts[2]


def ensure_partition(
    configuration: Configuration, name: str, *, uri: str = "", secret: str = "", so_pin: Secret | None = None
) -> Configuration:
    """Make the partition of a product and environment if there is none, as the instance's keystore setting says.

    ``uri`` names another place: a token that exists, or is made when ``so_pin`` is given.
    """
    if (known := configuration.partitions.get(name)) is not None:
        if known.uri.startswith(FILES) and not Path(known.uri.removeprefix(FILES)).exists():
            _create(known, None)  # somebody said where, and for which user
        return configuration
    if not uri:
        setting, so_source = configuration.keystore.partition(name), configuration.keystore.so_pin
        ensure_secret(setting.secret)
        if so_source:
            ensure_secret(so_source)
            so_pin = read_secret(so_source)
    elif secret:
        setting = PartitionSetting(uri=uri, secret=secret)
    else:
        raise ConfigurationError("a token needs the source of its PIN", setting="--secret", hint="file:PATH, mode 0600")
    if setting.uri.startswith("files:") or so_pin is not None:
        _create(setting, so_pin)
    configuration = replace(configuration, partitions={**configuration.partitions, name: setting})
    settings.write(configuration)
    return configuration


def keystore_setting(text: str, *, pin: str = "", so_pin: str = "") -> KeystoreSetting:
    """Read what ``init --keystore`` says: ``files``, or ``pkcs11:`` with the module and, if wanted, a token name.

    Without a source of PINs they are random and kept in files, and each token is made when its first key is.
    """
    if text == "files":
        return settings.KEY_FILES
    if not text.startswith(SCHEME):
        raise ConfigurationError(
            f"{text[:80]!r} is no keystore",
            setting="--keystore",
            hint="files, or pkcs11:module-path=/path/of/module.so",
        )
    path, _, query = text.removeprefix(SCHEME).rpartition("?")
    setting = KeystoreSetting(
        uri=f"{SCHEME}{path or 'token={partition}'}?{query}",
        secret=pin or settings.KEY_FILES.secret,
        so_pin=so_pin or ("" if pin else settings.SO_PIN),
    )
    settings.in_folder(setting, Path("/"))
    module = Path(parse_uri(setting.partition("x").uri).module_path)
    if not module.is_file():
        raise ConfigurationError(f"there is no module {module}", setting="--keystore", hint="install it first")
    return setting


@contextmanager
def opened(configuration: Configuration, partition: str) -> Iterator[Ceremony]:
    """Open a partition to make keys in it, as the user to whom it belongs."""
    setting = configuration.partitions.get(partition)
    if setting is None:
        raise ConfigurationError(f"there is no partition {partition}", setting="partitions")
    secret = read_secret(setting.secret)
    with acting_as(setting.user):
        ceremony = open_ceremony(setting.uri, secret)
        try:
            yield ceremony
        finally:
            ceremony.close()


def _create(setting: PartitionSetting, so_pin: Secret | None) -> None:
    ensure_secret(setting.secret)
    secret = read_secret(setting.secret)
    if setting.uri.startswith(FILES):  # made by whoever may write there, then given away
        create_partition(setting.uri, secret)
        give_to(setting.user, Path(setting.uri.removeprefix(FILES)))
        return
    with acting_as(setting.user):
        create_partition(setting.uri, secret, so_pin)
