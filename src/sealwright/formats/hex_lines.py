"""The lines of a text of hexadecimal records, one by one or, where many look alike, as one block.

A line ends with LF or CR LF, the last one may end with the file.  A block is only offered where a whole run of lines
has the same length and the same prefix; the caller checks every column of it with operations on bytes, and reads line
by line whatever does not fit.  So the fast way accepts nothing that the slow way would not.
"""

import sys
from array import array
from binascii import Error as HexError
from binascii import unhexlify
from dataclasses import dataclass

from sealwright.core.errors import FormatError
from sealwright.core.images import ByteSource

READ_BYTES = 1 << 19
MAX_LINE_BYTES = 600
"""Longer than any record with 255 bytes of data."""
BLANK = b" \t\r\n"
LEAST_ROWS, MOST_ROWS, MOST_PAUSE = 4, 1 << 14, 64


@dataclass(frozen=True, slots=True)
class Rows:
    """Records of one length, decoded: ``count`` rows of ``width`` bytes."""

    raw: bytes
    width: int
    count: int


class Lines:
    """A cursor over the lines of an image."""

    def __init__(self, image: ByteSource) -> None:
        self._image, self._buffer, self._start, self._at = image, b"", 0, 0
        self._tries, self._pause, self._waiting = MOST_ROWS, 0, 0
        self.number = 0
        """Of the line that was read last, counted from one."""

    @property
    def offset(self) -> int:
        """Where the next line begins in the file."""
        return self._start + self._at

    def next(self) -> bytes | None:
        """Return the next line without its end; None at the end of the file."""
        end = self._line_end()
        if self._at == len(self._buffer):
            return None
        line = self._buffer[self._at : end]
        self._at = min(end + 1, len(self._buffer))
        self.number += 1
        return line.removesuffix(b"\r")

    def peek(self, count: int) -> bytes:
        """Return the first ``count`` bytes of the next line, fewer if it is shorter."""
        return self._buffer[self._at : min(self._at + count, self._line_end())]

    def rows(self, prefix: bytes) -> Rows | None:
        """Return the records ahead if several begin with ``prefix`` and have one length; the cursor stays.

        What ``prefix`` stands for in the rows is up to ``decode`` of the caller's format: a colon is dropped, the
        S of an S-record becomes a zero digit.
        """
        if self._waiting:
            self._waiting -= 1
            return None
        end = self._line_end()
        width = end + 1 - self._at
        available = min((len(self._buffer) - self._at) // width, self._tries) if width > len(prefix) + 2 else 0
        if available < LEAST_ROWS:
            return None
        ending = b"\r\n" if self._buffer[end - 1] == 13 else b"\n"
        stop = self._at + available * width
        marks = [*enumerate(prefix), *enumerate(ending, width - len(ending))]
        count = min(_leading(self._buffer[self._at + column : stop : width], value) for column, value in marks)
        if count < LEAST_ROWS:
            self.used(count)
            return None
        rows = _decode(self._buffer[self._at : self._at + count * width], width, count, prefix, len(ending))
        if rows is None:
            self.used(0)
        return rows

    def used(self, count: int) -> None:
        """Remember how many rows the caller could use, so that tries cost little in a file that is not made for them.

        The next try is not much longer than this one; after tries in vain some lines are read without any.
        """
        self._tries = min(MOST_ROWS, max(LEAST_ROWS, count * 4))
        self._pause = 0 if count >= LEAST_ROWS else min(MOST_PAUSE, self._pause * 2 + 1)
        self._waiting = self._pause

    def skip(self, count: int) -> None:
        """Move behind ``count`` lines of the length of the next one."""
        self.used(count)
        self._at += count * (self._line_end() + 1 - self._at)
        self.number += count

    def check_end(self) -> None:
        """Raise ``FormatError`` unless only blanks follow, which is all that no tool loads."""
        while True:
            rest = self._buffer[self._at :]
            if blanks := rest.lstrip(BLANK):
                raise FormatError("data after the last record", at=self.offset + len(rest) - len(blanks))
            self._at = len(self._buffer)
            if not self._fill():
                return

    def error(self, message: str, at: int) -> FormatError:
        """Return an error that names the line read last, which begins at ``at``."""
        return FormatError(f"line {self.number}: {message}", at=at)

    def _line_end(self) -> int:
        """Return the index of the next line feed in the buffer, or of the end of the file."""
        while (end := self._buffer.find(b"\n", self._at, self._at + MAX_LINE_BYTES)) < 0:
            if len(self._buffer) - self._at >= MAX_LINE_BYTES:
                raise FormatError(f"line {self.number + 1} is longer than any record", at=self.offset)
            if not self._fill():
                return len(self._buffer)
        return end

    def _fill(self) -> bool:
        position = self._start + len(self._buffer)
        chunk = self._image.read(position, min(READ_BYTES, self._image.size - position))
        self._buffer, self._start, self._at = self._buffer[self._at :] + chunk, self._start + self._at, 0
        return bool(chunk)


def decode_line(digits: bytes) -> bytes | None:
    """Return the bytes that these hexadecimal digits write; None where they are none."""
    try:
        return unhexlify(digits)
    except HexError:
        return None


def sums_to(rows: Rows, count: int, residue: int) -> bool:
    """Whether the bytes of each of the first ``count`` rows add up to ``residue``, modulo 256.

    Columns are added as long integers with a lane of 16 bits for each row.
    """
    low = int.from_bytes(b"\xff\x00" * count, "little")
    total, spread = 0, bytearray(2 * count)
    for column in range(rows.width):
        spread[0::2] = rows.raw[column : count * rows.width : rows.width]
        total += int.from_bytes(spread, "little")
        if column % 128 == 127:
            total &= low  # before a lane can overflow
    return total & low == int.from_bytes(bytes([residue, 0]) * count, "little")


def same(rows: Rows, column: int) -> int:
    """Return how many leading rows have in ``column`` what the first one has."""
    return _leading(rows.raw[column :: rows.width], rows.raw[column])


def ascending(rows: Rows, column: int, address_bytes: int, step: int) -> int:
    """Return how many leading rows have addresses that go up by ``step``; none of them leaves ``address_bytes``."""
    first = int.from_bytes(rows.raw[column : column + address_bytes], "big")
    count = min(rows.count, ((1 << 8 * address_bytes) - first) // step)
    words = array("I", range(first, first + count * step, step))
    if sys.byteorder == "little":
        words.byteswap()
    wanted = words.tobytes()
    for i in range(address_bytes):
        found = rows.raw[column + i : count * rows.width : rows.width]
        count = _common(found, wanted[words.itemsize - address_bytes + i :: words.itemsize][:count])
    return count


def payload(rows: Rows, count: int, head: int, tail: int) -> bytearray:
    """Return the data of the first ``count`` rows, without ``head`` bytes before and ``tail`` behind in each."""
    data, width = bytearray(rows.raw[: count * rows.width]), rows.width
    for _ in range(tail):
        del data[width - 1 :: width]
        width -= 1
    for _ in range(head):
        del data[0::width]
        width -= 1
    return data


def _decode(block: bytes, width: int, count: int, prefix: bytes, ending: int) -> Rows | None:
    if prefix == b":":
        digits, dropped = block.translate(None, b":\r\n"), 1 + ending
    else:
        zeroed = bytearray(block)
        zeroed[0::width] = b"0" * count
        digits, dropped = bytes(zeroed.translate(None, b"\r\n")), ending
    if len(digits) != count * (width - dropped):  # a mark in the middle of a line
        return None
    raw = decode_line(digits)
    return None if raw is None or len(raw) % count else Rows(raw, len(raw) // count, count)


def _leading(column: bytes, value: int) -> int:
    return len(column) - len(column.lstrip(bytes([value])))


def _common(a: bytes, b: bytes) -> int:
    """Return the length of the longest common beginning."""
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if a[:middle] == b[:middle] else (low, middle - 1)
    return low
