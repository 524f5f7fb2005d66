"""The partition of a key ceremony, asked step by step as the user that it belongs to.

Key files are read and written by our own code, which takes that user for the time of a step.  A vendor's module could
take root back in such a process: it is loaded in one of its user (``keystores.ceremony_worker``).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sealwright.core.errors import Code, RefusedError, VerificationError
from sealwright.keystores import ceremony_client
from sealwright.keystores.interface import Ceremony, ModuleFacts
from sealwright.keystores.opening import open_ceremony
from sealwright.keystores.secrets import read_secret
from sealwright.policy.minutes import ObservedModule, Script
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


def observed_module(facts: ModuleFacts, *, is_files: bool) -> ObservedModule:
    """Return the keystore's own word as minutes have it."""
    return ObservedModule(
        kind="files" if is_files else "pkcs11",
        device=facts.device,
        is_tried=facts.is_tried,
        manufacturer=facts.manufacturer or None,
        model=facts.model or None,
        serial=facts.serial or None,
        firmware=facts.firmware or None,
    )


def check_module(script: Script, observed: ObservedModule) -> None:
    """Before anything is made: the keystore is the one of the script."""
    if (script.module is None) != (observed.kind == "files"):
        raise RefusedError(
            f"the script wants grade {script.grade}, and {script.partition} is a partition of {observed.kind}",
            code=Code.CONFLICT,
            hint="make the partition where its keys shall live first: `sealwright key create --keystore` shows how",
        )
    if script.module and script.module.token_serial not in (None, observed.serial):
        raise VerificationError(
            "serial number of the token", expected=str(script.module.token_serial), got=observed.serial or "none"
        )

    if script.attestation and script.attestation.kind != observed.device:
        raise RefusedError(
            f"the script wants attestations of a {script.attestation.kind}, and {script.partition} is in a token of "
            f"{observed.device}: its keys would never have one",
            code=Code.CONFLICT,
            hint=f"grade hardware-claimed needs none; if it is one, add x-device={script.attestation.kind} to its URI",
        )
