"""The server's way to a signer: one local connection, made again when it breaks."""

import socket
from pathlib import Path

from sealwright.core import canonical, records
from sealwright.core.errors import Code, FormatError, UnavailableError
from sealwright.signer.endpoint import receive_frame
from sealwright.signer.protocol import MAX_FRAME_BYTES, Round, RoundResult, frame

ROUND_TIMEOUT_SECONDS = 120.0


class LocalSigner:
    """A signer behind a socket path."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: socket.socket | None = None

    def exchange(self, order: Round) -> RoundResult:
        """Carry out one round; after any failure the next call connects anew."""
        try:
            connection = self._connect()
            connection.settimeout(ROUND_TIMEOUT_SECONDS)
            connection.sendall(frame(records.serialise(order)))
            payload = receive_frame(connection, idle_seconds=ROUND_TIMEOUT_SECONDS)
            if payload is None:
                raise FormatError("closed", code=Code.INVALID_FRAME)
            return records.load(RoundResult, canonical.decode(payload, max_bytes=MAX_FRAME_BYTES))
        except (OSError, FormatError) as e:
            self.close()
            raise UnavailableError(
                f"the signer at {self._path.name} does not answer ({e})",
                code=Code.SIGNER_UNAVAILABLE,
                hint="start it with `sealwright signer`, or everything with `sealwright up`",
            ) from e

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> socket.socket:
        if self._connection is None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(5)
            try:
                connection.connect(str(self._path))
            except OSError:
                connection.close()
                raise
            self._connection = connection
        return self._connection
