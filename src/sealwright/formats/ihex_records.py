"""Intel HEX read strictly: every record is checked, and nothing is taken that two loaders could read in two ways.

Refused: unknown record types, wrong checksums and lengths, records that cross the end of a segment, overlaps, a second
start address, segment and linear addresses mixed, no end-of-file record, anything but blanks behind it.
Reference: Intel, "Hexadecimal Object File Format Specification", revision A (1988).
"""

from enum import IntEnum

from sealwright.core.errors import FormatError
from sealwright.core.images import ByteSource
from sealwright.formats import hex_lines
from sealwright.formats.hex_lines import Lines
from sealwright.formats.memory_image import ADDRESS_END, Builder, Entry, MemoryImage

BANK_BYTES = 1 << 16
HEAD_BYTES = 4  # count, address, type


class Kind(IntEnum):
    """RECTYP, the record types of the specification."""

    DATA = 0
    END_OF_FILE = 1
    EXTENDED_SEGMENT_ADDRESS = 2
    START_SEGMENT_ADDRESS = 3
    EXTENDED_LINEAR_ADDRESS = 4
    START_LINEAR_ADDRESS = 5


LENGTHS = {
    Kind.END_OF_FILE: 0,
    Kind.EXTENDED_SEGMENT_ADDRESS: 2,
    Kind.START_SEGMENT_ADDRESS: 4,
    Kind.EXTENDED_LINEAR_ADDRESS: 2,
    Kind.START_LINEAR_ADDRESS: 4,
}


KINDS = {int(kind): kind for kind in Kind}


class _Reader:
    """The state between records: where addresses count from, and the entry."""

    def __init__(self, image: ByteSource) -> None:
        self.lines, self.memory = Lines(image), Builder()
        self.base, self.based_by, self.entry = 0, Kind.DATA, None

    base: int
    based_by: Kind
    entry: Entry | None

    def read(self) -> MemoryImage:
        while True:
            if self._block():
                continue
            at = self.lines.offset
            line = self.lines.next()
            if line is None:
                raise FormatError("no end-of-file record: the file is cut", at=at)
            if self._record(line, at) is Kind.END_OF_FILE:
                break
        self.lines.check_end()
        segments = self.memory.segments()
        if not segments:
            raise FormatError("no data records", at=0)
        return MemoryImage(families=((None, segments),), entry=self.entry)

    def _block(self) -> bool:
        """Take the data records ahead at once, as many as are alike and without fault."""
        rows = self.lines.rows(b":")
        if rows is None:
            return False
        if rows.width != HEAD_BYTES + rows.raw[0] + 1 or rows.raw[3] or not rows.raw[0]:
            self.lines.used(0)
            return False
        count = min(hex_lines.same(rows, 0), hex_lines.same(rows, 3))
        count = min(count, hex_lines.ascending(rows, 1, 2, rows.raw[0]))
        if not count or not hex_lines.sums_to(rows, count, 0):
            self.lines.used(0)
            return False
        data = hex_lines.payload(rows, count, HEAD_BYTES, 1)
        self.memory.add(self.base + int.from_bytes(rows.raw[1:3], "big"), data, self.lines.offset)
        self.lines.skip(count)
        return True

    def _record(self, line: bytes, at: int) -> Kind:
        raw = hex_lines.decode_line(line[1:]) if line.startswith(b":") else None
        if raw is None:
            raise self.lines.error("not a record: a colon and hexadecimal digits are expected", at)
        if len(raw) < HEAD_BYTES + 1 or len(raw) != HEAD_BYTES + raw[0] + 1:
            raise self.lines.error("the record has not the length it says", at)
        if sum(raw) & 0xFF:
            raise self.lines.error(
                f"checksum is {raw[-1]:#04x}, the record adds up to {-sum(raw[:-1]) & 0xFF:#04x}", at
            )
        kind = KINDS.get(raw[3])
        if kind is None:
            raise self.lines.error(f"unknown record type {raw[3]:#04x}", at)
        address, data = int.from_bytes(raw[1:3], "big"), raw[HEAD_BYTES:-1]
        if kind is Kind.DATA:
            self._data(address, data, at)
        elif len(data) != LENGTHS[kind] or address:
            raise self.lines.error(f"{kind.name} record with address {address:#06x} and {len(data)} bytes", at)
        elif kind in (Kind.START_SEGMENT_ADDRESS, Kind.START_LINEAR_ADDRESS):
            self._start(kind, int.from_bytes(data, "big"), at)
        elif kind is not Kind.END_OF_FILE:
            self._extend(kind, int.from_bytes(data, "big"), at)
        return kind

    def _data(self, address: int, data: bytes, at: int) -> None:
        if not data:
            raise self.lines.error("data record without data", at)
        # At the end of a segment srec_cat begins again at its start, as specified; intelhex and bincopy go on.
        if self.based_by is Kind.EXTENDED_SEGMENT_ADDRESS and address + len(data) > BANK_BYTES:
            raise self.lines.error(f"data record at {address:#06x} crosses the end of its segment", at)
        if self.base + address + len(data) > ADDRESS_END:
            raise self.lines.error(f"data at {self.base + address:#x} goes beyond the last address", at)
        self.memory.add(self.base + address, data, at)

    def _start(self, kind: Kind, value: int, at: int) -> None:
        if self.entry is not None:
            raise self.lines.error("second start address", at)
        self.entry = Entry(kind="linear" if kind is Kind.START_LINEAR_ADDRESS else "segment", value=value)

    def _extend(self, kind: Kind, value: int, at: int) -> None:
        # Some loaders add the two, others let the later one win.
        if self.based_by not in (Kind.DATA, kind):
            raise self.lines.error("extended segment and extended linear addresses are mixed", at)
        self.base, self.based_by = value << (4 if kind is Kind.EXTENDED_SEGMENT_ADDRESS else 16), kind


def read(image: ByteSource) -> MemoryImage:
    """Read an Intel HEX file; ``FormatError`` names the line and the offset of what is wrong."""
    return _Reader(image).read()
