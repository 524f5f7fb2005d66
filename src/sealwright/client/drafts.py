"""A policy in the making: the sections in force with changes, kept in a file until they are proposed.

An unchanged section keeps its exact bytes and salt, so that votes waiting under its rules stay valid.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from sealwright.client.files import read_small
from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.errors import Code, RefusedError
from sealwright.core.records import Bounds, Count, Digest
from sealwright.policy.documents import DAY_SECONDS, SECTION_KINDS, Policy, Root, Section
from sealwright.policy.sections import Sections, load_complete, parse_section, sections_root

S = TypeVar("S", bound=Section)
_NAMES: dict[type[object], str] = {kind: name for name, kind in SECTION_KINDS.items()}
POLICY_LIFETIME_SECONDS = 366 * DAY_SECONDS
MAX_DRAFT_BYTES = 64 << 20
SALT_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftFile:
    """A draft as it is kept: what it started from, and all its sections."""

    type: Literal["policy-draft"]
    format: Literal[1]
    instance: Digest
    base_version: Count
    sections: Annotated[tuple[bytes, ...], Bounds(0, 65536)]


class Draft:
    """Sections by kind and id, the unchanged ones as exact bytes."""

    def __init__(
        self, *, instance: str, base_version: int, sections: tuple[bytes, ...], entropy: Callable[[int], bytes]
    ) -> None:
        self.instance, self.base_version, self._entropy = instance, base_version, entropy
        self._sections: dict[tuple[str, str], tuple[bytes, Section]] = {}
        for data in sections:
            section = parse_section(data)
            self._sections[section.type, section.id] = data, section

    def put(self, section: Section) -> None:
        """Add or change a section; it gets a fresh salt unless nothing else changed."""
        key = section.type, section.id
        old = self._sections.get(key)
        if old is not None and old[1] == replace(section, salt=old[1].salt):
            return
        fresh = replace(section, salt=self._entropy(SALT_BYTES).hex())
        self._sections[key] = records.serialise(fresh), fresh

    def get(self, kind: type[S], section_id: str) -> S | None:
        """Return a section, or None."""
        _, found = self._sections.get((_NAMES[kind], section_id), (b"", None))
        return found if isinstance(found, kind) else None

    def all(self, kind: type[S]) -> list[S]:
        """Return every section of a kind, by id."""
        return [section for _, (_, section) in sorted(self._sections.items()) if isinstance(section, kind)]

    def remove(self, kind: str, section_id: str) -> None:
        """Take a section out; ``RefusedError`` (``not-found``) when it is not there."""
        if self._sections.pop((kind, section_id), None) is None:
            raise RefusedError(f"the draft has no {kind} {section_id}", code=Code.NOT_FOUND)

    def take_over(self, in_force: Iterable[bytes]) -> None:
        """Take the exact bytes of what is in force for each section that says the same: the votes stay valid."""
        for data in in_force:
            section = parse_section(data)
            mine = self._sections.get((section.type, section.id))
            if mine is not None and replace(mine[1], salt=section.salt) == section:
                self._sections[section.type, section.id] = data, section

    @property
    def sections(self) -> tuple[bytes, ...]:
        """All sections, exact bytes, by kind and id."""
        return tuple(data for _, (data, _) in sorted(self._sections.items()))

    def head(self, root_digest: str, *, now: int, lifetime_seconds: int = POLICY_LIFETIME_SECONDS) -> Policy:
        """Return the unsigned head over the sections as they are."""
        kept = sorted(self._sections.items())
        digests = [document_digest(kind, self.instance, data) for (kind, _), (data, _) in kept]
        return Policy(
            type="policy",
            format=1,
            salt=self._entropy(SALT_BYTES).hex(),
            version=self.base_version + 1,
            root=root_digest,
            created=now,
            expires=now + lifetime_seconds,
            section_count=len(digests),
            sections_root=sections_root(digests),
        )

    def check(self, root: Root, root_digest: str, *, now: int) -> Sections:
        """Compile the draft as signer and server will; ``RefusedError`` names the rule it breaks."""
        return load_complete(self.head(root_digest, now=now), self.sections, root, self.instance)

    def save(self, path: Path) -> None:
        """Keep the draft in a file."""
        data = records.serialise(
            DraftFile(
                type="policy-draft",
                format=1,
                instance=self.instance,
                base_version=self.base_version,
                sections=self.sections,
            )
        )
        new = path.with_suffix(".new")
        new.write_bytes(data)
        new.replace(path)


def discard(path: Path) -> Path | None:
    """Put the draft aside; return the copy, which replaces an older one, or None when there was no draft."""
    if not path.is_file():
        return None
    return path.replace(discarded_path(path))


def take_up(path: Path) -> None:
    """Take the draft that was discarded last up again; ``RefusedError`` where there is none, or another draft."""
    copy = discarded_path(path)
    if path.exists():
        raise RefusedError("there is a draft already", code=Code.CONFLICT, hint="`sealwright policy discard`")
    if not copy.is_file():
        raise RefusedError("no draft was discarded", code=Code.NOT_FOUND)
    copy.replace(path)


def discarded_path(path: Path) -> Path:
    """Return where the draft that was discarded last lies."""
    return path.with_suffix(".discarded.json")


def load_draft(path: Path, entropy: Callable[[int], bytes]) -> Draft:
    """Read a kept draft."""
    data = read_small(path, max_bytes=MAX_DRAFT_BYTES, what="policy draft")
    kept = records.parse(DraftFile, data, max_bytes=MAX_DRAFT_BYTES)
    return Draft(instance=kept.instance, base_version=kept.base_version, sections=kept.sections, entropy=entropy)
