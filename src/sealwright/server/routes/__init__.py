"""The calls of the HTTP API, a module for each noun and one table of them all.

Each handler hands over to a use case and answers.
"""

from starlette.responses import Response

from sealwright.server import openapi
from sealwright.server.application import Call, Route
from sealwright.server.routes import directory, images, log, policy, requests, restrictions, session


async def describe(call: Call) -> Response:
    """The API for programs, made from the table below."""
    del call
    return Response(openapi.text(ROUTES), media_type="application/json")


ROUTES = (
    *session.ROUTES,
    Route(method="GET", path="/openapi.json", handler=describe, summary="All calls, as OpenAPI 3.1"),
    *images.ROUTES,
    *requests.ROUTES,
    *restrictions.ROUTES,
    *policy.ROUTES,
    *directory.ROUTES,
    *log.ROUTES,
)
"""Every call."""
