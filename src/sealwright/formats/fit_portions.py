"""A FIT signed in portions: some configurations by one request, the rest by others.

One request holds 200 signatures at most, FITs for many boards have more configurations, and a key is changed one
release at a time.  A portion is judged by what its request was to sign; ``verify`` judges the whole.
"""

from collections.abc import Collection, Mapping
from typing import Any

from sealwright.core import records
from sealwright.core.errors import VerificationError
from sealwright.core.images import ByteSource
from sealwright.formats.fit_contents import Fit, load
from sealwright.formats.fit_places import Options
from sealwright.formats.fit_verification import verify_configurations
from sealwright.formats.interface import Trust, Verified

MAX_NAMED = 8


def verify_portion(image: ByteSource, trust: Trust, options: Mapping[str, Any]) -> Verified:
    """Verify the configurations that a request with these frozen options signed, and the data of every image."""
    fit = load(image)
    names = _asked(fit, options)
    missing = [name for name in names if name not in fit.configurations]
    if missing:
        raise VerificationError(f"the image has no configuration {missing[0]!a}, which was to be signed")
    return verify_configurations(image, fit, [fit.configurations[name] for name in names], trust)


def left_over(image: ByteSource, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Say which configurations a request with these frozen options left to others."""
    fit = load(image)
    names = _asked(fit, options)
    others = [configuration for name, configuration in fit.configurations.items() if name not in names]
    bare: list[str] = []
    signed: list[str] = []
    for configuration in others:
        has_signature = any("value" in node.properties for node in configuration.signature_nodes)
        (signed if has_signature else bare).append(configuration.name)
    notes = []
    if bare:
        wanted = _spelled(bare, ",")
        notes.append(f"not signed yet: configuration {wanted}; sign it in this file, --option configurations={wanted}")
    if signed:
        notes.append(f"signatures of other requests, not judged here: configuration {_spelled(signed, ', ')}")
    return tuple(notes)


def _asked(fit: Fit, options: Mapping[str, Any]) -> Collection[str]:
    return records.load(Options, options).configurations or tuple(fit.configurations)


def _spelled(names: Collection[str], separator: str) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return separator.join([*names][:MAX_NAMED]) + more
