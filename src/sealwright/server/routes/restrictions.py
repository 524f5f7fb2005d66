"""What was taken away: the restrictions of the log, with the documents that say why."""

import asyncio

from sealwright.server.application import Call, Query, Route
from sealwright.service import restrictions_log
from sealwright.service.restrictions_log import RestrictionsAnswer


async def list_restrictions(call: Call) -> RestrictionsAnswer:
    ledger, documents = call.context.ledger, call.context.documents
    if "index" not in call.request.query_params:
        return await asyncio.to_thread(restrictions_log.revocations, ledger, documents)
    index = call.number("index", 0, most=(1 << 53) - 1)
    return await asyncio.to_thread(restrictions_log.at_index, ledger, documents, index)


ROUTES = (
    Route(method="GET", path="/v1/restrictions", handler=list_restrictions,
          summary="All revocations with their documents", answer=RestrictionsAnswer,
          query=(Query("index", "only the restriction at this log index, also a veto or a cancellation"),)),
)  # fmt: skip
