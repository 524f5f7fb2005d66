"""What a signature file beside an image says of itself: for ``inspect``, nothing is verified.

Reference: ``raw_outputs`` for the suffixes; ``memory_signing`` for what a description of the content means.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sealwright.core.errors import FormatError
from sealwright.core.images import ByteSource, Message, Range
from sealwright.formats import cose, memory_signing, raw_cose, raw_minisign, raw_ssh, signed_data
from sealwright.formats.cms_shapes import DATA
from sealwright.formats.interface import Format, HasContent
from sealwright.formats.raw_outputs import SUFFIXES, Output

WHOLE_FILE = "the whole file"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureFile:
    """What one says; ``FormatError`` is raised where it is damaged."""

    algorithm: str
    signer: str
    signing_time: int | None
    covers: str
    """``the whole file``, or what the signer says of the content."""
    fits: bool | None
    """Whether the image has the digest in the file; None where only the signature could tell."""


def read(suffix: str, content: bytes, image: ByteSource, image_format: Format) -> SignatureFile:
    """Read a signature file with one of the ``SUFFIXES``."""
    match SUFFIXES[suffix]:
        case Output.CMS:
            return _cms(content, image, image_format)
        case Output.COSE:
            return _cose(content)
        case Output.SSHSIG:
            algorithm, signer = raw_ssh.describe(content)
        case Output.MINISIGN:
            algorithm, signer, time = raw_minisign.describe(content)
            return SignatureFile(algorithm=algorithm, signer=signer, signing_time=time, covers=WHOLE_FILE, fits=None)
    return SignatureFile(algorithm=algorithm, signer=signer, signing_time=None, covers=WHOLE_FILE, fits=None)


def _cms(content: bytes, image: ByteSource, image_format: Format) -> SignatureFile:
    signed = signed_data.parse(content)
    if signed.content_type != DATA or signed.content is not None:
        raise FormatError("not a detached signature over data")
    return SignatureFile(
        algorithm=signed.description,
        signer=signed.signer,
        signing_time=signed.signing_time,
        covers=signed.content_description or WHOLE_FILE,
        fits=_fits(signed, image, image_format),
    )


def _fits(signed: signed_data.SignedData, image: ByteSource, image_format: Format) -> bool | None:
    """Compare the digest in the file; None where hash or content are none that are known here."""
    if signed.algorithm is None:
        return None
    if signed.content_description is None:
        return Message((Range(0, image.size),)).digest(image, signed.digest_algorithm) == signed.message_digest
    if not isinstance(image_format, HasContent):
        return None
    try:
        described = memory_signing.Content.described(signed.content_description)
        return memory_signing.digest_of(_described(described, image, image_format), signed.digest_algorithm) == (
            signed.message_digest
        )
    except FormatError:  # another content than these, or a window that this image does not fit
        return None


def _described(described: memory_signing.Content, image: ByteSource, known: HasContent) -> Iterator[bytes]:
    window = dict(zip(("base", "size", "fill"), described.window or (), strict=False))
    return known.content(image, {"profile": str(described.profile), **window})


def _cose(content: bytes) -> SignatureFile:
    signed = cose.parse_sign1(content)
    if signed.payload is not None:
        raise FormatError("not a detached signature")
    claims = signed.header.get(raw_cose.CLAIMS)
    time = claims.get(raw_cose.ISSUED_AT) if isinstance(claims, Mapping) else None
    return SignatureFile(
        algorithm=signed.algorithm or f"COSE algorithm {str(signed.header.get(cose.ALGORITHM))[:40]}",
        signer=signed.key_id.hex()[:16] if signed.key_id else "key not named",
        signing_time=time if type(time) is int else None,
        covers=WHOLE_FILE,
        fits=None,
    )
