"""What the commands of a manifest do to which component, followed without running them.

Every parameter of every component is a set of values: the alternatives of a try-each leave the union of theirs, so a
set is what a device may have at that point.  Parameters last as long as a procedure (update, invocation); the shared
sequence runs at the start of each sequence.
Reference: draft-ietf-suit-manifest-34, section 6.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sealwright.core.errors import FormatError
from sealwright.formats import deterministic_cbor as cbor
from sealwright.formats.suit_envelope import Digest, read_digest
from sealwright.formats.suit_labels import INVOCATION, SEQUENCES, UPDATE, Command, Member, Parameter
from sealwright.formats.suit_manifest import Manifest, Step

Values = Mapping[int, frozenset[Any]]
"""Parameter to what it may be; one that may be absent holds None too, one that is absent is not there."""
MAX_EFFECTS = 1 << 13
MAX_LOOKUPS = 1 << 20
"""Parameters and indexes looked at: one short command can name, copy or join those of every component."""
MAX_PARAMETERS = 64
MAX_ALTERNATIVES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One command that reaches one component."""

    procedure: str
    sequence: Member
    in_shared: bool
    number: int
    index: int
    parameters: Values

    def values(self, parameter: Parameter) -> frozenset[Any]:
        return self.parameters.get(parameter, frozenset())


@dataclass(slots=True)
class _Budget:
    """What is left of the work that one manifest may cost."""

    effects: int = MAX_EFFECTS
    lookups: int = MAX_LOOKUPS

    def affect(self, count: int) -> None:
        self.effects -= count
        if self.effects < 0:
            raise FormatError(f"manifest has more than {MAX_EFFECTS} effects of commands on components")

    def look_up(self, count: int) -> None:
        self.lookups -= count
        if self.lookups < 0:
            raise FormatError(f"manifest names, copies or joins more than {MAX_LOOKUPS} parameters")


@dataclass(slots=True)
class _State:
    selected: tuple[int, ...]
    parameters: dict[int, Values] = field(default_factory=dict)

    def copy(self) -> "_State":
        return _State(self.selected, dict(self.parameters))

    def set(self, index: int, values: Mapping[Any, Any]) -> None:
        self.put(index, {key: frozenset([_frozen(value)]) for key, value in values.items()})

    def put(self, index: int, values: Values) -> None:
        """Set parameters of a component beside those that it has."""
        # A new mapping, never a change of the old one: effects hold on to what was.
        known = {**self.parameters.get(index, {}), **values}
        if len(known) > MAX_PARAMETERS:
            raise FormatError(f"component {index} has more than {MAX_PARAMETERS} parameters")
        self.parameters[index] = known


@dataclass(slots=True)
class _Run:
    """One walk through one sequence."""

    manifest: Manifest
    template: Effect
    budget: _Budget

    def follow(self, steps: Sequence[Step], state: _State) -> Iterator[Effect]:
        for step in steps:
            self.budget.affect(1 + len(state.selected))
            yield from self.one(step, state)

    def one(self, step: Step, state: _State) -> Iterator[Effect]:
        argument = step.argument
        for index in state.selected:
            known = state.parameters.get(index, {})
            yield replace(self.template, number=step.number, index=index, parameters=known)
        if step.number == Command.SET_COMPONENT_INDEX:
            self.budget.look_up(len(argument) if isinstance(argument, list) else 1)
            state.selected = _selection(argument, self.manifest.indexes)
        elif step.number in (Command.OVERRIDE_PARAMETERS, Command.SET_PARAMETERS):
            for index in state.selected:
                state.set(index, argument)
        elif step.number == Command.OVERRIDE_MULTIPLE and isinstance(argument, dict):
            self.override_each(argument, state)
        elif step.number == Command.COPY_PARAMS and isinstance(argument, dict):
            self.copy(argument, state)
        elif step.number == Command.RUN_SEQUENCE:
            yield from self.follow(step.branches[0] or (), state)
        elif step.number == Command.TRY_EACH:
            yield from self.alternatives(step, state)

    def override_each(self, argument: Mapping[Any, Any], state: _State) -> None:
        known = frozenset(self.manifest.indexes)
        for index, values in argument.items():
            if isinstance(values, dict) and type(index) is int and index in known:
                self.budget.look_up(1 + len(values))
                state.set(index, values)

    def copy(self, argument: Mapping[Any, Any], state: _State) -> None:
        self.budget.look_up(len(argument))
        for source, names in argument.items():
            if not isinstance(names, list):
                continue
            self.budget.look_up(len(names) * len(state.selected))
            known = state.parameters.get(source, {})
            for index in state.selected:
                state.put(index, {name: known[name] for name in names if type(name) is int and name in known})

    def alternatives(self, step: Step, state: _State) -> Iterator[Effect]:
        """Follow each from the state before; what comes out is any of their results."""
        ends = []
        for branch in step.branches:
            self.budget.look_up(1 + len(state.parameters))
            end = state.copy()
            yield from self.follow(branch or (), end)
            ends.append(end)
        self.budget.look_up(sum(1 + len(values) for end in ends for values in end.parameters.values()))
        state.parameters = _union(ends)
        state.selected = tuple(dict.fromkeys(index for end in ends for index in end.selected))


def effects(manifest: Manifest) -> Iterator[Effect]:
    """Yield each command on each component it reaches, in the order in which a device runs them."""
    budget = _Budget()
    for procedure, members in (("update", UPDATE), ("invocation", INVOCATION), ("uninstall", SEQUENCES[7:])):
        state = _State(())
        for member in members:
            if member not in manifest.sequences:
                continue
            state.selected = manifest.indexes[:1]
            for in_shared, steps in ((True, manifest.shared), (False, manifest.sequences[member])):
                template = Effect(
                    procedure=procedure, sequence=member, in_shared=in_shared, number=0, index=0, parameters={}
                )
                yield from _Run(manifest, template, budget).follow(steps, state)


def image_digests(values: frozenset[Any]) -> frozenset[Digest]:
    """Return the values of an image digest decoded, without those that are none."""
    found = (cbor.decode(value, what="image-digest") for value in values if isinstance(value, bytes))
    return frozenset(read_digest(value) for value in found)


def _selection(argument: Any, indexes: tuple[int, ...]) -> tuple[int, ...]:
    if argument is True:
        return indexes
    named = {number for number in (argument if isinstance(argument, list) else [argument]) if type(number) is int}
    return tuple(index for index in indexes if index in named)


def _union(ends: Sequence[_State]) -> dict[int, Values]:
    absent: frozenset[Any] = frozenset([None])
    union: dict[int, Values] = {}
    for index in {index for end in ends for index in end.parameters}:
        sides = [end.parameters.get(index, {}) for end in ends]
        names = {name for side in sides for name in side}
        union[index] = {name: frozenset(v for s in sides for v in s.get(name, absent)) for name in names}
        if any(len(values) > MAX_ALTERNATIVES for values in union[index].values()):
            raise FormatError(f"component {index} has a parameter of more than {MAX_ALTERNATIVES} alternatives")
    return union


def _frozen(value: Any) -> Any:
    """Make a value that a set can hold; what is not plain is held by its encoding."""
    return value if isinstance(value, bytes | str | int | None) else cbor.encode(value)
