"""UEFI programs (PE32 and PE32+) with Authenticode signatures, as Secure Boot and shim verify them.

The image digest covers the file in its order, without CheckSum, the directory entry of the certificate table, and the
table itself (``pe_layout``); the signature covers the digest (``authenticode``).  One pass reads a file of any size.
Reference: UEFI 2.10, section 32.2.4; ``docs/formats/uefi-pe.md``.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sealwright.core import records
from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.images import ByteSource, Range, read_chunks
from sealwright.core.patches import Edit, Patch
from sealwright.formats import authenticode, cms, pe_layout, sbat, uki
from sealwright.formats.authenticode import Signature
from sealwright.formats.interface import Inspection, SigningKey, Slot, TargetProfile, Trust, Verified
from sealwright.formats.pe_checksum import WordSum
from sealwright.formats.pe_layout import DIRECTORY, UEFI_SUBSYSTEMS, WIN_CERTIFICATE, Layout, aligned

name = "uefi-pe"
MAX_PKCS7_BYTES = 0xFFFF  # edk2 reads lengths of two bytes only
MAX_CERTIFICATES_BYTES = 30_000  # the issuer's name stands twice, and all must fit into the line above
MAX_FILE_BYTES = 0xFFFFFFFF
SIGNATURES = "signatures"  # limit of a target profile: how many WIN_CERTIFICATEs it reads
MACHINES = {
    0x14C: "IA-32",
    0x1C2: "Arm",
    0x200: "Itanium",
    0xEBC: "EFI byte code",
    0x5032: "RISC-V 32",
    0x5064: "RISC-V 64",
    0x6264: "LoongArch 64",
    0x8664: "x86-64",
    0xAA64: "AArch64",
}


class Existing(StrEnum):
    """What to do with an image that is signed already."""

    REFUSE = "refuse"
    APPEND = "append"  # add a WIN_CERTIFICATE, keep the others


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the caller chooses."""

    existing: Existing = Existing.REFUSE
    signing_time: records.Time | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An image hashed and summed, its signatures laid out."""

    layout: Layout
    table_entry: bytes
    words: WordSum
    """Of the whole old file without CheckSum and directory entry."""
    drafts: tuple[cms.Draft, ...]
    options: Mapping[str, Any]

    @property
    def slots(self) -> tuple[Slot, ...]:
        """One signature a key; of several keys ``signature-1`` and so on, in the order of the table."""
        return cms.slots_of(self.drafts)

    def assemble(self, signatures: Mapping[str, bytes]) -> Patch:
        """Return the edits: CheckSum, directory entry, and a WIN_CERTIFICATE for each key at the end."""
        certificate = b"".join(map(_win_certificate, cms.assemble_all(self.drafts, signatures)))
        layout = self.layout
        padding = bytes(aligned(layout.size) - layout.size)
        end = layout.size + len(padding) + len(certificate)
        start = layout.table.start if layout.table else layout.size + len(padding)
        table_entry = DIRECTORY.pack(start, end - start)
        words = self.words.copy()
        words.add(layout.table_entry_at, table_entry)
        words.add(layout.size, padding + certificate)
        return Patch(
            old_size=layout.size,
            edits=(
                Edit(offset=layout.checksum_at, old=layout.checksum, new=words.checksum(end)),
                Edit(offset=layout.table_entry_at, old=self.table_entry, new=table_entry),
                Edit(offset=layout.size, old=b"", new=padding + certificate),
            ),
        )


def matches(image: ByteSource) -> bool:
    """Say whether the magic numbers of PE are there."""
    try:
        magic, at = pe_layout.DOS_HEADER.unpack(image.read(0, pe_layout.DOS_HEADER.size))
        return bool(magic == b"MZ" and image.read(at, 4) == b"PE\0\0")
    except FormatError:
        return False


def inspect(image: ByteSource) -> Inspection:
    """Describe the image and the signatures it carries."""
    layout = pe_layout.read(image)
    digest = _image_digest(image, layout, None)
    facts = _facts(image, layout) | {"Authenticode SHA-256": digest.hex()}
    signatures = [(f"certificate-{n}", s) for n, s in enumerate(_signatures(image, layout), 1)]
    for label, signature in signatures:
        facts |= signature.facts(label, digest)
    return Inspection(
        format=name,
        facts=facts,
        signatures=tuple(signature.describe(label) for label, signature in signatures),
        covered=layout.covered,
        uncovered=layout.uncovered,
    )


def prepare(
    image: ByteSource, keys: Sequence[SigningKey], options: Mapping[str, Any], target: TargetProfile
) -> Prepared:
    """Hash and sum the image in one pass and lay out the signature."""
    chosen = records.load(Options, dict(options))
    for key in cms.distinct_keys(keys, name):
        _check_key(key, target)
    layout = pe_layout.read(image)
    uki.check_names(image, layout)
    _check_existing(_signatures(image, layout), chosen.existing)
    _check_count(len(_signatures(image, layout)) + len(keys), target)
    _check_room(layout, len(keys))
    words = WordSum()
    digest = _image_digest(image, layout, words)
    _check_own(_signatures(image, layout), keys, digest)
    if layout.table:
        for at, chunk in _positioned(image, layout.table):
            words.add(at, chunk)
    return Prepared(
        layout=layout,
        table_entry=image.read(layout.table_entry_at, DIRECTORY.size),
        words=words,
        drafts=tuple(authenticode.draft(key, digest, chosen.signing_time) for key in keys),
        options=records.dump(chosen),
    )


def verify(image: ByteSource, trust: Trust, sidecars: Mapping[str, bytes]) -> Verified:  # noqa: ARG001  (none here)
    """Check every signature by a trusted key; one at least must be there, those of strangers do not count."""
    layout = pe_layout.read(image)
    signatures = _signatures(image, layout)
    if not signatures:
        raise VerificationError("image carries no signature")
    known = {key.spki_der for key in trust.keys}
    ours = [(n, s) for n, s in enumerate(signatures, 1) if s.signed.spki_der in known] or [(1, signatures[0])]
    keys = tuple(dict.fromkeys(signature.verify(trust) for _, signature in ours))
    digest = _image_digest(image, layout, None)
    for _, signature in ours:
        if signature.image_digest != digest:
            raise VerificationError(
                "image is not the one that was signed",
                expected=signature.image_digest.hex(),
                got=digest.hex(),
                code=Code.IMAGE_MISMATCH,
            )
    return Verified(format=name, signatures=tuple(s.describe(f"certificate-{n}") for n, s in ours), keys=keys)


def _check_key(key: SigningKey, target: TargetProfile) -> None:
    authenticode.UEFI.check(name, key)
    target.check(name, key)
    if sum(map(len, key.certificates)) > MAX_CERTIFICATES_BYTES:
        raise FormatError(
            f"certificates of more than {MAX_CERTIFICATES_BYTES} bytes",
            code=Code.TARGET_CANNOT_VERIFY,
            hint="firmware takes a signature of less than 64 KiB: leave out issuers",
        )


def _check_existing(signatures: tuple[Signature, ...], existing: Existing) -> None:
    if signatures and existing is Existing.REFUSE:
        raise FormatError(
            f"image is already signed by {', '.join(s.signed.signer for s in signatures)}",
            code=Code.ALREADY_SIGNED,
            hint="option existing=append adds a signature and keeps the others",
        )


def _check_own(signatures: tuple[Signature, ...], keys: Sequence[SigningKey], digest: bytes) -> None:
    """Refuse what ``verify`` would refuse afterwards, and a second signature by the same key."""
    by_key = {key.public_key.spki_der: key for key in keys}
    for number, signature in enumerate(signatures, 1):
        key = by_key.get(signature.signed.spki_der)
        if key is None:
            continue
        if _is_over(signature, key, digest):
            raise FormatError(
                f"certificate-{number} is a signature of this image by key profile {key.profile} already",
                code=Code.ALREADY_SIGNED,
                hint="a key signs an image once: leave out this key profile",
            )
        raise FormatError(
            f"certificate-{number} is by the key of key profile {key.profile}, and not over this image",
            code=Code.ALREADY_SIGNED,
            hint="remove it first (`sbattach --remove IMAGE`), or `verify` refuses the image afterwards",
        )


def _is_over(signature: Signature, key: SigningKey, digest: bytes) -> bool:
    try:
        signature.verify(Trust(keys=(key.public_key,)))
    except VerificationError:
        return False
    return signature.image_digest == digest


def _check_count(count: int, target: TargetProfile) -> None:
    most = int(target.limits.get(SIGNATURES, pe_layout.MAX_CERTIFICATES))
    if count > most:
        raise FormatError(
            f"image would have {count} signatures, target {target.name} reads no more than {most}",
            code=Code.TARGET_CANNOT_VERIFY,
        )


def _check_room(layout: Layout, count: int = 1) -> None:
    """Refuse before anybody approves what could not be written afterwards."""
    table_size = layout.size - layout.end
    if table_size + count * MAX_PKCS7_BYTES > pe_layout.MAX_TABLE_BYTES:
        raise FormatError(f"certificate table of {table_size} bytes has no room for another", at=layout.end)
    if layout.size + count * (MAX_PKCS7_BYTES + WIN_CERTIFICATE.size) > MAX_FILE_BYTES:
        raise FormatError(f"image of {layout.size} bytes, and offsets in PE end at {MAX_FILE_BYTES}")


def _signatures(image: ByteSource, layout: Layout) -> tuple[Signature, ...]:
    if layout.table is None:
        return ()
    return tuple(authenticode.parse(der) for der in pe_layout.read_certificates(image, layout.table))


def _image_digest(image: ByteSource, layout: Layout, words: WordSum | None) -> bytes:
    """Hash what the signature covers, adding it to ``words`` on the way."""
    state = hashlib.new(authenticode.DIGEST)
    for part in layout.covered:
        for at, chunk in _positioned(image, part):
            state.update(chunk)
            if words:
                words.add(at, chunk)
    state.update(bytes(aligned(layout.end) - layout.end))  # the padding that will stand before the table
    return state.digest()


def _positioned(image: ByteSource, part: Range) -> Iterator[tuple[int, bytes]]:
    at = part.start
    for chunk in read_chunks(image, part.start, part.stop):
        yield at, chunk
        at += len(chunk)


def _win_certificate(der: bytes) -> bytes:
    """Wrap a PKCS #7; dwLength counts the padding, or osslsigncode 2.5 would cut the signature (ADR 0024)."""
    length = aligned(WIN_CERTIFICATE.size + len(der))
    header = WIN_CERTIFICATE.pack(length, pe_layout.WIN_CERT_REVISION_2_0, pe_layout.WIN_CERT_TYPE_PKCS_SIGNED_DATA)
    return (header + der).ljust(length, b"\0")


def _facts(image: ByteSource, layout: Layout) -> dict[str, str]:
    facts = {
        "Kind": "PE32+" if layout.magic == 0x20B else "PE32",
        "Machine": MACHINES.get(layout.machine, f"{layout.machine:#x}"),
        "Subsystem": UEFI_SUBSYSTEMS[layout.subsystem],
        "Entry point": f"{layout.entry_point:#x}",
        "Sections": ", ".join(f"{s.name} ({s.size} bytes at {s.start:#x})" for s in layout.sections),
        "Size": f"{layout.size} bytes",
    }
    for section in layout.sections:
        label = "SBAT" if section.name == ".sbat" else sbat.REVOCATIONS.get(section.name)
        if label:
            data = image.read(section.start, min(section.size, section.virtual_size, sbat.MAX_BYTES))
            facts[label] = "; ".join(sbat.text_lines(data))
    return facts | uki.facts(image, layout)
