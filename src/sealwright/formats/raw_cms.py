"""The detached CMS beside a raw file.  References: RFC 5652, section 5; RFC 9882 (ML-DSA); RFC 9814 (SLH-DSA);
RFC 9708 (HSS/LMS).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.formats import cms, signed_data
from sealwright.formats.cms_shapes import DATA
from sealwright.formats.interface import Slot, Trust
from sealwright.formats.raw_outputs import Digest, Found, Output, suffix_of


@dataclass(frozen=True, slots=True, kw_only=True)
class CmsDraft:
    """A detached SignedData."""

    inner: cms.Draft

    @property
    def suffix(self) -> str:
        return suffix_of(Output.CMS, self.inner.key.algorithm)

    def slots(self) -> tuple[Slot, ...]:
        return (self.inner.slot(),)

    def content(self, signatures: Sequence[bytes]) -> bytes:
        (signature,) = signatures
        return self.inner.assemble({cms.SLOT: signature})


def check(content: bytes, trust: Trust, digest: Digest) -> Found:
    """Check the signature, then the file against its message digest."""
    signed = signed_data.parse(content)
    if signed.content_type != DATA or signed.content is not None:
        raise FormatError(".p7s file is not a detached signature over data")
    key = signed.verify(trust)
    if signed.content_description is not None:
        raise VerificationError(
            "signature is for another content than the bytes of a file",
            expected="no description",
            got=signed.content_description,
            code=Code.IMAGE_MISMATCH,
        )
    got = digest(signed.digest_algorithm)
    if got != signed.message_digest:
        raise VerificationError(
            "image is not the one that was signed",
            expected=signed.message_digest.hex(),
            got=got.hex(),
            code=Code.IMAGE_MISMATCH,
        )
    assert signed.algorithm is not None  # noqa: S101 - verify refuses what is none of ours
    return Found(signed.algorithm, signed.signer, key)
