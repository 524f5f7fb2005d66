"""What the forms of a detached signature over a whole file share: names, suffixes, and the shape of a draft.

A form is laid out as a draft (``slots``, then ``content`` with the signatures) and read back by a ``check``.  A
post-quantum signature gets a suffix of its own, ``.mldsa.p7s`` beside ``.p7s``: OpenSSL 3.0 refuses the whole of a CMS
in which one signer is unknown to it (``docs/adr/0048``).
"""

import hashlib
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.images import Message
from sealwright.core.keys import Algorithm, Family, PublicKey
from sealwright.formats.cms import SLOT
from sealwright.formats.interface import SigningKey, Slot, Trust


class Output(StrEnum):
    """What is written beside the file."""

    CMS = "cms"
    COSE = "cose"
    SSHSIG = "sshsig"
    MINISIGN = "minisign"


_BASES = {Output.CMS: ".p7s", Output.COSE: ".cose", Output.SSHSIG: ".sig", Output.MINISIGN: ".minisig"}
_CLASSICAL = (Family.RSA, Family.ECDSA, Family.ED25519)
_MARKS = {family: f".{family.replace('-', '')}" for family in Family if family not in _CLASSICAL}
SUFFIXES = {mark + base: output for output, base in _BASES.items() for mark in ("", *_MARKS.values())}
"""Every suffix that a signature of a raw file can have."""

Digest = Callable[[str], bytes]
"""Hashes the whole file, with a hash as hashlib names it."""


class Found(NamedTuple):
    """A signature that was checked."""

    algorithm: Algorithm
    signer: str
    key: PublicKey


class Draft(Protocol):
    """A file beside the image that lacks only its signatures."""

    @property
    def suffix(self) -> str:
        """Suffix of the file beside the image."""

    def slots(self) -> tuple[Slot, ...]:
        """Return the signatures that are needed: one, but for minisign."""

    def content(self, signatures: Sequence[bytes]) -> bytes:
        """Return the file; ``VerificationError`` for a signature that is not one of the key."""


def suffix_of(output: Output, algorithm: Algorithm) -> str:
    """Return the suffix of a signature."""
    return _MARKS.get(algorithm.family, "") + _BASES[output]


def slot_of(key: SigningKey, message: bytes) -> Slot:
    """Return the slot of a small message."""
    algorithm = key.algorithm
    return Slot(
        name=SLOT,
        key_profile=key.profile,
        algorithm=algorithm,
        message=Message((message,)),
        digest=hashlib.new(algorithm.hash_name, message).digest(),
        whole_message=None if algorithm.is_prehashed else message,
    )


def check_together(keys: Sequence[SigningKey]) -> None:
    """Raise ``FormatError`` for two keys whose signatures would be one file, whatever the output."""
    if len({suffix_of(Output.CMS, key.algorithm) for key in keys}) != len(keys):
        raise FormatError(
            "a raw file takes one key of each kind (classical, ML-DSA, SLH-DSA, HSS/LMS) at a time",
            code=Code.INVALID_DOCUMENT,
            hint="each signature is a file of its own, named after its kind",
        )


def not_trusted(trust: Trust, got: str) -> VerificationError:
    """Return the error for a signature by a key that nobody named."""
    return VerificationError(
        "signed by a key that is not trusted",
        expected=" or ".join(k.fingerprint[:16] for k in trust.keys) or "a trusted key",
        got=got,
        code=Code.NOT_TRUSTED,
    )
