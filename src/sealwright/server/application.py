"""The ASGI application: one table of routes, each with its scope, its body and its answer.

Every call is authenticated but health and the two that log in.  Bodies are canonical JSON records, bounded before they
are parsed; errors are RFC 9457 problem documents with stable codes.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from sealwright.core import records
from sealwright.core.errors import (
    Code,
    ConfigurationError,
    FormatError,
    RefusedError,
    SealwrightError,
    UnavailableError,
    VerificationError,
)
from sealwright.server.context import Context
from sealwright.service.login import Caller
from sealwright.service.messages import MAX_BODY_BYTES, Problem
from sealwright.service.restrictions import is_administrator

log = logging.getLogger(__name__)

_STATUS = {
    Code.NOT_AUTHENTICATED: 401,
    Code.NOT_PERMITTED: 403,
    Code.NOT_FOUND: 404,
    Code.CONFLICT: 409,
    Code.TOO_LARGE: 413,
}
ERRORS_PAGE = "urn:sealwright:error:"
"""Each code has its heading in docs/errors.md."""
MAX_STRANGERS_BODY_BYTES = 64 * 1024
"""Of a call without a session: a signed challenge is far smaller, and strangers could fill the memory with bodies."""


class CallScope(StrEnum):
    """Who may make a call."""

    ANYBODY = "anybody"
    MEMBER = "member"  # person, pipeline or administrator in force
    ADMINISTRATOR = "administrator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One authenticated call."""

    context: Context
    request: Request
    caller: Caller
    body: Any

    @property
    def parameter(self) -> str:
        """The one variable part of the path."""
        return next(iter(self.request.path_params.values()), "")

    def number(self, name: str, default: int, *, most: int) -> int:
        """A query parameter as a number; ``FormatError`` for anything else."""
        text = self.request.query_params.get(name, str(default))
        if not text.isascii() or not text.isdigit() or len(text) > 16 or int(text) > most:
            raise FormatError(
                f"query parameter {name} is {text[:20]!r}, a number up to {most} belongs there",
                code=Code.INVALID_DOCUMENT,
            )
        return int(text)


Handler = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Query:
    """One query parameter of a call, always optional."""

    name: str
    meaning: str
    is_number: bool = True
    is_repeatable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One line of the API."""

    method: str
    path: str
    handler: Handler
    summary: str
    scope: CallScope = CallScope.MEMBER
    body: type[Any] | None = None
    answer: type[Any] | None = None
    is_stream: bool = False
    """The handler reads the body itself."""
    query: tuple[Query, ...] = ()
    content: str = "application/json"
    """Media type of the answer."""


def make_application(context: Context, routes: tuple[Route, ...]) -> Starlette:
    """Return the application over these routes."""
    return Starlette(
        routes=[
            StarletteRoute(route.path, _endpoint(context, route), methods=[route.method], name=route.summary)
            for route in routes
        ],
        exception_handlers={404: _no_route, 405: _no_route},
    )


def _endpoint(context: Context, route: Route) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            caller = _caller(context, route, request)
            body = None
            if route.body is not None:
                limit = MAX_STRANGERS_BODY_BYTES if route.scope is CallScope.ANYBODY else MAX_BODY_BYTES
                body = records.parse(route.body, await read_body(request, limit), max_bytes=limit)
            answer = await route.handler(Call(context=context, request=request, caller=caller, body=body))
            return answer if isinstance(answer, Response) else _json(answer)
        except SealwrightError as e:
            return problem(e)
        except asyncio.CancelledError:  # the server ends while somebody waits: they ask again
            return Response(status_code=503, headers={"Retry-After": "1"})
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception:
            log.exception("bug in %s %s", route.method, route.path)
            return problem(SealwrightError("something went wrong here; the server's log says what", code=Code.INTERNAL))

    return endpoint


def _caller(context: Context, route: Route, request: Request) -> Caller:
    if route.scope is CallScope.ANYBODY:
        return Caller(person="", authenticator="")
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise RefusedError("log in first", code=Code.NOT_AUTHENTICATED, hint="sign a challenge of POST /v1/login")
    caller = context.logins.caller(token)
    if route.scope is CallScope.ADMINISTRATOR and not is_administrator(context.ledger, caller.person):
        raise RefusedError(f"{caller.person} is no administrator", code=Code.NOT_PERMITTED)
    return caller


async def read_body(request: Request, limit: int) -> bytes:
    """Read a body up to a limit; ``RefusedError`` (``too-large``) beyond."""
    parts, total = [], 0
    async for part in request.stream():
        total += len(part)
        if total > limit:
            raise RefusedError(f"body is larger than {limit} bytes", code=Code.TOO_LARGE)
        parts.append(part)
    return b"".join(parts)


def _json(answer: Any) -> Response:
    return Response(records.serialise(answer), media_type="application/json")


def problem(error: SealwrightError) -> Response:
    """Return an error as an RFC 9457 problem document."""
    match error:
        case FormatError():
            status = 400
        case UnavailableError():
            status = 503
        case RefusedError() | VerificationError():
            status = _STATUS.get(error.code, 422)
        case ConfigurationError() | _:
            status = 500
    retry = error.retry_after_seconds if isinstance(error, UnavailableError) else None
    document = Problem(
        type=ERRORS_PAGE + error.code,
        title=str(error.code).replace("-", " "),
        status=status,
        code=error.code,
        detail=_printable(str(error)),
        hint=_printable(error.hint),
        retry_after_seconds=retry,
    )
    headers = {"Retry-After": str(retry)} if retry is not None else {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(records.serialise(document), status, headers, media_type="application/problem+json")


def _printable(text: str) -> str:
    """What was found may be anything: only what canonical JSON takes is repeated."""
    return "".join(c if c.isprintable() and c.isascii() else "?" for c in text)[:2000]


async def _no_route(request: Request, exception: Exception) -> Response:
    status = getattr(exception, "status_code", 404)
    what = f"no call {request.method} {request.url.path[:100]}"
    answer = problem(RefusedError(what, code=Code.NOT_FOUND, hint="GET /openapi.json lists all calls"))
    answer.status_code = status
    return answer
