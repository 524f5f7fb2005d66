"""What changed between two images, said in what their formats say of them: facts, signatures, coverage.

Generic: every format's inspection can be compared.  Contents are hashed, covered or not, so that a change which no
fact tells is seen too.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sealwright.core.images import ByteSource, Message
from sealwright.formats.interface import Inspection

FORMAT, COVERED, UNCOVERED = "format", "covered bytes", "not covered"
_COUNTED = ("security counter", "secure version", "sequence number", "lowest supported version")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """An image, and what its format says of it."""

    source: ByteSource
    inspection: Inspection


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that differs; None where one of the images lacks it."""

    label: str
    before: str | None
    after: str | None

    @property
    def is_rollback(self) -> bool:
        """Whether a number that devices compare before they install went down."""
        if not any(word in self.label.lower() for word in _COUNTED) or self.before is None or self.after is None:
            return False
        before, after = (re.match(r"(\d+)(?![\d.])", value) for value in (self.before, self.after))
        return before is not None and after is not None and int(after[1]) < int(before[1])


def changes(old: Inspected, new: Inspected) -> tuple[Change, ...]:
    """Return what differs, in the order in which the new image shows it; what only the old one has comes last."""
    before, after = _statements(old), _statements(new)
    labels = [*after, *(label for label in before if label not in after)]
    return tuple(
        Change(label=label, before=before.get(label), after=after.get(label))
        for label in labels
        if before.get(label) != after.get(label)
    )


def _statements(image: Inspected) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for label, value in _labelled(image):
        # Two statements under one label are one statement.
        found[label] = f"{found[label]}; {value}" if label in found else value
    return found


def _labelled(image: Inspected) -> Iterator[tuple[str, str]]:
    inspection = image.inspection
    yield FORMAT, inspection.format
    yield from inspection.facts.items()
    for signature in inspection.signatures:
        if f"signature {signature.name}" not in inspection.facts:
            yield f"signature {signature.name}", f"{signature.algorithm} by {signature.signer}"
    covered = Message(inspection.covered)
    yield COVERED, f"{covered.size}, SHA-256 {covered.digest(image.source, 'sha256').hex()}"
    for part, reason in inspection.uncovered:
        digest = Message((part,)).digest(image.source, "sha256").hex()
        yield f"{UNCOVERED}: {reason}", f"{part.stop - part.start} bytes, SHA-256 {digest}"
