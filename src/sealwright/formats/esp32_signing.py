"""ESP32 Secure Boot v2, the signing half: padding to 4 KiB, then the signature sector with up to three blocks.

All blocks of an image use one algorithm, since a chip is set up for one.  An image that is signed already keeps its
blocks; further ones are appended when asked for.
Reference: ESP-IDF documentation, "Secure Boot v2"; ``docs/formats/esp32-secure-boot-v2.md``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sealwright.core import records
from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.images import ByteSource, Message, Range
from sealwright.core.keys import Algorithm
from sealwright.core.patches import Edit, Patch
from sealwright.formats import esp32_blocks, esp32_image
from sealwright.formats.esp32_blocks import BLOCK_BYTES, ERASED, MAX_BLOCKS, Block
from sealwright.formats.esp32_image import CHIPS, SECTOR_BYTES, Image
from sealwright.formats.interface import SigningKey, Slot, TargetProfile

NAME = "esp32-secure-boot-v2"
CHIP, BLOCKS = "chip", "blocks"  # limits of a target profile: chip number, how many blocks it reads


class Existing(StrEnum):
    """What to do with an image that is signed already."""

    REFUSE = "refuse"
    APPEND = "append"  # add blocks, keep the others


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the caller chooses."""

    existing: Existing = Existing.REFUSE


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An image hashed with its padding; the blocks are missing."""

    keys: tuple[SigningKey, ...]
    chosen: Options
    image_size: int
    covered: Message
    digest: bytes
    first: int
    """Number of the first block to write."""
    padding: bytes

    @property
    def options(self) -> Mapping[str, Any]:
        value: Mapping[str, Any] = records.dump(self.chosen)
        return value

    @property
    def slots(self) -> tuple[Slot, ...]:
        return tuple(
            Slot(
                name=f"block-{self.first + i}",
                key_profile=key.profile,
                algorithm=key.algorithm,
                message=self.covered,
                digest=self.digest,
            )
            for i, key in enumerate(self.keys)
        )

    def assemble(self, signatures: Mapping[str, bytes]) -> Patch:
        """Return the patch; ``VerificationError`` for a signature that the chip would refuse."""
        blocks = []
        for slot, key in zip(self.slots, self.keys, strict=True):
            value = signatures[slot.name]
            key.public_key.verify(key.algorithm, self.digest, value)
            blocks.append(esp32_blocks.build(self.digest, key.public_key, key.algorithm, value))
        return Patch(old_size=self.image_size, edits=(self._edit(b"".join(blocks)),))

    def _edit(self, blocks: bytes) -> Edit:
        if self.first:  # the sector is there; what was erased is written
            at = self.image_size - SECTOR_BYTES + self.first * BLOCK_BYTES
            return Edit(offset=at, old=ERASED * len(blocks), new=blocks)
        return Edit(offset=self.image_size, old=b"", new=self.padding + blocks.ljust(SECTOR_BYTES, ERASED))


def prepare(
    image: ByteSource, keys: Sequence[SigningKey], options: Mapping[str, Any], target: TargetProfile
) -> Prepared:
    """Check the image as its bootloader will, and lay out one block for each key."""
    chosen = records.load(Options, dict(options))
    for key in keys:
        target.check(NAME, key)
    algorithm = check_together(keys)
    parsed = esp32_image.parse(image)
    _check_chip(parsed, target)
    blocks = existing_blocks(image, parsed)
    if blocks:
        _check_existing(image, parsed, blocks, keys, chosen.existing)
    _check_room(len(blocks) + len(keys), target)
    padding = b"" if blocks else ERASED * (parsed.signed_end - image.size)
    kept = Range(0, min(image.size, parsed.signed_end))
    covered = Message((kept, padding) if padding else (kept,))
    return Prepared(
        keys=tuple(keys),
        chosen=chosen,
        image_size=image.size,
        covered=covered,
        digest=covered.digest(image, algorithm.hash_name),
        first=len(blocks),
        padding=padding,
    )


def existing_blocks(image: ByteSource, parsed: Image) -> tuple[Block, ...]:
    """Return the blocks of a signed image, none of an unsigned one; ``FormatError`` for what lies elsewhere."""
    padding_end = min(image.size, parsed.signed_end)
    if image.read(parsed.end, padding_end - parsed.end).strip(ERASED):
        raise FormatError("something other than 0xff lies between the image and the next 4 KiB", at=parsed.end)
    if image.size <= parsed.signed_end:
        return ()
    sector = image.read(parsed.signed_end, min(SECTOR_BYTES, image.size - parsed.signed_end))
    if not sector.strip(ERASED):
        raise FormatError(
            "image is padded beyond its last 4 KiB; the chip would look for signatures before the end of the padding",
            at=parsed.signed_end,
            hint=f"cut it to {parsed.signed_end} bytes",
        )
    blocks = esp32_blocks.parse_sector(sector, parsed.signed_end)
    if image.size > (end := parsed.signed_end + SECTOR_BYTES):
        raise FormatError(f"{image.size - end} bytes follow the signature sector, which no signature covers", at=end)
    _check_one_algorithm({block.algorithm for block in blocks})
    return blocks


def check_block(image: ByteSource, parsed: Image, block: Block, digests: dict[str, bytes]) -> None:
    """Raise ``VerificationError`` unless digest and signature of a block are right; ``digests`` keeps hashes."""
    hash_name = block.algorithm.hash_name
    if hash_name not in digests:
        digests[hash_name] = Message((Range(0, parsed.signed_end),)).digest(image, hash_name)
    if block.image_digest != digests[hash_name]:
        raise VerificationError(
            "image digest in a signature block differs",
            expected=block.image_digest.hex(),
            got=digests[hash_name].hex(),
            code=Code.IMAGE_MISMATCH,
        )
    block.public_key.verify(block.algorithm, digests[hash_name], block.signature)


def check_together(keys: Sequence[SigningKey]) -> Algorithm:
    """Return the one algorithm of keys that can sign one image; ``FormatError`` says what keeps them from it."""
    if not 1 <= len(keys) <= MAX_BLOCKS:
        raise FormatError(
            f"an ESP32 image is signed with one to {MAX_BLOCKS} keys, {len(keys)} were given",
            code=Code.INVALID_DOCUMENT,
        )
    for key in keys:
        esp32_blocks.key_part(key.public_key, key.algorithm)
    if len({key.public_key.spki_der for key in keys}) < len(keys):
        raise FormatError("one key is given twice; each block needs its own", code=Code.INVALID_DOCUMENT)
    _check_one_algorithm({key.algorithm for key in keys})
    return keys[0].algorithm


def _check_one_algorithm(algorithms: set[Algorithm]) -> None:
    if len(algorithms) > 1:
        raise FormatError(
            f"blocks of {' and '.join(sorted(algorithms))} in one image: a chip is set up for one of them",
            code=Code.TARGET_CANNOT_VERIFY,
        )


def _check_chip(parsed: Image, target: TargetProfile) -> None:
    chip = target.limits.get(CHIP)
    if chip is not None and parsed.chip != int(chip):
        raise FormatError(
            f"image is for {CHIPS[parsed.chip]}, target {target.name} is {CHIPS[int(chip)]}",
            at=12,
            code=Code.TARGET_CANNOT_VERIFY,
            hint=f"build the image for {CHIPS[int(chip)]}, or name the target of the chip that it is for",
        )


def _check_existing(
    image: ByteSource, parsed: Image, blocks: tuple[Block, ...], keys: Sequence[SigningKey], existing: Existing
) -> None:
    if existing is Existing.REFUSE:
        raise FormatError(
            f"image is signed already, by {len(blocks)} of {MAX_BLOCKS} blocks",
            at=parsed.signed_end,
            code=Code.ALREADY_SIGNED,
            hint="option existing=append adds a block and keeps the others",
        )
    if {block.public_key for block in blocks} & {key.public_key for key in keys}:
        raise FormatError("image is signed with this key already", at=parsed.signed_end, code=Code.ALREADY_SIGNED)
    _check_one_algorithm({block.algorithm for block in blocks} | {key.algorithm for key in keys})
    digests: dict[str, bytes] = {}
    for block in blocks:
        check_block(image, parsed, block, digests)


def _check_room(count: int, target: TargetProfile) -> None:
    most = min(int(target.limits.get(BLOCKS, MAX_BLOCKS)), MAX_BLOCKS)
    if count > most:
        whose = f"target {target.name} reads" if BLOCKS in target.limits else "a signature sector holds"
        raise FormatError(f"{count} signature blocks, {whose} {most}", code=Code.TARGET_CANNOT_VERIFY)
