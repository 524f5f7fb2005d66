"""Any file: a detached CMS signature beside it, and the file itself untouched.

The signature covers the whole file through messageDigest, and the time of signing.  ``matches`` claims nothing, since
a raw image has no magic number: raw is what is left when no other format matches, and stands last in the registry.
Reference: RFC 5652, section 5; ``docs/formats/raw.md``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sealwright.core import records
from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.images import ByteSource, Message, Range
from sealwright.core.patches import Patch, Sidecar
from sealwright.formats import cms, signed_data
from sealwright.formats.cms_shapes import DATA, digest_name
from sealwright.formats.interface import (
    ExistingSignature,
    Inspection,
    SigningKey,
    Slot,
    TargetProfile,
    Trust,
    Verified,
)

name = "raw"
SUFFIX = ".p7s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the caller chooses."""

    signing_time: records.Time


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A file hashed, its signed attributes laid out."""

    size: int
    draft: cms.Draft
    options: Mapping[str, Any]

    @property
    def slots(self) -> tuple[Slot, ...]:
        return (self.draft.slot(),)

    def assemble(self, signatures: Mapping[str, bytes]) -> Patch:
        """Return a patch without edits, the signature as its sidecar."""
        return Patch(old_size=self.size, sidecars=(Sidecar(suffix=SUFFIX, content=self.draft.assemble(signatures)),))


def matches(image: ByteSource) -> bool:  # noqa: ARG001  (the interface names it)
    """Return False: a raw image claims nothing."""
    return False


def inspect(image: ByteSource) -> Inspection:
    """Say how large the file is; nothing else is known of it."""
    return Inspection(format=name, facts={"Size": f"{image.size} bytes"}, covered=_whole(image))


def prepare(
    image: ByteSource, keys: Sequence[SigningKey], options: Mapping[str, Any], target: TargetProfile
) -> Prepared:
    """Hash the file and lay out the signed attributes."""
    chosen = records.load(Options, dict(options))
    key = cms.only_key(keys, name)
    target.check(name, key)
    if image.size == 0:
        raise FormatError("image is empty", at=0)
    return Prepared(
        size=image.size,
        options=records.dump(chosen),
        draft=cms.Draft(
            key=key,
            content_type=DATA,
            message_digest=Message(_whole(image)).digest(image, digest_name(key.algorithm)),
            signing_time=chosen.signing_time,
        ),
    )


def verify(image: ByteSource, trust: Trust, sidecars: Mapping[str, bytes]) -> Verified:
    """Check the ``.p7s`` beside the file: its signature first, then the file against its message digest."""
    if SUFFIX not in sidecars:
        raise VerificationError(f"image has no {SUFFIX} file beside it", hint=f"keep IMAGE{SUFFIX} beside IMAGE")
    signed = signed_data.parse(sidecars[SUFFIX])
    if signed.content_type != DATA or signed.content is not None:
        raise FormatError(f"{SUFFIX} file is not a detached signature over data")
    key = signed.verify(trust)
    digest = Message(_whole(image)).digest(image, signed.digest_algorithm)
    if digest != signed.message_digest:
        raise VerificationError(
            "image is not the one that was signed",
            expected=signed.message_digest.hex(),
            got=digest.hex(),
            code=Code.IMAGE_MISMATCH,
        )
    found = ExistingSignature(name=cms.SLOT, algorithm=signed.description, signer=signed.signer)
    return Verified(format=name, signatures=(found,), keys=(key,))


def _whole(image: ByteSource) -> tuple[Range, ...]:
    return (Range(0, image.size),)
