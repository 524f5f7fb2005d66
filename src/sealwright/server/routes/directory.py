"""The erasable directory of names, which signed documents leave out."""

import asyncio

from sealwright.server.application import Call, CallScope, Route
from sealwright.service.messages import NameBody, NamesAnswer, PersonName


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


ROUTES = (
    Route(method="POST", path="/v1/names", handler=set_name, summary="Set or erase a name",
          scope=CallScope.ADMINISTRATOR, body=NameBody, answer=NamesAnswer),
    Route(method="GET", path="/v1/names", handler=names, summary="The directory", answer=NamesAnswer),
)  # fmt: skip
