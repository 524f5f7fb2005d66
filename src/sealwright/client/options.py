"""Options of a format as people write them, ``NAME=VALUE``, read by the annotations of the format's own ``Options``."""

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal

from sealwright.core import records
from sealwright.core.errors import ArgumentError, FormatError
from sealwright.formats import FORMATS
from sealwright.formats.interface import Format
from sealwright.policy.authorise import TIME_OPTIONS

EXAMPLES = {"signature_address": "0x0807f000", "signing_time": "1790000000", "variable": "db"}
"""Of the options that a format cannot do without."""
_TRUTHS = {"true": True, "yes": True, "false": False, "no": False}


def parse_options(image_format: Format, texts: Sequence[str]) -> dict[str, Any]:
    """Return those of ``texts`` that the format knows, as the JSON values that its ``prepare`` takes.

    ``version=1.2.3``; numbers also as ``0x200``; lists by comma or by repeating; parts of a record by colon; nothing
    after the equals sign leaves an option out, also one that would be filled in: it comes back as None.
    """
    hints = _hints(image_format)
    options: dict[str, Any] = {}
    for name, text in map(_split, texts):
        if name not in hints:
            continue
        try:
            value = _value(hints[name], text) if text else None
        except ValueError as e:
            raise _wrong(f"option {name} is {text[:60]!r}: {e}") from None
        if name not in options:
            options[name] = value
        elif isinstance(value, list) and isinstance(options[name], list):
            options[name] += value
        else:
            raise _wrong(f"option {name} is given twice")
    return options


def check_known(formats: Iterable[Format], texts: Sequence[str]) -> None:
    """Raise ``ArgumentError`` for an option that none of the formats knows."""
    formats = list({known.name: known for known in formats}.values())
    names = {name for known in formats for name in _hints(known)}
    for name, _ in map(_split, texts):
        if name not in names:
            which = " and ".join(known.name for known in formats)
            raise _wrong(f"{which} has no option {name[:40]}", hint=f"options: {', '.join(sorted(names))}")


def check_values(image_format: Format, options: Mapping[str, Any]) -> None:
    """Raise ``ArgumentError`` for an option that is missing, or whose value the format does not take."""
    fields = dataclasses.fields(image_format.Options)
    for field in fields:
        if field.default is dataclasses.MISSING and field.name not in options:
            example = EXAMPLES.get(field.name)
            hint = f"such as --option {field.name}={example}" if example else ""
            raise _wrong(f"{image_format.name} needs the option {field.name}", hint=hint)
    try:
        records.load(image_format.Options, dict(options))
    except FormatError as e:
        raise _wrong(f"option {e.message}", hint=e.hint) from None


def option_names() -> str:
    """Spell the options of every format, for a help text."""
    return "; ".join(f"{name}: {', '.join(_hints(known)) or 'none'}" for name, known in FORMATS.items())


def with_time(image_format: Format, options: Mapping[str, Any], now: int) -> dict[str, Any]:
    """Return the options with the time filled in where the format takes one and none was chosen or left out."""
    times = {name: now for name in TIME_OPTIONS if name in _hints(image_format)}
    return {name: value for name, value in {**times, **options}.items() if value is not None}


def _hints(image_format: Format) -> dict[str, Any]:
    return typing.get_type_hints(image_format.Options, include_extras=True)


def _split(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise _wrong(f"{text[:60]!r} is no option", hint="write it as NAME=VALUE")
    return name.replace("-", "_"), value


def _value(hint: Any, text: str) -> Any:
    """Read ``text`` as ``hint`` says; ``ValueError`` with what belongs there.  Bounds are the format's business."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _value(arguments[0], text)
    if origin in (types.UnionType, typing.Union):
        return _value(next(a for a in arguments if a is not types.NoneType), text)
    if origin is Literal:
        return _choice(arguments, text)
    if origin is tuple:
        return [_value(arguments[0], part) for part in text.split(",")]
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _choice(tuple(map(str, hint)), text)
    if dataclasses.is_dataclass(hint):
        return _parts(hint, text)
    if hint is bool:
        return _TRUTHS[text.lower()] if text.lower() in _TRUTHS else _refuse("true or false")
    if hint is int:
        return _number(text)
    return text


def _choice(choices: tuple[Any, ...], text: str) -> Any:
    for choice in choices:
        if text == str(choice) or (isinstance(choice, int) and _is_number(text) and _number(text) == choice):
            return choice
    return _refuse(f"one of {', '.join(map(str, choices))}")


def _parts(record: Any, text: str) -> dict[str, Any]:
    hints = typing.get_type_hints(record, include_extras=True)
    parts = text.split(":", len(hints) - 1)
    if len(parts) != len(hints):
        _refuse(":".join(hints).upper())
    return {name: _value(hints[name], part) for name, part in zip(hints, parts, strict=True)}


def _number(text: str) -> int:
    return int(text, 0) if _is_number(text) else _refuse("a number")


def _is_number(text: str) -> bool:
    try:
        return int(text, 0) >= 0 and len(text) < 20
    except ValueError:
        return False


def _refuse(what: str) -> typing.NoReturn:
    raise ValueError(f"{what} belongs there")


def _wrong(message: str, *, hint: str = "") -> ArgumentError:
    return ArgumentError(message, setting="--option", hint=hint)
