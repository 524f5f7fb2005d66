"""Ids as people type them: refused with an example, where the document would say which regular expression failed."""

import re

from sealwright.core.errors import ConfigurationError

_ID = re.compile("[a-z0-9][a-z0-9._/-]{0,95}")
"""``records.Id``."""
# fmt: off
_STATES = frozenset((
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU",
    "IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
))
# fmt: on
"""ISO 3166-1 codes of the member states of the European Union."""


def check_id(text: str, setting: str, example: str, *, slashes: bool = False) -> None:
    """Raise ``ConfigurationError`` for a text that cannot be an id in a signed document."""
    if _ID.fullmatch(text) and (slashes or "/" not in text):
        return
    near = re.sub("[^a-z0-9._-]+", "-", text.strip().lower()).strip("-._")
    raise ConfigurationError(
        f"{text[:80]!r} cannot be an id",
        setting=setting,
        hint=f"lower-case letters, digits, dots and dashes, as {near[:40] if near and not slashes else example}",
    )


def check_member_state(code: str) -> None:
    """Raise ``ConfigurationError`` for a code that names no member state of the European Union."""
    if code not in _STATES:
        close = {"EL": "GR", "UK": ""}.get(code.upper(), code.upper())
        meant = f"did you mean {close}? " if close in _STATES else ""
        raise ConfigurationError(
            f"{code[:20]!r} is no member state of the European Union",
            setting="--member-state",
            hint=f"{meant}ISO 3166 codes: {', '.join(sorted(_STATES))}",
        )
