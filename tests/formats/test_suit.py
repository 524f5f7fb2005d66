"""SUIT: a second implementation and COSE libraries accept what we sign, and refuse every forgery with the same key."""

import functools
import hashlib
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats import suit_envelopes as made
from tests.formats.flips import flipped
from tests.formats.test_raw_hss_lms import LmsSigner
from tests.formats.throwaway import Signer, signer
from tests.verifiers import cose_libraries, lms_libraries, suit_node

from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.images import MemorySource, Range
from sealwright.core.keys import Algorithm
from sealwright.core.patches import Patch
from sealwright.formats import suit, targets
from sealwright.formats.interface import Prepared, TargetProfile, Trust

P256, P384, P521 = Algorithm.ECDSA_P256_SHA256, Algorithm.ECDSA_P384_SHA384, Algorithm.ECDSA_P521_SHA512
ED25519, ML_DSA = Algorithm.ED25519, Algorithm.ML_DSA_44
CLASSICAL = {P256: ("ESP256", -9), P384: ("ESP384", -51), P521: ("ESP512", -52), ED25519: ("EdDSA", -19)}


def prepare(image: bytes, *by: Signer, target: TargetProfile = targets.ANY, **options: Any) -> Prepared:
    return suit.prepare(MemorySource(image), [s.signing_key() for s in by], options, target)


def patch_of(prepared: Prepared, *by: Signer) -> Patch:
    return prepared.assemble({slot.name: s.sign(slot) for slot, s in zip(prepared.slots, by, strict=True)})


def sign(image: bytes, *by: Signer, **options: Any) -> bytes:
    return b"".join(patch_of(prepare(image, *by, **options), *by).apply(MemorySource(image)))


def verify(image: bytes, *by: Signer) -> Any:
    return suit.verify(MemorySource(image), Trust(keys=tuple(s.public_key for s in by)), {})


@functools.cache
def unsigned() -> bytes:
    return made.envelope()


@functools.cache
def signed(algorithm: Algorithm = P256) -> bytes:
    return sign(unsigned(), signer(algorithm))


@functools.cache
def hybrid() -> bytes:
    return sign(unsigned(), signer(P256), signer(ML_DSA))


# Accepted by others


@pytest.mark.parametrize("algorithm", CLASSICAL)
def test_a_second_implementation_accepts_what_we_sign_and_refuses_it_for_a_strangers_key(
    tmp_path: Path, algorithm: Algorithm
) -> None:
    by, stranger, image = signer(algorithm), signer(algorithm, "stranger"), signed(algorithm)
    number = CLASSICAL[algorithm][1]
    said = suit_node.verify(tmp_path, image, stranger.public_key, by.public_key)
    assert (said["accepted"], said["blocks"], said["payloads"]) == (True, [[number, "good"]], {"#fw": "good"})
    said = suit_node.verify(tmp_path, image, stranger.public_key)
    assert (said["accepted"], said["blocks"]) == (False, [[number, "bad"]])
    assert verify(image, by).keys == (by.public_key,)
    with pytest.raises(VerificationError, match="signature does not verify with a trusted key"):
        verify(image, stranger)
    with pytest.raises(VerificationError, match="no authentication block is by a trusted key") as caught:
        verify(image, signer(Algorithm.ML_DSA_65))
    assert caught.value.code is Code.NOT_TRUSTED


@pytest.mark.parametrize("algorithm", CLASSICAL)
def test_pycose_and_cwt_accept_the_block_over_the_digest_and_no_other(algorithm: Algorithm) -> None:
    by = signer(algorithm)
    public, stranger = by.key.public_key(), signer(algorithm, "stranger").key.public_key()
    name = "Ed25519" if algorithm is ED25519 else CLASSICAL[algorithm][0]
    digest, (block,) = made.blocks_of(sign(unsigned(), by, key_id="fingerprint"))
    other = made.dumps(made.suit_digest(b"other"))
    assert cose_libraries.cwt_accepts(block, digest, public, name)
    assert not cose_libraries.cwt_accepts(block, other, public, name)
    assert not cose_libraries.cwt_accepts(block, digest, stranger, name)
    digest, (block,) = made.blocks_of(sign(unsigned(), by, cose_numbers="polymorphic"))
    assert cose_libraries.pycose_accepts(block, digest, public)
    assert not cose_libraries.pycose_accepts(block, other, public)
    assert not cose_libraries.pycose_accepts(block, digest, stranger)


@pytest.mark.parametrize("algorithm", [Algorithm.ML_DSA_44, Algorithm.ML_DSA_65, Algorithm.ML_DSA_87])
def test_dilithium_py_accepts_the_second_block_and_a_device_that_knows_one_accepts_the_first(
    tmp_path: Path, algorithm: Algorithm
) -> None:
    by, second = signer(P256), signer(algorithm)
    image = sign(unsigned(), by, second)
    digest, (_, block) = made.blocks_of(image)
    raw = second.key.public_key().public_bytes_raw()
    assert cose_libraries.dilithium_accepts(block, digest, raw)
    assert not cose_libraries.dilithium_accepts(block, made.dumps(made.suit_digest(b"other")), raw)
    stranger = signer(algorithm, "stranger").key.public_key().public_bytes_raw()
    assert not cose_libraries.dilithium_accepts(block, digest, stranger)
    said = suit_node.verify(tmp_path, image, by.public_key)
    assert said["accepted"]
    assert said["blocks"] == [[-9, "good"], [cbor2.loads(cbor2.loads(block).value[0])[1], "unknown algorithm"]]
    assert verify(image, by, second).keys == (by.public_key, second.public_key)
    assert verify(image, second).keys == (second.public_key,)


def test_two_libraries_accept_an_hss_lms_block_and_refuse_another_digest() -> None:
    maker = LmsSigner()
    prepared = suit.prepare(MemorySource(unsigned()), [maker.signing_key], {}, targets.ANY)
    (slot,) = prepared.slots
    value = maker.sign(slot.whole_message or b"")
    image = b"".join(prepared.assemble({slot.name: value}).apply(MemorySource(unsigned())))
    digest, (block,) = made.blocks_of(image)
    protected, _, payload, signature = cbor2.loads(block).value
    assert (cbor2.loads(protected), payload) == ({1: -46}, None)
    message = cbor2.dumps(["Signature1", protected, b"", digest])
    for accepts in (lms_libraries.pyhsslms_accepts, lms_libraries.hsslms_accepts):
        assert accepts(maker.raw, message, signature)
        assert not accepts(maker.raw, message + b"x", signature)
        assert not accepts(LmsSigner().raw, message, signature)
    assert suit.verify(MemorySource(image), maker.trust, {}).keys == (maker.public_key,)
    with pytest.raises(VerificationError, match="signature does not verify with a trusted key"):
        suit.verify(MemorySource(flipped(image, image.index(signature) + 700)), maker.trust, {})


def test_one_block_after_another_is_accepted_like_both_at_once(tmp_path: Path) -> None:
    by, second = signer(P256), signer(ED25519)
    at_once, first = sign(unsigned(), by, second), sign(unsigned(), by)
    later = sign(first, second, existing="append")
    assert made.blocks_of(later)[1][0] == made.blocks_of(first)[1][0]
    for image in (at_once, later):
        said = suit_node.verify(tmp_path, image, by.public_key, second.public_key)
        assert (said["accepted"], said["blocks"]) == (True, [[-9, "good"], [-19, "good"]])
        assert verify(image, second, by).keys == (by.public_key, second.public_key)


# Refused with the same trust anchor


def test_a_flip_in_a_covered_part_is_refused_by_both(tmp_path: Path) -> None:
    by, image = signer(P256), signed()
    payload = image.index(made.PAYLOAD) + 5
    said = suit_node.verify(tmp_path, flipped(image, payload), by.public_key)
    assert (said["accepted"], said["payloads"]) == (False, {"#fw": "bad"})
    with pytest.raises(VerificationError, match="integrated payload '#fw' differs from its digest: expected sha256"):
        verify(flipped(image, payload), by)
    manifest = image.index(made.VENDOR)
    said = suit_node.verify(tmp_path, flipped(image, manifest), by.public_key)
    assert (said["accepted"], said["manifest"], said["blocks"]) == (False, False, [[-9, "good"]])
    with pytest.raises(VerificationError, match="manifest differs from its SUIT_Digest: expected sha256"):
        verify(flipped(image, manifest), by)


def test_a_flip_with_every_digest_recomputed_is_refused_by_the_signature(tmp_path: Path) -> None:
    by, image = signer(P256), signed()
    other = made.PAYLOAD[:-1] + b"!"
    members = made.manifest(payload=other)
    bad = made.redigested(made.replaced(image, e3=made.dumps(members)))
    value = made.decoded(bad) | {"#fw": other}
    bad = made.dumps(cbor2.CBORTag(107, value))
    said = suit_node.verify(tmp_path, bad, by.public_key)
    assert (said["accepted"], said["manifest"], said["payloads"]) == (False, True, {"#fw": "good"})
    assert said["blocks"] == [[-9, "bad"]]
    with pytest.raises(VerificationError, match="block 1: ecdsa-p256-sha256 signature does not verify"):
        verify(bad, by)


def test_a_flipped_severable_member_is_refused_although_its_signature_is_right(tmp_path: Path) -> None:
    by = signer(P256)
    image = sign(made.severable(), by)
    assert suit_node.verify(tmp_path, image, by.public_key)["members"] == {"20": "good", "23": "good"}
    for number, what, word in ((20, "install", b"#fw"), (23, "text", b"sensor")):
        bad = flipped(image, image.rindex(word) if number == 23 else image.index(word))
        if number == 23:
            bad = made.replaced(image, e23=made.decoded(image)[23].replace(b"sensor", b"SENSOR"))
        else:
            bad = made.replaced(image, e20=made.decoded(image)[20].replace(b"#fw", b"#fx"))
        said = suit_node.verify(tmp_path, bad, by.public_key)
        assert (said["accepted"], said["members"][str(number)], said["blocks"]) == (False, "bad", [[-9, "good"]])
        with pytest.raises(VerificationError, match=f"{what} differs from its SUIT_Digest"):
            verify(bad, by)


def test_a_damaged_signature_is_refused_also_beside_a_right_one(tmp_path: Path) -> None:
    by, second = signer(P256), signer(ML_DSA)
    bad = flipped(signed(), signed().index(made.blocks_of(signed())[1][0]) + 40)
    assert suit_node.verify(tmp_path, bad, by.public_key)["blocks"] == [[-9, "bad"]]
    with pytest.raises(VerificationError, match="block 1: ecdsa-p256-sha256 signature does not verify"):
        verify(bad, by)
    for number, algorithm in ((1, "ecdsa-p256-sha256"), (2, "ml-dsa-44")):
        bad = flipped(hybrid(), hybrid().index(made.blocks_of(hybrid())[1][number - 1]) + 40)
        with pytest.raises(VerificationError, match=f"block {number}: {algorithm} signature does not verify"):
            verify(bad, by, second)


def test_a_stripped_signature_is_refused(tmp_path: Path) -> None:
    by = signer(P256)
    digest, _ = made.blocks_of(signed())
    bare = made.replaced(signed(), e2=made.dumps([digest]))
    assert bare == unsigned()
    assert not suit_node.verify(tmp_path, bare, by.public_key)["accepted"]
    for stripped in (bare, made.replaced(signed(), e2=None)):
        with pytest.raises(VerificationError, match="envelope is not signed: it has no authentication block"):
            verify(stripped, by)
    with pytest.raises(FormatError, match="authentication wrapper is not a list of byte strings"):
        verify(made.replaced(signed(), e2=made.dumps([])), by)


def test_blocks_of_another_envelope_are_refused(tmp_path: Path) -> None:
    by, second = signer(P256), signer(ML_DSA)
    other = sign(made.envelope(made.manifest(m2=8)), by, second)
    digest, blocks = made.blocks_of(hybrid())
    _, foreign = made.blocks_of(other)
    for mixed in (foreign, [blocks[0], foreign[1]], [foreign[0], blocks[1]]):
        bad = made.replaced(hybrid(), e2=made.dumps([digest, *mixed]))
        with pytest.raises(VerificationError, match="signature does not verify with a trusted key"):
            verify(bad, by, second)
    bad = made.replaced(hybrid(), e2=made.decoded(other)[2])
    assert suit_node.verify(tmp_path, bad, by.public_key)["manifest"] is False
    with pytest.raises(VerificationError, match="manifest differs from its SUIT_Digest"):
        verify(bad, by, second)
    swapped = made.replaced(hybrid(), e2=made.dumps([digest, blocks[1], blocks[0]]))
    assert verify(swapped, by, second).keys == (second.public_key, by.public_key), "blocks have no order"


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (-51, "no authentication block is by a trusted key"),  # ESP384 with a P-256 signature
        (-48, "no authentication block is by a trusted key"),
        (-65535, "no authentication block is by a trusted key"),
        (-7, "block 1: ecdsa-p256-sha256 signature does not verify"),  # the same algorithm, but another header
    ],
)
def test_a_block_that_names_another_algorithm_is_refused(tmp_path: Path, number: int, reason: str) -> None:
    by = signer(P256)
    digest, (block,) = made.blocks_of(signed())
    value = cbor2.loads(block).value
    value[0] = made.dumps({1: number})
    bad = made.replaced(signed(), e2=made.dumps([digest, made.dumps(cbor2.CBORTag(18, value))]))
    assert not suit_node.verify(tmp_path, bad, by.public_key)["accepted"]
    with pytest.raises(VerificationError, match=reason):
        verify(bad, by)


def test_a_foreign_block_proves_nothing_and_spoils_nothing(tmp_path: Path) -> None:
    """Several authors may sign one manifest, by the same algorithm too."""
    by, stranger = signer(P256), signer(P256, "stranger")
    both = sign(signed(), stranger, existing="append")
    assert suit_node.verify(tmp_path, both, by.public_key)["accepted"]
    assert verify(both, by).keys == (by.public_key,)
    assert verify(both, stranger).keys == (stranger.public_key,)
    mac = made.dumps(cbor2.CBORTag(17, [made.dumps({1: 5}), {}, None, bytes(32)]))
    digest, blocks = made.blocks_of(signed())
    beside = made.replaced(signed(), e2=made.dumps([digest, mac, *blocks]))
    assert [s.name for s in verify(beside, by).signatures] == ["block-2"]
    several = made.dumps(cbor2.CBORTag(98, [b"", {}, None, [[made.dumps({1: -9}), {}, bytes(64)]]]))
    assert verify(made.replaced(signed(), e2=made.dumps([digest, *blocks, several])), by).keys == (by.public_key,)
    for bad, reason in (
        (made.dumps([1]), "none of COSE's tagged signatures and MACs"),
        (made.dumps(cbor2.CBORTag(96, [])), "none of COSE's tagged signatures and MACs"),
        (made.dumps(cbor2.CBORTag(18, [b"", {}, digest, bytes(64)])), "has a payload of its own"),
        (b"\x81" * 40, "nested deeper than 16"),
    ):
        with pytest.raises(FormatError, match=reason):
            verify(made.replaced(signed(), e2=made.dumps([digest, *blocks, bad])), by)
    assert [s.algorithm for s in suit.inspect(MemorySource(beside)).signatures] == ["COSE_Mac0", "ecdsa-p256-sha256"]


def test_a_signed_envelope_cut_anywhere_is_refused_and_never_crashes() -> None:
    by = signer(P256)
    for image in (signed(), sign(made.severable(), by)):
        for cut in range(len(image)):
            with pytest.raises((FormatError, VerificationError)):
                verify(image[:cut], by)
        with pytest.raises(FormatError, match="1 bytes follow the envelope"):
            verify(image + b"\x00", by)


def test_every_flipped_byte_is_refused_but_in_the_unprotected_header() -> None:
    by = signer(P256)
    for image, key_id in ((signed(), ""), (sign(unsigned(), by, key_id="fingerprint"), by.public_key.fingerprint)):
        free = made.dumps({4: bytes.fromhex(key_id)}) if key_id else b""
        start = image.index(free) if free else 0
        small = len(image) - len(made.PAYLOAD)
        for at in {*range(small), *range(small, len(image), 17)}:
            try:
                verify(flipped(image, at), by)
            except (FormatError, VerificationError):
                continue
            assert start <= at < start + len(free), f"byte {at}"


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_mutated_envelopes_are_refused_and_never_crash(data: st.DataObject) -> None:
    original = data.draw(st.sampled_from([signed(), sign(made.severable(), signer(P256)), hybrid()]))
    image = bytearray(original)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.one_of(st.integers(0, 400), st.integers(0, len(image))))
        image[at : at + data.draw(st.integers(0, 6))] = data.draw(st.binary(max_size=8))
    changed = bytes(image)
    for call in (suit.inspect, suit.matches, lambda s: prepare(s.data, signer(ED25519), existing="append")):
        try:
            call(MemorySource(changed))
        except (FormatError, VerificationError):
            continue
    try:
        verify(changed, signer(P256), signer(ML_DSA))
    except (FormatError, VerificationError):
        return
    assert made.decoded(changed)[3] == made.decoded(original)[3], "what is accepted has the manifest that was signed"


SEQUENCES = st.recursive(
    st.lists(
        st.tuples(
            st.integers(-3, 40), st.one_of(st.integers(-2, 300), st.none(), st.booleans(), st.binary(max_size=20))
        ),
        max_size=6,
    ),
    lambda inner: st.lists(
        st.one_of(
            st.tuples(st.just(15), st.lists(inner, max_size=3)),
            st.tuples(st.just(32), inner),
            st.tuples(
                st.sampled_from([19, 20]),
                st.dictionaries(
                    st.integers(-2, 35), st.one_of(st.integers(), st.binary(max_size=40), st.text(max_size=9))
                ),
            ),
            st.tuples(
                st.just(12), st.one_of(st.integers(0, 9), st.booleans(), st.lists(st.integers(0, 9), max_size=4))
            ),
        ),
        max_size=5,
    ),
    max_leaves=12,
)


def encoded(steps: Any) -> bytes:
    """Encode a drawn sequence."""
    flat: list[Any] = []
    for number, argument in steps:
        if number == 15 and isinstance(argument, list):
            flat += [15, [encoded(branch) if isinstance(branch, list) else None for branch in argument]]
        elif number == 32 and isinstance(argument, list):
            flat += [32, encoded(argument)]
        else:
            flat += [number, argument]
    return made.dumps(flat)


@given(SEQUENCES, SEQUENCES)
@settings(max_examples=200, deadline=None)
def test_any_command_sequences_are_described_or_refused(shared: Any, install: Any) -> None:
    common = {2: [[b"\x00"], [b"\x01"]], 4: encoded(shared)}
    image = made.envelope({1: 1, 2: 1, 3: made.dumps(common), 20: encoded(install)})
    try:
        inspection = suit.inspect(MemorySource(image))
    except FormatError:
        return
    assert all(value.isprintable() for value in inspection.facts.values())


# Hostile CBOR


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xd8\x6b\xbf\x03\x40\xff", "indefinite length"),
        (b"\xd8\x6b\xbb" + b"\xff" * 8, "no map of 1 to 256 members"),
        (b"\xd8\x6b\xa0", "no map of 1 to 256 members"),
        (b"\xd8\x6b\xa1\x03\x5b" + b"\x7f" + b"\xff" * 7, "the file ends before"),
        (b"\xd8\x6b\xa1\x03\x5f\x41\x00\xff", "indefinite length"),
        (b"\xd8\x6b\xa1\x18\x03\x40", "not in its shortest form"),
        (b"\xd8\x6b\xa1\x03\x58\x01\xa0", "not in its shortest form"),
        (b"\xd8\x6b\xa2\x03\x41\xa0\x03\x41\xa0", "map has a key twice"),
        (b"\xd8\x6b\xa2\x03\x41\xa0\x02\x41\x80", "not in bytewise order"),
        (b"\xd8\x6b\xa1\x03\x80", "member 3 is not a byte string"),
        (b"\xd8\x6b\xa1\x02\x41\x80", "envelope holds no manifest"),
        (b"\xd9\x01\x00\xa1\x03\x41\xa0", "no map of 1 to 256 members"),
        (b"\xd8\x6b\xa1\x62\xff\xff\x40", "CBOR text is not UTF-8"),
        (b"\xd8\x6b\xa1\xf6\x40", "neither a number nor a text"),
    ],
)
def test_an_envelope_that_is_not_deterministic_cbor_is_refused(data: bytes, reason: str) -> None:
    for call in (suit.inspect, lambda s: verify(s.data, signer(P256)), lambda s: prepare(s.data, signer(P256))):
        with pytest.raises(FormatError, match=reason):
            call(MemorySource(data))


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (b"\x81" * 4000 + b"\x00", "nested deeper than 16"),
        (b"\xc1" * 4000 + b"\x00", "nested deeper than 16"),
        (b"\x9b" + b"\x00\x00\x00\xff" * 2, "announces"),
        (b"\xa1\x01\xf9\x00\x00", "floating-point"),
        (b"\xa2\x01\x01\x01\x01", "key twice"),
        (b"\xa1\xa0\x01", "key that is no number, string or list"),
        (b"\xa1\x01\x02", "manifest version 2"),
        (b"\xa1\x01\xf5", "manifest version True"),
        (b"\xa1\x01\x01", "no sequence number"),
        (b"\xa2\x01\x01\x02\x01", "common is missing"),
        (b"\xa3\x01\x01\x02\x01\x03\x41\xa0", "neither components nor dependencies"),
        (b"\xa1\x01\x01\x00", "1 bytes behind its end"),
        (b"", "CBOR ends before its end"),
    ],
)
def test_a_manifest_that_is_not_one_is_refused_and_bounded(manifest: bytes, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        suit.inspect(MemorySource(made.dumps(cbor2.CBORTag(107, {3: manifest}))))


def test_hostile_sequences_are_bounded() -> None:
    common = made.dumps({2: [[b"%d" % n] for n in range(256)]})
    many = [12, True] + [20, {n: n for n in range(30)}] * 1000
    # Short commands that each reach all parameters of all components: 40 KiB of them took ten seconds.
    joined = [12, True, 34, dict.fromkeys(range(256), dict.fromkeys(range(60), 1)), 12, 0, 15, [made.dumps([])] * 900]
    copied = [12, True, 35, {source: [*range(1, 50)] for source in range(700)}]
    strange = [34, {index: {1: 1} for index in range(1000, 9000)}, 34, {0: dict.fromkeys(range(70), 1)}]
    nested = made.dumps([1, 15])
    for _ in range(10):
        nested = made.dumps([32, nested])
    wide = made.dumps([15, [made.dumps([15, [made.dumps([15, [made.dumps([1, 15])] * 30])] * 30])] * 30])
    for sequence, reason in (
        (made.dumps(many), "more than 8192 effects"),
        (made.dumps([1, 15] * 1025), "more than 1024 commands"),
        (made.dumps(joined), "copies or joins more than 1048576 parameters"),
        (made.dumps(copied), "copies or joins more than 1048576 parameters"),
        (made.dumps(strange), "more than 64 parameters"),
        (nested, "nested deeper than 8"),
        (wide, "more than 1024 commands"),
        (made.dumps([12, [0] * 600]), "selects 600 components, at most 512"),
        (made.dumps([15, [made.dumps([20, {14: n}]) for n in range(70)]]), "a parameter of more than 64 alternatives"),
        (made.dumps([1]), "not a list of commands with one argument each"),
        (made.dumps([15, []]), "try-each in install has no alternatives"),
        (made.dumps([20, 5]), "sets parameters that are no map"),
        (made.dumps([20, dict.fromkeys(range(70), 1)]), "more than 64 parameters"),
        (made.dumps([20, {3: made.dumps([-16, b"short"])}]), "has 5 bytes, not 32"),
        (made.dumps([20, {3: made.dumps([-99, b""])}]), "by hash -99, which is not known"),
    ):
        image = made.envelope({1: 1, 2: 1, 3: common, 20: sequence}, payload=None)
        with pytest.raises(FormatError, match=reason):
            suit.inspect(MemorySource(image))


def test_indexes_that_are_none_in_the_shared_sequence_are_bounded_too() -> None:
    common = made.dumps({2: [[b"%d" % n] for n in range(256)], 4: made.dumps([12, [-1] * 512] * 480)})
    each = dict.fromkeys((7, 8, 9, 15, 16, 18, 20, 24), made.dumps([12, -1]))
    with pytest.raises(FormatError, match="names, copies or joins more than 1048576 parameters"):
        suit.inspect(MemorySource(made.envelope({1: 1, 2: 1, 3: common, **each}, payload=None)))


class Large:
    """An envelope with an integrated payload of a gigabyte; only small reads are allowed."""

    def __init__(self) -> None:
        self.count = 1 << 30
        small = made.envelope(made.manifest(payload=b""), payload=b"").removesuffix(b"\x40")
        self.head = small + b"\x5a" + self.count.to_bytes(4)
        self.size = len(self.head) + self.count

    def read(self, offset: int, length: int) -> bytes:
        assert length <= 1 << 20, "read in pieces"
        known = self.head[offset : offset + length]
        return known + bytes(length - len(known))


@pytest.mark.slow
def test_a_payload_of_a_gigabyte_is_hashed_in_pieces() -> None:
    source = Large()
    with pytest.raises(VerificationError, match="integrated payload '#fw' differs from its digest") as caught:
        suit.prepare(source, [signer(P256).signing_key()], {}, targets.ANY)
    zeros, state = bytes(1 << 20), hashlib.sha256()
    for _ in range(1 << 10):
        state.update(zeros)
    assert state.hexdigest() in caught.value.got


# Preparing


def test_frozen_options_prepare_the_same_again_and_the_patch_leads_back() -> None:
    by, second = signer(P256), signer(ML_DSA)
    for image, options in [
        (unsigned(), {}),
        (signed(), {"existing": "append"}),
        (made.envelope(has_wrapper=False), {"hash": "sha512"}),
        (made.severable(), {"sever": ["text"], "key_id": "fingerprint"}),
        (made.envelope(is_tagged=False), {"cose_numbers": "polymorphic"}),
    ]:
        keys = (signer(P256, "new"), second) if image == signed() else (by, second)
        first = prepare(image, *keys, **options)
        again = prepare(image, *keys, **first.options)
        assert (again.slots, again.options) == (first.slots, first.options)
        patch = patch_of(first, *keys)
        result = b"".join(patch.apply(MemorySource(image)))
        assert b"".join(patch.inverse().apply(MemorySource(result))) == image
        verify(result, *keys)
        for slot in first.slots:
            assert slot.message.digest(MemorySource(image), slot.algorithm.hash_name) == slot.digest
            assert (slot.whole_message is None) == (slot.algorithm is P256)


def test_what_is_signed_is_the_sig_structure_over_the_digest_of_the_wrapped_manifest() -> None:
    (slot,) = prepare(unsigned(), signer(P256)).slots
    (message,) = slot.message.pieces
    manifest = made.decoded(unsigned())[3]
    digest = cbor2.dumps([-16, hashlib.sha256(cbor2.dumps(manifest)).digest()])
    assert message == cbor2.dumps(["Signature1", cbor2.dumps({1: -9}), b"", digest])
    assert slot.digest == hashlib.sha256(message).digest()
    assert len(message) < 64


def test_an_envelope_without_wrapper_gets_one_by_the_hash_that_is_chosen(tmp_path: Path) -> None:
    by, bare = signer(P384), made.envelope(has_wrapper=False)
    for name in ("sha256", "sha384", "sha512"):
        image = sign(bare, by, hash=name)
        assert suit_node.verify(tmp_path, image, by.public_key)["accepted"]
        assert suit.inspect(MemorySource(image)).facts["Manifest digest"].startswith(f"{name} ")
        assert made.replaced(image, e2=None) == bare
    assert made.decoded(sign(bare, by))[2][:40] == made.decoded(sign(unsigned(), by))[2][:40], "SHA-256 by default"
    with pytest.raises(FormatError, match="option hash is sha512, the envelope states its digest by sha256"):
        prepare(unsigned(), by, hash="sha512")
    assert not suit.matches(MemorySource(made.envelope(has_wrapper=False, is_tagged=False)))


@pytest.mark.parametrize(("number", "shake", "size"), [(-18, hashlib.shake_128, 32), (-45, hashlib.shake_256, 64)])
def test_digests_by_shake_are_compared_too(number: int, shake: Any, size: int) -> None:
    by = signer(P256)
    value = made.decoded(unsigned())
    digest = made.dumps([number, shake(made.wrapped(value[3])).digest(size)])
    image = sign(made.replaced(unsigned(), e2=made.dumps([digest])), by)
    assert verify(image, by).keys == (by.public_key,)
    other = made.replaced(image, e3=made.dumps(made.manifest(m2=9)))
    with pytest.raises(VerificationError, match="manifest differs from its SUIT_Digest: expected shake_"):
        verify(other, by)


def test_members_are_severed_without_changing_what_is_signed(tmp_path: Path) -> None:
    by, image = signer(P256), made.severable()
    assert prepare(image, by).slots == prepare(image, by, sever=["text"]).slots
    assert set(made.decoded(sign(image, by))) - set(made.decoded(sign(image, by, sever=["text"]))) == {23}
    with pytest.raises(FormatError, match="payload '#fw' is fetched by what option sever takes away"):
        prepare(image, by, sever=["install"])
    fetched = made.severable(payload=None, uri=made.URI)
    both = sign(fetched, by, sever=["text", "install"])
    assert suit_node.verify(tmp_path, both, by.public_key)["members"] == {"20": "severed", "23": "severed"}
    verify(both, by)
    one = sign(image, by, sever=["text"])
    assert suit_node.verify(tmp_path, one, by.public_key)["members"] == {"20": "good", "23": "severed"}
    verify(one, by)
    assert suit.inspect(MemorySource(one)).facts["Warning 1"].startswith("text is severed")
    for bad, reason in ((["coswid"], "no severable member coswid"), (["text", "text"], "names a member twice")):
        with pytest.raises(FormatError, match=reason):
            prepare(image, by, sever=bad)


def test_signing_twice_is_refused_unless_a_block_is_to_be_appended() -> None:
    by, second = signer(P256), signer(P256, "second")
    for more, options, reason in [
        (second, {}, "envelope is signed already, by 1 authentication blocks"),
        (by, {"existing": "append"}, "signed with key profile test/firmware already, by block 1"),
    ]:
        with pytest.raises(FormatError, match=reason) as caught:
            sign(signed(), more, **options)
        assert caught.value.code is Code.ALREADY_SIGNED
    with pytest.raises(FormatError, match="one key is given twice"):
        prepare(unsigned(), by, by)
    image = signed()
    for n in range(15):
        image = sign(image, signer(ED25519, f"author {n}"), existing="append")
    with pytest.raises(FormatError, match="17 authentication blocks, at most 16 are read"):
        sign(image, second, existing="append")


@pytest.mark.parametrize("what", ["manifest", "payload", "severed"])
def test_nothing_is_signed_whose_digests_are_wrong(what: str) -> None:
    """Section 8.3 asks this of who signs: the digest in the wrapper is somebody else's word."""
    bad = {
        "manifest": lambda: made.replaced(unsigned(), e3=made.dumps(made.manifest(m2=9))),
        "payload": lambda: flipped(unsigned(), unsigned().index(made.PAYLOAD)),
        "severed": lambda: made.replaced(made.severable(), e20=made.dumps([21, 15])),
    }[what]()
    with pytest.raises(VerificationError, match="differs from its") as caught:
        prepare(bad, signer(P256))
    assert caught.value.code is Code.IMAGE_MISMATCH
    assert suit.inspect(MemorySource(bad)).facts["Digests"].startswith("WRONG: ")


def test_what_no_digest_covers_is_refused(tmp_path: Path) -> None:
    by = signer(P256)
    value = made.decoded(signed())
    stowaway = made.dumps(cbor2.CBORTag(107, value | {"#more": b"anything"}))
    assert suit_node.verify(tmp_path, stowaway, by.public_key)["payloads"] == {"#fw": "good", "#more": "bad"}
    for bad, reason in (
        (stowaway, "integrated payload '#more' is covered by no digest in the manifest"),
        (made.dumps(cbor2.CBORTag(107, value | {99: b"x"})), "envelope member 99 is not known here"),
        (made.dumps(cbor2.CBORTag(107, value | {20: made.dumps([])})), "install, but it stands in the manifest too"),
        (made.dumps(cbor2.CBORTag(107, value | {16: made.dumps([])})), "a digest of it is not in the manifest"),
    ):
        for call in (lambda image: verify(image, by), lambda image: prepare(image, by, existing="append")):
            with pytest.raises((VerificationError, FormatError), match=reason):
                call(bad)


def test_a_dependency_inside_is_covered_by_the_digest_of_its_manifest() -> None:
    by, inner = signer(P256), signed()
    digest = made.dumps(made.suit_digest(made.wrapped(made.decoded(inner)[3])))
    common = made.dumps({1: {1: {}}, 2: [[b"\x00"]]})
    install = made.dumps([12, 1, 20, {3: digest, 21: "#dep"}, 21, 15, 7, 15, 11, 15])
    outer = made.dumps(cbor2.CBORTag(107, {3: made.dumps({1: 1, 2: 3, 3: common, 20: install}), "#dep": inner}))
    result = sign(outer, by)
    verify(result, by)
    inspection = suit.inspect(MemorySource(result))
    covered = [result[part.start : part.stop] for part in inspection.covered]
    assert covered[1:] == [made.dumps(made.decoded(inner)[3])]
    rest = sum(part.stop - part.start for part, why in inspection.uncovered if why.startswith("dependency beside"))
    assert rest == len(inner) - len(covered[1])
    assert inspection.facts["Digests"].endswith(f"; {rest} bytes in dependencies are checked by the device alone")
    for bad in (inner[:-1], made.replaced(inner, e3=made.dumps(made.manifest(m2=9))), b"no envelope"):
        value = made.decoded(result) | {"#dep": bad}
        with pytest.raises((VerificationError, FormatError), match=r"payload '#dep' differs|ends before|CBOR|envelope"):
            verify(made.dumps(cbor2.CBORTag(107, value)), by)


@pytest.mark.parametrize(
    ("target", "algorithm", "options", "reason"),
    [
        (targets.PYCOSE_1_1, P256, {}, r"target pycose-1.1 verifies no COSE number -9"),
        (targets.PYCOSE_1_1, P256, {"cose_numbers": "polymorphic"}, ""),
        (targets.PYCOSE_1_1, ML_DSA, {}, "cannot verify ml-dsa-44"),
        (targets.CWT_3_3, P256, {}, ""),
        (targets.CWT_3_3, ML_DSA, {}, "cannot verify ml-dsa-44"),
        (targets.LIBCSUIT, P256, {}, ""),
        (targets.LIBCSUIT, P256, {"cose_numbers": "polymorphic"}, ""),
        (targets.LIBCSUIT, ED25519, {}, "cannot verify ed25519"),
        (targets.LIBCSUIT, ML_DSA, {}, "target libcsuit verifies no COSE number -48"),
        (targets.ANY, Algorithm.RSA_PSS_SHA256, {}, "COSE has no registered number for rsa-pss-sha256"),
        (targets.MCUBOOT, P256, {}, "does not take suit images"),
    ],
)
def test_a_target_refuses_what_it_could_not_verify(
    target: TargetProfile, algorithm: Algorithm, options: dict[str, str], reason: str
) -> None:
    if not reason:
        prepare(unsigned(), signer(algorithm), target=target, **options)
        return
    with pytest.raises(FormatError, match=reason):
        prepare(unsigned(), signer(algorithm), target=target, **options)


def test_libcsuit_is_given_an_ml_dsa_block_beside_one_that_it_knows() -> None:
    assert len(prepare(unsigned(), signer(P256), signer(ML_DSA), target=targets.LIBCSUIT).slots) == 2


def test_wrong_options_signatures_and_keys_are_refused() -> None:
    by, other = signer(P256), signer(P256, "other")
    prepared = prepare(unsigned(), by)
    (slot,) = prepared.slots
    for signatures, reason in [({}, "expected exactly"), ({slot.name: other.sign(slot)}, "signature does not verify")]:
        with pytest.raises((FormatError, VerificationError), match=reason):
            prepared.assemble(signatures)
    for options in ({"unknown": 1}, {"existing": "yes"}, {"sever": ["manifest"]}):
        with pytest.raises(FormatError):
            prepare(unsigned(), by, **options)
    with pytest.raises(FormatError, match="at least one key"):
        prepare(unsigned())


# Coverage


def test_inspect_lists_what_is_covered_and_what_is_not() -> None:
    image = sign(made.severable(), signer(P256))
    inspection = suit.inspect(MemorySource(image))
    value = made.decoded(image)
    parts = [image[part.start : part.stop] for part in inspection.covered]
    assert parts == [made.dumps(value[3]), made.dumps(value[20]), made.dumps(value[23]), value["#fw"]]
    reasons = {reason for _, reason in inspection.uncovered}
    assert len(reasons) == 2
    spans = sorted([*inspection.covered, *(part for part, _ in inspection.uncovered)], key=lambda part: part.start)
    at = 0
    for part in spans:
        assert part.start == at
        at = part.stop
    assert at == len(image)
    wrapper = next(part for part, reason in inspection.uncovered if reason.startswith("authentication wrapper"))
    assert image[wrapper.start : wrapper.stop] == made.dumps(value[2])
    assert wrapper not in inspection.covered
    assert inspection.uncovered[0][0] == Range(0, 4)
