"""JSON schemas (draft 2020-12) of records, from the annotations that ``core.records`` reads them by.

A schema says less than the specification: not the canonical form, and nothing about two members together.
``docs/spec/schemas`` and the OpenAPI document are made of these.
"""

import dataclasses
import types
import typing
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, Literal

from sealwright.core.records import Bounds, Pattern

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]

_GROUP, _TWO_LEFT, _ONE_LEFT = "[A-Za-z0-9+/]{4}", "[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=", "[A-Za-z0-9+/][AQgw]=="


def schema_of(record: type[Any]) -> Schema:
    """Return the schema of one record, with the records it is made of under ``$defs``."""
    writer = _Writer("#/$defs/")
    schema = {"$schema": DIALECT, "title": record.__name__, **writer.record(record)}
    return schema | ({"$defs": dict(sorted(writer.definitions.items()))} if writer.definitions else {})


def definitions_of(records: Iterable[type[Any]], prefix: str) -> dict[str, Schema]:
    """Return the schemas of records and of all they are made of, by name; they refer to each other by ``prefix``."""
    writer = _Writer(prefix)
    for record in records:
        writer.value(record)
    return dict(sorted(writer.definitions.items()))


class _Writer:
    """Collects the records that a schema refers to."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._owners: dict[str, type[Any]] = {}
        self.definitions: dict[str, Schema] = {}

    def record(self, record: type[Any]) -> Schema:
        hints = typing.get_type_hints(record, include_extras=True)
        fields = dataclasses.fields(record)
        return {
            "description": " ".join((record.__doc__ or "").split()),
            "type": "object",
            "properties": {f.name: self.value(hints[f.name]) for f in fields},
            "required": [f.name for f in fields if f.default is dataclasses.MISSING],
            "additionalProperties": False,
        }

    def value(self, hint: Any) -> Schema:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin is Annotated:
            return self._constrained(arguments[0], arguments[1])
        if origin is Literal:
            return {"const": arguments[0]} if len(arguments) == 1 else {"enum": list(arguments)}
        if origin in (types.UnionType, typing.Union):
            return self.value(next(a for a in arguments if a is not types.NoneType))
        if origin is tuple:
            return {"type": "array", "items": self.value(arguments[0])}
        if origin is dict:
            return {"type": "object"}
        if dataclasses.is_dataclass(hint):
            return self._reference(typing.cast(type[Any], hint))
        if issubclass(hint, StrEnum):
            return {"enum": [choice.value for choice in hint]}
        if hint is bytes:
            return _base64(0, None)
        return {"type": {str: "string", bool: "boolean", int: "integer"}[hint]}

    def _reference(self, record: type[Any]) -> Schema:
        name = record.__name__
        if self._owners.setdefault(name, record) is not record:
            raise TypeError(f"two records are called {name}: a reference could mean either")
        if name not in self.definitions:
            self.definitions[name] = {}  # a record may contain itself
            self.definitions[name] = self.record(record)
        return {"$ref": self._prefix + name}

    def _constrained(self, inner: Any, constraint: Pattern | Bounds) -> Schema:
        if isinstance(constraint, Pattern):
            return {"type": "string", "pattern": f"^(?:{constraint.regex})$"}
        least, most = constraint.least, constraint.most
        if inner is bytes:
            return _base64(least, most)
        names = {int: ("minimum", "maximum"), str: ("minLength", "maxLength")}.get(inner, ("minItems", "maxItems"))
        return self.value(inner) | {names[0]: least, names[1]: most}


def _base64(least: int, most: int | None) -> Schema:
    """Base64 text of so many bytes: exact where the number is fixed, else to the next multiple of three."""
    if least == most:
        ending = ("", _ONE_LEFT, _TWO_LEFT)[least % 3]
        return {"type": "string", "contentEncoding": "base64", "pattern": f"^(?:{_GROUP}){{{least // 3}}}{ending}$"}
    schema: Schema = {
        "type": "string",
        "contentEncoding": "base64",
        "pattern": f"^(?:{_GROUP})*(?:{_TWO_LEFT}|{_ONE_LEFT})?$",
        "minLength": -(-least // 3) * 4,
    }
    return schema if most is None else schema | {"maxLength": -(-most // 3) * 4}
