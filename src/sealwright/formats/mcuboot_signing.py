"""MCUboot, the signing half: lays out header, hash and TLVs so that only the signature is missing.

Where imgtool has a choice, the choice made here gives the same bytes (``tests/formats/test_mcuboot.py``).
Reference: MCUboot docs/design.md, "Image format"; docs/imgtool.md.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from sealwright.core import records
from sealwright.core.errors import Code, FormatError
from sealwright.core.images import ByteSource, Message, Range
from sealwright.core.patches import Edit, Patch
from sealwright.core.records import Bounds
from sealwright.formats import mcuboot_layout as layout
from sealwright.formats.interface import SigningKey, Slot, TargetProfile
from sealwright.formats.mcuboot_layout import ALGORITHMS, DEPENDENCY, HEADER, SIGNATURES, Flag, Header, Kind, Layout

NAME, SLOT = "mcuboot", "signature"
DEFAULT_HEADER_SIZE = 0x200
MAX_BOOT_ALIGN, MAGIC_SIZE = 8, 16

_TLVS = {algorithm: kind for kind, algorithm in ALGORITHMS.items()}
_LONGEST_SIGNATURE = {Kind.ECDSA_SIG: 72, Kind.ED25519: 64}
_BIG_ENDIAN_MAGIC = layout.MAGIC_BYTES[::-1]

_Version = Annotated[str, Bounds(1, 24)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """Another image that must be there, in at least this version."""

    image: Annotated[int, Bounds(0, 255)]
    version: _Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the caller chooses.  An image that is built already says the first seven itself; they may be repeated."""

    version: _Version | None = None
    header_size: Annotated[int, Bounds(HEADER.size, 0xFFFF)] | None = None
    load_address: Annotated[int, Bounds(1, 0xFFFFFFFF)] | None = None
    security_counter: Annotated[int, Bounds(0, 0xFFFFFFFF)] | None = None
    dependencies: Annotated[tuple[Dependency, ...], Bounds(0, 16)] = ()
    pad_header: bool | None = None
    """Insert the header (true), or overwrite the zeros that the linker left for it (false); absent: look for them."""
    erased_value: Literal[0, 255] | None = None
    """What fills the rest of an inserted header; absent: 255."""
    slot_size: Annotated[int, Bounds(1, 0xFFFFFFFF)] | None = None
    """Refuse what would not fit there with the trailer that swapping needs."""
    align: Literal[1, 2, 4, 8, 16, 32] = 1
    max_sectors: Annotated[int, Bounds(1, 4096)] = 128
    overwrite_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An image laid out: what is hashed, and which bytes will stand before and after the payload."""

    key: SigningKey
    chosen: Options
    old_size: int
    covered: Message
    image_hash: bytes
    head: tuple[Edit, ...] = ()
    """Writes the header, unless the image has it."""
    tail: Edit
    """What the unprotected TLVs replace; ``new`` holds the protected ones that precede them."""

    @property
    def options(self) -> Mapping[str, Any]:
        value: Mapping[str, Any] = records.dump(self.chosen)
        return value

    @property
    def slots(self) -> tuple[Slot, ...]:
        # For Ed25519 the hash of the image *is* the message, so it is hashed once more to name it.
        prehashed = self.key.algorithm.is_prehashed
        slot = Slot(
            name=SLOT,
            key_profile=self.key.profile,
            algorithm=self.key.algorithm,
            message=self.covered if prehashed else Message((self.image_hash,)),
            digest=self.image_hash if prehashed else hashlib.sha256(self.image_hash).digest(),
            whole_message=None if prehashed else self.image_hash,
        )
        return (slot,)

    @property
    def longest_size(self) -> int:
        """Size of the signed image; an ECDSA signature may come out up to three bytes shorter."""
        tail = len(self._tail(bytes(_LONGEST_SIGNATURE[_TLVS[self.key.algorithm]])))
        return self.old_size + sum(len(e.new) - len(e.old) for e in self.head) + tail - len(self.tail.old)

    def assemble(self, signatures: Mapping[str, bytes]) -> Patch:
        """Return the patch; ``VerificationError`` for a signature that the bootloader would refuse."""
        value = signatures[SLOT]
        self.key.public_key.verify(self.key.algorithm, self.image_hash, value)
        tail = dataclasses.replace(self.tail, new=self._tail(value))
        return Patch(old_size=self.old_size, edits=(*self.head, tail))

    def _tail(self, signature: bytes) -> bytes:
        key_hash = bytes.fromhex(self.key.public_key.fingerprint)
        entries = [(Kind.SHA256, self.image_hash), (Kind.KEYHASH, key_hash), (_TLVS[self.key.algorithm], signature)]
        return self.tail.new + layout.area(layout.TLV_INFO_MAGIC, entries)


def prepare(
    image: ByteSource, keys: Sequence[SigningKey], options: Mapping[str, Any], target: TargetProfile
) -> Prepared:
    """Lay out the signed image around a bare application, or the signature of an image that is built already."""
    chosen, key = records.load(Options, dict(options)), _only_key(keys)
    target.check(NAME, key)
    layout.check_size(image)
    prepared = _sign_built(image, key, chosen) if layout.has_magic(image) else _wrap(image, key, chosen)
    _check_fits(prepared, target)
    return prepared


def _only_key(keys: Sequence[SigningKey]) -> SigningKey:
    if len(keys) != 1:
        raise FormatError(
            f"an MCUboot image is signed with one key, {len(keys)} were given", code=Code.INVALID_DOCUMENT
        )
    key = keys[0]
    if key.algorithm not in _TLVS:
        raise FormatError(
            f"MCUboot images are not signed with {key.algorithm} here",
            code=Code.TARGET_CANNOT_VERIFY,
            hint=f"use a key for {' or '.join(_TLVS)}",
        )
    key.public_key.check_algorithm(key.algorithm)
    return key


def _wrap(application: ByteSource, key: SigningKey, chosen: Options) -> Prepared:
    """Put header and TLVs around a bare application."""
    if application.read(0, min(4, application.size)) == _BIG_ENDIAN_MAGIC:
        raise FormatError("big-endian MCUboot images are not supported", at=0, code=Code.UNSUPPORTED_IMAGE)
    if chosen.version is None:
        raise FormatError(
            "a bare application needs a version for its MCUboot header",
            code=Code.INVALID_DOCUMENT,
            hint="give the option version, such as 1.2.3+4",
        )
    chosen = _settled(application, chosen, chosen.version)
    header_size, inserted = chosen.header_size or 0, bool(chosen.pad_header)
    protected = _protected(chosen)
    header = Header(
        load_address=chosen.load_address or 0,
        header_size=header_size,
        protected_size=len(protected),
        image_size=application.size - (0 if inserted else header_size),
        flags=Flag.RAM_LOAD if chosen.load_address else Flag(0),
        version=layout.parse_version(chosen.version or ""),
    ).pack()
    if inserted:
        header = header.ljust(header_size, bytes([chosen.erased_value or 0]))
    kept = Range(0 if inserted else HEADER.size, application.size)
    covered = Message((header, kept, protected) if protected else (header, kept))
    return Prepared(
        key=key,
        chosen=chosen,
        old_size=application.size,
        covered=covered,
        image_hash=covered.digest(application, "sha256"),
        head=(Edit(offset=0, old=b"" if inserted else bytes(HEADER.size), new=header),),
        tail=Edit(offset=application.size, old=b"", new=protected),
    )


def _settled(application: ByteSource, chosen: Options, version: str) -> Options:
    """Return the options with nothing left open, so that the same again gives the same image."""
    header_size = chosen.header_size or DEFAULT_HEADER_SIZE
    has_room = application.size > header_size and not any(application.read(0, header_size))
    inserted = not has_room if chosen.pad_header is None else chosen.pad_header
    if not inserted and not has_room:
        raise FormatError(
            f"no room for the header: the first {header_size:#x} bytes are not zeros before a payload",
            at=0,
            hint="leave pad_header out to have the header inserted, or give the header_size it was linked for",
        )
    erased_value = (0xFF if chosen.erased_value is None else chosen.erased_value) if inserted else None
    dependencies = tuple(
        dataclasses.replace(d, version=str(layout.parse_version(d.version))) for d in chosen.dependencies
    )
    return dataclasses.replace(
        chosen,
        version=str(layout.parse_version(version)),
        header_size=header_size,
        pad_header=inserted,
        erased_value=erased_value,
        dependencies=dependencies,
    )


def _protected(chosen: Options) -> bytes:
    entries = []
    if chosen.security_counter is not None:
        entries.append((Kind.SEC_CNT, chosen.security_counter.to_bytes(4, "little")))
    for dependency in chosen.dependencies:
        v = layout.parse_version(dependency.version)
        packed = DEPENDENCY.pack(dependency.image, v.major, v.minor, v.revision, v.build)
        entries.append((Kind.DEPENDENCY, packed))
    return layout.area(layout.TLV_PROT_INFO_MAGIC, entries)


def _sign_built(image: ByteSource, key: SigningKey, chosen: Options) -> Prepared:
    """Add the signature to an image that has everything else."""
    found = layout.parse(image)
    layout.check_supported(found)
    kinds = [entry.kind for entry in found.entries]
    if SIGNATURES & set(kinds):
        raise FormatError(
            "image is signed already",
            at=found.signed_end,
            code=Code.ALREADY_SIGNED,
            hint="sign the application or the image as it was before",
        )
    if kinds != [Kind.SHA256]:
        raise FormatError(
            f"TLVs outside the protected area are {', '.join(map(layout.kind_name, kinds)) or 'none'}; "
            "an image to be signed has SHA256 alone",
            at=found.signed_end,
            code=Code.UNSUPPORTED_IMAGE,
        )
    covered = Message((Range(0, found.signed_end),))
    image_hash = covered.digest(image, "sha256")
    if image_hash != found.entries[0].value:
        raise FormatError("the hash in the image is not the hash of the image", at=found.entries[0].at)
    old = image.read(found.signed_end, found.end - found.signed_end)
    return Prepared(
        key=key,
        chosen=_repeated(found, chosen),
        old_size=image.size,
        covered=covered,
        image_hash=image_hash,
        tail=Edit(offset=found.signed_end, old=old, new=b""),
    )


def _repeated(found: Layout, chosen: Options) -> Options:
    """Return the options as the image has them; ``FormatError`` where the caller wants them otherwise."""
    stated = Options(
        version=str(found.header.version),
        header_size=found.header.header_size,
        load_address=found.header.load_address or None,
        security_counter=found.security_counter(),
        dependencies=tuple(Dependency(image=n, version=str(v)) for n, v in found.dependencies()),
        slot_size=chosen.slot_size,
        align=chosen.align,
        max_sectors=chosen.max_sectors,
        overwrite_only=chosen.overwrite_only,
    )
    wanted = chosen
    if chosen.version is not None:
        wanted = dataclasses.replace(chosen, version=str(layout.parse_version(chosen.version)))
    for field in dataclasses.fields(Options):
        asked, has = getattr(wanted, field.name), getattr(stated, field.name)
        if asked not in (None, ()) and asked != has:
            raise FormatError(
                f"option {field.name} says {asked}, the image is built already and says {has}",
                code=Code.INVALID_DOCUMENT,
                hint="build the image anew, or leave the option out",
            )
    return stated


def _check_fits(prepared: Prepared, target: TargetProfile) -> None:
    size, chosen = prepared.longest_size, prepared.chosen
    limit = min(target.max_image_bytes or layout.MAX_IMAGE_BYTES, layout.MAX_IMAGE_BYTES)
    if size > limit:
        raise FormatError(f"signed image has up to {size} bytes, at most {limit} fit", code=Code.TARGET_CANNOT_VERIFY)
    trailer = _trailer_size(chosen)
    if chosen.slot_size is not None and size + trailer > chosen.slot_size:
        raise FormatError(
            f"signed image of up to {size} bytes and trailer of {trailer} do not fit the slot of {chosen.slot_size}",
            code=Code.TARGET_CANNOT_VERIFY,
        )


def _trailer_size(chosen: Options) -> int:
    """Size of the trailer at the end of a slot (design.md, "Image trailer")."""
    boot_align = max(MAX_BOOT_ALIGN, chosen.align)
    magic = max(MAGIC_SIZE, boot_align)
    if chosen.overwrite_only:
        return 2 * boot_align + magic
    return chosen.max_sectors * 3 * chosen.align + 4 * boot_align + magic
