"""Unified kernel images: kernel, initrd, command line and os-release as sections of systemd's EFI stub.

``build`` adds the sections behind those of the stub; the result is a UEFI program, signed as one (``pe``).  ``pcr11``
says what the stub's measurements leave in PCR 11 of a TPM in each phase of booting.  The order of measuring changed
with versions of the stub; that of 252 is known here.  Signatures over PCR policies (``.pcrsig``) are put in, not made.
Reference: systemd 252, ``src/boot/efi/stub.c`` and systemd-stub(7); UAPI group, "Unified Kernel Image".
"""

import hashlib
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sealwright.core.errors import Code, FormatError
from sealwright.core.images import ByteSource, read_chunks
from sealwright.formats import pe_layout
from sealwright.formats.pe_checksum import WordSum
from sealwright.formats.pe_layout import SECTION_HEADER, Layout, Section

MEASURED = (".linux", ".osrel", ".cmdline", ".initrd", ".splash", ".dtb", ".pcrpkey")
"""In the order in which the stub measures them."""
PLACED = (".osrel", ".cmdline", ".splash", ".dtb", ".pcrpkey", ".pcrsig", ".initrd", ".linux")
"""``.pcrsig`` is signed over what the others measure to, so the stub measures it not."""
PHASES = ("enter-initrd", "leave-initrd", "sysinit", "ready")
STUB_MAGIC = ".sdmagic"
STUB_NAME = "systemd-stub"
KNOWN_VERSION = "252"
MAX_MAGIC_BYTES = 256
MAX_TEXT_BYTES = 64 * 1024
MAX_FILE_BYTES = 0xFFFFFFFF
READ_ONLY_DATA = 0x40000040  # IMAGE_SCN_CNT_INITIALIZED_DATA, IMAGE_SCN_MEM_READ
SIZES = struct.Struct("<II")  # SectionAlignment, FileAlignment
SIZES_AT, SIZE_OF_IMAGE_AT = 32, 56  # in the optional header
SYMBOLS_AT = -12  # PointerToSymbolTable and NumberOfSymbols, before the optional header
SECTION_COUNT_AT = -18


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    name: str
    content: ByteSource
    address: int
    start: int
    size: int


def build(stub: ByteSource, parts: Mapping[str, ByteSource]) -> Iterator[bytes]:
    """Yield the stub with a section for each of ``parts`` (by name, ``.linux`` among them), checksum and all.

    Raises ``FormatError``: the stub is none or holds such sections already, its headers have no room.
    """
    layout = pe_layout.read(stub)
    _check_parts(stub, layout, parts)
    header_at = _headers_end(layout)
    alignment, file_alignment = _alignments(stub, layout)
    placed = _place(layout, parts, alignment, file_alignment)
    table = b"".join(
        SECTION_HEADER.pack(p.name.encode(), p.content.size, p.address, p.size, p.start)[:24]
        + bytes(12)
        + READ_ONLY_DATA.to_bytes(4, "little")
        for p in placed
    )
    end = placed[-1].start + placed[-1].size
    if end > MAX_FILE_BYTES:
        raise FormatError(f"image of {end} bytes, and offsets in PE end at {MAX_FILE_BYTES}")
    headers = bytearray(stub.read(0, layout.sections_start))
    if any(headers[header_at : header_at + len(table)]) or header_at + len(table) > len(headers):
        raise FormatError(f"headers of the stub have no room for {len(placed)} sections", at=header_at)
    optional_at = layout.checksum_at - pe_layout.CHECKSUM_AT
    headers[header_at : header_at + len(table)] = table
    headers[optional_at + SYMBOLS_AT : optional_at + SYMBOLS_AT + 8] = bytes(8)  # the stub's own are left out
    struct.pack_into("<H", headers, optional_at + SECTION_COUNT_AT, len(layout.sections) + len(placed))
    image_size = _aligned(placed[-1].address + placed[-1].content.size, alignment)
    struct.pack_into("<I", headers, optional_at + SIZE_OF_IMAGE_AT, image_size)
    headers[layout.checksum_at : layout.checksum_at + 4] = bytes(4)
    yield from _with_checksum(stub, layout, bytes(headers), placed, end)


def parts_of(layout: Layout) -> dict[str, Section]:
    """Return the sections of a unified kernel image by name; empty if it is none.

    The stub compares as many bytes as its own names have, and the last match counts: ``.initrd2`` would be its initrd.
    """
    found: dict[str, Section] = {}
    for section in layout.sections:
        name = next((name for name in PLACED if section.name.startswith(name)), None)
        if name not in (None, section.name):
            raise FormatError(f"section {section.name} would be taken for {name}", at=section.start)
        if name is not None:
            if name in found:
                raise FormatError(f"section {name} is there twice", at=section.start)
            if section.virtual_size > section.size:
                raise FormatError(f"section {name} is longer in memory than in the file", at=section.start)
            found[name] = section
    return found if ".linux" in found else {}


def check_names(image: ByteSource, layout: Layout) -> None:
    """Raise ``FormatError`` where a stub that is known here would boot other parts than people are shown.

    Others are not refused: newer stubs compare whole names, and have images of several profiles that repeat sections.
    """
    if _major(stub_version(image, layout)) == KNOWN_VERSION:
        parts_of(layout)


def pcr11(image: ByteSource, bank: str = "sha256") -> dict[str, bytes]:
    """Return the value of PCR 11 after each of ``PHASES``.

    Raises ``FormatError``: not a unified kernel image, or a stub whose measurements are not known here.
    """
    layout = pe_layout.read(image)
    parts = parts_of(layout)
    if not parts:
        raise FormatError("not a unified kernel image: it has no section .linux", code=Code.UNSUPPORTED_IMAGE)
    version = stub_version(image, layout)
    if _major(version) != KNOWN_VERSION:
        raise FormatError(
            f"what the stub ({version or 'unknown'}) measures is known for {STUB_NAME} {KNOWN_VERSION} only",
            code=Code.UNSUPPORTED_IMAGE,
        )
    value = bytes(hashlib.new(bank).digest_size)
    for name in MEASURED:
        if name in parts:
            value = _extended(bank, value, hashlib.new(bank, name.encode() + b"\0").digest())
            value = _extended(bank, value, _digest(image, parts[name], bank))
    values = {}
    for phase in PHASES:
        value = _extended(bank, value, hashlib.new(bank, phase.encode()).digest())
        values[phase] = value
    return values


def stub_version(image: ByteSource, layout: Layout) -> str | None:
    """Return the version that systemd's stub says of itself (``LoaderInfo: systemd-stub 252.39``)."""
    magic = next((s for s in layout.sections if s.name == STUB_MAGIC), None)
    if magic is None:
        return None
    text = image.read(magic.start, min(magic.size, MAX_MAGIC_BYTES)).decode("ascii", "replace")
    words = text.split()
    return words[words.index(STUB_NAME) + 1] if STUB_NAME in words[:-1] else None


def facts(image: ByteSource, layout: Layout) -> dict[str, str]:
    """Say what an approver wants to know of a unified kernel image; empty if it is none."""
    try:
        parts = parts_of(layout)
    except FormatError as e:  # images of several profiles repeat sections; firmware minds none of it
        return {"Unified kernel image": f"not read: {e.message}"}
    if not parts:
        return {}
    found = {"Unified kernel image": f"kernel of {parts['.linux'].virtual_size} bytes"}
    if ".initrd" in parts:
        found["Initrd"] = f"{parts['.initrd'].virtual_size} bytes"
    if ".cmdline" in parts:
        found["Kernel command line"] = _text(image, parts[".cmdline"])
    if ".osrel" in parts:
        found["Operating system"] = _pretty_name(_text(image, parts[".osrel"], "\n"))
    try:
        found |= {f"PCR 11 after {phase}": f"sha256 {value.hex()}" for phase, value in pcr11(image).items()}
    except FormatError as e:
        found["PCR 11"] = f"not computed: {e.message}"
    return found


def _major(version: str | None) -> str | None:
    return None if version is None else version.split(".")[0]


def _check_parts(stub: ByteSource, layout: Layout, parts: Mapping[str, ByteSource]) -> None:
    unknown = sorted(parts.keys() - set(PLACED))
    if unknown or ".linux" not in parts:
        raise FormatError(
            f"sections {unknown} are none of a unified kernel image" if unknown else "there is no kernel (.linux)",
            code=Code.INVALID_DOCUMENT,
        )
    if layout.table is not None:
        raise FormatError("stub is signed already: the signature would not survive", code=Code.ALREADY_SIGNED)
    if stub_version(stub, layout) is None:
        raise FormatError(f"not an EFI stub of systemd: section {STUB_MAGIC} is missing", code=Code.UNSUPPORTED_IMAGE)
    present = [section.name for section in layout.sections if section.name.startswith(PLACED)]
    if present:
        raise FormatError(f"stub holds {', '.join(present)} already", code=Code.ALREADY_SIGNED)
    for name, content in parts.items():
        if content.size == 0:
            raise FormatError(f"content of section {name} is empty", code=Code.INVALID_DOCUMENT)


def _headers_end(layout: Layout) -> int:
    return layout.sections_table_at + len(layout.sections) * SECTION_HEADER.size


def _alignments(stub: ByteSource, layout: Layout) -> tuple[int, int]:
    optional_at = layout.checksum_at - pe_layout.CHECKSUM_AT
    alignment, file_alignment = SIZES.unpack(stub.read(optional_at + SIZES_AT, SIZES.size))
    if not 512 <= file_alignment <= 65536 or alignment < file_alignment or alignment > 1 << 21:
        raise FormatError(f"alignment {alignment:#x} in memory, {file_alignment:#x} in the file", at=optional_at)
    return alignment, file_alignment


def _place(layout: Layout, parts: Mapping[str, ByteSource], alignment: int, file_alignment: int) -> list[_Placed]:
    """Lay the sections out behind those of the stub, in memory and in the file."""
    address = max(s.virtual_address + max(s.virtual_size, s.size) for s in layout.sections)
    start = max(s.start + s.size for s in layout.sections)
    if start % file_alignment:
        raise FormatError(f"sections of the stub end at {start:#x}, no multiple of {file_alignment:#x}", at=start)
    placed = []
    for name in (name for name in PLACED if name in parts):
        address, size = _aligned(address, alignment), _aligned(parts[name].size, file_alignment)
        if _aligned(address + size, alignment) > MAX_FILE_BYTES:
            raise FormatError(f"section {name} would be at {address:#x} in memory, and addresses in PE end at 4 GiB")
        placed.append(_Placed(name=name, content=parts[name], address=address, start=start, size=size))
        address, start = address + size, start + size
    return placed


def _with_checksum(
    stub: ByteSource, layout: Layout, headers: bytes, placed: list[_Placed], end: int
) -> Iterator[bytes]:
    """Yield the image; its checksum stands at the beginning, so everything is read twice."""
    words, at = WordSum(), 0
    for chunk in _chunks(stub, layout, headers, placed):
        words.add(at, chunk)
        at += len(chunk)
    checksum = words.checksum(end)
    headers = headers[: layout.checksum_at] + checksum + headers[layout.checksum_at + 4 :]
    yield from _chunks(stub, layout, headers, placed)


def _chunks(stub: ByteSource, layout: Layout, headers: bytes, placed: list[_Placed]) -> Iterator[bytes]:
    yield headers
    yield from read_chunks(stub, layout.sections_start, placed[0].start)
    for part in placed:
        yield from read_chunks(part.content, 0, part.content.size)
        yield bytes(part.size - part.content.size)


def _extended(bank: str, value: bytes, digest: bytes) -> bytes:
    return hashlib.new(bank, value + digest).digest()


def _digest(image: ByteSource, section: Section, bank: str) -> bytes:
    state = hashlib.new(bank)
    for chunk in read_chunks(image, section.start, section.start + section.virtual_size):
        state.update(chunk)
    return state.digest()


def _text(image: ByteSource, section: Section, keep: str = "") -> str:
    data = image.read(section.start, min(section.virtual_size, MAX_TEXT_BYTES))
    return "".join(c if c.isprintable() or c in keep else "?" for c in data.rstrip(b"\0\n").decode("utf-8", "replace"))


def _pretty_name(text: str) -> str:
    pairs = dict(line.partition("=")[::2] for line in text.splitlines())
    return pairs.get("PRETTY_NAME", pairs.get("ID", "?")).strip("\"'")


def _aligned(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment
