"""How ``docs/spec`` writes the form of a member, made from the records' annotations: ``integer 1..64``.

The words are explained in ``docs/spec/canonical-form.md``, section "Forms".
"""

import dataclasses
import types
import typing
from enum import StrEnum
from typing import Annotated, Any, Literal

from sealwright.core import records
from sealwright.core.records import Bounds, Pattern
from sealwright.policy import documents

NAMED_FORMS = [
    (records.Id, "id"),
    (records.Text, "short text"),
    (records.Digest, "digest"),
    (records.Digest512, "digest-512"),
    (records.Salt, "salt"),
    (records.Time, "time"),
    (records.Count, "count"),
    (documents.FileName, "file name"),
    (documents.Origin, "origin"),
    (documents.VerifierKey, "verifier key"),
    (documents.Release, "release"),
]


def member_forms(record: type[Any]) -> dict[str, str]:
    """Return each member's form, in the order of the record."""
    hints = typing.get_type_hints(record, include_extras=True)
    forms = {}
    for field in dataclasses.fields(record):
        absent = field.default is not dataclasses.MISSING
        forms[field.name] = ("optional " if absent else "") + form(hints[field.name])
    return forms


def form(hint: Any) -> str:
    """Return the form of one annotation."""
    for alias, name in NAMED_FORMS:
        if hint == alias:
            return name
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _constrained(arguments[0], arguments[1:])
    if origin is Literal:
        return " or ".join(f'`"{a}"`' if isinstance(a, str) else f"`{a}`" for a in arguments)
    if origin in (types.UnionType, typing.Union):
        return form(next(a for a in arguments if a is not types.NoneType))
    if origin is tuple:
        return f"list of {form(arguments[0])}"
    if origin is dict:
        return "object"
    if issubclass(hint, StrEnum) or dataclasses.is_dataclass(hint):
        return f"`{hint.__name__}`"
    return {bytes: "base64", str: "text", bool: "boolean", int: "integer"}[hint]


def _constrained(inner: Any, constraints: tuple[Any, ...]) -> str:
    (constraint,) = constraints
    if isinstance(constraint, Pattern):
        return "text `" + constraint.regex.replace("|", "\\|") + "`"
    assert isinstance(constraint, Bounds)
    least, most = constraint.least, constraint.most
    span = str(least) if least == most else f"{least}..{most}"
    if typing.get_origin(inner) is tuple:
        return f"list of {span} {form(typing.get_args(inner)[0])}"
    unit = {bytes: " bytes", str: " code points", int: ""}[inner]
    return f"{form(inner)} {span}{unit}"
