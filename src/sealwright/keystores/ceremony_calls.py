"""What a ceremony and the process that loads its token's module say to each other, one call and one answer at a time.

Frames as those of ``keystores.frames``, each with one part: an ``Order``, answered by a ``Result`` or a failure.
Nothing that comes back is believed to be more than bytes: the module ran in the process that sent it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from sealwright.core.errors import (
    Code,
    ConfigurationError,
    FormatError,
    RefusedError,
    SealwrightError,
    UnavailableError,
    VerificationError,
)
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.core.records import Time
from sealwright.keystores.frames import Failure
from sealwright.keystores.interface import CertificateTemplate, CreatedKey, Grade, ModuleFacts


class Call(StrEnum):
    """The calls of ``interface.Ceremony`` that a token needs, and those of ``keystores.opening``."""

    EXISTS = "exists"
    MAKE = "make-token"
    OPEN = "open"
    CREATE = "create-key"
    IMPORT = "import-key"
    LIST = "list-keys"
    DESCRIBE = "describe"
    REMAINS = "remains"
    TAKE_UP = "take-up"
    READ_BACK = "read-back"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfSigned:
    """``CertificateTemplate``, in seconds."""

    common_name: str
    not_before: Time
    not_after: Time

    @classmethod
    def of(cls, template: CertificateTemplate) -> "SelfSigned":
        """Return what crosses the socket of a template."""
        return cls(
            common_name=template.common_name,
            not_before=int(template.not_before.timestamp()),
            not_after=int(template.not_after.timestamp()),
        )

    @property
    def template(self) -> CertificateTemplate:
        """The template again."""
        return CertificateTemplate(
            common_name=self.common_name,
            not_before=datetime.fromtimestamp(self.not_before, UTC),
            not_after=datetime.fromtimestamp(self.not_after, UTC),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One call with its arguments."""

    call: Call
    uri: str = ""
    secrets: tuple[bytes, ...] = field(default=(), repr=False)
    """The PIN; for a new token that of its security officer first."""
    label: str = ""
    fingerprint: str = ""
    algorithm: Algorithm | None = None
    size_bits: int = 0
    parameters: str = ""
    certificate: SelfSigned | None = None
    private_key: bytes = field(default=b"", repr=False)
    """PKCS#8."""
    certificates: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One attribute as it was read back."""

    name: str
    value: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A key that is there; its label is whatever somebody wrote into the token."""

    label: bytes
    public_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A key that was made, imported or taken up."""

    key: Listed
    grade: Grade
    certificates: tuple[bytes, ...]
    attributes: tuple[Attribute, ...]

    @classmethod
    def of(cls, created: CreatedKey) -> "Created":
        """Return what crosses the socket of a key."""
        return cls(
            key=Listed(label=created.label.encode(), public_key=created.public_key.spki_der),
            grade=created.grade,
            certificates=created.certificates,
            attributes=attributes_of(created.attributes),
        )

    @property
    def created(self) -> CreatedKey:
        """The key again."""
        return CreatedKey(
            label=self.key.label.decode("utf-8", "replace"),
            public_key=PublicKey(self.key.public_key),
            grade=self.grade,
            certificates=self.certificates,
            attributes={attribute.name: attribute.value for attribute in self.attributes},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """``ModuleFacts``."""

    device: str
    is_tried: bool
    manufacturer: str
    model: str
    serial: str
    firmware: str
    unshown: tuple[str, ...]

    @classmethod
    def of(cls, facts: ModuleFacts) -> "Facts":
        """Return what crosses the socket of a module."""
        return cls(
            device=facts.device,
            is_tried=facts.is_tried,
            manufacturer=facts.manufacturer,
            model=facts.model,
            serial=facts.serial,
            firmware=facts.firmware,
            unshown=tuple(sorted(facts.unshown)),
        )

    @property
    def facts(self) -> ModuleFacts:
        """The facts again."""
        return ModuleFacts(
            device=self.device,
            is_tried=self.is_tried,
            manufacturer=self.manufacturer,
            model=self.model,
            serial=self.serial,
            firmware=self.firmware,
            unshown=frozenset(self.unshown),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a call returned: the member that it has something to say in."""

    is_there: bool = False
    created: Created | None = None
    keys: tuple[Listed, ...] = ()
    facts: Facts | None = None
    lines: tuple[str, ...] = ()
    attributes: tuple[Attribute, ...] = ()


def attributes_of(attributes: Mapping[str, bool]) -> tuple[Attribute, ...]:
    """Return what crosses the socket of attributes."""
    return tuple(Attribute(name=name, value=value) for name, value in sorted(attributes.items()))


def error_of(failure: Failure) -> SealwrightError:
    """Return the error that a failure was made of; who can act is known by its code."""
    match failure.code:
        case Code.CREDENTIAL | Code.CONFIGURATION:
            return ConfigurationError(failure.message, setting="keystore", code=failure.code, hint=failure.hint)
        case Code.CONFLICT | Code.NOT_FOUND:
            return RefusedError(failure.message, code=failure.code, hint=failure.hint)
        case Code.SIGNATURE_MISMATCH | Code.NOT_TRUSTED:
            return VerificationError(failure.message, code=failure.code, hint=failure.hint)
        case Code.KEYSTORE_UNAVAILABLE:
            return UnavailableError(failure.message, code=failure.code, hint=failure.hint)
        case _:
            return FormatError(failure.message, code=failure.code, hint=failure.hint)
