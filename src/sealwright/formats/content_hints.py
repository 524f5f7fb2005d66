"""The signed CMS attribute that says what the signed bytes are: a text for people and verifiers.

Reference: RFC 2634, section 2.9 (id-aa-contentHint); the content type in it is always id-data here.
"""

from typing import Any, ClassVar

from asn1crypto import core

from sealwright.core.errors import FormatError
from sealwright.formats.cms_shapes import DATA

CONTENT_HINT = "1.2.840.113549.1.9.16.2.4"
MAX_TEXT = 200


class ContentHints(core.Sequence):  # type: ignore[misc]
    """ContentHints (RFC 2634, section 2.9)."""

    _fields: ClassVar[list[Any]] = [
        ("content_description", core.UTF8String, {"optional": True}),
        ("content_type", core.ObjectIdentifier),
    ]


def attribute(text: str) -> dict[str, Any]:
    """Return the attribute that describes the content as ``text``."""
    hints = ContentHints({"content_description": text, "content_type": DATA})
    return {"type": CONTENT_HINT, "values": [core.Any.load(hints.dump())]}


def text_of(value: Any) -> str:
    """Return the description in the value of such an attribute; ``FormatError`` unless it describes data."""
    hints = ContentHints.load(value.dump(), strict=True)
    text = hints["content_description"].native
    if text is None or hints["content_type"].dotted != DATA or not 0 < len(text) <= MAX_TEXT or not text.isascii():
        raise FormatError("CMS content hint does not describe data in plain words")
    return str(text)
