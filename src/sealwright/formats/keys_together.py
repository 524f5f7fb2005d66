"""Which keys can sign one image together: what ``prepare`` of a format would refuse of them, asked without an image.

Each rule is the function that ``prepare`` calls itself.  What a target can verify and whether an image has room is
not asked: that takes the target and the image.
"""

from collections.abc import Callable, Sequence

from sealwright.formats import FORMATS, cms, esp32_signing, mcuboot_signing, pe, raw, raw_outputs, suit_signing
from sealwright.formats import fit_algorithms as fit
from sealwright.formats.esp32_blocks import MAX_BLOCKS
from sealwright.formats.fit_contents import FORMAT_NAME as FIT
from sealwright.formats.interface import SigningKey

SEVERAL = {
    FIT: "several RSA keys",
    pe.name: "several keys",
    esp32_signing.NAME: f"up to {MAX_BLOCKS} keys of one algorithm",
    suit_signing.NAME: "several keys",
    raw.name: "one key of each kind (classical, ML-DSA, SLH-DSA, HSS/LMS)",
}
"""What signs one image together; a format that is not here takes one key."""


def check_together(format_name: str, keys: Sequence[SigningKey]) -> None:
    """Raise ``FormatError`` for keys that cannot sign one image of a format together; ``KeyError``: no such format."""
    rule = _RULES.get(FORMATS[format_name].name)
    if rule is not None:
        rule(keys)
    else:
        cms.only_key(keys, format_name)


def _fit(keys: Sequence[SigningKey]) -> None:
    for key in keys:
        fit.algo_of(key.public_key, key.algorithm)


_RULES: dict[str, Callable[[Sequence[SigningKey]], object]] = {
    FIT: _fit,
    pe.name: lambda keys: cms.distinct_keys(keys, pe.name),
    esp32_signing.NAME: esp32_signing.check_together,
    suit_signing.NAME: suit_signing.check_together,
    raw.name: raw_outputs.check_together,
    mcuboot_signing.NAME: mcuboot_signing.only_key,
}
