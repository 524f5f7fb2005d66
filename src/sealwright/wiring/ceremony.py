"""Making and importing signing keys where the keystores are: a local command of whoever operates the signer.

No process that serves requests can make a key.  What comes out is the public half, for the next policy.
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sealwright.client.new_keys import WantedKey
from sealwright.core.errors import Code, ConfigurationError, RefusedError
from sealwright.core.keys import Algorithm
from sealwright.keystores.hss_lms_keys import check_parameters
from sealwright.keystores.interface import CertificateTemplate, CreatedKey, Grade, check_size
from sealwright.keystores.opening import FILES
from sealwright.keystores.private_keys import PrivateKey, check_importable
from sealwright.policy.documents import Environment, KeyGrade, KeyProfile, Purpose, State
from sealwright.wiring.configuration import Configuration
from sealwright.wiring.partitions import check_partition, opened, partition_name, split_profile

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
    named_partition: str = ""
    """Where it shall lie, of a second provider; empty for the usual partition of its product and environment."""

    @property
    def partition(self) -> str:
        """Where it lies."""
        return self.named_partition or partition_name(self.profile)


def create_key(configuration: Configuration, order: KeyOrder) -> KeyProfile:
    """Make a key in its partition and return its profile for the policy."""
    with opened(configuration, order.partition) as ceremony:
        for listed in ceremony.list_keys():
            if listed.label == order.profile:
                raise RefusedError(
                    f"the partition holds a key {order.profile} already, {listed.public_key.fingerprint[:16]}",
                    code=Code.CONFLICT,
                    hint=f"--existing {listed.public_key.fingerprint[:16]} takes it up again; "
                    "a new key needs another name",
                )
        created = ceremony.create_key(
            order.profile, order.algorithm, order.size_bits, template(order), order.parameters
        )
    return _profile(order, created, "generated")


def fingerprints(configuration: Configuration, partition: str) -> tuple[str, ...]:
    """Return the fingerprints of all keys in a partition."""
    with opened(configuration, partition) as ceremony:
        return tuple(listed.public_key.fingerprint for listed in ceremony.list_keys())


def take_up_key(configuration: Configuration, order: KeyOrder, fingerprint: str) -> KeyProfile:
    """Return the profile of a key that ``create_key`` made under this name and that no policy ever named."""
    with opened(configuration, order.partition) as ceremony:
        labels = [listed.label for listed in ceremony.list_keys() if listed.public_key.fingerprint == fingerprint]
        if labels != [order.profile]:
            raise RefusedError(
                f"key {fingerprint[:16]} was made as {', '.join(labels) or 'nothing'}, not as {order.profile}",
                code=Code.CONFLICT,
                hint="a key keeps its name",
            )
        created = ceremony.take_up(order.profile, order.algorithm, template(order))
    return _profile(order, created, "generated")


def import_key(
    configuration: Configuration, order: KeyOrder, key: PrivateKey, certificates: tuple[bytes, ...]
) -> KeyProfile:
    """Take in a key that exists, such as the one burnt into fielded devices; it stays graded ``software``.

    The same key again is no second one: its partition keeps it, also when the draft that named it was discarded.
    """
    public, ordered = check_importable(key, certificates)
    with opened(configuration, order.partition) as ceremony:
        if any(listed.public_key == public for listed in ceremony.list_keys()):
            created = CreatedKey(label=order.profile, public_key=public, grade=Grade.SOFTWARE, certificates=ordered)
        else:
            created = ceremony.import_key(order.profile, key, certificates)
    return _profile(order, created, "imported")


def check_order(order: KeyOrder) -> None:
    """Raise ``ConfigurationError`` for an order that no keystore could carry out, before anything is made for it."""
    check_partition(order.partition, order.profile)
    check_size(order.algorithm, order.size_bits)
    if order.algorithm.is_stateful:
        check_parameters(order.parameters)
    elif order.parameters:
        raise ConfigurationError(
            f"{order.algorithm} has no parameters", setting="--parameters", hint=f"{Algorithm.HSS_LMS} has"
        )


def grade_of_new_keys(configuration: Configuration, partition: str, *, uri: str = "") -> KeyGrade:
    """Return the grade that a key made in a partition will have; the token's own word is read when it is made."""
    known = configuration.partitions.get(partition)
    place = known.uri if known else uri or configuration.keystore.partition(partition).uri
    return KeyGrade.SOFTWARE if place.startswith(FILES) else KeyGrade.HARDWARE_CLAIMED


def wanted(order: KeyOrder, grade: KeyGrade) -> WantedKey:
    """Return what a policy would refuse or take of an order, before the key exists."""
    product, environment, _ = split_profile(order.profile)
    return WantedKey(
        profile=order.profile,
        product=product,
        environment=Environment(environment),
        partition=order.partition,
        algorithm=order.algorithm,
        size_bits=order.size_bits,
        image_format=order.image_format,
        grade=grade,
    )


def template(order: KeyOrder) -> CertificateTemplate:
    """Return what the self-signed certificate of a key to make says."""
    now = datetime.now(UTC)
    return CertificateTemplate(
        common_name=order.profile[-MAX_COMMON_NAME:],
        not_before=now - timedelta(minutes=5),
        not_after=now + timedelta(days=CERTIFICATE_DAYS),
    )


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
        partition=order.partition,
        public_key=created.public_key.spki_der,
        algorithm=order.algorithm,
        signs="digest" if order.algorithm.is_prehashed else "message",
        certificates=created.certificates,
        grade=KeyGrade(created.grade),
        origin="imported" if origin == "imported" else "generated",
        state=State.ACTIVE,
        image_format=order.image_format,
    )
