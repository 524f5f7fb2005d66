"""A partition that belongs to a user of its own: its worker runs as that user, and so does what makes its keys."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sealwright.core.errors import ConfigurationError
from sealwright.keystores.opening import FILES
from sealwright.keystores.worker_client import group_of
from sealwright.wiring.configuration import PartitionSetting


@contextmanager
def acting_as(user: int | None) -> Iterator[None]:
    """Do what is inside as another user, with that user's group alone; for our own code in one thread."""
    if user is None or user == os.geteuid():
        yield
        return
    before = os.getgroups(), os.getegid(), os.geteuid()
    try:
        os.setgroups(())
        os.setegid(group_of(user))
        os.seteuid(user)
    except OSError as e:
        raise ConfigurationError(
            f"the partition belongs to user {user}, and this is user {before[2]}: {e.strerror}",
            setting="user",
            hint="run this command as root, or as that user",
        ) from None
    try:
        yield
    finally:
        os.seteuid(before[2])
        os.setegid(before[1])
        os.setgroups(before[0])


def user_of_module(setting: PartitionSetting) -> int | None:
    """Return as whom a vendor's module is loaded, in a process of that user alone; None where that is anybody.

    ``acting_as`` is not for it: the real and the saved user stay, and with one call the module would be them again.
    """
    return None if setting.uri.startswith(FILES) else setting.user


def give_to(user: int | None, folder: Path) -> None:
    """Give a new folder and the files in it to a user."""
    if user is None or user == os.geteuid():
        return
    for path in (*folder.iterdir(), folder):
        os.chown(path, user, group_of(user))
