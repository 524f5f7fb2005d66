"""A SUIT manifest in words, for an approver: one labelled fact for each command, parameter and text.

Everything that is signed is shown; what is long is cut and says so, and what cannot be printed is written in hex.
"""

import hashlib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from sealwright.core.errors import Code, FormatError
from sealwright.formats import deterministic_cbor as cbor
from sealwright.formats.suit_envelope import read_digest
from sealwright.formats.suit_labels import (
    COMPARISONS,
    COMPONENT_TEXT_MEMBERS,
    CONDITIONS,
    DIRECTIVES,
    PARAMETERS,
    TEXT_MEMBERS,
    Command,
    Parameter,
)
from sealwright.formats.suit_manifest import ComponentId, Manifest, Step

MAX_TEXT = 1000
MAX_FACTS = 4096


def facts(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Yield label and value of everything a manifest says, in its order."""
    yield "Sequence number", str(manifest.sequence_number)
    if manifest.set_version is not None:
        yield "Version", ".".join(map(str, manifest.set_version))
    if manifest.component_id is not None:
        yield "Manifest component", component_name(manifest.component_id)
    if manifest.reference_uri is not None:
        yield "Reference URI", printable(manifest.reference_uri)
    for index, component in enumerate(manifest.components):
        yield f"Component {index}", component_name(component)
    for index, prefix in manifest.dependencies.items():
        yield f"Dependency {index}", "no prefix" if prefix is None else component_name(prefix)
    yield from _sequence("shared-sequence", manifest.shared)
    for member, steps in manifest.sequences.items():
        yield from _sequence(member.title, steps)
    for member in manifest.severed:
        yield f"Severed {member.title}", str(manifest.digests[member])
    if manifest.coswid_bytes is not None:
        yield "Software identity tag (CoSWID)", f"{manifest.coswid_bytes} bytes"
    for number, value in manifest.unknown.items():
        yield f"Manifest member {number}", _plain(value)
    yield from _texts(manifest.text or {})


def check_listed(manifest: Manifest) -> None:
    """Raise ``FormatError`` for a manifest that says more than people are shown: nobody could approve it."""
    if sum(1 for _ in islice(facts(manifest), MAX_FACTS + 1)) > MAX_FACTS:
        raise FormatError(
            f"manifest says more than {MAX_FACTS} things, more than are shown to people", code=Code.UNSUPPORTED_IMAGE
        )


def component_name(component: ComponentId) -> str:
    """Write a component identifier as a path; parts that are no words in hex."""
    return "/".join(_word(part) for part in component) or "(empty)"


def printable(text: str) -> str:
    """Return a text without control characters, cut where it is long."""
    clean = "".join(c if c.isprintable() else " " for c in text)
    return clean if len(clean) <= MAX_TEXT else f"{clean[:MAX_TEXT]}… ({len(text)} characters)"


def _word(part: bytes) -> str:
    """Write a part as a word, if it reads as one and as no two of them."""
    text = part.decode("ascii", "replace")
    is_word = part and text.isprintable() and text.isascii() and "/" not in text and len(text) <= MAX_TEXT
    return text if is_word else _hex(part)


def _hex(data: bytes) -> str:
    shown = f"h'{data[:64].hex()}'"
    return shown if len(data) <= 64 else f"{shown}… ({len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()})"


def _sequence(name: str, steps: Sequence[Step]) -> Iterator[tuple[str, str]]:
    for number, step in enumerate(steps, 1):
        label = f"{name} {number}"
        if step.number in CONDITIONS:
            yield label, f"condition {CONDITIONS[step.number]}{_reporting(step.argument)}"
        elif step.number in _WITH_PARAMETERS and isinstance(step.argument, dict):
            yield label, f"directive {DIRECTIVES[step.number]}"
            yield from _WITH_PARAMETERS[step.number](label, step.argument)
        elif step.number in (Command.TRY_EACH, Command.RUN_SEQUENCE):
            count = f" of {len(step.branches)}" if step.number == Command.TRY_EACH else ""
            yield label, f"directive {DIRECTIVES[step.number]}{count}"
            for alternative, branch in enumerate(step.branches, 1):
                inner = f"{label}.{alternative}" if step.number == Command.TRY_EACH else label
                if branch is None:
                    yield inner, "or nothing"
                yield from _sequence(f"{inner} step", branch or ())
        elif step.number == Command.SET_COMPONENT_INDEX:
            chosen = "all" if step.argument is True else _plain(step.argument)
            yield label, f"directive set-component-index: {chosen}"
        elif step.number in DIRECTIVES:
            policy = _reporting(step.argument) if type(step.argument) is int else f": {_plain(step.argument)}"
            yield label, f"directive {DIRECTIVES[step.number]}{policy}"
        else:
            yield label, f"command {step.number}, not known here: {_plain(step.argument)}"


def _parameters(label: str, values: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        yield f"{label} {_parameter_name(key)}", _parameter(key, value)


def _of_components(label: str, argument: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    for index, values in argument.items():
        inner = f"{label} component {_plain(index)}"
        yield from _parameters(inner, values) if isinstance(values, dict) else [(inner, _plain(values))]


def _copied(label: str, argument: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    for source, names in argument.items():
        listed = names if isinstance(names, list) else [names]
        yield f"{label} from component {_plain(source)}", printable(", ".join(map(_parameter_name, listed)))


_WITH_PARAMETERS: Mapping[int, Callable[[str, Mapping[Any, Any]], Iterator[tuple[str, str]]]] = {
    Command.OVERRIDE_PARAMETERS: _parameters,
    Command.SET_PARAMETERS: _parameters,
    Command.OVERRIDE_MULTIPLE: _of_components,
    Command.COPY_PARAMS: _copied,
}


def _parameter_name(key: Any) -> str:
    return PARAMETERS.get(key, f"parameter {key}") if type(key) is int else f"parameter {_plain(key)}"


def _reporting(argument: Any) -> str:
    """Say when a record or system information is sent (SUIT_Rep_Policy); nothing for the usual 15."""
    if argument == 15 and type(argument) is int:
        return ""
    return f" (reporting {_plain(argument)})"


def _parameter(key: int, value: Any) -> str:
    try:
        match key, value:
            case (Parameter.VENDOR_ID | Parameter.CLASS_ID | Parameter.DEVICE_ID, bytes()) if len(value) == 16:
                return str(uuid.UUID(bytes=value))
            case Parameter.IMAGE_DIGEST, bytes():
                return str(read_digest(cbor.decode(value, what="image-digest")))
            case Parameter.IMAGE_SIZE, int():
                return f"{value} bytes"
            case Parameter.CONTENT, bytes():
                return f"{len(value)} bytes: {_word(value)}"
            case Parameter.ENCRYPTION_INFO, bytes():
                return f"{len(value)} bytes: the payload is encrypted, this says how"
            case Parameter.VERSION, bytes():
                kind, numbers = cbor.decode(value, what="version")
                return f"{COMPARISONS[kind]} {'.'.join(str(int(n)) for n in numbers)}"
    except (FormatError, ValueError, TypeError, KeyError):
        pass  # shown as it is
    return _plain(value)


def _plain(value: Any) -> str:
    """Write any value: text as text, the rest in hex of its encoding or as a number."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, bool | int) or value is None:
        return str(value).lower()
    if isinstance(value, list) and all(type(part) is int for part in value) and len(value) <= 32:
        return ", ".join(map(str, value))
    return _hex(value if isinstance(value, bytes) else cbor.encode(value))


def _texts(text: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    for language, entries in text.items():
        about = f"Text {printable(language)}" if isinstance(language, str) else f"Text {_plain(language)}"
        if not isinstance(entries, dict):
            yield about, _plain(entries)
            continue
        for key, value in entries.items():
            if isinstance(key, tuple) and isinstance(value, dict):
                name = component_name(tuple(p for p in key if isinstance(p, bytes)))
                for inner, words in value.items():
                    what = COMPONENT_TEXT_MEMBERS.get(inner, f"member {_key(inner)}")
                    yield f"{about}, {name}, {what}", _plain(words)
            else:
                what = TEXT_MEMBERS.get(key, f"member {_key(key)}") if isinstance(key, int) else f"member {_key(key)}"
                yield f"{about}, {what}", _plain(value)


def _key(key: Any) -> str:
    return _plain(list(key) if isinstance(key, tuple) else key)[:60]
