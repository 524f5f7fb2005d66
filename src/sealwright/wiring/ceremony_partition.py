"""The partition of a key ceremony, asked step by step as the user that it belongs to.

Key files are read and written by our own code, which takes that user for the time of a step.  A vendor's module could
take root back in such a process: it is loaded in one of its user (``keystores.ceremony_worker``).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sealwright.keystores import ceremony_client
from sealwright.keystores.interface import Ceremony
from sealwright.keystores.opening import open_ceremony
from sealwright.keystores.secrets import read_secret
from sealwright.wiring.configuration import PartitionSetting
from sealwright.wiring.partition_user import acting_as, user_of_module


@dataclass(frozen=True, slots=True)
class OpenPartition:
    """An open partition.  What it writes belongs to the partition's user, the ceremony's own files do not."""

    ceremony: Ceremony
    user: int | None

    @contextmanager
    def asked(self) -> Iterator[Ceremony]:
        """Yield the partition to be asked for something, as its user."""
        with acting_as(self.user):
            yield self.ceremony


@contextmanager
def opened(setting: PartitionSetting) -> Iterator[OpenPartition]:
    """Open a partition with one login."""
    secret = read_secret(setting.secret)
    if (user := user_of_module(setting)) is not None:
        with ceremony_client.asked(setting.uri, user) as remote:
            remote.open(secret)
            yield OpenPartition(remote, None)
        return
    with acting_as(setting.user):
        keystore = OpenPartition(open_ceremony(setting.uri, secret), setting.user)
    try:
        yield keystore
    finally:
        with keystore.asked() as ceremony:
            ceremony.close()
