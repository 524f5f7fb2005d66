"""Signed notes and verifier keys: published examples, strictness, cosignatures."""

import base64
import struct
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from sealwright.core.errors import FormatError, VerificationError
from sealwright.translog.notes import NoteSigner, SignatureType, VerifierKey, parse_note, parse_vkey

# The example in the documentation of golang.org/x/mod/sumdb/note.
NEUMANN_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NEUMANN_NOTE = """If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
""".encode()
# The example of C2SP signed-note: a text with an empty line in it.
QUASIMODO_NOTE = (
    "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n"
    "— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC"
    "+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
).encode()


def new_signer(name: str = "log.example/one") -> NoteSigner:
    return NoteSigner(name, Ed25519PrivateKey.generate())


def cosign(text: bytes, name: str, private_key: Ed25519PrivateKey, time: int) -> tuple[bytes, VerifierKey]:
    """A witness as the specification has it: the signature line and the key that verifies it."""
    key = VerifierKey(name, SignatureType.COSIGNATURE, private_key.public_key().public_bytes_raw())
    signature = private_key.sign(b"cosignature/v1\ntime %d\n" % time + text)
    blob = base64.b64encode(key.key_id + struct.pack(">Q", time) + signature).decode()
    return f"— {name} {blob}\n".encode(), key


def test_the_go_example_verifies_and_a_changed_letter_does_not():
    key = parse_vkey(NEUMANN_KEY)
    assert str(key) == NEUMANN_KEY
    assert parse_note(NEUMANN_NOTE).verify([key]) == {key: None}
    with pytest.raises(VerificationError, match="note signature of PeterNeumann"):
        parse_note(NEUMANN_NOTE.replace(b"answer", b"Answer")).verify([key])


def test_the_text_of_the_c2sp_example_ends_at_the_last_empty_line():
    note = parse_note(QUASIMODO_NOTE)
    assert note.text.decode().endswith("sole:\n\ned è subito sera.\n")
    (signature,) = note.signatures
    assert (signature.name, signature.key_id.hex()) == ("quasimodo.example/salvatore", "367ba04b")
    assert len(signature.signature) == 64


def test_what_we_sign_we_verify_and_nobody_else_does():
    signer, stranger = new_signer(), new_signer()
    note = signer.sign(b"text\n\nwith an empty line\n")
    assert parse_note(note).verify([signer.verifier_key]) == {signer.verifier_key: None}
    assert parse_note(note).verify([stranger.verifier_key]) == {}


def test_a_signature_by_an_unknown_key_of_the_same_name_is_ignored():
    ours, other = new_signer(), new_signer()
    note = ours.sign(b"text\n") + other.sign(b"other text\n").rpartition(b"\n\n")[2]
    assert parse_note(note).verify([ours.verifier_key]) == {ours.verifier_key: None}
    with pytest.raises(VerificationError):
        parse_note(note).verify([ours.verifier_key, other.verifier_key])


def test_a_cosignature_gives_its_time_and_covers_it():
    text, private_key = b"log.example/one\n1\nx\n", Ed25519PrivateKey.generate()
    line, key = cosign(text, "witness.example/w", private_key, 1_700_000_000)
    assert parse_note(text + b"\n" + line).verify([key]) == {key: 1_700_000_000}
    blob = bytearray(base64.b64decode(line.split()[-1]))
    for at in range(4, len(blob)):
        bent = bytes(blob[:at]) + bytes((blob[at] ^ 1,)) + bytes(blob[at + 1 :])
        with pytest.raises(VerificationError):
            parse_note(text + "\n— witness.example/w ".encode() + base64.b64encode(bent) + b"\n").verify([key])


@pytest.mark.parametrize("again", ["the same line", "another time", "a key unknown to everybody"])
def test_two_lines_of_one_key_are_refused(again):
    """Known or not: a note has one spelling, but for signatures by others."""
    text, private_key = b"log.example/one\n1\nx\n", Ed25519PrivateKey.generate()
    line, key = cosign(text, "witness.example/w", private_key, 1_700_000_000)
    later = line if again == "the same line" else cosign(text, "witness.example/w", private_key, 1_800_000_000)[0]
    other, _ = cosign(text, "witness.example/w", Ed25519PrivateKey.generate(), 1_700_000_000)
    assert parse_note(text + b"\n" + line + other).verify([key]) == {key: 1_700_000_000}
    twice = other * 2 if again == "a key unknown to everybody" else line + later
    with pytest.raises(FormatError, match=r"two signature lines of key witness\.example/w"):
        parse_note(text + b"\n" + twice)


@pytest.mark.parametrize(("payload", "message"), [(bytes(71), "has 71 bytes"), (b"\xff" * 72, "a time beyond")])
def test_a_cosignature_of_another_shape_is_refused(payload, message):
    _, key = cosign(b"text\n", "witness.example/w", Ed25519PrivateKey.generate(), 1)
    line = f"— {key.name} {base64.b64encode(key.key_id + payload).decode()}\n"
    with pytest.raises(VerificationError, match=message):
        parse_note(b"text\n\n" + line.encode()).verify([key])


def test_a_note_signature_never_counts_as_a_cosignature_of_the_same_key():
    signer = new_signer()
    as_witness = VerifierKey(signer.name, SignatureType.COSIGNATURE, signer.verifier_key.public_key)
    assert as_witness.key_id != signer.verifier_key.key_id
    assert parse_note(signer.sign(b"text\n")).verify([as_witness]) == {}


def test_sixteen_signatures_are_taken_and_far_more_are_not():
    signers = [new_signer(f"log.example/{n}") for n in range(33)]
    lines = [signer.sign(b"text\n").rpartition(b"\n\n")[2] for signer in signers]
    keys = [signer.verifier_key for signer in signers]
    assert len(parse_note(b"text\n\n" + b"".join(lines[:16])).verify(keys)) == 16
    with pytest.raises(FormatError, match="more than 32 signatures"):
        parse_note(b"text\n\n" + b"".join(lines))
    with pytest.raises(FormatError, match="at most 131072 are accepted"):
        parse_note(b"x" * 131_072 + b"\n\n" + lines[0])


LINE = "— log.example AAAAAAA=\n"


@pytest.mark.parametrize(
    ("note", "message"),
    [
        (b"", "empty line"),
        (b"text\n", "empty line"),
        (b"text\n\n", "empty line"),
        (f"text\n{LINE}".encode(), "empty line"),
        (f"text\n\n{LINE}"[:-1].encode(), "empty line"),
        (f"text\n\n{LINE}\n".encode(), "empty line"),
        (f"text\n\n- log.example AAAAAAA=\n{LINE}".encode(), "not a signature line"),
        (f"text\n\n{LINE}junk\n".encode(), "not a signature line"),
        ("text\n\n— log+example AAAAAAA=\n".encode(), "not a signature line"),
        ("text\n\n— log\u00a0example AAAAAAA=\n".encode(), "not a signature line"),
        ("text\n\n—  AAAAAAA=\n".encode(), "not a signature line"),
        ("text\n\n— log.example AAAAAAB=\n".encode(), "stray bits"),
        ("text\n\n— log.example AAAA AAA=\n".encode(), "not base64"),
        ("text\n\n— log.example AAAAAA==\n".encode(), "too short"),
        (f"text\r\n\n{LINE}".encode(), "control character 0x0d"),
        (f"te\0xt\n\n{LINE}".encode(), "control character 0x00"),
        (b"te\xffxt\n\n" + LINE.encode(), "not UTF-8"),
    ],
)
def test_a_note_that_is_not_quite_one_is_refused(note, message):
    assert parse_note(f"text\n\n{LINE}".encode()).text == b"text\n"
    with pytest.raises(FormatError, match=message):
        parse_note(note)


@pytest.mark.parametrize("text", [b"", b"no newline", b"a\x07b\n", b"\xff\n"])
def test_a_text_that_no_note_can_hold_is_not_signed(text):
    with pytest.raises(FormatError):
        new_signer().sign(text)


@pytest.mark.parametrize(
    "vkey",
    ["", "name", "name+c74f20a3", "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
     "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
     "PeterNeumana+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
     "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
     "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TX+",
     "PeterNeumann+c74f20a3+BRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
     "PeterNeumann+c74f20a3+AQ==", "PeterNeumann+c74f20a3+", "n" * 2000],
)  # fmt: skip
def test_a_verifier_key_in_another_spelling_is_refused(vkey):
    with pytest.raises(FormatError):
        parse_vkey(vkey)


def test_base64_with_plus_signs_does_not_confuse_a_verifier_key():
    key = VerifierKey("log.example", SignatureType.ED25519, bytes(2) + b"\xfb\xef\xbe" * 10)
    assert str(key).count("+") > 2
    assert parse_vkey(str(key)) == key


@pytest.mark.parametrize("y", [0, 1, 2**255 - 20, 2**255 - 19])
def test_a_key_for_which_anybody_can_sign_is_refused(y):
    assert VerifierKey("log.example", SignatureType.ED25519, (2).to_bytes(32, "little"))
    with pytest.raises(FormatError, match="of small order"):
        VerifierKey("log.example", SignatureType.ED25519, y.to_bytes(32, "little"))


def test_the_same_key_twice_is_one_key():
    key = parse_vkey(NEUMANN_KEY)
    assert parse_note(NEUMANN_NOTE).verify([key, parse_vkey(NEUMANN_KEY)]) == {key: None}


def test_two_keys_that_cannot_be_told_apart_are_refused(monkeypatch):
    # Four bytes collide for whoever tries; both keys would have to be trusted.
    monkeypatch.setattr(VerifierKey, "key_id", b"same")
    with pytest.raises(FormatError, match="share name and key id"):
        parse_note(NEUMANN_NOTE).verify([new_signer().verifier_key, new_signer().verifier_key])


@given(st.binary(max_size=400))
def test_any_bytes_are_a_note_or_a_format_error(data):
    try:
        note = parse_note(data)
    except FormatError:
        return
    assert data.startswith(note.text + b"\n")


@given(st.data())
def test_a_note_with_one_byte_changed_never_verifies(data):
    raw = bytearray(NEUMANN_NOTE)
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    key = parse_vkey(NEUMANN_KEY)
    with suppress(FormatError, VerificationError):
        assert parse_note(bytes(raw)).verify([key]) == {}


@given(st.text(max_size=80))
def test_any_text_is_a_verifier_key_or_a_format_error(text):
    with suppress(FormatError):
        assert str(parse_vkey(text)) == text
