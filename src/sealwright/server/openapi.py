"""The OpenAPI document of the HTTP API, made from the table of routes and the annotations of its records.

Nothing is written twice: a call that is in the table is in the document, with the schemas it is checked by.
Reference: OpenAPI Specification 3.1.1; its schemas are JSON Schema draft 2020-12.
"""

import re
from functools import lru_cache
from typing import Any

from sealwright import __version__
from sealwright.core import canonical
from sealwright.core.schemas import DIALECT, Schema, definitions_of
from sealwright.server.application import CallScope, Query, Route
from sealwright.service.messages import Problem

REFERENCE = "#/components/schemas/"
SESSION = "session"
BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
WHO = {
    CallScope.ANYBODY: "Needs no session.",
    CallScope.MEMBER: "For people, pipelines and administrators in force.",
    CallScope.ADMINISTRATOR: "For administrators of the root in force.",
}


@lru_cache(maxsize=1)
def text(routes: tuple[Route, ...]) -> bytes:
    """Return the document as it is served."""
    return canonical.encode(document(routes))


def document(routes: tuple[Route, ...]) -> dict[str, Any]:
    """Return the OpenAPI description of these routes."""
    records = {record for route in routes for record in (route.body, route.answer) if record} | {Problem}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.1",
        "jsonSchemaDialect": DIALECT,
        "info": {
            "title": "Sealwright",
            "version": __version__,
            "summary": "Firmware signing with a quorum that an outsider can check",
            "description": "Bodies and answers are canonical JSON (docs/spec/canonical-form.md). "
            "Errors are RFC 9457 problem documents whose codes stand in docs/errors.md.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{SESSION: []}],
        "paths": paths,
        "components": {
            "schemas": definitions_of(sorted(records, key=lambda record: record.__name__), REFERENCE),
            "securitySchemes": {
                SESSION: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The token of POST /v1/login: a challenge signed with one's own SSH key.",
                }
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.handler.__name__,
        "summary": route.summary,
        "description": WHO[route.scope],
        "responses": _responses(route),
    }
    parameters = [_path_parameter(name) for name in re.findall(r"{(\w+)}", route.path)]
    parameters += [_query_parameter(query) for query in route.query]
    if parameters:
        operation["parameters"] = parameters
    if route.is_stream:
        operation["requestBody"] = {"required": True, "content": BYTES}
    elif route.body is not None:
        operation["requestBody"] = {"required": True, "content": _json(route.body)}
    if route.scope is CallScope.ANYBODY:
        operation["security"] = []
    return operation


def _responses(route: Route) -> dict[str, Any]:
    problem = {"description": "Why not", "content": {"application/problem+json": _json(Problem)["application/json"]}}
    done: dict[str, Any]
    if route.is_stream:
        done = {"201": {"description": "Taken"}, "204": {"description": "It was there already"}}
    elif route.answer is not None:
        done = {"200": {"description": _first_line(route.answer), "content": _json(route.answer)}}
    else:
        content = BYTES if route.content in BYTES else {route.content: {"schema": {"type": "object"}}}
        done = {"200": {"description": route.summary, "content": content}}
    return done | {"default": problem}


def _json(record: type[Any]) -> dict[str, Schema]:
    return {"application/json": {"schema": {"$ref": REFERENCE + record.__name__}}}


def _first_line(record: type[Any]) -> str:
    return (record.__doc__ or record.__name__).partition("\n")[0]


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query_parameter(query: Query) -> dict[str, Any]:
    schema: Schema = {"type": "integer", "minimum": 0} if query.is_number else {"type": "string"}
    if query.is_repeatable:
        schema = {"type": "array", "items": schema}
    return {"name": query.name, "in": "query", "description": query.meaning, "schema": schema}
