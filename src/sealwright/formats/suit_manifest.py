"""The SUIT manifest: counters, components, and command sequences taken apart.

What stands severed is kept as its digest, and joined with the envelope's member where that is there.
Reference: draft-ietf-suit-manifest-34, section 8.4; draft-ietf-suit-trust-domains-12, section 5.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sealwright.core.errors import Code, FormatError
from sealwright.core.images import ByteSource
from sealwright.formats import deterministic_cbor as cbor
from sealwright.formats.suit_envelope import Digest, Envelope, read_digest, read_member
from sealwright.formats.suit_labels import COMPONENTS, DEPENDENCIES, SEQUENCES, SEVERABLE, SHARED, Command, Member

MAX_COMMANDS = 1024
MAX_COMPONENTS = 256
MAX_SEQUENCE_DEPTH = 8
ComponentId = tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command with its argument; a try-each or run-sequence has the sequences below it."""

    number: int
    argument: Any
    branches: tuple[tuple["Step", ...] | None, ...] = ()
    """None is the empty alternative of a try-each: do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest as read, with the severable members that its envelope still has."""

    version: int
    sequence_number: int
    components: tuple[ComponentId, ...]
    dependencies: Mapping[int, ComponentId | None]
    """Index to prefix."""
    shared: tuple[Step, ...]
    sequences: Mapping[Member, tuple[Step, ...]]
    digests: Mapping[Member, Digest]
    """Of the severable members that do not stand in the manifest itself."""
    severed: tuple[Member, ...]
    """Those of them that the envelope does not have either."""
    component_id: ComponentId | None
    reference_uri: str | None
    set_version: tuple[int, ...] | None
    text: Mapping[Any, Any] | None
    coswid_bytes: int | None
    """Length of the software identity tag, which is not taken apart."""
    unknown: Mapping[int, Any]

    @property
    def indexes(self) -> tuple[int, ...]:
        """Every index that a command can name."""
        return (*range(len(self.components)), *self.dependencies)


def read(image: ByteSource, envelope: Envelope) -> Manifest:
    """Take the manifest apart; ``FormatError`` where it is not what the drafts say."""
    element = envelope.manifest
    members = _map(read_member(image, element), "manifest", element.content)
    version = members.get(Member.VERSION)
    if type(version) is not int or version != 1:
        raise FormatError(f"manifest version {version!s:.20}, only 1 is known", code=Code.UNSUPPORTED_IMAGE)
    number = members.get(Member.SEQUENCE_NUMBER)
    if type(number) is not int or number < 0:
        raise FormatError("manifest has no sequence number")
    common = _map(_bytes(members.get(Member.COMMON), "common"), "common")
    components, dependencies = _components(common)
    bodies, digests, severed = _severable(image, envelope, members)
    known = {m.value for m in Member}
    counter = _Counter()
    return Manifest(
        version=version,
        sequence_number=number,
        components=components,
        dependencies=dependencies,
        shared=_shared(common, counter),
        sequences={m: _steps(bodies[m], m.title, counter) for m in SEQUENCES if m in bodies},
        digests=digests,
        severed=severed,
        component_id=None if Member.COMPONENT_ID not in members else _component_id(members[Member.COMPONENT_ID]),
        reference_uri=_reference_uri(members),
        set_version=_set_version(members),
        text=_map(bodies[Member.TEXT], "text") if Member.TEXT in bodies else None,
        coswid_bytes=len(bodies[Member.COSWID]) if Member.COSWID in bodies else None,
        unknown={n: value for n, value in members.items() if n not in known},
    )


def _severable(
    image: ByteSource, envelope: Envelope, members: Mapping[int, Any]
) -> tuple[dict[Member, bytes], dict[Member, Digest], tuple[Member, ...]]:
    """Join the manifest's members with those of the envelope; each stands in one of the two places."""
    bodies: dict[Member, bytes] = {}
    digests: dict[Member, Digest] = {}
    for member in {*SEQUENCES, *SEVERABLE}:
        beside = envelope.find(member) if member in SEVERABLE else None
        value = members.get(member)
        if isinstance(value, list) and member in SEVERABLE:
            digests[member] = read_digest(value)
            if beside:
                bodies[member] = read_member(image, beside)
            continue
        if beside:
            why = "a digest of it is not in the manifest" if value is None else "it stands in the manifest too"
            raise FormatError(f"envelope holds {member.title}, but {why}", at=beside.start)
        if value is not None:
            bodies[member] = _bytes(value, member.title)
    known = {*SEVERABLE, 2, 3}
    strange = next((e for e in envelope.elements if isinstance(e.label, int) and e.label not in known), None)
    if strange:
        raise FormatError(
            f"envelope member {strange.label} is not known here, and no digest covers it",
            at=strange.start,
            code=Code.UNSUPPORTED_IMAGE,
        )
    severed = tuple(member for member in SEVERABLE if member in digests and member not in bodies)
    return bodies, digests, severed


def _components(common: Mapping[int, Any]) -> tuple[tuple[ComponentId, ...], dict[int, ComponentId | None]]:
    listed = common.get(COMPONENTS, [])
    if not isinstance(listed, list) or len(listed) > MAX_COMPONENTS:
        raise FormatError(f"components are not a list of at most {MAX_COMPONENTS}")
    components = tuple(_component_id(component) for component in listed)
    stated = common.get(DEPENDENCIES, {})
    if not isinstance(stated, dict) or len(stated) > MAX_COMPONENTS:
        raise FormatError(f"dependencies are not a map of at most {MAX_COMPONENTS}")
    dependencies: dict[int, ComponentId | None] = {}
    for index, about in stated.items():
        if type(index) is not int or index < len(components) or not isinstance(about, dict):
            raise FormatError("a dependency has no index of its own")
        dependencies[index] = _component_id(about[1]) if 1 in about else None
    if not components and not dependencies:
        raise FormatError("manifest names neither components nor dependencies")
    return components, dependencies


def _component_id(value: Any) -> ComponentId:
    if not isinstance(value, list) or not all(isinstance(part, bytes) for part in value):
        raise FormatError("component identifier is not a list of byte strings")
    return tuple(value)


def _shared(common: Mapping[int, Any], counter: "_Counter") -> tuple[Step, ...]:
    if SHARED not in common:
        return ()
    return _steps(_bytes(common[SHARED], "shared-sequence"), "shared-sequence", counter)


class _Counter:
    """Counts the commands of all sequences of one manifest."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, more: int) -> None:
        self.count += more
        if self.count > MAX_COMMANDS:
            raise FormatError(f"manifest of more than {MAX_COMMANDS} commands", code=Code.UNSUPPORTED_IMAGE)


def _steps(data: bytes, what: str, counter: _Counter, depth: int = 0) -> tuple[Step, ...]:
    if depth > MAX_SEQUENCE_DEPTH:
        raise FormatError(f"command sequences nested deeper than {MAX_SEQUENCE_DEPTH}", code=Code.UNSUPPORTED_IMAGE)
    flat = cbor.decode(data, what=what)
    if not isinstance(flat, list) or len(flat) % 2:
        raise FormatError(f"{what} is not a list of commands with one argument each")
    counter.add(len(flat) // 2)
    return tuple(_step(flat[i], flat[i + 1], what, counter, depth) for i in range(0, len(flat), 2))


def _step(number: Any, argument: Any, what: str, counter: _Counter, depth: int) -> Step:
    if type(number) is not int:
        raise FormatError(f"{what} has a command that is not a number")
    if number == Command.SET_COMPONENT_INDEX and isinstance(argument, list) and len(argument) > 2 * MAX_COMPONENTS:
        raise FormatError(f"{what} selects {len(argument)} components, at most {2 * MAX_COMPONENTS} are read")
    if number in (Command.OVERRIDE_PARAMETERS, Command.SET_PARAMETERS):
        if not isinstance(argument, dict) or not all(type(key) is int for key in argument):
            raise FormatError(f"{what} sets parameters that are no map of numbers")
        if isinstance(digest := argument.get(3), bytes):
            read_digest(cbor.decode(digest, what="image-digest"))
    return Step(number=number, argument=argument, branches=tuple(_branches(number, argument, what, counter, depth)))


def _branches(
    number: int, argument: Any, what: str, counter: _Counter, depth: int
) -> Iterator[tuple[Step, ...] | None]:
    if number == Command.RUN_SEQUENCE:
        yield _steps(_bytes(argument, f"run-sequence in {what}"), what, counter, depth + 1)
    elif number == Command.TRY_EACH:
        if not isinstance(argument, list) or not argument:
            raise FormatError(f"try-each in {what} has no alternatives")
        counter.add(len(argument))
        for sequence in argument:
            yield None if sequence is None else _steps(_bytes(sequence, "alternative"), what, counter, depth + 1)


def _reference_uri(members: Mapping[int, Any]) -> str | None:
    value = members.get(Member.REFERENCE_URI)
    if value is not None and not isinstance(value, str):
        raise FormatError("reference URI is not a text")
    return value


def _set_version(members: Mapping[int, Any]) -> tuple[int, ...] | None:
    if Member.SET_VERSION not in members:
        return None
    value = cbor.decode(_bytes(members[Member.SET_VERSION], "set-version"), what="set-version")
    if not isinstance(value, list) or not all(type(part) is int for part in value):
        raise FormatError("set-version is not a list of numbers")
    return tuple(value)


def _map(data: bytes, what: str, base: int = 0) -> dict[Any, Any]:
    value = cbor.decode(data, what=what, base=base)
    if not isinstance(value, dict):
        raise FormatError(f"{what} is not a map", at=base or None)
    return value


def _bytes(value: Any, what: str) -> bytes:
    if not isinstance(value, bytes):
        raise FormatError(f"{what} is missing, or is not a byte string")
    return value
