"""The log as its readers follow it, and what can be asked of what it holds."""

import asyncio

from sealwright.server.application import Call, Query, Route
from sealwright.service import impact
from sealwright.service.messages import CheckpointAnswer, EntriesAnswer, ProofAnswer

MAX_ENTRIES = 1000


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


ROUTES = (
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
                 Query("since", "only what was signed from this time on"))),
)  # fmt: skip
