"""The world outside the process: clock and entropy."""

import os
import time


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """POSIX seconds."""
        return int(time.time())


class SystemEntropy:
    """The kernel's generator."""

    def token(self, size_bytes: int) -> bytes:
        """Return unpredictable bytes."""
        return os.urandom(size_bytes)
