"""A key ceremony on paper: the script that people read beforehand, and the minutes that they sign afterwards.

The script is TOML, so that people can read it; the minutes are a document like any other and carry the script's exact
bytes.  What the minutes prove is checked in ``evidence.minutes``.  Specification: ``docs/spec/minutes.md``.
"""

import tomllib
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal

from sealwright.core import canonical, records
from sealwright.core.errors import Code, FormatError
from sealwright.core.keys import Algorithm
from sealwright.core.records import Bounds, Count, Digest, Id, Pattern, Salt, Text, Time
from sealwright.policy.documents import Administrator, Authenticator, Environment, FileName, KeyGrade, Purpose
from sealwright.policy.signatures import public_key_of

MAX_SCRIPT_BYTES = 128 * 1024
MAX_LINE_BYTES = 5000  # the reader of TOML takes a minute for a key of a hundred thousand dots
MAX_KEYS = 16
FIPS_LEVELS = range(1, 5)


class Backup(StrEnum):
    """What copies of a private key may exist."""

    NEVER = "never"
    SEALED_COPY = "sealed-copy"  # of the key file and its partition file, useless without the passphrase


class Standard(StrEnum):
    """By what a module was validated; the three are different things, and so are their levels."""

    FIPS_140_2 = "FIPS 140-2"
    FIPS_140_3 = "FIPS 140-3"
    COMMON_CRITERIA = "Common Criteria"


class CertificateStatus(StrEnum):
    """What the validation list said of a certificate on the day when somebody looked."""

    ACTIVE = "active"
    HISTORICAL = "historical"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certification:
    """One certificate of a module."""

    standard: Standard
    certificate: Text
    """Its number on the list."""
    status: CertificateStatus
    checked: Annotated[str, Pattern("[0-9]{4}-[0-9]{2}-[0-9]{2}")]
    """The day when the list was looked at."""
    level: Annotated[int, Bounds(1, 4)] | None = None
    """Of FIPS 140."""
    assurance: Annotated[str, Pattern(r"EAL[1-7]\+?")] | None = None
    """Of Common Criteria."""
    profile: Text | None = None
    """Protection profile, of Common Criteria."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleData:
    """The module as those present see it: its label, its papers."""

    vendor: Text
    model: Text
    serial: Text
    firmware: Text
    certifications: Annotated[tuple[Certification, ...], Bounds(0, 8)]
    token_serial: Text | None = None
    """Serial number of the PKCS#11 token, which many modules make different from that of the device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """Somebody present, with the SSH key that signs the minutes."""

    person: Id
    role: Text
    key: Annotated[str, Bounds(20, 4096)]
    """OpenSSH public key line without comment."""
    user_verification: bool = False
    """FIDO keys: whether the PIN or fingerprint is demanded besides presence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedKey:
    """A key to make."""

    name: Annotated[str, Pattern("[a-z0-9][a-z0-9._-]{0,47}")]
    """The third part of its key profile's id."""
    algorithm: Algorithm
    backup: Backup
    image_format: Id | None = None
    purpose: Purpose = Purpose.FIRMWARE
    size_bits: Annotated[int, Bounds(2048, 4096)] | None = None
    """Of RSA."""
    parameters: Text | None = None
    """Of HSS/LMS, as ``sha256-n24-h10-w8``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttestationRule:
    """What a vendor's attestation must lead to."""

    kind: Literal["yubihsm-2"]
    roots: Annotated[str, Bounds(1, 65536)]
    """PEM certificates of the vendor; the chain ends at one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What a ceremony shall do, written before it."""

    format: Literal[1]
    id: Annotated[str, Pattern("[a-z0-9][a-z0-9-]{0,63}")]
    reason: Text
    product: Id
    environment: Environment
    partition: Id
    grade: KeyGrade
    """What every key must reach."""
    signatures: Annotated[int, Bounds(1, 16)]
    """How many of the participants must sign the minutes."""
    participants: Annotated[tuple[Participant, ...], Bounds(1, 16)]
    keys: Annotated[tuple[PlannedKey, ...], Bounds(1, MAX_KEYS)]
    module: ModuleData | None = None
    attestation: AttestationRule | None = None

    @property
    def signers(self) -> tuple[Administrator, ...]:
        """The participants as those whose signatures count."""
        return tuple(
            Administrator(
                person=p.person,
                authenticators=(Authenticator(key=p.key, user_verification=p.user_verification),),
            )
            for p in self.participants
        )

    def profile(self, key: PlannedKey) -> str:
        """Return the id of a key's profile."""
        return f"{self.product}/{self.environment}/{key.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAttribute:
    """What the token said of a private key when it was read back; what it does not keep is left out."""

    name: Literal["SENSITIVE", "EXTRACTABLE", "ALWAYS_SENSITIVE", "NEVER_EXTRACTABLE", "LOCAL"]
    value: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedCopy:
    """A file that was copied as it is: encrypted."""

    name: FileName
    sha256: Digest
    size: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeKey:
    """A key that the ceremony made."""

    profile: Id
    public_key: Annotated[bytes, Bounds(32, 8192)]
    algorithm: Algorithm
    certificate: Annotated[bytes, Bounds(1, 65536)]
    """Self-signed: proof that the private half was there and signs."""
    grade: KeyGrade
    attributes: Annotated[tuple[TokenAttribute, ...], Bounds(0, 5)]
    attestation: Annotated[tuple[Annotated[bytes, Bounds(1, 16384)], ...], Bounds(0, 8)]
    """The vendor's certificates, DER: that of the key, of the device, and what leads to a root."""
    copies: Annotated[tuple[SealedCopy, ...], Bounds(0, 8)]
    taken_up: bool
    """Whether it was found after an interruption, and not made in one go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedModule:
    """The keystore's own word on what it is."""

    kind: Literal["files", "pkcs11"]
    device: Id
    """What this version knows it as: ``files``, ``softhsm-2``, ``yubihsm-2`` ..."""
    is_tried: bool
    """Whether this version of the program was tried on such a device."""
    manufacturer: Text | None = None
    model: Text | None = None
    serial: Text | None = None
    firmware: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Minutes:
    """What a ceremony did; signed by those present under ``sealwright-minutes-v1``."""

    type: Literal["minutes"]
    format: Literal[1]
    salt: Salt
    script: Annotated[bytes, Bounds(1, MAX_SCRIPT_BYTES)]
    """The exact bytes of the script's file."""
    module: ObservedModule
    keys: Annotated[tuple[MadeKey, ...], Bounds(1, MAX_KEYS)]
    software: Text
    started: Time
    ended: Time


def partition_of(product: str, environment: str) -> str:
    """Return the partition that holds the keys of a product in an environment, unless somebody named another."""
    return f"{product}-{environment}"


def is_partition_of(partition: str, product: str, environment: str) -> bool:
    """Whether keys of a product in an environment may lie there: in its usual partition, or in a further one."""
    usual = partition_of(product, environment)
    further = partition.removeprefix(f"{usual}-")
    return partition == usual or (further not in (partition, "") and "/" not in further)


def parse_script(data: bytes) -> Script:
    """Read a script; ``FormatError`` for one that is broken or contradicts itself."""
    if len(data) > MAX_SCRIPT_BYTES:
        raise _invalid(f"{len(data)} bytes, at most {MAX_SCRIPT_BYTES} are accepted")
    if (longest := max(map(len, data.split(b"\n")))) > MAX_LINE_BYTES:
        raise _invalid(f"line of {longest} bytes, at most {MAX_LINE_BYTES} are accepted")
    try:
        text = data.decode()
        for line in text.split("\n"):
            canonical.encode(line.removesuffix("\r"))  # what people read must be what is there
        value = tomllib.loads(text)
        script = records.load(Script, value)
        _check_texts(value)
        _check(script)
    except (ValueError, RecursionError) as e:  # of Unicode and of TOML
        raise _invalid(str(e)[:160]) from None
    except FormatError as e:
        raise _invalid(e.message) from None
    return script


def _check_texts(value: Any, name: str = "") -> None:
    """Demand of what is read what holds for the file: an escape spells what no line of it could hold."""
    match value:
        case str():
            for line in value.split("\n") if name == "roots" else [value]:  # certificates alone have lines
                canonical.encode(line.removesuffix("\r") if name == "roots" else line)
        case dict():
            for key, member in value.items():
                _check_texts(key)
                _check_texts(member, key)
        case list():
            for item in value:
                _check_texts(item)


def _check(script: Script) -> None:
    if not is_partition_of(script.partition, script.product, script.environment):
        usual = partition_of(script.product, script.environment)
        raise _wrong(f"partition: keys of {script.product} in {script.environment} lie in "
                       f"{usual} or {usual}-…, not in {script.partition}")  # fmt: skip
    people = [p.person for p in script.participants]
    keys = [public_key_of(a) for signer in script.signers for a in signer.authenticators]
    for what, values in (("person", people), ("key", keys), ("key to make", [k.name for k in script.keys])):
        if len(set(values)) != len(values):
            raise _wrong(f"the same {what} is there twice")
    if script.signatures > len(people):
        raise _wrong(f"signatures: {script.signatures} are demanded of {len(people)} participants")
    is_software = script.grade is KeyGrade.SOFTWARE
    if is_software != (script.module is None):
        raise _wrong("module: grade software has none, every other grade has one")
    if (script.grade is KeyGrade.HARDWARE_ATTESTED) != (script.attestation is not None):
        raise _wrong("attestation: grade hardware-attested needs it, and no other grade has it")
    for key in script.keys:
        _check_key(key, is_software=is_software)
    for certification in script.module.certifications if script.module else ():
        _check_certification(certification)


def _check_key(key: PlannedKey, *, is_software: bool) -> None:
    is_rsa = key.algorithm.startswith("rsa-")
    if is_rsa != (key.size_bits is not None):
        raise _wrong(f"key {key.name}: size_bits belongs to RSA keys, which have no other size by themselves")
    if key.algorithm.is_stateful != (key.parameters is not None):
        raise _wrong(f"key {key.name}: parameters belong to HSS/LMS keys, which need them")
    if key.backup is Backup.SEALED_COPY and not is_software:
        raise _wrong(f"key {key.name}: only key files have sealed copies; a key of a token never leaves it")
    if key.backup is not Backup.NEVER and key.algorithm.is_stateful:
        raise _wrong(f"key {key.name}: a copy of a stateful key would use signature numbers twice")


def _check_certification(found: Certification) -> None:
    is_fips = found.standard is not Standard.COMMON_CRITERIA
    if is_fips and (found.level is None or found.assurance or found.profile):
        raise _wrong(f"{found.standard} has a level of 1 to 4, and neither assurance nor profile")
    if not is_fips and (found.level is not None or found.assurance is None):
        raise _wrong(f"{found.standard} has an assurance such as EAL4+, and no level")


def _wrong(message: str) -> FormatError:
    return FormatError(message, code=Code.INVALID_DOCUMENT)


def _invalid(message: str) -> FormatError:
    return FormatError(
        f"ceremony script: {message}", code=Code.INVALID_DOCUMENT, hint="docs/operate/ceremonies.md shows one"
    )
