"""MCUboot, the signing half: lays out header, hash and TLVs so that only the signature is missing.

Where imgtool has a choice, the choice made here gives the same bytes (``tests/formats/test_mcuboot.py``).
Reference: MCUboot docs/design.md, "Image format"; docs/imgtool.md.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sealwright.core import records
from sealwright.core.errors import Code, FormatError
from sealwright.core.images import ByteSource, Message, Range
from sealwright.core.patches import Edit, Patch
from sealwright.formats import mcuboot_layout as layout
from sealwright.formats import mcuboot_options
from sealwright.formats.interface import SigningKey, Slot, TargetProfile
from sealwright.formats.mcuboot_algorithms import HASHES, Scheme, key_hash, public_bytes, scheme_of
from sealwright.formats.mcuboot_layout import HEADER, SIGNATURES, Header, Kind, Layout
from sealwright.formats.mcuboot_options import HASH_KINDS, Options

NAME, SLOT = "mcuboot", "signature"
DEFAULT_HEADER_SIZE = 0x200
MAX_BOOT_ALIGN, MAGIC_SIZE = 8, 16
_BIG_ENDIAN_MAGIC = layout.MAGIC_BYTES[::-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An image laid out: what is hashed, and which bytes will stand before and after the payload."""

    key: SigningKey
    scheme: Scheme
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
        """Size of the signed image; an ECDSA signature may come out a few bytes shorter."""
        tail = len(self._tail(bytes(self.scheme.longest_signature)))
        return self.old_size + sum(len(e.new) - len(e.old) for e in self.head) + tail - len(self.tail.old)

    def assemble(self, signatures: Mapping[str, bytes]) -> Patch:
        """Return the patch; ``VerificationError`` for a signature that the bootloader would refuse."""
        value = signatures[SLOT]
        self.key.public_key.verify(self.key.algorithm, self.image_hash, value)
        tail = dataclasses.replace(self.tail, new=self._tail(value))
        return Patch(old_size=self.old_size, edits=(*self.head, tail))

    def _tail(self, signature: bytes) -> bytes:
        hash_kind, public_key = hash_kind_of(self.chosen), self.key.public_key
        named = (Kind.KEYHASH, key_hash(public_key, hash_kind))
        if self.chosen.public_key == "full":
            named = (Kind.PUBKEY, public_bytes(public_key))
        entries = [(hash_kind, self.image_hash), named, (self.scheme.signature, signature)]
        return self.tail.new + layout.area(layout.TLV_INFO_MAGIC, entries)


def prepare(
    image: ByteSource, keys: Sequence[SigningKey], options: Mapping[str, Any], target: TargetProfile
) -> Prepared:
    """Lay out the signed image around a bare application, or the signature of an image that is built already."""
    chosen, key = mcuboot_options.settled(records.load(Options, dict(options))), only_key(keys)
    target.check(NAME, key)
    scheme = scheme_of(key.public_key, key.algorithm)
    chosen = _with_hash(chosen, scheme)
    layout.check_size(image)
    make = _sign_built if layout.has_magic(image) else _wrap
    prepared = make(image, key, scheme, chosen)
    _check_fits(prepared, target)
    return prepared


def hash_kind_of(chosen: Options) -> Kind:
    """Return the TLV type of the image's hash; settled options name one."""
    return HASH_KINDS[chosen.hash or "sha256"]


def only_key(keys: Sequence[SigningKey]) -> SigningKey:
    """Return the one key that signs."""
    if len(keys) != 1:
        raise FormatError(
            f"an MCUboot image is signed with one key, {len(keys)} were given", code=Code.INVALID_DOCUMENT
        )
    return keys[0]


def _with_hash(chosen: Options, scheme: Scheme) -> Options:
    could = [HASHES[kind] for kind in scheme.hashes]
    if chosen.hash not in (None, *could):
        raise FormatError(
            f"MCUboot does not sign {chosen.hash} with {scheme.algorithm}",
            code=Code.TARGET_CANNOT_VERIFY,
            hint=f"it takes {' or '.join(could)}",
        )
    return dataclasses.replace(chosen, hash=chosen.hash or could[0])


def _wrap(application: ByteSource, key: SigningKey, scheme: Scheme, chosen: Options) -> Prepared:
    """Put header and TLVs around a bare application."""
    if application.read(0, min(4, application.size)) == _BIG_ENDIAN_MAGIC:
        raise FormatError("big-endian MCUboot images are not supported", at=0, code=Code.UNSUPPORTED_IMAGE)
    if chosen.version is None:
        raise FormatError(
            "a bare application needs a version for its MCUboot header",
            code=Code.INVALID_DOCUMENT,
            hint="give the option version, such as 1.2.3+4",
        )
    chosen = _with_header(application, chosen)
    header_size, inserted = chosen.header_size or 0, bool(chosen.pad_header)
    protected = mcuboot_options.protected_area(chosen, signer=key_hash(key.public_key, hash_kind_of(chosen)))
    header = Header(
        load_address=chosen.rom_fixed or chosen.load_address or 0,
        header_size=header_size,
        protected_size=len(protected),
        image_size=application.size - (0 if inserted else header_size),
        flags=mcuboot_options.flags_of(chosen),
        version=layout.parse_version(chosen.version or ""),
    ).pack()
    if inserted:
        header = header.ljust(header_size, bytes([chosen.erased_value or 0]))
    kept = Range(0 if inserted else HEADER.size, application.size)
    covered = Message((header, kept, protected) if protected else (header, kept))
    return Prepared(
        key=key,
        scheme=scheme,
        chosen=chosen,
        old_size=application.size,
        covered=covered,
        image_hash=covered.digest(application, HASHES[hash_kind_of(chosen)]),
        head=(Edit(offset=0, old=b"" if inserted else bytes(HEADER.size), new=header),),
        tail=Edit(offset=application.size, old=b"", new=protected),
    )


def _with_header(application: ByteSource, chosen: Options) -> Options:
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
    erased_value: Literal[0, 255] | None = chosen.erased_value
    if erased_value is None:
        erased_value = 0xFF
    return dataclasses.replace(
        chosen, header_size=header_size, pad_header=inserted, erased_value=erased_value if inserted else None
    )


def _sign_built(image: ByteSource, key: SigningKey, scheme: Scheme, chosen: Options) -> Prepared:
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
    hash_kind = hash_kind_of(chosen)
    if kinds != [hash_kind]:
        raise FormatError(
            f"TLVs outside the protected area are {', '.join(map(layout.kind_name, kinds)) or 'none'}; "
            f"an image to be signed with {key.algorithm} has {hash_kind.name} alone",
            at=found.signed_end,
            code=Code.UNSUPPORTED_IMAGE,
        )
    covered = Message((Range(0, found.signed_end),))
    image_hash = covered.digest(image, HASHES[hash_kind])
    if image_hash != found.entries[0].value:
        raise FormatError("the hash in the image is not the hash of the image", at=found.entries[0].at)
    chosen = _repeated(found, chosen)
    _check_boot_record(found, chosen, key)
    old = image.read(found.signed_end, found.end - found.signed_end)
    return Prepared(
        key=key,
        scheme=scheme,
        chosen=chosen,
        old_size=image.size,
        covered=covered,
        image_hash=image_hash,
        tail=Edit(offset=found.signed_end, old=old, new=b""),
    )


def _check_boot_record(found: Layout, stated: Options, key: SigningKey) -> None:
    """A boot record names the signer; the signed image would attest somebody else."""
    record = found.protected_value(Kind.BOOT_RECORD)
    expected = key_hash(key.public_key, hash_kind_of(stated))
    if record is not None and record != mcuboot_options.boot_record(stated, expected):
        raise FormatError(
            f"boot record in the image is not that of version {stated.version} signed by key {expected.hex()}",
            at=found.protected[0].at,
            hint="sign the bare application with the option boot_record",
        )


def _repeated(found: Layout, chosen: Options) -> Options:
    """Return the options as the image has them; ``FormatError`` where the caller wants them otherwise."""
    stated = mcuboot_options.read_back(found, chosen, chosen.hash or "sha256")
    for field in dataclasses.fields(Options):
        asked, has = getattr(chosen, field.name), getattr(stated, field.name)
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
    boot_align = chosen.max_align or max(MAX_BOOT_ALIGN, chosen.align)
    if boot_align < chosen.align:
        raise FormatError(f"align of {chosen.align} is more than max_align of {boot_align}", code=Code.INVALID_DOCUMENT)
    magic = max(MAGIC_SIZE, boot_align)
    if chosen.overwrite_only:
        return 2 * boot_align + magic
    return chosen.max_sectors * 3 * chosen.align + 4 * boot_align + magic
