"""Tells whoever started this process that it serves: systemd (``Type=notify``, sd_notify(3)) or ``sealwright up``."""

import os
import socket
from contextlib import suppress

VARIABLE = "NOTIFY_SOCKET"


def say_ready() -> None:
    """Send ``READY=1`` to the socket named by the environment, if there is one."""
    address = os.environ.pop(VARIABLE, "")  # no child of ours speaks for us
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier, suppress(OSError):  # nobody waits any more
        notifier.sendto(b"READY=1", address)
