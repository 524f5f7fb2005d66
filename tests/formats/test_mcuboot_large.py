"""MCUboot images of any size are hashed in pieces: no part of a large payload is ever held."""

import hashlib
import tracemalloc

from tests.formats.throwaway import signer

from sealwright.core.images import ByteSource, Message, Range
from sealwright.core.keys import Algorithm
from sealwright.core.patches import PatchedSource
from sealwright.formats import mcuboot, targets

SIZE = 96 << 20
MOST_MIB = 8


class Repeated:
    """A large application that is nowhere: one block again and again."""

    size = SIZE
    block = hashlib.sha256(b"block").digest() * (1 << 15)

    def read(self, offset: int, length: int) -> bytes:
        assert length <= len(self.block), "read in pieces"
        return (self.block + self.block)[offset % len(self.block) :][:length]


def test_a_large_image_is_prepared_and_verified_in_little_memory() -> None:
    by, image = signer(Algorithm.ECDSA_P256_SHA256), Repeated()
    tracemalloc.start()
    try:
        prepared = mcuboot.prepare(image, [by.signing_key()], {"version": "1"}, targets.MCUBOOT)
        signed: ByteSource = PatchedSource(image, prepared.assemble(by.sign_all(prepared)))
        mcuboot.verify(signed, by.trust, {})
        mcuboot.inspect(signed)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MOST_MIB << 20
    covered = Message((Range(0, 0x200 + SIZE),))
    assert covered.digest(signed, "sha256") == prepared.slots[0].digest
