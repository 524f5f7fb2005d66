"""Somebody who reaches the signer's socket speaks to it without any server: rubbish, absurd lengths, bare orders."""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.simulators.instance import Instance
from tests.simulators.socket import SignerSocket

from sealwright.core import records
from sealwright.core.errors import Code
from sealwright.signer.endpoint import Endpoint
from sealwright.signer.protocol import MAX_FRAME_BYTES, Round, frame
from sealwright.translog.checkpoints import Checkpoint


@pytest.fixture
def signer(tmp_path: Path) -> Iterator[SignerSocket]:
    with SignerSocket(Instance(), tmp_path / "s") as running:
        yield running


def length(value: int) -> bytes:
    return struct.pack(">I", value)


ABSURD = {
    "nothing": length(0),
    "one byte": length(1) + b"x",
    "one byte too long": length(MAX_FRAME_BYTES + 1),
    "all ones": b"\xff" * 4,
    "a text": b"GET / HTTP/1.1\r\n\r\n",
    "half a header": b"\x00\x00",
    "less than announced": length(100) + b"{}",
    "rubbish": frame(b"\x00" * 1000),
    "an array": frame(b"[]"),
    "an empty object": frame(b"{}"),
    "too deep": frame(b"[" * 100_000),
    "negative start": frame(b'{"start":-1}'),
    "start beyond 2^53": frame(b'{"start":%d}' % (1 << 60)),
    "start as text": frame(b'{"start":"0"}'),
    "unknown member": frame(b'{"start":0,"trust":true}'),
    "not canonical": frame(b'{"start": 0}'),
    "entries beyond count": frame(b'{"entries":[%s],"start":0}' % b",".join([b'""'] * 65_537)),
    "an entry beyond its length": frame(b'{"entries":["%s"],"start":0}' % (b"A" * 87_384)),
    "not base64": frame(b'{"entries":["*"],"start":0}'),
}


@pytest.mark.parametrize("what", ABSURD)
def test_what_is_no_frame_gets_no_answer_and_the_next_is_served(signer, what):
    assert signer.send(ABSURD[what]) == b""
    assert signer.exchange(Round(start=0)).signer == "signer-1"


def test_a_whole_frame_of_rubbish_of_the_greatest_length_is_refused(signer):
    assert signer.send(frame(b"9" * MAX_FRAME_BYTES)) == b""
    assert signer.exchange(Round(start=0)).signer == "signer-1"


def test_an_order_without_a_logged_intent_is_refused(signer):
    instance = signer.instance
    submission = instance.approved()
    index = instance.log.append(instance.make_intent(submission))  # never shown to the signer
    result = signer.exchange(Round(start=index, sign=(instance.order(submission, index),)))
    assert result.signed[0].refusal.code is Code.INTENT_NOT_LOGGED
    assert instance.signatures_made == 0


def test_an_order_with_entries_that_no_checkpoint_covers_is_refused(signer):
    instance = signer.instance
    submission = instance.approved()
    index = instance.log.append(instance.make_intent(submission))
    entries = (instance.log.entries[index],)
    result = signer.exchange(Round(start=index, entries=entries, sign=(instance.order(submission, index),)))
    assert result.signed[0].refusal.code is Code.LOG_INCONSISTENT


def test_a_release_of_what_was_never_signed_is_refused(signer):
    result = signer.exchange(Round(start=3, release=(0, 1, 2, (1 << 53) - 1)))
    assert {released.refusal.code for released in result.released} == {Code.RELEASE_TOO_LATE}


def test_the_same_over_the_socket_with_a_log_is_signed(signer):
    instance = signer.instance
    submission = instance.approved()
    index = instance.log.append(instance.make_intent(submission))
    entries, order = (instance.log.entries[index],), instance.order(submission, index)
    result = signer.exchange(Round(start=index, entries=entries, checkpoint=instance.log.checkpoint(), sign=(order,)))
    assert result.signed[0].outcome


def test_a_refusal_that_quotes_odd_characters_is_still_an_answer(signer):
    log = signer.instance.log
    text = Checkpoint(origin="log.example/\N{HANGUL FILLER}\x9b", size=3, root=bytes(32)).serialise()
    note = log.signer.sign(text)
    refusal = signer.exchange(Round(start=3, checkpoint=note)).refusal
    assert refusal.code is Code.WRONG_LOG
    assert "got log.example/??" in refusal.message


@contextmanager
def serving_only(user_id: int, path: Path) -> Iterator[SignerSocket]:
    with SignerSocket(Instance(), path, user_id=user_id) as running:
        yield running


def test_a_process_of_another_user_is_turned_away(tmp_path):
    with serving_only(os.getuid() + 1, tmp_path / "s") as running:
        assert running.send(frame(records.serialise(Round(start=0)))) == b""
    with serving_only(os.getuid(), tmp_path / "s") as running:
        assert running.send(frame(records.serialise(Round(start=0)))) != b""


def test_the_socket_is_closed_to_other_users(signer):
    assert signer.path.stat().st_mode & 0o777 == 0o600


def test_speaking_to_it_without_listening_does_not_stop_it(signer):
    for _ in range(20):
        with signer.connect() as connection, suppress(BrokenPipeError):
            connection.sendall(frame(records.serialise(Round(start=0))))
    assert signer.exchange(Round(start=0)).signer == "signer-1"
    assert isinstance(signer.endpoint, Endpoint)
