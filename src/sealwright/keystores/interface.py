"""What a keystore offers: an open partition that signs, and apart from it the ceremony that makes keys.

A partition holds the keys of one product in one environment.  A key is named by its fingerprint, the SHA-256 of its
public half; a label is for people and never finds a key.  Whether a signature may be made is not decided here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from sealwright.core.errors import Code, ConfigurationError, FormatError, RefusedError
from sealwright.core.keys import MAX_WHOLE_MESSAGE_BYTES, Algorithm, PublicKey, hash_of
from sealwright.keystores.numbers import Block, Counter
from sealwright.keystores.private_keys import PrivateKey

Sign = Callable[[bytes], bytes]
"""Takes a digest or a message and returns its signature."""


class Grade(StrEnum):
    """How well a private key is said to be kept."""

    SOFTWARE = "software"  # the private half is, or once was, readable outside a token
    HARDWARE_CLAIMED = "hardware-claimed"  # made inside a token that calls it sensitive and never extractable


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateTemplate:
    """What the caller decides about a self-signed certificate; the rest is fixed in ``certificates``."""

    common_name: str
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedKey:
    """A key that a ceremony made or imported."""

    label: str
    public_key: PublicKey
    grade: Grade
    certificates: tuple[bytes, ...]
    """DER, the key's own certificate first; empty for a key imported without one."""
    attributes: Mapping[str, bool] = field(default_factory=dict)
    """The token's own word, as read back: SENSITIVE, EXTRACTABLE, ALWAYS_SENSITIVE, NEVER_EXTRACTABLE, LOCAL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleFacts:
    """What a keystore says of itself; texts are empty where it says nothing."""

    device: str
    """What it is known as here: ``files``, or the name of a PKCS#11 device."""
    is_tried: bool
    manufacturer: str = ""
    model: str = ""
    serial: str = ""
    firmware: str = ""
    unshown: frozenset[str] = frozenset()
    """Attributes in ``CreatedKey.attributes`` that it does not keep: what they say means nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedKey:
    """A key as a ceremony lists it."""

    label: str
    public_key: PublicKey


class Keystore(Protocol):
    """One open partition."""

    def public_keys(self) -> Mapping[str, PublicKey]:
        """Return the keys by fingerprint, asked of the store anew.

        ``UnavailableError`` when a key that was there is gone: some tokens lose their storage without an error.
        """

    def sign(self, fingerprint: str, algorithm: Algorithm, payload: bytes, block: Block | None = None) -> bytes:
        """Sign a digest (``algorithm.is_prehashed``) or a whole message; canonical encoding as in ``core.keys``.

        A stateful key takes a number of ``block`` durably before it computes anything; without one it refuses.
        ``RefusedError`` (not-found), ``FormatError`` (key, algorithm and payload do not fit), ``UnavailableError``
        (open the partition anew, then it may work), ``ConfigurationError`` (the token lacks the mechanism).
        """

    def signing(self, fingerprint: str, algorithm: Algorithm, block: Block | None = None, count: int = 1) -> Sign:
        """Return what signs payloads as ``sign`` does, for ``count`` in a row: what all have in common is done once.

        A stateful key then takes numbers for all of them at the first, still durably before it computes anything.
        """

    def counters(self) -> Mapping[str, Counter]:
        """Return how far each stateful key is used up, by fingerprint."""

    def close(self) -> None:
        """Forget the login; the partition cannot be used afterwards."""


class Ceremony(Protocol):
    """One partition opened to make keys."""

    def create_key(
        self, label: str, algorithm: Algorithm, size_bits: int, certificate: CertificateTemplate, parameters: str = ""
    ) -> CreatedKey:
        """Make a key and, in the same operation, its self-signed certificate: proof that the key works.

        ``parameters`` are those of HSS/LMS, whose certificate is signature number 0.
        """

    def import_key(self, label: str, private_key: PrivateKey, certificates: Sequence[bytes]) -> CreatedKey:
        """Take in an existing key, graded ``software``; ``RefusedError`` (conflict) if it is there already.

        ``certificates`` is empty or DER with the key's own certificate first.
        """

    def list_keys(self) -> tuple[ListedKey, ...]:
        """Return every key of the partition."""

    def describe(self) -> ModuleFacts:
        """Return what the keystore says of itself."""

    def remains(self, label: str) -> tuple[str, ...]:
        """Say what is there under a label, whole or half made, one line each."""

    def take_up(self, label: str, algorithm: Algorithm, certificate: CertificateTemplate) -> CreatedKey:
        """Return the key that an interrupted ``create_key`` made under this label, with proof that it works.

        ``RefusedError`` (conflict) where what is there is no whole key; it stays as it is.
        """

    def read_back(self, fingerprint: str) -> Mapping[str, bool]:
        """Return what the token says of a key now, as in ``CreatedKey.attributes``; empty for key files.

        ``RefusedError`` (not-found) where there is no such key.
        """

    def discard(self, label: str) -> None:
        """Delete what ``remains`` under a label."""

    def sealed_files(self, fingerprint: str) -> tuple[Path, ...]:
        """Return the files whose copies are a sealed backup of a key; empty where there are none."""

    def close(self) -> None:
        """Forget the login."""


def checked(algorithm: Algorithm, sign: Sign) -> Sign:
    """Have ``sign`` called with payloads alone that ``algorithm`` signs; ``FormatError`` for others."""
    size = hash_of(algorithm).digest_size if algorithm.is_prehashed else None

    def sign_checked(payload: bytes) -> bytes:
        if len(payload) != size and (size is not None or len(payload) > MAX_WHOLE_MESSAGE_BYTES):
            raise _not_fitting(algorithm, len(payload))
        return sign(payload)

    return sign_checked


def _not_fitting(algorithm: Algorithm, size: int) -> FormatError:
    if algorithm.is_prehashed:
        return FormatError(
            f"{algorithm} signs a digest of {hash_of(algorithm).digest_size} bytes, not {size} bytes",
            code=Code.SLOT_INVALID,
        )
    return FormatError(
        f"message of {size} bytes, at most {MAX_WHOLE_MESSAGE_BYTES} are signed whole", code=Code.TOO_LARGE
    )


def check_size(algorithm: Algorithm, size_bits: int) -> None:
    """Raise ``ConfigurationError`` unless new keys of ``algorithm`` can have this size."""
    if algorithm.is_stateful:
        return  # its parameters say it
    only = algorithm.key_size_bits
    sizes = (2048, 3072, 4096) if only is None else (only,)
    if size_bits not in sizes:
        raise ConfigurationError(
            f"a new {algorithm} key cannot have {size_bits} bits",
            setting="size_bits",
            hint=f"sizes: {', '.join(map(str, sizes))}" if only is None else "leave the size out: there is one",
        )


def key_not_found(fingerprint: str) -> RefusedError:
    """Return the refusal for a key that this partition does not hold."""
    return RefusedError(
        f"this partition holds no key {fingerprint[:64]}",
        code=Code.NOT_FOUND,
        hint="the policy names a key of another partition, or the key was deleted from the keystore",
    )


def key_is_there(key: PublicKey) -> RefusedError:
    """Return the refusal to import a key twice."""
    return RefusedError(f"this partition already holds key {key.fingerprint}", code=Code.CONFLICT)


def not_one_key(label: str, remains: Sequence[str]) -> RefusedError:
    """Return the refusal to take up what is no whole key."""
    return RefusedError(
        f"under {label} there is no whole key, but {', '.join(remains) or 'nothing'}",
        code=Code.CONFLICT,
        hint="see what it is; --discard-unfinished deletes it from the token",
    )
