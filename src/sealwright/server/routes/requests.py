"""Requests for signatures: from their submission to what proves them, and what stops them."""

import asyncio

from sealwright.core.errors import Code, RefusedError
from sealwright.evidence.bundle import Dossier
from sealwright.server.application import Call, Query, Route
from sealwright.service import dossier, restrictions
from sealwright.service.messages import (
    MAX_WAIT_SECONDS,
    Listed,
    RequestAnswer,
    RestrictBody,
    Result,
    Status,
    StatusList,
    SubmitBody,
    VoteBody,
)
from sealwright.service.ports import RequestRow, RequestState
from sealwright.service.restrictions import Logged

MAX_LISTED = 500


async def submit(call: Call) -> Result:
    """Accept a request; with ``wait`` the answer comes when it is finished or the time is over."""
    body, context = call.body, call.context
    accepted = context.intake.submit(body.request, body.messages, body.votes, call.caller.person)
    event = context.waiters.add(accepted.digest)
    try:
        try:
            await asyncio.wrap_future(accepted.durable)
        except RefusedError as e:
            if e.code is not Code.CONFLICT or not context.intake.has(accepted.digest, body.request, body.votes):
                raise
        return await _result(call, accepted.digest, event)
    finally:
        context.waiters.remove(accepted.digest, event)


async def result(call: Call) -> Result:
    digest = _digest(call)
    event = call.context.waiters.add(digest)
    try:
        return await _result(call, digest, event, has_progress=True)
    finally:
        call.context.waiters.remove(digest, event)


async def _result(call: Call, digest: str, event: asyncio.Event, *, has_progress: bool = False) -> Result:
    context = call.context
    deadline = asyncio.get_running_loop().time() + call.number("wait", 0, most=MAX_WAIT_SECONDS)
    while True:
        event.clear()
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0 or context.desk.look(digest) is None:  # while it is on the desk, its row says nothing new
            row = _row(call, digest)
            if row.state is RequestState.SIGNED:
                signed = context.documents.signatures(digest)
                return Result(status=_status(call, row), signatures=signed[1] if signed else ())
            if row.state.is_final or left <= 0:
                return Result(status=_status(call, row, has_progress=has_progress))
        try:
            await asyncio.wait_for(event.wait(), left)
        except TimeoutError:
            continue


async def list_requests(call: Call) -> StatusList:
    query = call.request.query_params
    states = [RequestState(s) for s in query.getlist("state") if s in set(RequestState)]
    limit = call.number("limit", 100, most=MAX_LISTED)
    before = call.number("before", (1 << 53) - 1, most=(1 << 53) - 1)
    rows = call.context.documents.rows(
        states=states, product=query.get("product", ""), image=query.get("image", ""), limit=limit, before=before
    )
    digests = [row.digest for row in rows]
    documents = call.context.documents
    images, voters, vetoed_by = documents.images(digests), documents.voters(digests), documents.vetoed_by(digests)
    for digest in digests:
        if (live := call.context.desk.look(digest)) is not None:  # its votes are judged by what is in force now
            voters[digest] = tuple(sorted(live.ballots))
    return StatusList(
        listed=tuple(
            Listed(
                status=_status(call, row),
                images=images[row.digest],
                voters=voters[row.digest],
                vetoed_by=vetoed_by[row.digest],
            )
            for row in rows
        )
    )


async def get_request(call: Call) -> RequestAnswer:
    row = _row(call, call.parameter)
    stored = call.context.documents.stored(row.digest)
    return RequestAnswer(
        status=_status(call, row, has_progress=True),
        request=stored.request,
        votes=(*(vote for _, _, _, vote in stored.votes), *call.context.documents.vetoes(row.digest)),
        messages=stored.messages,
    )


async def approve(call: Call) -> Result:
    accepted = call.context.intake.approve(_digest(call), call.body.vote, call.caller.person)
    await asyncio.wrap_future(accepted.durable)
    return Result(status=_status(call, _row(call, call.parameter)))


async def reject(call: Call) -> Logged:
    context, digest = call.context, _digest(call)
    return await asyncio.to_thread(
        restrictions.veto, context.ledger, context.desk, context.documents, digest, call.body, call.caller.person
    )


async def restrict(call: Call) -> Logged:
    context = call.context
    return await asyncio.to_thread(
        restrictions.restrict,
        context.ledger,
        context.desk,
        context.documents,
        call.body.restriction,
        call.caller.person,
    )


async def get_dossier(call: Call) -> Dossier:
    return await asyncio.to_thread(dossier.gather, call.context.ledger, call.context.documents, _digest(call))


def _digest(call: Call) -> str:
    return _row(call, call.parameter).digest


def _row(call: Call, name: str) -> RequestRow:
    row = call.context.documents.row(name)
    if row is None:
        raise RefusedError(f"there is no request {name[:80]}", code=Code.NOT_FOUND)
    return row


def _status(call: Call, row: RequestRow, *, has_progress: bool = False) -> Status:
    """Return where a request stands; its progress goes through the queue, so that lists do without."""
    state, detail = row.state, row.detail
    if not state.is_final and (live := call.context.desk.look(row.digest)) is not None:
        state, detail = live.state, live.detail
        if has_progress and not detail:
            detail = str(call.context.desk.progress(row.digest) or "")
    return Status(
        digest=row.digest,
        id=row.id,
        product=row.product,
        environment=row.environment,
        release=row.release,
        requester=row.requester,
        created=row.created,
        expires=row.expires,
        state=state,
        detail=detail,
    )


WAIT = Query("wait", f"seconds to wait for the end, at most {MAX_WAIT_SECONDS}")
FILTERS = (
    Query("state", "only requests in this state", is_number=False, is_repeatable=True),
    Query("product", "only requests of this product", is_number=False),
    Query("image", "only requests for an image with this SHA-256", is_number=False),
    Query("limit", f"at most so many, {MAX_LISTED} at most, 100 by default"),
    Query("before", "only requests created before this time"),
)

ROUTES = (
    Route(method="POST", path="/v1/requests", handler=submit, summary="Request signatures",
          body=SubmitBody, answer=Result, query=(WAIT,)),
    Route(method="GET", path="/v1/requests/{request}/result", handler=result, summary="State and signatures",
          answer=Result, query=(WAIT,)),
    Route(method="GET", path="/v1/requests", handler=list_requests, summary="List requests", answer=StatusList,
          query=FILTERS),
    Route(method="GET", path="/v1/requests/{request}", handler=get_request, summary="A request with its votes",
          answer=RequestAnswer),
    Route(method="POST", path="/v1/requests/{request}/approve", handler=approve, summary="Approve by a signed vote",
          body=VoteBody, answer=Result),
    Route(method="POST", path="/v1/requests/{request}/reject", handler=reject, summary="Veto by a signed vote",
          body=VoteBody, answer=Logged),
    Route(method="POST", path="/v1/restrictions", handler=restrict, summary="Cancel or revoke",
          body=RestrictBody, answer=Logged),
    Route(method="GET", path="/v1/requests/{request}/dossier", handler=get_dossier, summary="What proves it",
          answer=Dossier),
)  # fmt: skip
