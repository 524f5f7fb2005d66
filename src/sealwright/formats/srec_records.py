"""Motorola S-records read strictly: every record is checked, and nothing is taken that two loaders could read apart.

Refused: unknown record types, wrong checksums, lengths and counts, overlaps, a header that is not first, no termination
record, anything but blanks behind it.
Reference: Motorola, "M68000 Family Programmer's Reference Manual" (1992), appendix C.
"""

from dataclasses import dataclass

from sealwright.core.errors import FormatError
from sealwright.core.images import ByteSource
from sealwright.formats import hex_lines
from sealwright.formats.hex_lines import Lines
from sealwright.formats.memory_image import ADDRESS_END, Builder, Entry, MemoryImage

DATA = {b"S1": 2, b"S2": 3, b"S3": 4}
"""Record type to bytes of address."""
COUNTS = {b"S5": 2, b"S6": 3}
TERMINATIONS = {b"S9": 2, b"S8": 3, b"S7": 4}
HEADER = b"S0"
ALL_ONES = 0xFF  # what count, address, data and checksum add up to


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a file of S-records says."""

    memory: MemoryImage
    header: bytes
    """Data of the S0 record: a name for people."""
    header_stop: int
    """Where the S0 record ends in the file."""
    data_records: int


UNTERMINATED = "srec_cat writes one if it is told where the program begins, as -execution-start-address=0x0"


class _Reader:
    """The state between records: what came already."""

    def __init__(self, image: ByteSource) -> None:
        self.lines, self.memory = Lines(image), Builder()
        self.header, self.header_stop, self.records, self.is_counted = b"", 0, 0, False

    def read(self) -> Contents:
        while True:
            if self._block():
                continue
            at = self.lines.offset
            line = self.lines.next()
            if line is None:
                raise FormatError("no termination record: the file is cut", at=at, hint=UNTERMINATED)
            kind, address, data = self._parse(line, at)
            if kind in TERMINATIONS:
                entry = self._terminate(address, data, at)
                break
            self._record(kind, address, data, at)
        self.lines.check_end()
        segments = self.memory.segments()
        if not segments:
            raise FormatError("no data records", at=0)
        return Contents(
            memory=MemoryImage(families=((None, segments),), entry=entry),
            header=self.header,
            header_stop=self.header_stop,
            data_records=self.records,
        )

    def _block(self) -> bool:
        """Take the data records ahead at once, as many as are alike and without fault."""
        rows = None if self.is_counted else self._rows()
        if rows is None:
            return False
        address_bytes = rows.raw[0] + 1  # the row begins with the digit of its type
        head = 2 + address_bytes
        size = rows.width - head - 1
        if size < 1 or rows.raw[1] != address_bytes + size + 1:
            self.lines.used(0)
            return False
        count = min(hex_lines.same(rows, 1), hex_lines.ascending(rows, 2, address_bytes, size))
        if not count or not hex_lines.sums_to(rows, count, ALL_ONES + rows.raw[0] & 0xFF):
            self.lines.used(0)
            return False
        address = int.from_bytes(rows.raw[2:head], "big")
        self.memory.add(address, hex_lines.payload(rows, count, head, 1), self.lines.offset)
        self.records += count
        self.lines.skip(count)
        return True

    def _rows(self) -> hex_lines.Rows | None:
        kind = self.lines.peek(2)
        return self.lines.rows(kind) if kind in DATA else None

    def _parse(self, line: bytes, at: int) -> tuple[bytes, int, bytes]:
        """Return type, address and data of a record."""
        kind, raw = line[:2], hex_lines.decode_line(line[2:])
        if not kind.startswith(b"S") or raw is None:
            raise self.lines.error("not a record: S, a type and hexadecimal digits are expected", at)
        width = {HEADER: 2, **DATA, **COUNTS, **TERMINATIONS}.get(kind)
        if width is None:
            raise self.lines.error(f"unknown record type {kind.decode('ascii', 'replace')}", at)
        if len(raw) < 2 + width or len(raw) != 1 + raw[0]:
            raise self.lines.error("the record has not the length it says", at)
        if sum(raw) & 0xFF != ALL_ONES:
            raise self.lines.error(
                f"checksum is {raw[-1]:#04x}, the record adds up to {~sum(raw[:-1]) & 0xFF:#04x}", at
            )
        return kind, int.from_bytes(raw[1 : 1 + width], "big"), raw[1 + width : -1]

    def _record(self, kind: bytes, address: int, data: bytes, at: int) -> None:
        if kind == HEADER:
            if self.lines.number != 1 or address:
                raise self.lines.error("header record that is not first, or with an address", at)
            self.header, self.header_stop = data, self.lines.offset
        elif kind in COUNTS:
            self._count(address, data, at)
        elif self.is_counted:
            raise self.lines.error("data record behind the count of data records", at)
        elif not data:
            raise self.lines.error("data record without data", at)
        elif address + len(data) > ADDRESS_END:
            raise self.lines.error(f"data at {address:#x} goes beyond the last address", at)
        else:
            self.memory.add(address, data, at)
            self.records += 1

    def _count(self, count: int, data: bytes, at: int) -> None:
        if self.is_counted or data:
            raise self.lines.error("second count of data records, or one with data", at)
        if count != self.records:
            raise self.lines.error(f"count of data records is {count}, there are {self.records}", at)
        self.is_counted = True

    def _terminate(self, address: int, data: bytes, at: int) -> Entry | None:
        if data:
            raise self.lines.error("termination record with data", at)
        # Its width says nothing: srec_cat ends S3 records with S9.  It always has an address; zero is how tools say
        # that they know none.
        return Entry(kind="linear", value=address) if address else None


def read(image: ByteSource) -> Contents:
    """Read a file of S-records; ``FormatError`` names the line and the offset of what is wrong."""
    return _Reader(image).read()
