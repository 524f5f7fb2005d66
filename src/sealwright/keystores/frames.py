"""What signer and worker say to each other: length-prefixed frames of byte strings on a local socket pair.

A frame is its length (u32, big endian, at most 16 MiB), then parts, each with its length (u32).  The first frame opens
the keystore (URI, secret); then each request has one answer: ``sign`` with fingerprint, algorithm, payload and block
per item (the block of a stateful key is two u64, any other is empty), ``keys``, or ``counters`` (fingerprint, then two
u64).  An answered part is ``+`` and a value, or ``-`` and code, message and hint in UTF-8, zero bytes between.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from socket import socket
from typing import NamedTuple

from sealwright.core.errors import Code, FormatError, SealwrightError
from sealwright.core.keys import Algorithm
from sealwright.keystores.numbers import Block, Counter

MAX_FRAME_BYTES = 16 << 20
SIGN, KEYS, COUNTERS = b"sign", b"keys", b"counters"
_LENGTH = struct.Struct(">I")
_NUMBERS = struct.Struct(">QQ")


class Item(NamedTuple):
    """One signature wanted: of a digest, or of a whole message where the algorithm is not prehashed."""

    fingerprint: str
    algorithm: Algorithm
    payload: bytes
    block: Block | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why there is no signature."""

    code: Code
    message: str
    hint: str = ""

    @classmethod
    def of(cls, error: SealwrightError) -> "Failure":
        """Return what crosses the socket of an error."""
        return cls(code=error.code, message=error.message, hint=error.hint)


def encode(parts: Iterable[bytes]) -> bytes:
    """Return one frame, ready to be sent; ``FormatError`` (too-large) when it would not be received."""
    body = b"".join(piece for part in parts for piece in (_LENGTH.pack(len(part)), part))
    if len(body) > MAX_FRAME_BYTES:
        raise FormatError(f"frame of {len(body)} bytes, at most {MAX_FRAME_BYTES} are sent", code=Code.TOO_LARGE)
    return _LENGTH.pack(len(body)) + body


def receive(channel: socket) -> list[bytes]:
    """Receive one frame as its parts; ``EOFError`` when the other side is gone, ``FormatError`` for bytes that lie."""
    (length,) = _LENGTH.unpack(_receive_exactly(channel, _LENGTH.size))
    if length > MAX_FRAME_BYTES:
        raise _invalid(f"frame of {length} bytes, at most {MAX_FRAME_BYTES} are received")
    body = _receive_exactly(channel, length)
    parts, at = [], 0
    while at < length:
        if length - at < _LENGTH.size:
            raise _invalid("frame ends inside a length")
        start = at + _LENGTH.size
        (size,) = _LENGTH.unpack_from(body, at)
        if size > length - start:
            raise _invalid(f"part of {size} bytes, {length - start} are left in the frame")
        parts.append(body[start : start + size])
        at = start + size
    return parts


def pack_items(items: Sequence[Item]) -> list[bytes]:
    """Return the parts of a signing request."""
    packed = ((i.fingerprint.encode(), i.algorithm.encode(), i.payload, _pack_block(i.block)) for i in items)
    return [SIGN, *(part for parts in packed for part in parts)]


def unpack_items(parts: Sequence[bytes]) -> list[Item]:
    """Read the parts of a signing request after its first."""
    try:
        return [
            Item(fingerprint.decode("ascii"), _ALGORITHMS[algorithm], payload, _unpack_block(block))
            for fingerprint, algorithm, payload, block in zip(
                parts[::4], parts[1::4], parts[2::4], parts[3::4], strict=True
            )
        ]
    except (ValueError, KeyError, struct.error):
        raise _invalid("not a signing request: fingerprint, algorithm, payload, block per item") from None


def pack_counter(fingerprint: str, counter: Counter) -> bytes:
    """Return one part of an answer to ``counters``."""
    return bytes.fromhex(fingerprint) + _NUMBERS.pack(*counter)


def unpack_counter(part: bytes) -> tuple[str, Counter]:
    """Read one part of an answer to ``counters``."""
    if len(part) != 32 + _NUMBERS.size:
        raise _invalid("a counter is a fingerprint and two numbers")
    return part[:32].hex(), Counter(*_NUMBERS.unpack(part[32:]))


def pack_answer(answer: bytes | Failure) -> bytes:
    """Return one part of an answer."""
    if isinstance(answer, bytes):
        return b"+" + answer
    texts = (answer.code, answer.message.replace("\0", "?"), answer.hint.replace("\0", "?"))
    return b"-" + "\0".join(texts).encode("utf-8", "replace")


def unpack_answer(part: bytes) -> bytes | Failure:
    """Read one part of an answer."""
    if part[:1] == b"+":
        return part[1:]
    try:
        code, message, hint = part.removeprefix(b"-").decode().split("\0")
        return Failure(code=Code(code), message=message, hint=hint)
    except ValueError:
        raise _invalid("an answer is neither a value nor a failure") from None


_ALGORITHMS = {algorithm.encode(): algorithm for algorithm in Algorithm}


def _pack_block(block: Block | None) -> bytes:
    return _NUMBERS.pack(*block) if block else b""


def _unpack_block(part: bytes) -> Block | None:
    return Block(*_NUMBERS.unpack(part)) if part else None


def _receive_exactly(channel: socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        piece = channel.recv(min(length - len(data), 1 << 20))
        if not piece:
            raise EOFError("the other side closed the channel")
        data += piece
    return bytes(data)


def _invalid(message: str) -> FormatError:
    return FormatError(message, code=Code.INVALID_FRAME)
