"""What of an image a request left to others: an image may be signed in portions, and its holder must know."""

from collections.abc import Mapping

from sealwright.core.images import ByteSource
from sealwright.evidence.verify import VerifiedEvidence
from sealwright.formats.interface import Format, SignsPortions


def left_over(verified: VerifiedEvidence, image: ByteSource, formats: Mapping[str, Format]) -> tuple[str, ...]:
    """Return notes on the parts of a signed image that its request did not sign; of most formats there are none."""
    module = formats[verified.artifact.image_format]
    return module.left_over(image, verified.artifact.options) if isinstance(module, SignsPortions) else ()
