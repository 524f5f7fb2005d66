"""ESP32 Secure Boot v2: with the same signatures espsecure writes our very file, and each accepts the other."""

import random
import subprocess
from pathlib import Path

import pytest
from tests.conftest import PROJECT
from tests.formats import esp32_images
from tests.formats.flips import flipped
from tests.formats.test_esp32 import ALGORITHMS, P256, RSA, SECTOR, key_of, prepare, sign, signed, verify
from tests.formats.throwaway import Signer
from tests.verifiers import espsecure

from sealwright.core.errors import FormatError, VerificationError
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm
from sealwright.formats import esp32, esp32_blocks, esp32_image
from sealwright.formats.esp32_signing import existing_blocks


def random_image(draw: random.Random) -> bytes:
    """Draw an application, a bootloader or an image without a descriptor, of any length modulo 16 and 4096."""
    words = draw.choice((1, 2, 3, 30, 1000, 1020, draw.randrange(1, 30_000)))
    head = draw.choice((esp32_images.description(version=f"{draw.random()}"[:20]), b"", b"\0" * 4))
    segments = [(draw.randrange(1 << 32), head + draw.randbytes(4 * words))]
    segments += [
        (draw.randrange(1 << 32), draw.randbytes(4 * draw.randrange(50)))
        for _ in range(draw.randrange(draw.choice((1, 16))))
    ]
    chip = draw.choice(list(esp32_image.CHIPS))
    return esp32_images.build(segments, chip=chip, with_hash=draw.random() < 0.8, entry=draw.randrange(1 << 32))


@pytest.mark.slow
@pytest.mark.parametrize("block", range(6))
def test_random_images_are_those_of_espsecure_and_each_accepts_the_other(tmp_path: Path, block: int) -> None:
    """54 images in all, eighteen for each algorithm, with one to three keys."""
    for seed in range(block * 9, block * 9 + 9):
        draw = random.Random(seed)  # noqa: S311  (inputs, no secrets)
        algorithm = ALGORITHMS[seed % 3]
        makers = [key_of(algorithm, who) for who in ("maker", "second", "third")[: draw.randrange(1, 4)]]
        image = random_image(draw)
        prepared = prepare(image, *makers)
        values = [by.sign(slot) for by, slot in zip(makers, prepared.slots, strict=True)]
        patch = prepared.assemble({slot.name: v for slot, v in zip(prepared.slots, values, strict=True)})
        ours = b"".join(patch.apply(MemorySource(image)))
        padded = image.ljust(-(-len(image) // SECTOR) * SECTOR, b"\xff")
        public = [by.public_key for by in makers]
        assert espsecure.embed(tmp_path, padded, list(zip(public, values, strict=True))) == ours, seed
        assert verify(ours, *makers).keys == tuple(public)
        if (seed // 3) % 3:  # espsecure checks each signature before it embeds it; a third is asked once more
            continue
        said = espsecure.verify(tmp_path, ours, public[-1])
        assert f"Signature block {len(makers) - 1} {espsecure.ACCEPTED}" in said
        theirs = espsecure.sign(tmp_path, image, *(by.private_file(tmp_path) for by in makers))
        assert theirs[: len(padded)] == ours[: len(padded)]
        assert verify(theirs, *makers).keys == tuple(public)
        with pytest.raises(VerificationError, match="no signature block is by a trusted key"):
            verify(theirs, key_of(algorithm, "stranger"))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_block_appended_by_espsecure_is_ours_and_the_other_way_round(tmp_path: Path, algorithm: Algorithm) -> None:
    by, second, third = (key_of(algorithm, who) for who in ("maker", "second", "third"))
    theirs = espsecure.sign(tmp_path, signed(algorithm), second.private_file(tmp_path), append=True)
    assert verify(theirs, second).keys == (second.public_key,)
    ours = sign(theirs, third, existing="append")
    assert ours[: SECTOR + 2 * 1216] == theirs[: SECTOR + 2 * 1216]
    for number, maker in enumerate((by, second, third)):
        assert f"Signature block {number} {espsecure.ACCEPTED}" in espsecure.verify(tmp_path, ours, maker.public_key)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_blocks_of_espsecure_are_parsed_and_written_again_to_the_same_bytes(
    tmp_path: Path, algorithm: Algorithm
) -> None:
    by = key_of(algorithm)
    theirs = espsecure.sign(tmp_path, esp32_images.bootloader(), by.private_file(tmp_path))
    source = MemorySource(theirs)
    (block,) = existing_blocks(source, esp32_image.parse(source))
    assert block.public_key == by.public_key
    again = esp32_blocks.build(block.image_digest, block.public_key, block.algorithm, block.signature)
    assert again == theirs[block.at : block.at + esp32_blocks.BLOCK_BYTES]


def test_espsecure_overwrites_nothing_that_we_signed_unless_told_and_its_second_sector_is_refused(
    tmp_path: Path,
) -> None:
    """Without --append-signatures it signs the signed file anew; the chip would still read the first sector."""
    by, second = key_of(RSA), key_of(RSA, "second")
    twice = espsecure.sign(tmp_path, signed(RSA), second.private_file(tmp_path))
    assert len(twice) == len(signed(RSA)) + SECTOR
    with pytest.raises(FormatError, match="bytes follow the signature sector, which no signature covers"):
        verify(twice, by, second)


def test_the_recipe_of_the_documentation_verifies_without_us(tmp_path: Path) -> None:
    """Runs the shell lines of docs/formats/esp32-secure-boot-v2.md as they stand there."""
    page = (PROJECT / "docs" / "formats" / "esp32-secure-boot-v2.md").read_text()
    recipe = page.split("Without any tool of theirs")[1].split("```")[1]
    by: Signer = key_of(P256)
    (tmp_path / "maker.pub.pem").write_bytes(espsecure.public_pem(by.public_key))
    for content, answer in [(signed(P256), "Verified OK"), (flipped(signed(P256), 800), "Verification failure")]:
        (tmp_path / "app.signed.bin").write_bytes(content)
        done = subprocess.run(["sh", "-c", recipe], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert answer in done.stdout
    assert esp32.matches(MemorySource(signed(P256)))
