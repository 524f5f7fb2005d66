"""A log's two keys: what the second signature is over, by C2SP's own structure, and when both are demanded."""

import base64
import struct
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from dilithium_py.ml_dsa import ML_DSA_44
from tests.translog.test_notes import cosign

from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.translog.checkpoints import Checkpoint, cosigned_message
from sealwright.translog.log_keys import LogKeys, open_checkpoint, parse_log_keys
from sealwright.translog.notes import NoteSigner, SignatureType, VerifierKey, parse_note, parse_vkey

ORIGIN = "log.example/one"
HEAD = Checkpoint(origin=ORIGIN, size=300, root=bytes(range(32)))


def new_signer() -> NoteSigner:
    return NoteSigner(ORIGIN, Ed25519PrivateKey.generate(), MLDSA44PrivateKey.generate())


def keys_of(signer: NoteSigner, first_size: int = 0) -> LogKeys:
    return LogKeys(signer.verifier_key, signer.ml_dsa_verifier_key, first_size)


def lines(note: bytes) -> list[bytes]:
    return note.rpartition(b"\n\n")[2].splitlines(keepends=True)


def with_lines(note: bytes, *wanted: bytes) -> bytes:
    return note.rpartition(b"\n\n")[0] + b"\n\n" + b"".join(wanted)


def c2sp_message(time: int, size: int = HEAD.size, cosigner: bytes = ORIGIN.encode()) -> bytes:
    """``cosigned_message`` of tlog-cosignature, member by member."""
    origin = ORIGIN.encode()
    return b"".join((
        b"subtree/v1\n\x00",
        struct.pack("B", len(cosigner)), cosigner,
        struct.pack(">Q", time),
        struct.pack("B", len(origin)), origin,
        struct.pack(">QQ", 0, size),
        HEAD.root,
    ))  # fmt: skip


def line_by(private_key: bytes, key: VerifierKey, message: bytes, time: int) -> bytes:
    """A signature line made by dilithium-py."""
    blob = key.key_id + struct.pack(">Q", time) + ML_DSA_44.sign(private_key, message)
    return f"— {key.name} {base64.b64encode(blob).decode()}\n".encode()


def test_the_message_is_that_of_c2sp():
    assert cosigned_message(HEAD, "witness.example/w", 7) == c2sp_message(7, cosigner=b"witness.example/w")
    assert len(cosigned_message(HEAD, ORIGIN, 0)) == 12 + 16 + 8 + 16 + 8 + 8 + 32
    for name in ("", "x" * 256):
        with pytest.raises(FormatError):
            cosigned_message(HEAD, name, 0)


def test_dilithium_py_accepts_the_second_line_and_refuses_it_over_another_head():
    signer = new_signer()
    first, second = lines(signer.sign(HEAD.serialise()))
    assert first.split()[1] == second.split()[1] == ORIGIN.encode()
    blob = base64.b64decode(second.split()[2])
    public_key = signer.ml_dsa_key.public_key().public_bytes_raw()
    assert blob[4:12] == bytes(8)
    assert ML_DSA_44.verify(public_key, c2sp_message(0), blob[12:])
    assert not ML_DSA_44.verify(public_key, c2sp_message(0, size=301), blob[12:])


def test_what_dilithium_py_signs_is_read_with_its_time():
    signer = new_signer()
    public_key, private_key = ML_DSA_44.keygen()
    key = VerifierKey(ORIGIN, SignatureType.ML_DSA_44, public_key)
    note = replace(signer, ml_dsa_key=None).sign(HEAD.serialise())
    keys = LogKeys(signer.verifier_key, key)
    for time in (0, 1_700_000_000, (1 << 63) - 1):
        signed = note + line_by(private_key, key, c2sp_message(time), time)
        assert parse_note(signed).verify([key]) == {key: time}
        assert open_checkpoint(signed, origin=ORIGIN, log_keys=keys).checkpoint == HEAD
    for time, message in ((1 << 63, c2sp_message(1 << 63)), (1, c2sp_message(0)), (0, c2sp_message(0, size=299))):
        with pytest.raises(VerificationError):
            parse_note(note + line_by(private_key, key, message, time)).verify([key])


def test_the_key_id_and_the_text_of_the_key_are_those_of_c2sp():
    key = new_signer().ml_dsa_verifier_key
    assert parse_vkey(str(key)) == key
    assert base64.b64decode(str(key).split("+", 2)[2]) == b"\x06" + key.public_key
    with pytest.raises(FormatError, match="1312 bytes"):
        VerifierKey(ORIGIN, SignatureType.ML_DSA_44, key.public_key[:-1])


def test_both_signatures_are_demanded_where_both_keys_are_known():
    signer = new_signer()
    note, keys = signer.sign(HEAD.serialise()), keys_of(signer)
    assert open_checkpoint(note, origin=ORIGIN, log_keys=keys).checkpoint == HEAD
    for half, message in zip(lines(note), ("the ML-DSA-44 key", "the key"), strict=True):
        with pytest.raises(VerificationError, match=f"not signed by {message} of log") as refused:
            open_checkpoint(with_lines(note, half), origin=ORIGIN, log_keys=keys)
        assert refused.value.code is Code.NOT_TRUSTED


def test_who_knows_the_first_key_alone_ignores_the_second_line():
    signer = new_signer()
    assert open_checkpoint(signer.sign(HEAD.serialise()), origin=ORIGIN, log_keys=LogKeys(signer.verifier_key))


def test_the_second_key_counts_from_its_size_on():
    signer = new_signer()
    alone = replace(signer, ml_dsa_key=None).sign(HEAD.serialise())
    assert open_checkpoint(alone, origin=ORIGIN, log_keys=keys_of(signer, HEAD.size + 1)).checkpoint == HEAD
    with pytest.raises(VerificationError, match="the ML-DSA-44 key"):
        open_checkpoint(alone, origin=ORIGIN, log_keys=keys_of(signer, HEAD.size))


def test_a_bad_second_signature_is_refused_below_that_size_too():
    signer = new_signer()
    note = signer.sign(HEAD.serialise())
    other = signer.sign(replace(HEAD, size=HEAD.size + 1).serialise())
    mixed = with_lines(note, lines(note)[0], lines(other)[1])
    with pytest.raises(VerificationError, match="does not verify"):
        open_checkpoint(mixed, origin=ORIGIN, log_keys=keys_of(signer, HEAD.size + 1))


def test_the_second_line_is_no_witness():
    signer = new_signer()
    note, second = signer.sign(HEAD.serialise()), signer.ml_dsa_verifier_key
    with pytest.raises(VerificationError, match="0 trusted witnesses"):
        open_checkpoint(note, origin=ORIGIN, log_keys=keys_of(signer), witnesses=[second], quorum=1)
    line, witness = cosign(HEAD.serialise(), "witness.example/w", Ed25519PrivateKey.generate(), 5)
    opened = open_checkpoint(note + line, origin=ORIGIN, log_keys=keys_of(signer), witnesses=[witness], quorum=1)
    assert opened.witness_times == {"witness.example/w": 5}


def test_a_flipped_bit_of_the_second_signature_is_refused():
    signer = new_signer()
    note = signer.sign(HEAD.serialise())
    first, second = lines(note)
    start, _, encoded = second.decode().strip().rpartition(" ")
    blob = base64.b64decode(encoded)
    for at in range(4, len(blob), 97):
        bent = blob[:at] + bytes((blob[at] ^ 1,)) + blob[at + 1 :]
        line = f"{start} {base64.b64encode(bent).decode()}\n".encode()
        with pytest.raises(VerificationError):
            open_checkpoint(with_lines(note, first, line), origin=ORIGIN, log_keys=keys_of(signer))


def test_a_cut_checkpoint_is_refused_at_every_offset():
    signer = new_signer()
    note = signer.sign(HEAD.serialise())
    for cut in range(len(note)):
        with pytest.raises((FormatError, VerificationError)):
            open_checkpoint(note[:cut], origin=ORIGIN, log_keys=keys_of(signer))


def test_only_checkpoints_are_signed_with_the_second_key():
    """It says nothing of a text's other lines, so a text with others is not signed at all."""
    signer = new_signer()
    for text in (b"text\n", HEAD.serialise() + b"extension\n"):
        with pytest.raises(FormatError):
            signer.sign(text)
        alone = parse_note(replace(signer, ml_dsa_key=None).sign(text))
        assert alone.verify([signer.verifier_key]) == {signer.verifier_key: None}
    extended = HEAD.serialise() + b"extension\n\n" + lines(signer.sign(HEAD.serialise()))[1]
    with pytest.raises(FormatError, match="three lines"):
        parse_note(extended).verify([signer.ml_dsa_verifier_key])


def test_keys_are_read_from_their_text():
    signer = new_signer()
    first, second = str(signer.verifier_key), str(signer.ml_dsa_verifier_key)
    assert parse_log_keys(first) == LogKeys(signer.verifier_key)
    assert parse_log_keys(first, second, 5) == keys_of(signer, 5)
    with pytest.raises(FormatError):
        parse_log_keys(first, second[:-8])
