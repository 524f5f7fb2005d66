"""Digests and fingerprints as people type them: the first digits are enough where they mean one thing."""

import re
from collections.abc import Iterable

from sealwright.core.errors import Code, RefusedError

LEAST_DIGITS = 4
_SHORT = re.compile(f"[0-9a-f]{{{LEAST_DIGITS},63}}")


def whole(text: str, known: Iterable[str], what: str) -> str:
    """Return the one of ``known`` that begins with ``text``; ``text`` itself where none does or it is no short form.

    ``RefusedError`` (``conflict``) where several begin so: nobody shall sign or revoke what was not meant.
    """
    if not _SHORT.fullmatch(text):
        return text
    found = sorted({one for one in known if one.startswith(text)})
    if len(found) > 1:
        raise RefusedError(
            f"{len(found)} {what}s begin with {text}", code=Code.CONFLICT, hint=f"give more of it: {', '.join(found)}"
        )
    return found[0] if found else text
