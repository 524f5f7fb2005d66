"""The calls of the HTTP API, in one table at the end. Each handler hands over to a use case and answers."""

import asyncio
from collections.abc import AsyncIterator

from starlette.responses import Response, StreamingResponse

from sealwright.core.errors import Code, RefusedError
from sealwright.core.images import CHUNK_BYTES
from sealwright.evidence.bundle import Dossier, TrustFile
from sealwright.server import openapi
from sealwright.server.application import Call, CallScope, Query, Route
from sealwright.service import dossier, impact, proposals, restrictions
from sealwright.service.login import SESSION_SECONDS
from sealwright.service.messages import (
    MAX_WAIT_SECONDS,
    Applied,
    ApplyBody,
    ChallengeAnswer,
    ChallengeBody,
    CheckpointAnswer,
    EntriesAnswer,
    Health,
    LoginAnswer,
    LoginBody,
    NameBody,
    NamesAnswer,
    PersonName,
    PolicyAnswer,
    ProofAnswer,
    ProposalAnswer,
    ProposalsAnswer,
    ProposeBody,
    RequestAnswer,
    RestrictBody,
    Result,
    SignBody,
    Status,
    StatusList,
    SubmitBody,
    VoteBody,
)
from sealwright.service.ports import Proposal, RequestRow, RequestState
from sealwright.service.restrictions import Logged
from sealwright.storage.blobs import BlobWriter

MAX_ENTRIES = 1000
MAX_LISTED = 500


async def health(call: Call) -> Health:
    """Whether the process answers; nothing else is said to strangers."""
    del call
    return Health(status="ok")


async def describe(call: Call) -> Response:
    """The API for programs, made from the table below."""
    del call
    return Response(openapi.text(ROUTES), media_type="application/json")


async def challenge(call: Call) -> ChallengeAnswer:
    return ChallengeAnswer(challenge=call.context.logins.challenge(call.body.authenticator))


async def log_in(call: Call) -> LoginAnswer:
    token = call.context.logins.log_in(call.body.challenge, call.body.envelope)
    return LoginAnswer(token=token, seconds=SESSION_SECONDS)


async def status(call: Call) -> Health:
    """What the server has to say of itself to members."""
    trouble = call.context.pump.trouble
    if trouble is None:
        return Health(status="ok", detail=f"log size {call.context.ledger.state.size}")
    return Health(status="not signing", detail=f"{trouble.code}: {trouble.message}")


async def trust(call: Call) -> TrustFile:
    return await asyncio.to_thread(dossier.trust_file, call.context.ledger)


async def policy(call: Call) -> PolicyAnswer:
    ledger = call.context.ledger
    root, in_force = ledger.state.root, ledger.state.policy
    if root is None:
        raise RefusedError("the log holds no root", code=Code.ROOT_INVALID)
    return PolicyAnswer(
        roots=tuple(ledger.granting(index) for index in ledger.roots),
        root_index=root.index,
        policy=ledger.granting(in_force.index) if in_force else None,
        policy_index=in_force.index if in_force else None,
        sections=ledger.policy_sections(),
    )


async def put_image(call: Call) -> Response:
    """Take an image in a stream; the hashing and writing happen beside the event loop."""
    sha256, images = call.parameter, call.context.images
    if images.has(sha256):
        return Response(status_code=204)
    with images.writing(sha256) as writer:
        rest = await _write_chunks(call.request.stream(), writer)
        await asyncio.to_thread(writer.finish, rest)
    return Response(status_code=201)


async def _write_chunks(stream: AsyncIterator[bytes], writer: BlobWriter) -> list[bytes]:
    """Write a chunk while the next one comes in; return what is left for the end."""
    parts: list[bytes] = []
    waiting, writing = 0, None
    try:
        async for part in stream:
            parts.append(part)
            waiting += len(part)
            if waiting >= CHUNK_BYTES:
                if writing:
                    await writing
                writing = asyncio.create_task(asyncio.to_thread(writer.write, parts))
                parts, waiting = [], 0
    finally:
        if writing:
            await writing
    return parts


async def get_image(call: Call) -> Response:
    """Send an image; a HEAD request tells whether it is here."""
    file = call.context.images.open(call.parameter)
    if call.request.method == "HEAD":
        file.close()
        return Response(status_code=200)

    async def chunks() -> AsyncIterator[bytes]:
        with file:
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield chunk

    return StreamingResponse(chunks(), media_type="application/octet-stream")


async def submit(call: Call) -> Result:
    """Accept a request; with ``wait`` the answer comes when it is finished or the time is over."""
    body, context = call.body, call.context
    accepted = context.desk.submit(body.request, body.messages, body.votes, call.caller.person)
    event = context.waiters.add(accepted.digest)
    try:
        try:
            await asyncio.wrap_future(accepted.durable)
        except RefusedError as e:
            if e.code is not Code.CONFLICT or not context.desk.has(accepted.digest, body.request, body.votes):
                raise
        return await _result(call, accepted.digest, event)
    finally:
        context.waiters.remove(accepted.digest, event)


async def result(call: Call) -> Result:
    digest = _digest(call)
    event = call.context.waiters.add(digest)
    try:
        return await _result(call, digest, event)
    finally:
        call.context.waiters.remove(digest, event)


async def _result(call: Call, digest: str, event: asyncio.Event) -> Result:
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
                return Result(status=_status(call, row))
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
    return StatusList(requests=tuple(_status(call, row) for row in rows))


async def get_request(call: Call) -> RequestAnswer:
    row = _row(call, call.parameter)
    stored = call.context.documents.stored(row.digest)
    return RequestAnswer(
        status=_status(call, row),
        request=stored.request,
        votes=tuple(vote for _, _, _, vote in stored.votes),
        messages=stored.messages,
    )


async def approve(call: Call) -> Result:
    accepted = call.context.desk.approve(_digest(call), call.body.vote, call.caller.person)
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


async def propose(call: Call) -> ProposalAnswer:
    context, body = call.context, call.body
    if body.kind == "policy":
        made = await asyncio.to_thread(
            proposals.propose_policy, context.ledger, context.documents, context.clock, body.signed, body.sections
        )
    else:
        made = await asyncio.to_thread(
            proposals.propose_root, context.ledger, context.documents, context.clock, body.signed
        )
    return _proposal(made)


async def list_proposals(call: Call) -> ProposalsAnswer:
    return ProposalsAnswer(proposals=tuple(_proposal(p) for p in call.context.documents.proposals()))


async def get_proposal(call: Call) -> ProposalAnswer:
    found = proposals.find(call.context.documents, call.parameter)
    return _proposal(found, call.context.documents.sections(found.digest))


async def sign_proposal(call: Call) -> ProposalAnswer:
    context = call.context
    return _proposal(
        await asyncio.to_thread(
            proposals.add_signature, context.ledger, context.documents, call.parameter, call.body.envelope
        )
    )


async def apply_proposals(call: Call) -> Applied:
    context = call.context
    index = await asyncio.to_thread(
        proposals.apply, context.ledger, context.desk, context.documents, call.body.proposals
    )
    context.pump.wake()
    return Applied(index=index)


async def set_name(call: Call) -> NamesAnswer:
    body, documents = call.body, call.context.documents
    if body.name is None:
        await asyncio.wrap_future(documents.erase_name(body.person))
    else:
        await asyncio.wrap_future(documents.set_name(body.person, body.name, body.contact or ""))
    return await names(call)


async def names(call: Call) -> NamesAnswer:
    found = call.context.documents.names()
    return NamesAnswer(names=tuple(PersonName(person=p, name=n, contact=c) for p, (n, c) in sorted(found.items())))


async def checkpoint(call: Call) -> CheckpointAnswer:
    return CheckpointAnswer(checkpoint=call.context.ledger.log.head()[1])


async def entries(call: Call) -> EntriesAnswer:
    log = call.context.ledger.log
    size = log.head()[0].size
    start = call.number("start", 0, most=(1 << 53) - 1)
    stop = min(call.number("stop", start + MAX_ENTRIES, most=(1 << 53) - 1), start + MAX_ENTRIES, size)
    return EntriesAnswer(start=start, entries=tuple(log.entries(start, stop)) if start < stop else ())


async def inclusion(call: Call) -> ProofAnswer:
    index = call.number("index", 0, most=(1 << 53) - 1)
    size = call.number("size", call.context.ledger.log.head()[0].size, most=(1 << 53) - 1)
    return ProofAnswer(proof=tuple(call.context.ledger.log.inclusion_proof(index, size)))


async def consistency(call: Call) -> ProofAnswer:
    old = call.number("old", 0, most=(1 << 53) - 1)
    new = call.number("new", call.context.ledger.log.head()[0].size, most=(1 << 53) - 1)
    return ProofAnswer(proof=tuple(call.context.ledger.log.consistency_proof(old, new)))


async def get_impact(call: Call) -> impact.Impact:
    key = call.request.query_params.get("key", "")
    since = call.number("since", 0, most=1 << 40)
    return await asyncio.to_thread(impact.of_key, call.context.ledger, call.context.documents, key, since)


def _digest(call: Call) -> str:
    return _row(call, call.parameter).digest


def _row(call: Call, name: str) -> RequestRow:
    row = call.context.documents.row(name)
    if row is None:
        raise RefusedError(f"there is no request {name[:80]}", code=Code.NOT_FOUND)
    return row


def _status(call: Call, row: RequestRow) -> Status:
    state, detail = row.state, row.detail
    if not state.is_final and (live := call.context.desk.look(row.digest)) is not None:
        state, detail = live.state, live.detail
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


def _proposal(proposal: Proposal, sections: tuple[bytes, ...] = ()) -> ProposalAnswer:
    return ProposalAnswer(
        digest=proposal.digest,
        kind=proposal.kind,
        state=proposal.state,
        created=proposal.created,
        signed=proposal.signed,
        sections=sections,
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
    Route(method="GET", path="/health", handler=health, summary="Whether the server answers",
          scope=CallScope.ANYBODY, answer=Health),
    Route(method="GET", path="/openapi.json", handler=describe, summary="All calls, as OpenAPI 3.1"),
    Route(method="POST", path="/v1/challenge", handler=challenge, summary="Ask for a login challenge",
          scope=CallScope.ANYBODY, body=ChallengeBody, answer=ChallengeAnswer),
    Route(method="POST", path="/v1/login", handler=log_in, summary="Log in with a signed challenge",
          scope=CallScope.ANYBODY, body=LoginBody, answer=LoginAnswer),
    Route(method="GET", path="/v1/status", handler=status, summary="How the server is", answer=Health),
    Route(method="GET", path="/v1/trust", handler=trust, summary="The trust file as of now", answer=TrustFile),
    Route(method="GET", path="/v1/policy", handler=policy, summary="Root and policy in force", answer=PolicyAnswer),
    Route(method="PUT", path="/v1/images/{sha256}", handler=put_image, summary="Upload an image", is_stream=True),
    Route(method="GET", path="/v1/images/{sha256}", handler=get_image, summary="Download an image",
          content="application/octet-stream"),
    Route(method="POST", path="/v1/requests", handler=submit, summary="Request signatures",
          body=SubmitBody, answer=Result, query=(WAIT,)),
    Route(method="GET", path="/v1/requests", handler=list_requests, summary="List requests", answer=StatusList,
          query=FILTERS),
    Route(method="GET", path="/v1/requests/{request}", handler=get_request, summary="A request with its votes",
          answer=RequestAnswer),
    Route(method="GET", path="/v1/requests/{request}/result", handler=result, summary="State and signatures",
          answer=Result, query=(WAIT,)),
    Route(method="GET", path="/v1/requests/{request}/dossier", handler=get_dossier, summary="What proves it",
          answer=Dossier),
    Route(method="POST", path="/v1/requests/{request}/approve", handler=approve, summary="Approve by a signed vote",
          body=VoteBody, answer=Result),
    Route(method="POST", path="/v1/requests/{request}/reject", handler=reject, summary="Veto by a signed vote",
          body=VoteBody, answer=Logged),
    Route(method="POST", path="/v1/restrictions", handler=restrict, summary="Cancel or revoke",
          body=RestrictBody, answer=Logged),
    Route(method="POST", path="/v1/proposals", handler=propose, summary="Propose a root or policy",
          scope=CallScope.ADMINISTRATOR, body=ProposeBody, answer=ProposalAnswer),
    Route(method="GET", path="/v1/proposals", handler=list_proposals, summary="List proposals",
          answer=ProposalsAnswer),
    Route(method="GET", path="/v1/proposals/{proposal}", handler=get_proposal, summary="A proposal with its sections",
          answer=ProposalAnswer),
    Route(method="POST", path="/v1/proposals/{proposal}/signatures", handler=sign_proposal,
          summary="Sign a proposal", scope=CallScope.ADMINISTRATOR, body=SignBody, answer=ProposalAnswer),
    Route(method="POST", path="/v1/apply", handler=apply_proposals, summary="Log proposals",
          scope=CallScope.ADMINISTRATOR, body=ApplyBody, answer=Applied),
    Route(method="POST", path="/v1/names", handler=set_name, summary="Set or erase a name",
          scope=CallScope.ADMINISTRATOR, body=NameBody, answer=NamesAnswer),
    Route(method="GET", path="/v1/names", handler=names, summary="The directory", answer=NamesAnswer),
    Route(method="GET", path="/v1/log/checkpoint", handler=checkpoint, summary="The newest checkpoint",
          answer=CheckpointAnswer),
    Route(method="GET", path="/v1/log/entries", handler=entries, summary="Log entries", answer=EntriesAnswer,
          query=(Query("start", "index of the first, 0 by default"),
                 Query("stop", f"index behind the last, at most {MAX_ENTRIES} further"))),
    Route(method="GET", path="/v1/log/inclusion", handler=inclusion, summary="Inclusion proof", answer=ProofAnswer,
          query=(Query("index", "of the entry, 0 by default"), Query("size", "of the log, the newest by default"))),
    Route(method="GET", path="/v1/log/consistency", handler=consistency, summary="Consistency proof",
          answer=ProofAnswer,
          query=(Query("old", "size, 0 by default"), Query("new", "size, the newest by default"))),
    Route(method="GET", path="/v1/impact", handler=get_impact, summary="What a key signed", answer=impact.Impact,
          query=(Query("key", "key profile or fingerprint", is_number=False),
                 Query("since", "only requests created from this time on"))),
)  # fmt: skip
"""Every call."""
