"""Where things lie in a UEFI PE file: headers, sections, and the attribute certificate table at its end.

Everything that two readers could see differently is refused by name.  Above all, sections must follow one another
without gap or overlap: edk2 and sbsign hash section by section, osslsigncode hashes the file in order, and only then
do they hash the same bytes.  Nor may sections lie over one another in memory: the last one loaded would hide what
people were shown of the first.
Reference: Microsoft, PE Format, "Optional Header", "Section Table", "Attribute Certificate Table"; edk2,
``BasePeCoffLib`` (what firmware accepts) and ``DxeImageVerificationLib`` (``HashPeImage``).
"""

import itertools
import struct
from dataclasses import dataclass

from sealwright.core.errors import Code, FormatError
from sealwright.core.images import ByteSource, Range, read_chunks
from sealwright.formats.der import extent

DOS_HEADER = struct.Struct("<2s58xI")  # e_magic, e_lfanew
COFF_HEADER = struct.Struct("<4sHH12xHH")  # Signature, Machine, NumberOfSections, SizeOfOptionalHeader, Characteristics
OPTIONAL_HEADER = struct.Struct("<H14xI36xII4sH")  # Magic, AddressOfEntryPoint, SizeOfImage … CheckSum, Subsystem
SECTION_HEADER = struct.Struct("<8sIIII16x")  # Name, VirtualSize, VirtualAddress, SizeOfRawData, PointerToRawData
DIRECTORY = struct.Struct("<II")  # offset (of the certificate table: in the file), size
WIN_CERTIFICATE = struct.Struct("<IHH")  # dwLength, wRevision, wCertificateType

CHECKSUM_AT = 64  # in the optional header
DIRECTORIES_AT = {0x10B: 96, 0x20B: 112}  # by Magic: PE32, PE32+
CERTIFICATE_TABLE = 4  # index of its directory entry
MAX_DIRECTORIES = 16
MAX_SECTIONS = 96  # "the Windows loader limits the number of sections to 96"
MAX_TABLE_BYTES = 1 << 20
MAX_CERTIFICATES = 16
WIN_CERT_REVISION_2_0 = 0x0200
WIN_CERT_TYPE_PKCS_SIGNED_DATA = 2
ALIGNMENT = 8
UEFI_SUBSYSTEMS = {10: "EFI application", 11: "EFI boot service driver", 12: "EFI runtime driver", 13: "EFI ROM image"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One entry of the section table."""

    name: str
    virtual_size: int
    virtual_address: int
    start: int
    size: int
    """Bytes in the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A PE file whose headers hold together; made by ``read`` only."""

    size: int
    machine: int
    magic: int
    subsystem: int
    entry_point: int
    sections: tuple[Section, ...]
    sections_table_at: int
    sections_start: int
    """SizeOfHeaders: where the first section begins."""
    checksum_at: int
    checksum: bytes
    table_entry_at: int
    table: Range | None
    """The certificate table; None in an unsigned file."""

    @property
    def end(self) -> int:
        """Where the signed part of the file ends."""
        return self.table.start if self.table else self.size

    @property
    def covered(self) -> tuple[Range, ...]:
        """What an Authenticode signature covers: all but CheckSum, directory entry and certificate table."""
        return (
            Range(0, self.checksum_at),
            Range(self.checksum_at + 4, self.table_entry_at),
            Range(self.table_entry_at + DIRECTORY.size, self.end),
        )

    @property
    def uncovered(self) -> tuple[tuple[Range, str], ...]:
        """The rest, with reasons."""
        fields = (
            (Range(self.checksum_at, self.checksum_at + 4), "CheckSum field: changes when the signature is added"),
            (
                Range(self.table_entry_at, self.table_entry_at + DIRECTORY.size),
                "Certificate Table directory entry: says where the signature lies",
            ),
        )
        return (*fields, (self.table, "certificate table: holds the signatures themselves")) if self.table else fields


def read(image: ByteSource) -> Layout:
    """Read headers and section table; ``FormatError`` with the offset where they lie."""
    magic, pe_at = DOS_HEADER.unpack(image.read(0, DOS_HEADER.size))
    if magic != b"MZ":
        raise FormatError("no MZ header", at=0)
    if pe_at < DOS_HEADER.size:
        raise FormatError(f"PE header at {pe_at:#x} overlaps the DOS header", at=0x3C)
    signature, machine, count, optional_size, _ = COFF_HEADER.unpack(image.read(pe_at, COFF_HEADER.size))
    if signature != b"PE\0\0":
        raise FormatError("no PE signature", at=pe_at)
    at = pe_at + COFF_HEADER.size
    fields = OPTIONAL_HEADER.unpack(image.read(at, OPTIONAL_HEADER.size))
    optional_magic, entry_point, _, headers_size, checksum, subsystem = fields
    if subsystem not in UEFI_SUBSYSTEMS:
        raise FormatError(
            f"PE subsystem {subsystem} is not one of UEFI",
            at=at + 68,
            code=Code.UNSUPPORTED_IMAGE,
            hint="format raw signs any file with a signature beside it",
        )
    table_entry_at = _table_entry(image, at, optional_magic, optional_size)
    headers = Range(at + optional_size, headers_size)
    sections = _sections(image, count, headers)
    table = _table(image, table_entry_at)
    end = table.start if table else image.size
    _check_contiguous(sections, headers_size, end)
    _check_memory(image, sections, headers_size)
    return Layout(
        size=image.size,
        machine=machine,
        magic=optional_magic,
        subsystem=subsystem,
        entry_point=entry_point,
        sections=sections,
        sections_table_at=headers.start,
        sections_start=headers.stop,
        checksum_at=at + CHECKSUM_AT,
        checksum=checksum,
        table_entry_at=table_entry_at,
        table=table,
    )


def read_certificates(image: ByteSource, table: Range) -> tuple[bytes, ...]:
    """Return the DER of each WIN_CERTIFICATE; ``FormatError`` unless they fill the table exactly."""
    data, at, found = image.read(table.start, table.stop - table.start), 0, []
    while at < len(data):
        where = table.start + at
        length, revision, kind = WIN_CERTIFICATE.unpack(data[at : at + WIN_CERTIFICATE.size])
        if length <= WIN_CERTIFICATE.size or at + length > len(data):
            raise FormatError(f"WIN_CERTIFICATE of {length} bytes, {len(data) - at} are left in the table", at=where)
        if (revision, kind) != (WIN_CERT_REVISION_2_0, WIN_CERT_TYPE_PKCS_SIGNED_DATA):
            raise FormatError(
                f"WIN_CERTIFICATE revision {revision:#x}, type {kind}: only PKCS#7 (0x200, 2) is read",
                at=where,
                code=Code.UNSUPPORTED_IMAGE,
            )
        padded = at + aligned(length)
        body = data[at + WIN_CERTIFICATE.size : padded]  # some writers count the padding in dwLength, some do not
        _, end = extent(body, 0, min(len(body), length - WIN_CERTIFICATE.size))
        if len(body) - end >= ALIGNMENT or any(body[end:]):
            raise FormatError("bytes behind the PKCS#7 structure in its WIN_CERTIFICATE", at=where + end)
        found.append(body[:end])
        at = padded
        if len(found) > MAX_CERTIFICATES:
            raise FormatError(f"more than {MAX_CERTIFICATES} signatures", at=where)
    return tuple(found)


def aligned(size: int) -> int:
    """Round up to the alignment of the certificate table."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def _table_entry(image: ByteSource, at: int, magic: int, optional_size: int) -> int:
    """Return where the directory entry of the certificate table lies in the file."""
    if magic not in DIRECTORIES_AT:
        raise FormatError(f"optional header magic {magic:#x} is neither PE32 nor PE32+", at=at)
    directories_at = at + DIRECTORIES_AT[magic]
    count = int.from_bytes(image.read(directories_at - 4, 4), "little")
    if not CERTIFICATE_TABLE < count <= MAX_DIRECTORIES:
        raise FormatError(f"{count} data directories, a signature needs 5 to 16", at=directories_at - 4)
    size = DIRECTORIES_AT[magic] + count * DIRECTORY.size
    if optional_size != size:  # edk2 refuses it too
        raise FormatError(f"SizeOfOptionalHeader is {optional_size}, its parts take {size}", at=at - 4)
    return directories_at + CERTIFICATE_TABLE * DIRECTORY.size


def _sections(image: ByteSource, count: int, headers: Range) -> tuple[Section, ...]:
    if not 1 <= count <= MAX_SECTIONS:
        raise FormatError(f"{count} sections, 1 to {MAX_SECTIONS} are accepted", at=headers.start)
    table_end = headers.start + count * SECTION_HEADER.size
    if not table_end <= headers.stop <= image.size:
        raise FormatError(
            f"SizeOfHeaders is {headers.stop:#x}; section table ends at {table_end:#x}, image at {image.size:#x}",
            at=headers.start,
        )
    raw = image.read(headers.start, table_end - headers.start)
    return tuple(
        Section(
            name=_text(name),
            virtual_size=virtual_size,
            virtual_address=virtual_address,
            start=start,
            size=size,
        )
        for name, virtual_size, virtual_address, size, start in SECTION_HEADER.iter_unpack(raw)
    )


def _table(image: ByteSource, entry_at: int) -> Range | None:
    start, size = DIRECTORY.unpack(image.read(entry_at, DIRECTORY.size))
    if start == size == 0:
        return None
    if start % ALIGNMENT or size < WIN_CERTIFICATE.size or size % ALIGNMENT:
        raise FormatError(f"certificate table at {start:#x}, {size} bytes: not aligned or too small", at=entry_at)
    if start + size != image.size:
        raise FormatError(
            f"certificate table ends at {start + size:#x}, the image at {image.size:#x}: it must stand at the end",
            at=entry_at,
        )
    if size > MAX_TABLE_BYTES:
        raise FormatError(f"certificate table of {size} bytes, at most {MAX_TABLE_BYTES} are accepted", at=entry_at)
    return Range(start, start + size)


def _check_contiguous(sections: tuple[Section, ...], headers_size: int, end: int) -> None:
    at = headers_size
    for section in sorted((s for s in sections if s.size), key=lambda s: s.start):
        if section.start != at:
            kind = (
                "overlaps what stands before it" if section.start < at else "leaves a gap that verifiers skip or hash"
            )
            raise FormatError(
                f"section {section.name} starts at {section.start:#x}, expected {at:#x}: it {kind}", at=section.start
            )
        at += section.size
    if at > end:
        raise FormatError(f"sections end at {at:#x}, signed part of the image at {end:#x}", at=end)


def _check_memory(image: ByteSource, sections: tuple[Section, ...], headers_size: int) -> None:
    """Refuse sections that lie over one another or over the headers once they are loaded.

    VirtualSize bytes are loaded, or all of the file where it is zero (edk2, ``PeCoffLoaderLoadImage``).
    """
    at, before = headers_size, "the headers"
    loaded = sorted((s for s in sections if s.virtual_size or s.size), key=lambda s: s.virtual_address)
    for section in loaded:
        if section.virtual_address < at:
            raise FormatError(
                f"section {section.name} is loaded to {section.virtual_address:#x}, over {before} up to {at:#x}",
                at=section.start,
            )
        at, before = section.virtual_address + (section.virtual_size or section.size), f"section {section.name}"
    for section, following in itertools.pairwise(loaded):
        _check_reach(image, section, following.virtual_address - section.virtual_address)


def _check_reach(image: ByteSource, section: Section, room: int) -> None:
    """Refuse bytes behind VirtualSize, other than zeros, that reach into the next section.

    Some loaders copy all that is in the file, in this order or that; Debian's stub has zeros there.
    """
    for chunk in read_chunks(image, section.start + room, section.start + section.size):
        if any(chunk):
            raise FormatError(
                f"section {section.name} has bytes behind its {section.virtual_size} that some loaders would put over "
                "the next one",
                at=section.start + room,
            )


def _text(name: bytes) -> str:
    return "".join(chr(c) if 0x20 < c < 0x7F else "?" for c in name.rstrip(b"\0"))
