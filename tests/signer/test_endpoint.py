"""The signer's socket: places, connections that stay, and what happens at its path."""

import os
import socket

import pytest
from tests.simulators.instance import Instance
from tests.simulators.socket import SignerSocket

from sealwright.core import canonical, records
from sealwright.core.errors import Code, ConfigurationError, FormatError
from sealwright.signer.endpoint import MAX_CONNECTIONS, listen, peer_user, receive_frame
from sealwright.signer.protocol import Round, RoundResult, frame


@pytest.fixture
def signer(tmp_path):
    with SignerSocket(Instance(), tmp_path / "s") as running:
        yield running


def ask(connection: socket.socket, order: Round) -> RoundResult:
    connection.sendall(frame(records.serialise(order)))
    answer = receive_frame(connection)
    assert answer is not None
    return records.load(RoundResult, canonical.decode(answer))


def test_a_connection_serves_many_rounds(signer):
    with signer.connect() as connection:
        for _ in range(5):
            assert ask(connection, Round(start=3)).size == 3


def test_rounds_may_be_sent_before_their_answers_are_read(signer):
    with signer.connect() as connection:
        connection.sendall(frame(records.serialise(Round(start=3))) * 10)
        for _ in range(10):
            assert receive_frame(connection)


def test_a_frame_that_comes_byte_by_byte_is_read(signer):
    with signer.connect() as connection:
        for byte in frame(records.serialise(Round(start=3))):
            connection.sendall(bytes((byte,)))
        assert receive_frame(connection)


def test_more_connections_than_places_are_closed_and_a_freed_place_is_given_again(signer):
    taken = [signer.connect() for _ in range(MAX_CONNECTIONS)]
    for connection in taken:
        assert ask(connection, Round(start=3)).size == 3
    assert signer.send(frame(records.serialise(Round(start=3)))) == b""
    taken.pop().close()
    assert signer.exchange(Round(start=3)).size == 3
    for connection in taken:
        assert ask(connection, Round(start=3)).size == 3
        connection.close()


def test_many_connections_one_after_the_other_are_all_served(signer):
    for _ in range(50):
        assert signer.exchange(Round(start=3)).size == 3


def test_a_refused_round_is_an_answer_not_the_end(signer):
    with signer.connect() as connection:
        wrong = Round(start=99, entries=(b"x",))
        assert ask(connection, wrong).refusal.code is Code.LOG_INCONSISTENT
        assert ask(connection, Round(start=3)).refusal is None


def test_a_stale_socket_is_replaced(tmp_path):
    path = tmp_path / "s"
    listen(path).close()
    with SignerSocket(Instance(), path) as running:
        assert running.exchange(Round(start=3)).size == 3


def test_a_path_that_cannot_be_listened_on_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot listen on") as error:
        listen(tmp_path / "missing" / "s")
    assert error.value.setting == "signer.socket"


def test_the_peer_is_known_by_the_kernel_not_by_what_it_says(signer):
    with signer.connect() as connection:
        assert peer_user(connection) == os.getuid()


@pytest.mark.parametrize("sent", [b"\x00", b"\x00\x00\x00", b"\x00\x00\x00\x05{}"])
def test_a_connection_that_ends_inside_a_frame_is_an_error(sent):
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            theirs.sendall(sent)
        with pytest.raises(FormatError) as error:
            receive_frame(ours)
    assert error.value.code is Code.INVALID_FRAME


def test_a_connection_that_ends_between_frames_is_none():
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        assert receive_frame(ours) is None
