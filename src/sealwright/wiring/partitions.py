"""Where keys live: partitions that are there or are made, each for the keys of one product in one environment."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from sealwright.client.ids import check_id
from sealwright.core.errors import Code, ConfigurationError, RefusedError
from sealwright.keystores import ceremony_client
from sealwright.keystores.interface import Ceremony
from sealwright.keystores.opening import FILES, create_partition, partition_exists
from sealwright.keystores.pkcs11_uri import SCHEME, parse_uri
from sealwright.keystores.secrets import Secret, read_secret
from sealwright.policy.documents import Environment
from sealwright.policy.minutes import Script, is_partition_of, partition_of
from sealwright.wiring import ceremony_partition
from sealwright.wiring import configuration as settings
from sealwright.wiring.configuration import Configuration, KeystoreSetting, PartitionSetting
from sealwright.wiring.folders import ensure_secret
from sealwright.wiring.partition_user import acting_as, give_to, user_of_module

SOURCES = "file:PATH (mode 0600) or credential:NAME"


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


def ensure_partition(configuration: Configuration, name: str, *, uri: str = "", secret: str = "") -> Configuration:
    """Make the partition of a product and environment if there is none; it is opened once before it is written down."""
    with partition_for(configuration, name, uri=uri, secret=secret) as settled:
        if name not in configuration.partitions:
            with opened(settled, name):
                pass
    return settled


@contextmanager
def partition_for(
    configuration: Configuration, name: str, *, uri: str = "", secret: str = "", makes: bool = True
) -> Iterator[Configuration]:
    """Yield the settings with a partition in them; a new one is written down when what is done inside succeeds.

    ``uri`` and ``secret`` name another place than the instance's keystore setting does, such as a token that exists.
    Where nothing is to be made, such as for a key that is there already, ``makes`` says so.
    After a failure nothing new is left but a token that was initialised, with the file of its PIN: the next try opens
    it, and without the file nobody could.
    """
    setting = place_of(configuration, name, uri=uri, secret=secret)
    is_known = name in configuration.partitions
    with ExitStack() as undo:
        if makes and (is_known or not uri or setting.uri.startswith(FILES)):
            _make_missing(setting, configuration.keystore.so_pin, undo)
        settled = configuration
        if not is_known:
            settled = replace(configuration, partitions={**configuration.partitions, name: setting})
        yield settled
        if not is_known:
            latest = settings.load(configuration.folder)  # somebody may have added another meanwhile
            settings.write(replace(latest, partitions={**latest.partitions, name: setting}))
        undo.pop_all()


def place_of(configuration: Configuration, name: str, *, uri: str = "", secret: str = "") -> PartitionSetting:
    """Return where a partition is, or goes; options that cannot be, or that the settings contradict, are refused."""
    given_uri = _absolute_uri(uri) if uri else ""
    given_secret = absolute_source(secret, "--secret") if secret else ""
    if (known := configuration.partitions.get(name)) is not None:
        for option, given, there in (("--keystore", given_uri, known.uri), ("--secret", given_secret, known.secret)):
            if given and not _is_same(given, there):
                raise ConfigurationError(
                    f"the settings have partition {name} elsewhere than {option} says: {there}",
                    setting=option,
                    hint=f'leave {option} out, or change [partitions."{name}"] in {settings.FILE_NAME}',
                )
        return known
    if given_uri and not given_secret:
        raise ConfigurationError("another keystore needs the source of its secret", setting="--secret", hint=SOURCES)
    usual = configuration.keystore.partition(name)
    return PartitionSetting(uri=given_uri or usual.uri, secret=given_secret or usual.secret)


def check_kind(script: Script, place: PartitionSetting) -> None:
    """Raise ``RefusedError`` for a ceremony's partition of another kind than its script, before one is made."""
    is_files = place.uri.startswith(FILES)
    if (script.module is None) != is_files:
        raise RefusedError(
            f"the script wants grade {script.grade}, and {script.partition} is a partition of "
            + ("files" if is_files else "pkcs11"),
            code=Code.CONFLICT,
            hint="--keystore and --secret name a token for a new partition; one that is there keeps its kind",
        )


def absolute_source(source: str, option: str) -> str:
    """Return the source of a secret as the signer will read it, from wherever it runs; never the secret itself."""
    kind, colon, where = source.partition(":")
    if not colon or not where or kind not in ("file", "credential", "fd"):  # not repeated: it may be the secret itself
        raise ConfigurationError(
            f"{option} takes the source of a secret, never the secret",
            setting=option,
            code=Code.CREDENTIAL,
            hint=f"{SOURCES}; a PIN that was typed here is in the shell's history now: change it",
        )
    if kind == "fd":
        raise ConfigurationError(
            f"{option} cannot be a descriptor, which is closed when the signer starts",
            setting=option,
            code=Code.CREDENTIAL,
            hint=SOURCES,
        )
    return f"file:{Path(where).absolute()}" if kind == "file" else source


def _is_same(given: str, there: str) -> bool:
    kind, _, where = given.partition(":")
    if kind not in ("file", "files"):
        return given == there
    return there.startswith(f"{kind}:") and Path(where).resolve() == Path(there.removeprefix(f"{kind}:")).resolve()


def _absolute_uri(uri: str) -> str:
    if uri.startswith(FILES) and uri != FILES:
        return f"{FILES}{Path(uri.removeprefix(FILES)).absolute()}"
    if not uri.startswith(SCHEME):
        raise ConfigurationError(
            "--keystore is neither key files nor a token",
            setting="--keystore",
            hint="files:/path/of/folder, or pkcs11:token=LABEL?module-path=/path/of/module.so",
        )
    parse_uri(uri)
    return uri


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
        secret=absolute_source(pin, "--pin") if pin else settings.KEY_FILES.secret,
        so_pin=absolute_source(so_pin, "--so-pin") if so_pin else "" if pin else settings.SO_PIN,
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
    with ceremony_partition.opened(setting) as keystore, keystore.asked() as ceremony:
        yield ceremony


def _make_missing(setting: PartitionSetting, so_source: str, undo: ExitStack) -> None:
    """Make folder or token unless it is there; ``undo`` takes back what a later failure shall not leave."""
    is_files = setting.uri.startswith(FILES)
    if not is_files and not so_source:
        return  # made beforehand, with the vendor's tool
    is_there = _exists(setting)
    if is_there and (is_files or not _is_missing(setting.secret)):
        return  # of an earlier try, or a copy that was put there
    with ExitStack() as secrets_made:
        for source in (setting.secret,) if is_files else (setting.secret, so_source):
            if _is_missing(source):
                ensure_secret(source)
                secrets_made.callback(Path(source.removeprefix("file:")).unlink)
        _create(setting, None if is_files else read_secret(so_source))
        kept = secrets_made.pop_all()
    if is_files:
        undo.push(kept)
        undo.callback(shutil.rmtree, setting.uri.removeprefix(FILES))


def _exists(setting: PartitionSetting) -> bool:
    if (user := user_of_module(setting)) is not None:
        with ceremony_client.asked(setting.uri, user) as remote:
            return remote.exists()
    with acting_as(setting.user):
        return partition_exists(setting.uri)


def _is_missing(source: str) -> bool:
    kind, _, where = source.partition(":")
    return kind == "file" and not Path(where).exists()


def _create(setting: PartitionSetting, so_pin: Secret | None) -> None:
    ensure_secret(setting.secret)
    secret = read_secret(setting.secret)
    if setting.uri.startswith(FILES):  # made by whoever may write there, then given away
        create_partition(setting.uri, secret)
        give_to(setting.user, Path(setting.uri.removeprefix(FILES)))
        return
    if so_pin is None or (user := user_of_module(setting)) is None:
        create_partition(setting.uri, secret, so_pin)
    else:
        with ceremony_client.asked(setting.uri, user) as remote:
            remote.make(so_pin, secret)
