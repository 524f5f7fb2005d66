"""Making and importing signing keys where the keystores are: a local command of whoever operates the signer.

No process that serves requests can make a key.  What comes out is the public half, for the next policy.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sealwright.core.errors import Code, ConfigurationError, RefusedError
from sealwright.core.keys import Algorithm
from sealwright.keystores.hss_lms_keys import check_parameters
from sealwright.keystores.interface import Ceremony, CertificateTemplate, CreatedKey, Grade, check_size
from sealwright.keystores.opening import FILES, create_partition, open_ceremony
from sealwright.keystores.pkcs11_uri import SCHEME, parse_uri
from sealwright.keystores.private_keys import PrivateKey, check_importable
from sealwright.keystores.secrets import Secret, read_secret
from sealwright.policy.documents import Environment, KeyGrade, KeyProfile, Purpose, State
from sealwright.wiring import configuration as settings
from sealwright.wiring.configuration import Configuration, KeystoreSetting, PartitionSetting
from sealwright.wiring.folders import ensure_secret
from sealwright.wiring.partition_user import acting_as, give_to

CERTIFICATE_DAYS = 3650
MAX_COMMON_NAME = 64  # RFC 5280, appendix A.1, ub-common-name


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyOrder:
    """What is decided about a key before it exists."""

    profile: str
    """``<product>/<environment>/<name>``."""
    algorithm: Algorithm
    size_bits: int
    image_format: str | None
    purpose: Purpose = Purpose.FIRMWARE
    parameters: str = ""
    """Of an HSS/LMS key, as ``sha256-n24-h10-w8``; empty for the default."""


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


def create_key(configuration: Configuration, order: KeyOrder) -> KeyProfile:
    """Make a key in its partition and return its profile for the policy."""
    with _opened(configuration, partition_name(order.profile)) as ceremony:
        for listed in ceremony.list_keys():
            if listed.label == order.profile:
                raise RefusedError(
                    f"the partition holds a key {order.profile} already, {listed.public_key.fingerprint[:16]}",
                    code=Code.CONFLICT,
                    hint=f"--existing {listed.public_key.fingerprint[:16]} takes it up again; "
                    "a new key needs another name",
                )
        created = ceremony.create_key(
            order.profile, order.algorithm, order.size_bits, _template(order), order.parameters
        )
    return _profile(order, created, "generated")


def fingerprints(configuration: Configuration, profile: str) -> tuple[str, ...]:
    """Return the fingerprints of all keys in the partition of a profile's product and environment."""
    with _opened(configuration, partition_name(profile)) as ceremony:
        return tuple(listed.public_key.fingerprint for listed in ceremony.list_keys())


def take_up_key(configuration: Configuration, order: KeyOrder, fingerprint: str) -> KeyProfile:
    """Return the profile of a key that ``create_key`` made under this name and that no policy ever named."""
    with _opened(configuration, partition_name(order.profile)) as ceremony:
        labels = [listed.label for listed in ceremony.list_keys() if listed.public_key.fingerprint == fingerprint]
        if labels != [order.profile]:
            raise RefusedError(
                f"key {fingerprint[:16]} was made as {', '.join(labels) or 'nothing'}, not as {order.profile}",
                code=Code.CONFLICT,
                hint="a key keeps its name",
            )
        created = ceremony.take_up(order.profile, order.algorithm, _template(order))
    return _profile(order, created, "generated")


def import_key(
    configuration: Configuration, order: KeyOrder, key: PrivateKey, certificates: tuple[bytes, ...]
) -> KeyProfile:
    """Take in a key that exists, such as the one burnt into fielded devices; it stays graded ``software``.

    The same key again is no second one: its partition keeps it, also when the draft that named it was discarded.
    """
    public, ordered = check_importable(key, certificates)
    with _opened(configuration, partition_name(order.profile)) as ceremony:
        if any(listed.public_key == public for listed in ceremony.list_keys()):
            created = CreatedKey(label=order.profile, public_key=public, grade=Grade.SOFTWARE, certificates=ordered)
        else:
            created = ceremony.import_key(order.profile, key, certificates)
    return _profile(order, created, "imported")


def check_order(order: KeyOrder) -> None:
    """Raise ``ConfigurationError`` for an order that no keystore could carry out, before anything is made for it."""
    split_profile(order.profile)
    check_size(order.algorithm, order.size_bits)
    if order.algorithm.is_stateful:
        check_parameters(order.parameters)
    elif order.parameters:
        raise ConfigurationError(
            f"{order.algorithm} has no parameters", setting="--parameters", hint=f"{Algorithm.HSS_LMS} has"
        )


def grade_of_new_keys(configuration: Configuration, profile: str, *, uri: str = "") -> KeyGrade:
    """Return the grade that a key made under this name will have; the token's own word is read when it is made."""
    name = partition_name(profile)
    known = configuration.partitions.get(name)
    place = known.uri if known else uri or configuration.keystore.partition(name).uri
    return KeyGrade.SOFTWARE if place.startswith(FILES) else KeyGrade.HARDWARE_CLAIMED


def partition_name(profile: str) -> str:
    """Return the partition that holds the keys of a profile's product and environment."""
    product, environment, _ = split_profile(profile)
    return f"{product}-{environment}"


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


def _template(order: KeyOrder) -> CertificateTemplate:
    now = datetime.now(UTC)
    return CertificateTemplate(
        common_name=order.profile[-MAX_COMMON_NAME:],
        not_before=now - timedelta(minutes=5),
        not_after=now + timedelta(days=CERTIFICATE_DAYS),
    )


@contextmanager
def _opened(configuration: Configuration, partition: str) -> Iterator[Ceremony]:
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


def _profile(order: KeyOrder, created: CreatedKey, origin: str) -> KeyProfile:
    product, environment, _ = split_profile(order.profile)
    return KeyProfile(
        type="key-profile",
        format=1,
        salt=secrets.token_hex(16),
        id=order.profile,
        product=product,
        environment=Environment(environment),
        purpose=order.purpose,
        partition=partition_name(order.profile),
        public_key=created.public_key.spki_der,
        algorithm=order.algorithm,
        signs="digest" if order.algorithm.is_prehashed else "message",
        certificates=created.certificates,
        grade=KeyGrade(created.grade),
        origin="imported" if origin == "imported" else "generated",
        state=State.ACTIVE,
        image_format=order.image_format,
    )
