"""Random envelopes, judged by us and by the second implementation: what we accept, it accepts too."""

import random
from pathlib import Path
from typing import Any

import cbor2
import pytest
from tests.formats import suit_envelopes as made
from tests.formats.throwaway import signer
from tests.verifiers import suit_node

from sealwright.core.errors import FormatError, VerificationError
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm
from sealwright.formats import suit, targets
from sealwright.formats.interface import Trust

ALGORITHMS = (Algorithm.ECDSA_P256_SHA256, Algorithm.ECDSA_P384_SHA384, Algorithm.ED25519)
INPUTS = 50


def random_envelope(chance: random.Random) -> bytes:
    """One with one to three components, each fetched, integrated or there already; some members severable."""
    count = chance.randrange(1, 4)
    images = [chance.randbytes(chance.choice([0, 1, 23, 24, 255, 256, 70_000])) for _ in range(count)]
    shared, install, validate = [], [], []
    payloads: dict[Any, Any] = {}
    for index, image in enumerate(images):
        digest = made.dumps(made.suit_digest(image, chance.choice(["sha256", "sha384", "sha512"])))
        shared += [12, index, 20, {1: made.VENDOR, 2: made.CLASS, 3: digest, 14: len(image)}, 1, 15, 2, 15]
        validate += [12, index, 3, 15]
        uri = chance.choice([f"#{index}", made.URI])
        install += [12, index, 20, {21: uri}, 21, 2, 3, 15]
        if uri.startswith("#"):
            payloads[uri] = image
    common = {2: [[chance.randbytes(chance.randrange(3)) for _ in range(2)] for _ in images], 4: made.dumps(shared)}
    manifest: dict[int, Any] = {1: 1, 2: chance.randrange(1 << 40), 3: made.dumps(common), 7: made.dumps(validate)}
    for number, body in ((20, made.dumps(install)), (23, made.dumps({"en": {1: "x" * chance.randrange(300)}}))):
        if chance.random() < 0.5:
            manifest[number] = made.suit_digest(made.wrapped(body), chance.choice(["sha256", "sha512"]))
            payloads[number] = body
        else:
            manifest[number] = body
    encoded = made.dumps(manifest)
    wrapper = made.dumps([made.dumps(made.suit_digest(made.wrapped(encoded), chance.choice(["sha256", "sha384"])))])
    value = {2: wrapper, 3: encoded, **payloads}
    return made.dumps(cbor2.CBORTag(107, value) if chance.random() < 0.7 else value)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(INPUTS))
def test_what_we_sign_is_accepted_and_every_change_is_judged_alike(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - inputs to compare, no keys
    by = [signer(algorithm) for algorithm in chance.sample(ALGORITHMS, chance.randrange(1, 3))]
    keys = tuple(one.public_key for one in by)
    image = random_envelope(chance)
    prepared = suit.prepare(MemorySource(image), [one.signing_key() for one in by], {}, targets.ANY)
    made_by = {slot.name: one.sign(slot) for slot, one in zip(prepared.slots, by, strict=True)}
    result = b"".join(prepared.assemble(made_by).apply(MemorySource(image)))
    said = suit_node.verify(tmp_path, result, *keys)
    assert said["accepted"], said
    assert [verdict for _, verdict in said["blocks"]] == ["good"] * len(by)
    assert suit.verify(MemorySource(result), Trust(keys=keys), {}).keys == keys

    at = chance.randrange(len(result))
    changed = result[:at] + bytes([result[at] ^ (1 << chance.randrange(8))]) + result[at + 1 :]
    try:
        suit.verify(MemorySource(changed), Trust(keys=keys), {})
    except (FormatError, VerificationError):
        said = suit_node.verify(tmp_path, changed, *keys)
        # One right block of two is enough for a device; two keys of ours must both be there (docs/adr/0054).
        assert not said["accepted"] or len(by) > 1, at
    else:
        pytest.fail(f"byte {at} was changed and nobody noticed")
