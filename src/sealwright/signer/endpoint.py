"""The signer's door: a local socket, frames of bounded length, one round at a time.

Only processes of the configured user are served (SO_PEERCRED).  A frame that cannot be read ends its connection; what
it says can at worst be refused.
"""

import errno
import os
import socket
import struct
import threading
import time
from pathlib import Path

from sealwright.core import canonical, records
from sealwright.core.errors import Code, ConfigurationError, FormatError, SealwrightError
from sealwright.signer.canary import ActiveKey
from sealwright.signer.engine import Engine
from sealwright.signer.protocol import LENGTH_BYTES, MAX_FRAME_BYTES, Round, frame, frame_length

MAX_CONNECTIONS = 8
FRAME_TIMEOUT_SECONDS = 30
_CREDENTIALS = struct.Struct("3i")


class Endpoint:
    """Serves one engine on one socket path."""

    def __init__(self, engine: Engine, path: Path, *, user_id: int, mode: int = 0o600) -> None:
        self._engine, self._user_id = engine, user_id
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._listener = listen(path, mode)

    def serve(self) -> None:
        """Accept connections until ``close``."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError as e:
                if e.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED):
                    time.sleep(0.1)  # somebody else's trouble, and it passes
                    continue
                return
            if peer_user(connection) != self._user_id or not self._places.acquire(blocking=False):
                connection.close()
                continue
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def close(self) -> None:
        """Stop accepting."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def active_keys(self) -> list[ActiveKey]:
        """Ask the engine between two rounds which keys may sign."""
        with self._lock:
            return self._engine.active_keys()

    def _talk(self, connection: socket.socket) -> None:
        with connection:
            try:
                while (payload := receive_frame(connection)) is not None:
                    order = records.load(Round, canonical.decode(payload, max_bytes=MAX_FRAME_BYTES))
                    with self._lock:
                        result = self._engine.handle(order)
                    connection.sendall(frame(records.serialise(result)))
            except (SealwrightError, OSError):
                pass  # an unreadable frame or a peer that went away: nothing is owed to it
            finally:
                self._places.release()


def listen(path: Path, mode: int = 0o600) -> socket.socket:
    """Return a listening local socket that only this user (0600) or also its group can reach; a stale one goes."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        mask = os.umask(0o777 & ~mode)
        try:
            listener.bind(str(path))
        finally:
            os.umask(mask)
    except OSError as e:
        listener.close()
        raise ConfigurationError(f"cannot listen on {path}: {e.strerror}", setting="signer.socket") from e
    listener.listen(MAX_CONNECTIONS)
    return listener


def peer_user(connection: socket.socket) -> int:
    """Return the user id of the process at the other end."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[1])


def receive_frame(connection: socket.socket, *, idle_seconds: float | None = None) -> bytes | None:
    """Return the next payload, or None when the peer closed between frames; ``FormatError`` for a broken frame.

    Waits ``idle_seconds`` (None: for ever) for a frame to begin.
    """
    connection.settimeout(idle_seconds)
    header = _receive(connection, LENGTH_BYTES)
    if not header:
        return None
    if len(header) < LENGTH_BYTES:
        raise FormatError("connection closed inside a frame header", code=Code.INVALID_FRAME)
    length = frame_length(header)
    connection.settimeout(FRAME_TIMEOUT_SECONDS)
    payload = _receive(connection, length)
    if len(payload) < length:
        raise FormatError(f"frame ends after {len(payload)} of {length} bytes", code=Code.INVALID_FRAME)
    return payload


def _receive(connection: socket.socket, length: int) -> bytes:
    parts, missing = [], length
    while missing:
        part = connection.recv(min(missing, 1 << 20))
        if not part:
            break
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
