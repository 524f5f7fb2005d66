"""Images: up and down in streams, hashed and written beside the event loop."""

import asyncio
from collections.abc import AsyncIterator

from starlette.responses import Response, StreamingResponse

from sealwright.core.images import CHUNK_BYTES
from sealwright.server.application import Call, Route
from sealwright.storage.blobs import BlobWriter


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


ROUTES = (
    Route(method="PUT", path="/v1/images/{sha256}", handler=put_image, summary="Upload an image", is_stream=True),
    Route(method="GET", path="/v1/images/{sha256}", handler=get_image, summary="Download an image",
          content="application/octet-stream"),
)  # fmt: skip
