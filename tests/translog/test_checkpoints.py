"""Checkpoints: one spelling, one log, enough witnesses."""

import base64
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from tests.translog.test_notes import cosign

from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.translog.checkpoints import Checkpoint, parse_checkpoint
from sealwright.translog.log_keys import LogKeys, open_checkpoint
from sealwright.translog.merkle import EMPTY_ROOT
from sealwright.translog.notes import NoteSigner, SignatureType, VerifierKey

ORIGIN = "log.example/one"
ROOT = base64.b64encode(bytes(32)).decode()
HEAD = Checkpoint(origin=ORIGIN, size=20852163, root=bytes(range(32)))


def signer(name: str = ORIGIN) -> NoteSigner:
    return NoteSigner(name, Ed25519PrivateKey.generate())


def test_the_example_of_c2sp_comes_back():
    text = b"example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    checkpoint = parse_checkpoint(text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.serialise() == text


@pytest.mark.parametrize(
    "text",
    ["", "\n", f"o\n1\n{ROOT}", f"\n1\n{ROOT}\n", f"o\n01\n{ROOT}\n", f"o\n+1\n{ROOT}\n", f"o\n-1\n{ROOT}\n",
     f"o\n\u0661\n{ROOT}\n", f"o\n1 \n{ROOT}\n", f"o\n9007199254740992\n{ROOT}\n", f"o\n{'9' * 5000}\n{ROOT}\n",
     f"o\n1\n{ROOT[:-4]}\n", f"o\n1\n{ROOT}AAAA\n", "o\n1\n\n", f"o\n1\n{ROOT}\nextension\n", f"o\n1\n\n{ROOT}\n",
     f"o\n0\n{ROOT}\n"],
)  # fmt: skip
def test_a_checkpoint_in_another_spelling_is_refused(text):
    assert parse_checkpoint(f"o\n1\n{ROOT}\n".encode()).size == 1
    with pytest.raises(FormatError):
        parse_checkpoint(text.encode())


def test_a_checkpoint_that_is_not_utf_8_is_refused():
    with pytest.raises(FormatError):
        parse_checkpoint(b"\xff\n1\n" + ROOT.encode() + b"\n")


def test_a_signed_checkpoint_opens_with_its_key_and_origin_only():
    log = signer()
    note = log.sign(HEAD.serialise())
    assert open_checkpoint(note, origin=ORIGIN, log_keys=LogKeys(log.verifier_key)).checkpoint == HEAD
    with pytest.raises(VerificationError, match="not signed by the key of log") as refused:
        open_checkpoint(note, origin=ORIGIN, log_keys=LogKeys(signer().verifier_key))
    assert refused.value.code is Code.NOT_TRUSTED
    with pytest.raises(VerificationError, match="checkpoint of another log") as refused:
        open_checkpoint(note, origin="log.example/two", log_keys=LogKeys(log.verifier_key))
    assert refused.value.code is Code.WRONG_LOG


def witnessed(log: NoteSigner, *times: int) -> tuple[bytes, list[VerifierKey]]:
    """A checkpoint with a cosignature by a new witness for each time."""
    note, keys = log.sign(HEAD.serialise()), []
    for number, time in enumerate(times):
        line, key = cosign(HEAD.serialise(), f"witness.example/{number}", Ed25519PrivateKey.generate(), time)
        note += line
        keys.append(key)
    return note, keys


def test_a_quorum_of_witnesses_is_counted_and_their_times_are_given():
    log = signer()
    note, witnesses = witnessed(log, 1_700_000_000, 1_700_000_060)
    known = {"origin": ORIGIN, "log_keys": LogKeys(log.verifier_key)}
    opened = open_checkpoint(note, **known, witnesses=witnesses, quorum=2)
    assert opened.witness_times == {"witness.example/0": 1_700_000_000, "witness.example/1": 1_700_000_060}
    with pytest.raises(VerificationError, match=r"1 trusted witnesses cosigned .* 2 are needed") as refused:
        open_checkpoint(note, **known, witnesses=witnesses[:1], quorum=2)
    assert refused.value.code is Code.NOT_TRUSTED
    with pytest.raises(VerificationError, match="0 trusted witnesses"):
        open_checkpoint(log.sign(HEAD.serialise()), **known, witnesses=witnesses, quorum=1)


def test_a_witness_under_two_names_counts_once():
    log, private_key = signer(), Ed25519PrivateKey.generate()
    line_a, key_a = cosign(HEAD.serialise(), "witness.example/a", private_key, 1)
    line_b, key_b = cosign(HEAD.serialise(), "witness.example/b", private_key, 1)
    note = log.sign(HEAD.serialise()) + line_a + line_b
    known = {"origin": ORIGIN, "log_keys": LogKeys(log.verifier_key), "witnesses": [key_a, key_b]}
    open_checkpoint(note, **known, quorum=1)
    with pytest.raises(VerificationError, match="1 trusted witnesses"):
        open_checkpoint(note, **known, quorum=2)


def test_the_log_does_not_witness_itself():
    log = signer()
    line, key = cosign(HEAD.serialise(), ORIGIN, log.private_key, 1)
    assert key.kind is SignatureType.COSIGNATURE
    with pytest.raises(VerificationError, match="0 trusted witnesses"):
        open_checkpoint(
            log.sign(HEAD.serialise()) + line,
            origin=ORIGIN,
            log_keys=LogKeys(log.verifier_key),
            witnesses=[key],
            quorum=1,
        )


def test_a_log_key_listed_as_witness_without_a_cosignature_does_not_count():
    log = signer()
    with pytest.raises(VerificationError, match="0 trusted witnesses"):
        open_checkpoint(
            log.sign(HEAD.serialise()),
            origin=ORIGIN,
            log_keys=LogKeys(log.verifier_key),
            witnesses=[log.verifier_key],
            quorum=1,
        )


def test_a_cut_checkpoint_is_refused_at_every_offset():
    log = signer()
    note, witnesses = witnessed(log, 1)
    for cut in range(len(note)):
        with pytest.raises((FormatError, VerificationError)):
            open_checkpoint(
                note[:cut], origin=ORIGIN, log_keys=LogKeys(log.verifier_key), witnesses=witnesses, quorum=1
            )


@given(
    st.text(min_size=1, max_size=40).filter(lambda o: "\n" not in o),
    st.integers(0, (1 << 53) - 1),
    st.binary(min_size=32, max_size=32),
)
def test_checkpoints_come_back(origin, size, root):
    checkpoint = Checkpoint(origin=origin, size=size, root=root if size else EMPTY_ROOT)
    assert parse_checkpoint(checkpoint.serialise()) == checkpoint


@given(st.binary(max_size=200))
def test_any_bytes_are_a_checkpoint_or_a_format_error(data):
    with suppress(FormatError):
        assert parse_checkpoint(data).serialise() == data
