"""What an approver should ask about the commands of a manifest: one sentence each, nothing is refused for it.

The sentences say what the draft requires or what a device would do, by component.
Reference: draft-ietf-suit-manifest-34, sections 6.2 (required checks), 7 (templates) and 8.4.5; RFC 9124, section 3.
"""

from collections.abc import Iterable, Iterator

from sealwright.formats.suit_flow import Effect, effects
from sealwright.formats.suit_labels import (
    CONDITIONS,
    DIRECTIVES,
    INVOCATION,
    PARAMETERS,
    SEVERABLE,
    UPDATE,
    Command,
    Member,
    Parameter,
)
from sealwright.formats.suit_manifest import Manifest, Step

_MOVES = (Command.FETCH, Command.COPY, Command.WRITE, Command.SWAP)
_UNSIGNED_MOVES = (Command.FETCH, Command.COPY, Command.SWAP)
"""Those whose content does not stand in the manifest."""
_MATCHES = (Command.IMAGE_MATCH, Command.CHECK_CONTENT)
_IN_SHARED = {*CONDITIONS, 12, 15, 19, 20, 32, 34, 35}
"""What a shared sequence may hold (section 8.4.5): conditions, and directives without side effects."""
MAX_FINDINGS = 64


def findings(manifest: Manifest) -> tuple[str, ...]:
    """Return the findings, each once, in the order of the rules below."""
    found: dict[str, None] = {}
    seen = tuple(effects(manifest))
    for rule in (_counters, _strangers, _identity, _shared, _moves, _checks, _invocation, _dependencies):
        for text in rule(manifest, seen):
            found[text] = None
            if len(found) > MAX_FINDINGS:
                return (*list(found)[:MAX_FINDINGS], "there are more findings than are listed")
    return tuple(found)


def steps(manifest: Manifest) -> Iterator[Step]:
    """Yield every command of the manifest, also those inside others."""
    todo = list(reversed([*manifest.shared, *(s for sequence in manifest.sequences.values() for s in sequence)]))
    while todo:
        step = todo.pop()
        yield step
        todo += [inner for branch in reversed(step.branches) for inner in reversed(branch or ())]


def _counters(manifest: Manifest, _: tuple[Effect, ...]) -> Iterator[str]:
    if manifest.sequence_number == 0:
        yield "sequence number is 0: no manifest is older, so this one replaces nothing that counts"
    for member in manifest.severed:
        yield f"{member.title} is severed: only its digest is here, what it says is not shown"
    for number in manifest.unknown:
        yield f"manifest member {number} is not known here: ask what it does"


def _strangers(manifest: Manifest, _: tuple[Effect, ...]) -> Iterator[str]:
    known = frozenset(manifest.indexes)
    for step in steps(manifest):
        if step.number not in CONDITIONS and step.number not in DIRECTIVES:
            yield f"command {step.number} is not known here: ask what it does"
        if step.number in (Command.OVERRIDE_PARAMETERS, Command.SET_PARAMETERS):
            for key in step.argument:
                if key not in PARAMETERS:
                    yield f"parameter {key} is not known here: ask what it does"
            if step.argument.get(Parameter.SOFT_FAILURE) is True:
                yield "soft-failure is set: a condition that fails ends its sequence, and the rest goes on"
        if step.number == Command.SET_COMPONENT_INDEX:
            named = step.argument if isinstance(step.argument, list) else [step.argument]
            yield from _unknown_indexes(known, "selected", [index for index in named if index is not True])
        if step.number == Command.OVERRIDE_MULTIPLE and isinstance(step.argument, dict):
            yield from _unknown_indexes(known, "given parameters", step.argument)
        if step.number == Command.TRY_EACH and None in step.branches:
            yield "a try-each may do nothing: its last alternative is empty"


def _unknown_indexes(known: frozenset[int], what: str, named: Iterable[object]) -> Iterator[str]:
    for index in named:
        if type(index) is not int or index not in known:
            yield f"component {str(index)[:20]} is {what}, but the manifest has none of that index"


def _identity(_: Manifest, seen: tuple[Effect, ...]) -> Iterator[str]:
    for command, parameter, title in (
        (Command.VENDOR_IDENTIFIER, Parameter.VENDOR_ID, "vendor"),
        (Command.CLASS_IDENTIFIER, Parameter.CLASS_ID, "class"),
    ):
        checks = [effect for effect in seen if effect.number == command]
        if not checks:
            yield f"no condition asks for the {title} identifier: any device takes this manifest"
        elif not all(_is_set(effect, parameter) for effect in checks):
            yield f"the {title} identifier is asked for, but may not be set"
        elif not any(effect.in_shared for effect in checks):
            yield f"the {title} identifier is not asked for in the shared sequence, but in single sequences"


def _shared(manifest: Manifest, seen: tuple[Effect, ...]) -> Iterator[str]:
    for name, sequence in (
        ("shared-sequence", manifest.shared),
        *((m.title, s) for m, s in manifest.sequences.items()),
    ):
        begins = bool(sequence) and sequence[0].number == Command.SET_COMPONENT_INDEX
        if sequence and not begins and len(manifest.indexes) > 1:
            yield f"{name} does not begin by selecting a component, and there are {len(manifest.indexes)}"
    for effect in seen:
        if effect.in_shared and effect.number not in _IN_SHARED:
            what = DIRECTIVES.get(effect.number, f"command {effect.number}")
            yield f"the shared sequence holds {what}, which belongs to a sequence of its own"


def _moves(manifest: Manifest, seen: tuple[Effect, ...]) -> Iterator[str]:
    for effect in seen:
        if effect.number not in _MOVES:
            continue
        what = f"{effect.sequence.title}: {DIRECTIVES[effect.number]} into {_name(manifest, effect.index)}"
        if effect.number == Command.FETCH:
            if not _is_set(effect, Parameter.URI):
                yield f"{what} without a URI"
            for uri in sorted(value for value in effect.values(Parameter.URI) if isinstance(value, str)):
                if uri.startswith("http://"):
                    yield f"{what} from {uri[:100]}: without transport security, who listens sees it"
        if effect.number == Command.WRITE and not _is_set(effect, Parameter.CONTENT):
            yield f"{what} without content"
        if effect.number == Command.COPY and not _is_set(effect, Parameter.SOURCE_COMPONENT):
            yield f"{what} without a source component"
        if effect.number == Command.FETCH and not _is_set(effect, Parameter.IMAGE_SIZE):
            yield f"{what} without an image size: nothing bounds what is downloaded"


def _checks(manifest: Manifest, seen: tuple[Effect, ...]) -> Iterator[str]:
    for effect in seen:
        if effect.number in _MATCHES and not _can_match(effect):
            condition = CONDITIONS[effect.number]
            yield f"{effect.sequence.title}: {condition} of {_name(manifest, effect.index)} without a digest to compare"
    unchecked: dict[int, Effect] = {}
    for effect in seen:
        if effect.procedure == "update" and effect.number in _UNSIGNED_MOVES:
            unchecked[effect.index] = effect
        elif effect.procedure == "update" and effect.number in (*_MATCHES, Command.DEPENDENCY_INTEGRITY):
            unchecked.pop(effect.index, None)
        elif effect.number == Command.PROCESS_DEPENDENCY:
            unchecked.pop(effect.index, None)  # which verifies the manifest in it
    if set(manifest.severed) & set(UPDATE):
        return
    for index, effect in unchecked.items():
        where = f"{_name(manifest, index)} is written by {DIRECTIVES[effect.number]} in {effect.sequence.title}"
        yield f"{where} and never compared with a digest: any content will do"


def _invocation(manifest: Manifest, seen: tuple[Effect, ...]) -> Iterator[str]:
    validated = {e.index for e in seen if e.sequence is Member.VALIDATE and e.number in _MATCHES}
    for effect in seen:
        if effect.number == Command.INVOKE and effect.sequence in INVOCATION and effect.index not in validated:
            yield f"{_name(manifest, effect.index)} is invoked, and no image-match validates it before"
    if not manifest.sequences and not set(manifest.severed) & set(SEVERABLE):
        yield "manifest has no command sequence: it does nothing"


def _dependencies(manifest: Manifest, seen: tuple[Effect, ...]) -> Iterator[str]:
    checked: set[int] = set()
    for effect in seen:
        if effect.number in (Command.DEPENDENCY_INTEGRITY, *_MATCHES):
            checked.add(effect.index)
        elif effect.number == Command.PROCESS_DEPENDENCY:
            if effect.index not in manifest.dependencies:
                yield f"process-dependency of {_name(manifest, effect.index)}, which is no dependency"
            elif effect.index not in checked and not _is_set(effect, Parameter.IMAGE_DIGEST):
                what = f"{effect.sequence.title}: dependency {effect.index} is processed without a digest"
                yield f"{what}: any manifest by a trusted signer will do"


def _is_set(effect: Effect, parameter: Parameter) -> bool:
    values = effect.values(parameter)
    return bool(values) and None not in values


def _can_match(effect: Effect) -> bool:
    wanted = Parameter.CONTENT if effect.number == Command.CHECK_CONTENT else Parameter.IMAGE_DIGEST
    return _is_set(effect, wanted)


def _name(manifest: Manifest, index: int) -> str:
    return f"dependency {index}" if index in manifest.dependencies else f"component {index}"
