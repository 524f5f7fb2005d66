"""The OpenAPI document says what the routes do, and docs/api.md says the same to people."""

import dataclasses
import inspect
import json
import re

import httpx
import jsonschema
import pytest
from tests.simulators.live import Live
from tests.spec import build_api

from sealwright.core import canonical
from sealwright.core.schemas import definitions_of
from sealwright.server import openapi, routes
from sealwright.server.application import CallScope
from sealwright.server.routes import ROUTES
from sealwright.service.messages import Problem

DOCUMENT = canonical.decode(openapi.text(ROUTES))
OPERATIONS = [(m, path, op) for path, item in DOCUMENT["paths"].items() for m, op in item.items()]


def nodes(value):
    yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(child)


def at(reference):
    """Follow a reference inside the document; KeyError where it leads nowhere."""
    assert reference.startswith("#/")
    found = DOCUMENT
    for part in reference[2:].split("/"):
        found = found[part]
    return found


def test_the_document_has_the_parts_that_openapi_3_1_demands():
    assert re.fullmatch(r"3\.1\.\d+", DOCUMENT["openapi"])
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    assert DOCUMENT["jsonSchemaDialect"] == "https://json-schema.org/draft/2020-12/schema"
    assert all(path.startswith("/") for path in DOCUMENT["paths"])


def test_every_route_is_an_operation_and_every_operation_a_route():
    assert {(m, path) for m, path, _ in OPERATIONS} == {(r.method.lower(), r.path) for r in ROUTES}
    assert len(OPERATIONS) == len(ROUTES)


def test_operations_have_names_of_their_own():
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=lambda value: str(value)[:40])
def test_an_operation_is_whole(method, path, operation):
    assert method in ("get", "put", "post", "delete")
    assert operation["summary"]
    assert all(re.fullmatch(r"[1-5]\d\d|default", status) for status in operation["responses"])
    assert all(response["description"] for response in operation["responses"].values())
    problem = operation["responses"]["default"]["content"]["application/problem+json"]
    assert problem["schema"] == {"$ref": "#/components/schemas/Problem"}
    parameters = operation.get("parameters", [])
    assert {p["name"] for p in parameters if p["in"] == "path"} == set(re.findall(r"{(\w+)}", path))
    assert all(p["required"] for p in parameters if p["in"] == "path")
    assert len({(p["in"], p["name"]) for p in parameters}) == len(parameters)
    assert "requestBody" not in operation or method != "get"


def test_every_reference_leads_somewhere_and_every_schema_is_used():
    references = {node["$ref"] for node in nodes(DOCUMENT) if isinstance(node, dict) and "$ref" in node}
    assert all(at(reference)["type"] == "object" for reference in references)
    assert {reference.rsplit("/", 1)[1] for reference in references} == DOCUMENT["components"]["schemas"].keys()


@pytest.mark.parametrize("name", DOCUMENT["components"]["schemas"])
def test_a_schema_is_one_of_its_dialect(name):
    jsonschema.Draft202012Validator.check_schema(DOCUMENT["components"]["schemas"][name])


def test_two_records_of_one_name_are_not_mixed_up():
    another = dataclasses.make_dataclass("Problem", ["title"])
    with pytest.raises(TypeError, match="two records are called Problem"):
        definitions_of([Problem, another], "#/")


def test_only_what_strangers_may_call_asks_for_no_session():
    open_to_all = {operation["operationId"] for _, _, operation in OPERATIONS if operation.get("security") == []}
    assert open_to_all == {"health", "challenge", "log_in"}
    assert open_to_all == {r.handler.__name__ for r in ROUTES if r.scope is CallScope.ANYBODY}
    (requirement,) = DOCUMENT["security"]
    assert requirement.keys() == DOCUMENT["components"]["securitySchemes"].keys()


def test_the_query_parameters_are_those_that_the_handlers_read():
    modules = (routes.directory, routes.images, routes.log, routes.policy, routes.requests, routes.session)
    source = "".join(inspect.getsource(module) for module in modules)
    read = set(re.findall(r"call\.number\(\"(\w+)\"", source))
    read |= set(re.findall(r"query(?:_params)?\.get(?:list)?\(\"(\w+)\"", source))
    assert {query.name for route in ROUTES for query in route.query} == read


def test_the_page_for_people_is_made_from_the_same_table():
    assert build_api.PAGE.read_text() == build_api.build(), "run python -m tests.spec.build_api"


# Over HTTP


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    live = Live(tmp_path_factory.mktemp("live")).make().start()
    yield live.found_policy()
    live.stop()


def test_strangers_learn_nothing_of_the_api(live):
    answer = httpx.get(f"{live.configuration.url}/openapi.json")
    assert (answer.status_code, answer.json()["code"]) == (401, "not-authenticated")


def test_members_get_the_document_and_answers_that_fit_it(live):
    with live.api("ada") as api:
        assert json.loads(api._call("GET", "/openapi.json").content) == DOCUMENT
        for path, query in (
            ("/v1/status", {}),
            ("/v1/trust", {}),
            ("/v1/policy", {}),
            ("/v1/requests", {"state": ["waiting", "signed"], "limit": 5}),
            ("/v1/proposals", {}),
            ("/v1/names", {}),
            ("/v1/log/checkpoint", {}),
            ("/v1/log/entries", {"start": 0, "stop": 2}),
            ("/v1/log/inclusion", {"index": 1}),
            ("/v1/log/consistency", {"old": 1}),
            ("/v1/impact", {"key": "router/production/1"}),
        ):
            operation = DOCUMENT["paths"][path]["get"]
            assert query.keys() == query.keys() & {p["name"] for p in operation.get("parameters", ())}
            schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
            validate(json.loads(api._call("GET", path, params=query).content), schema)


def test_an_error_fits_its_schema(live):
    answer = httpx.post(f"{live.configuration.url}/v1/challenge", content=b"{}")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    validate(answer.json(), {"$ref": "#/components/schemas/Problem"})
    with pytest.raises(jsonschema.ValidationError):
        validate(answer.json() | {"unknown": 1}, {"$ref": "#/components/schemas/Problem"})


def validate(value, schema):
    jsonschema.validate(value, schema | {"components": DOCUMENT["components"]}, jsonschema.Draft202012Validator)
