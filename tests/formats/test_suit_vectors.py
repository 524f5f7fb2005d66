"""SUIT envelopes that other people's tools made: read, verified, and made again byte for byte.

Those of libcsuit and of the draft's own generator.  Nobody here has their private key:
their signature is put into the block that we lay out, and their file comes out.
"""

import functools
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from tests.formats import suit_envelopes as made
from tests.formats.throwaway import signer
from tests.verifiers import suit_node

from sealwright.core.errors import VerificationError
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm
from sealwright.formats import detect, suit, suit_verification, targets
from sealwright.formats.interface import SigningKey, Trust

VECTORS = made.public_vectors()
AUTHENTICATED = [name for name, image in VECTORS.items() if made.blocks_of(image)[1]]
SIGNED = [name for name in AUTHENTICATED if cbor2.loads(made.blocks_of(VECTORS[name])[1][0]).tag == 18]


@functools.cache
def anchor_key() -> SigningKey:
    """The public half of the vectors' key, as a key profile that has no private one."""
    return SigningKey(profile="vectors/firmware", public_key=made.anchor(), algorithm=Algorithm.ECDSA_P256_SHA256)


def signed_like(image: bytes, unsigned: bytes, **options: Any) -> bytes:
    """Lay out a block for their key, and put the signature of ``image`` into it."""
    (block,) = made.blocks_of(image)[1]
    protected, _, _, value = cbor2.loads(block).value
    numbers = {-9: "fully-specified", -7: "polymorphic"}[cbor2.loads(protected)[1]]
    signature = encode_dss_signature(int.from_bytes(value[:32]), int.from_bytes(value[32:]))
    prepared = suit.prepare(MemorySource(unsigned), [anchor_key()], {"cose_numbers": numbers, **options}, targets.ANY)
    (slot,) = prepared.slots
    return b"".join(prepared.assemble({slot.name: signature}).apply(MemorySource(unsigned)))


def test_the_vectors_are_signed_by_one_key_or_authenticated_by_a_mac_or_not_at_all() -> None:
    assert (len(VECTORS), len(AUTHENTICATED), len(SIGNED)) == (31, 28, 24)


@pytest.mark.parametrize("name", VECTORS)
def test_every_public_envelope_is_parsed_verified_and_encoded_to_the_same_bytes(tmp_path: Path, name: str) -> None:
    image, anchor = VECTORS[name], made.anchor()
    source = MemorySource(image)
    assert detect(source) is suit
    parsed = suit_verification.take_apart(source)
    assert parsed.authentication is not None
    suit_verification.check_digests(source, parsed)
    assert suit.inspect(source).facts["Digests"] == "every digest of what is here is right"
    wrapper = parsed.envelope.find(2)
    assert wrapper is not None
    assert parsed.authentication.encoded == image[wrapper.content : wrapper.stop]
    kinds = [block.kind for block in suit_verification.blocks_of(parsed.authentication)]
    if kinds == ["COSE_Sign1"]:
        assert suit.verify(source, Trust(keys=(anchor,)), {}).keys == (anchor,)
        assert suit_node.verify(tmp_path, image, anchor)["accepted"]
        with pytest.raises(VerificationError, match="signature does not verify with a trusted key"):
            suit.verify(source, signer(Algorithm.ECDSA_P256_SHA256, "stranger").trust, {})
    else:
        assert kinds in ([], ["COSE_Mac0"])
        with pytest.raises(VerificationError, match="no authentication block"):
            suit.verify(source, Trust(keys=(anchor,)), {})


@pytest.mark.parametrize("name", SIGNED)
def test_what_we_lay_out_around_their_signature_is_their_file_byte_for_byte(name: str) -> None:
    image = VECTORS[name]
    digest, _ = made.blocks_of(image)
    assert signed_like(image, made.replaced(image, e2=made.dumps([digest]))) == image
    assert signed_like(image, made.replaced(image, e2=None)) == image, "also where the digest is ours"


@pytest.mark.parametrize(
    ("whole", "severed"),
    [("example2.txt 3", "example2.txt 2"), ("suit_manifest_exp2.md 1", "suit_manifest_exp2A.suit")],
)
def test_what_we_sever_is_their_severed_file_byte_for_byte(whole: str, severed: str) -> None:
    image = made.replaced(VECTORS[whole], e2=None)
    assert signed_like(VECTORS[severed], image, sever=["text", "install"]) == VECTORS[severed]


def test_their_signature_is_taken_for_no_other_manifest() -> None:
    first, other = VECTORS["suit_manifest_exp0.suit"], VECTORS["suit_manifest_exp3.suit"]
    with pytest.raises(VerificationError, match="signature does not verify"):
        signed_like(first, made.replaced(other, e2=None))


@pytest.mark.parametrize("name", VECTORS)
def test_a_block_is_added_to_every_public_envelope_and_accepted_beside_theirs(tmp_path: Path, name: str) -> None:
    image, by = VECTORS[name], signer(Algorithm.ECDSA_P256_SHA256)
    prepared = suit.prepare(MemorySource(image), [by.signing_key()], {"existing": "append"}, targets.ANY)
    result = b"".join(prepared.assemble(by.sign_all(prepared)).apply(MemorySource(image)))
    assert made.blocks_of(result)[1][:-1] == made.blocks_of(image)[1]
    assert made.decoded(result)[3] == made.decoded(image)[3]
    said = suit_node.verify(tmp_path, result, by.public_key)
    assert (said["accepted"], said["blocks"][-1]) == (True, [-9, "good"])
    assert suit.verify(MemorySource(result), by.trust, {}).keys == (by.public_key,)
