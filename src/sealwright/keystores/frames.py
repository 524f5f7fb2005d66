"""What signer and worker say to each other: frames of byte strings on a local socket pair.

A frame is its length (u32, big endian, at most 16 MiB), the number of its parts (u32), the length of each (u32), then
the parts.  The first frame opens the keystore (URI, secret); then each request has one answer, in the order of the
requests: ``sign`` with runs, ``keys``, or ``counters`` (fingerprint, then two u64).  A run is what one key signs in a
row: fingerprint, algorithm, block (of a stateful key two u64, otherwise empty), how many (u32), and the payloads.
An answer begins with one mark for each part behind it: ``+`` for a value, ``-`` for code, message and hint in UTF-8,
zero bytes between.
"""

import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from socket import socket
from typing import NamedTuple

from sealwright.core.errors import Code, FormatError, SealwrightError
from sealwright.core.keys import Algorithm
from sealwright.keystores.numbers import Block, Counter

MAX_FRAME_BYTES = 16 << 20
SIGN, KEYS, COUNTERS = b"sign", b"keys", b"counters"
_LENGTH = struct.Struct(">I")
_NUMBERS = struct.Struct(">QQ")
_AT_ONCE_BYTES = 1 << 18
_MADE, _FAILED = ord("+"), ord("-")


class Item(NamedTuple):
    """One signature wanted: of a digest, or of a whole message where the algorithm is not prehashed."""

    fingerprint: str
    algorithm: Algorithm
    payload: bytes
    block: Block | None = None


class Run(NamedTuple):
    """What one key shall sign in a row."""

    fingerprint: str
    algorithm: Algorithm
    block: Block | None
    payloads: Sequence[bytes]


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


class Incoming:
    """The receiving end of a channel; what came too early, or only in part, is kept for the next time."""

    def __init__(self, channel: socket) -> None:
        self._channel = channel
        self._data = bytearray()
        self._deadline: float | None = None

    def receive(self) -> list[bytes]:
        """Receive one frame as its parts, all of it within the channel's time-out.

        ``EOFError`` when the other side is gone, ``FormatError`` for bytes that lie, ``TimeoutError``.
        """
        patience = self._channel.gettimeout()
        self._deadline = None if not patience else time.monotonic() + patience
        (length,) = _LENGTH.unpack(self._take(_LENGTH.size))
        if length > MAX_FRAME_BYTES:
            raise _invalid(f"frame of {length} bytes, at most {MAX_FRAME_BYTES} are received")
        body = self._take(_LENGTH.size + length)[_LENGTH.size :]
        del self._data[: _LENGTH.size + length]
        return _decode(body)

    def _take(self, size: int) -> bytes:
        """Return the first bytes once they are here; they stay until the frame is complete."""
        while len(self._data) < size:
            if self._deadline is not None and time.monotonic() > self._deadline:
                raise TimeoutError("timed out in the middle of an answer")  # one byte at a time is no answer
            piece = self._channel.recv(_AT_ONCE_BYTES)
            if not piece:
                raise EOFError("the other side closed the channel")
            self._data += piece
        return bytes(self._data[:size])


def encode(parts: Sequence[bytes]) -> bytes:
    """Return one frame, ready to be sent; ``FormatError`` (too-large) when it would not be received."""
    sizes = [*map(len, parts)]
    length = _LENGTH.size * (1 + len(sizes)) + sum(sizes)
    if length > MAX_FRAME_BYTES:
        raise FormatError(f"frame of {length} bytes, at most {MAX_FRAME_BYTES} are sent", code=Code.TOO_LARGE)
    return b"".join((struct.pack(f">{2 + len(sizes)}I", length, len(sizes), *sizes), *parts))


def _decode(body: bytes) -> list[bytes]:
    if len(body) < _LENGTH.size:
        raise _invalid(f"frame of {len(body)} bytes does not say how many parts it has")
    (count,) = _LENGTH.unpack_from(body)
    start = _LENGTH.size * (1 + count)
    if start > len(body):
        raise _invalid(f"frame of {len(body)} bytes with {count} parts")
    sizes = struct.unpack_from(f">{count}I", body, _LENGTH.size)
    if sum(sizes) != len(body) - start:
        raise _invalid(f"parts of {sum(sizes)} bytes, {len(body) - start} are in the frame")
    end = start
    return [body[end : (end := end + size)] for size in sizes]


def runs_of(items: Iterable[Item]) -> list[Run]:
    """Put together what one key signs in a row."""
    return [Run(*key, [i.payload for i in same]) for key, same in groupby(items, attrgetter(*Run._fields[:3]))]


def pack_runs(runs: Iterable[Run]) -> list[bytes]:
    """Return the parts of a signing request."""
    parts = [SIGN]
    for run in runs:
        block, count = _NUMBERS.pack(*run.block) if run.block else b"", _LENGTH.pack(len(run.payloads))
        parts += (run.fingerprint.encode(), run.algorithm.encode(), block, count, *run.payloads)
    return parts


def unpack_runs(parts: Sequence[bytes]) -> Iterator[Run]:
    """Read the parts of a signing request after its first."""
    at = 0
    while at < len(parts):
        try:
            fingerprint, algorithm, block, count = parts[at : at + 4]
            numbers = Block(*_NUMBERS.unpack(block)) if block else None
            start, (size,) = at + 4, _LENGTH.unpack(count)
            run = Run(fingerprint.decode("ascii"), _ALGORITHMS[algorithm], numbers, parts[start : start + size])
        except (ValueError, KeyError, struct.error):
            raise _invalid("not a signing request: fingerprint, algorithm, block, number and payloads") from None
        if not size or len(run.payloads) != size:
            raise _invalid(f"a run of {size} payloads, {len(run.payloads)} are there")
        yield run
        at = start + size


def pack_counter(fingerprint: str, counter: Counter) -> bytes:
    """Return one part of an answer to ``counters``."""
    return bytes.fromhex(fingerprint) + _NUMBERS.pack(*counter)


def unpack_counter(part: bytes) -> tuple[str, Counter]:
    """Read one part of an answer to ``counters``."""
    if len(part) != 32 + _NUMBERS.size:
        raise _invalid("a counter is a fingerprint and two numbers")
    return part[:32].hex(), Counter(*_NUMBERS.unpack(part[32:]))


def pack_answers(answers: Sequence[bytes | Failure]) -> list[bytes]:
    """Return the parts of an answer."""
    marks = bytes([_FAILED if isinstance(answer, Failure) else _MADE for answer in answers])
    return [marks, *[_pack_failure(answer) if isinstance(answer, Failure) else answer for answer in answers]]


def unpack_answers(parts: Sequence[bytes]) -> list[bytes | Failure]:
    """Read the parts of an answer."""
    if not parts:
        raise _invalid("an answer without marks")
    marks, answers = parts[0], list[bytes | Failure](parts[1:])
    if marks.count(_MADE) + marks.count(_FAILED) != len(marks) or len(marks) != len(answers):
        raise _invalid(f"{len(answers)} answers with {len(marks)} marks")
    at = marks.find(_FAILED)
    while at >= 0:
        answers[at] = _unpack_failure(parts[1 + at])
        at = marks.find(_FAILED, at + 1)
    return answers


_ALGORITHMS = {algorithm.encode(): algorithm for algorithm in Algorithm}


def _pack_failure(failure: Failure) -> bytes:
    texts = (failure.code, failure.message.replace("\0", "?"), failure.hint.replace("\0", "?"))
    return "\0".join(texts).encode("utf-8", "replace")


def _unpack_failure(part: bytes) -> Failure:
    try:
        code, message, hint = part.decode().split("\0")
        return Failure(code=Code(code), message=message, hint=hint)
    except ValueError:
        raise _invalid("a failure is not code, message and hint") from None


def _invalid(message: str) -> FormatError:
    return FormatError(message, code=Code.INVALID_FRAME)
