"""JSON schemas (draft 2020-12) of every document, section, log entry, file and frame, from the records' annotations.

Run ``python -m tests.spec.build_schemas``; ``tests/test_spec.py`` makes them anew and expects no difference.
A schema says less than the specification: not the canonical form, and nothing about two members together.
"""

import dataclasses
import json
import types
import typing
from enum import StrEnum
from typing import Annotated, Any, Literal

from tests.conftest import PROJECT

from sealwright.core.records import Bounds, Pattern
from sealwright.evidence.bundle import Dossier, Evidence, TrustFile
from sealwright.policy import documents, entries
from sealwright.signer import protocol

FOLDER = PROJECT / "docs" / "spec" / "schemas"
RECORDS: dict[str, type[Any]] = {
    "root": documents.Root,
    "policy": documents.Policy,
    **documents.SECTION_KINDS,
    "request": documents.Request,
    "report": documents.Report,
    "vote": documents.Vote,
    "restriction": documents.Restriction,
    "session": documents.Session,
    "outcome": documents.Outcome,
    "entry-granting": entries.GrantingEntry,
    "entry-restriction": entries.RestrictionEntry,
    "entry-intent": entries.IntentEntry,
    "entry-outcome": entries.OutcomeEntry,
    "entry-timestamped": entries.TimestampedEntry,
    "evidence": Evidence,
    "dossier": Dossier,
    "trust": TrustFile,
    "round": protocol.Round,
    "round-result": protocol.RoundResult,
}

_GROUP, _TWO_LEFT, _ONE_LEFT = "[A-Za-z0-9+/]{4}", "[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=", "[A-Za-z0-9+/][AQgw]=="


def build() -> dict[str, str]:
    """Return the text of each schema file by its name."""
    return {f"{name}.schema.json": _text(schema_of(record)) for name, record in RECORDS.items()}


def schema_of(record: type[Any]) -> dict[str, Any]:
    """Return the schema of one record, with the records it is made of under ``$defs``."""
    definitions: dict[str, Any] = {}
    whole = _record(record, definitions)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": record.__name__, **whole}
    return schema | ({"$defs": dict(sorted(definitions.items()))} if definitions else {})


def _text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _record(record: type[Any], definitions: dict[str, Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(record, include_extras=True)
    fields = dataclasses.fields(record)
    return {
        "description": " ".join((record.__doc__ or "").split()),
        "type": "object",
        "properties": {f.name: _value(hints[f.name], definitions) for f in fields},
        "required": [f.name for f in fields if f.default is dataclasses.MISSING],
        "additionalProperties": False,
    }


def _value(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _constrained(arguments[0], arguments[1], definitions)
    if origin is Literal:
        return {"const": arguments[0]} if len(arguments) == 1 else {"enum": list(arguments)}
    if origin in (types.UnionType, typing.Union):
        return _value(next(a for a in arguments if a is not types.NoneType), definitions)
    if origin is tuple:
        return {"type": "array", "items": _value(arguments[0], definitions)}
    if origin is dict:
        return {"type": "object"}
    if dataclasses.is_dataclass(hint):
        name = hint.__name__
        if name not in definitions:
            definitions[name] = {}
            definitions[name] = _record(typing.cast(type[Any], hint), definitions)
        return {"$ref": f"#/$defs/{name}"}
    if issubclass(hint, StrEnum):
        return {"enum": [choice.value for choice in hint]}
    if hint is bytes:
        return _base64(0, None)
    return {"type": {str: "string", bool: "boolean", int: "integer"}[hint]}


def _constrained(inner: Any, constraint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if isinstance(constraint, Pattern):
        return {"type": "string", "pattern": f"^(?:{constraint.regex})$"}
    assert isinstance(constraint, Bounds)
    least, most = constraint.least, constraint.most
    if inner is bytes:
        return _base64(least, most)
    names = {int: ("minimum", "maximum"), str: ("minLength", "maxLength")}.get(inner, ("minItems", "maxItems"))
    return _value(inner, definitions) | {names[0]: least, names[1]: most}


def _base64(least: int, most: int | None) -> dict[str, Any]:
    """Base64 text of so many bytes: exact where the number is fixed, else to the next multiple of three."""
    if least == most:
        ending = ("", _ONE_LEFT, _TWO_LEFT)[least % 3]
        return {"type": "string", "contentEncoding": "base64", "pattern": f"^(?:{_GROUP}){{{least // 3}}}{ending}$"}
    schema: dict[str, Any] = {
        "type": "string",
        "contentEncoding": "base64",
        "pattern": f"^(?:{_GROUP})*(?:{_TWO_LEFT}|{_ONE_LEFT})?$",
        "minLength": -(-least // 3) * 4,
    }
    return schema if most is None else schema | {"maxLength": -(-most // 3) * 4}


def main() -> None:
    """Write the schema files."""
    for name, text in build().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
