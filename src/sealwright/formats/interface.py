"""What a format module offers, and the values it trades in.

A format is a plain module with the functions of ``Format``.  It sees a read-only byte source, public keys and options;
it never sees a private key, a clock or a file.  ``prepare`` called again with the frozen options and the same image
gives the same slots: that is how approvers, auditors and the evidence check what was signed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from sealwright.core.errors import Code, FormatError
from sealwright.core.images import ByteSource, Message, Range
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.core.patches import Patch


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A key that shall sign, without its private half: what a key profile says of it."""

    profile: str
    public_key: PublicKey
    algorithm: Algorithm
    certificates: tuple[bytes, ...] = ()
    """DER, the key's own certificate first; empty where the format needs none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One signature that the format needs."""

    name: str
    """Unique within the image, stable: ``signature``, ``conf-1/signature-1``."""
    key_profile: str
    algorithm: Algorithm
    message: Message
    digest: bytes
    """The message hashed with ``algorithm.hash_name`` (for Ed25519: SHA-256, which only names the message)."""
    whole_message: bytes | None = None
    """The message itself, at most 64 KiB, for algorithms that are not prehashed; None otherwise."""
    after: str | None = None
    """An earlier slot of the same key: what is signed is its signature, then the message.  Ed25519 only."""


class Prepared(Protocol):
    """An image analysed and laid out; only signatures are missing."""

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The signatures needed, in a fixed order."""

    @property
    def options(self) -> Mapping[str, Any]:
        """The frozen options as a canonical JSON object: ``prepare`` with these gives the same slots again."""

    def assemble(self, signatures: Mapping[str, bytes]) -> Patch:
        """Build the patch from one canonical signature per slot name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingSignature:
    """A signature found in an image by ``inspect``; found does not mean valid."""

    name: str
    algorithm: str
    signer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What an image is, readable for an approver."""

    format: str
    facts: Mapping[str, str]
    """Label to value, in the order to show: versions, load addresses, counters, sizes."""
    signatures: tuple[ExistingSignature, ...] = ()
    covered: tuple[Range, ...] = ()
    """Parts of the image that a signature of this format covers (of the present signatures, else of a future one)."""
    uncovered: tuple[tuple[Range, str], ...] = ()
    """Every other part, each with its reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What a verification stands on: the public keys that may have signed."""

    keys: tuple[PublicKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a verification proved."""

    format: str
    signatures: tuple[ExistingSignature, ...]
    keys: tuple[PublicKey, ...]
    """The trusted keys that did sign."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetProfile:
    """What a device's verifier accepts; ``prepare`` refuses the rest.  ``None`` means no limit is known."""

    name: str
    description: str
    formats: frozenset[str] | None = None
    algorithms: frozenset[Algorithm] | None = None
    key_sizes_bits: frozenset[int] | None = None
    max_image_bytes: int | None = None
    limits: Mapping[str, str] = field(default_factory=dict)
    """Format-specific limits, by name."""

    def check(self, format_name: str, key: SigningKey) -> None:
        """Raise ``FormatError`` (``target-cannot-verify``) unless the target's verifier takes this key."""
        if self.formats is not None and format_name not in self.formats:
            raise self._refusal(f"does not take {format_name} images", sorted(self.formats))
        if self.algorithms is not None and key.algorithm not in self.algorithms:
            raise self._refusal(f"cannot verify {key.algorithm}", sorted(self.algorithms))
        if self.key_sizes_bits is not None and key.public_key.size_bits not in self.key_sizes_bits:
            raise self._refusal(
                f"cannot verify keys of {key.public_key.size_bits} bits", sorted(map(str, self.key_sizes_bits))
            )

    def _refusal(self, what: str, could: Sequence[str]) -> FormatError:
        return FormatError(
            f"target {self.name} {what}",
            code=Code.TARGET_CANNOT_VERIFY,
            hint=f"it accepts: {', '.join(could) or 'nothing'}",
        )


@runtime_checkable
class HasContent(Protocol):
    """A format whose signature covers bytes that are not ranges of the image; a plain module satisfies it."""

    def content(self, image: ByteSource, options: Mapping[str, Any]) -> Iterator[bytes]:
        """Yield the bytes that a signature with these options covers; ``signing_time`` may be left out."""


@runtime_checkable
class SignsPortions(Protocol):
    """A format of whose image one request may sign a part and others the rest; a plain module satisfies it."""

    def verify_portion(self, image: ByteSource, trust: Trust, options: Mapping[str, Any]) -> Verified:
        """Verify what a request with these frozen options signed; the rest need not be signed yet."""

    def left_over(self, image: ByteSource, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Say, a line each, what of a signed image a request with these options left to others; nothing is verified."""


class Format(Protocol):
    """A firmware format; a plain module satisfies it."""

    name: str
    Options: type[Any]
    """A record: what ``prepare`` takes, by the names and types that people are told."""

    def matches(self, image: ByteSource) -> bool:
        """Whether the image claims to be of this format (magic numbers only; never raises)."""

    def inspect(self, image: ByteSource) -> Inspection:
        """Describe the image; ``FormatError`` where its structure lies."""

    def prepare(
        self, image: ByteSource, keys: Sequence[SigningKey], options: Mapping[str, Any], target: TargetProfile
    ) -> Prepared:
        """Analyse the image and lay out the signed form.

        ``options`` is a JSON object: what the user chose, or the frozen options of an earlier ``prepare``.
        Raises ``FormatError``: invalid image, unknown or wrong option, already signed, target cannot verify.
        """

    def verify(self, image: ByteSource, trust: Trust, sidecars: Mapping[str, bytes]) -> Verified:
        """Verify the signatures of a signed image; ``sidecars`` maps suffix (``.p7s``) to content.

        Raises ``VerificationError``; ``FormatError`` where the structure is broken.
        """
