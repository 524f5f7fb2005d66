"""A signer behind its real socket, and a client that can also misbehave."""

import os
import socket
import threading
import time
from pathlib import Path
from types import TracebackType

from tests.simulators.instance import Instance

from sealwright.core import canonical, records
from sealwright.signer.endpoint import Endpoint, receive_frame
from sealwright.signer.protocol import MAX_FRAME_BYTES, Round, RoundResult, frame


class SignerSocket:
    """Serves the engine of an instance until the ``with`` block ends."""

    def __init__(self, instance: Instance, path: Path, *, user_id: int | None = None) -> None:
        self.instance, self.path = instance, path
        self.endpoint = Endpoint(instance.engine, path, user_id=os.getuid() if user_id is None else user_id)
        self._thread = threading.Thread(target=self.endpoint.serve)

    def __enter__(self) -> "SignerSocket":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.endpoint.close()
        self._thread.join(timeout=10)
        assert not self._thread.is_alive()

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(str(self.path))  # without a timeout: with one, a full backlog is an error at once
        connection.settimeout(20)
        return connection

    def send(self, data: bytes) -> bytes:
        """Send bytes as they are, then nothing more; return whatever comes back."""
        with self.connect() as connection:
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: connection.recv(65_536), b""))
            except (BrokenPipeError, ConnectionResetError):
                return b""

    def exchange(self, order: Round) -> RoundResult:
        """One well-formed round on a connection of its own; waits while all places are taken."""
        until = time.monotonic() + 20
        while True:
            with self.connect() as connection:
                try:
                    connection.sendall(frame(records.serialise(order)))
                    answer = receive_frame(connection)
                except (BrokenPipeError, ConnectionResetError):
                    answer = None
            if answer is not None:
                return records.load(RoundResult, canonical.decode(answer, max_bytes=MAX_FRAME_BYTES))
            assert time.monotonic() < until, "the signer does not answer"
            time.sleep(0.01)
