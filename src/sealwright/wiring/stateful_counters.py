"""Which stateful keys have lost their counters: they sign no more (``docs/operate/stateful-keys.md``)."""

from pathlib import Path

from sealwright.core.errors import ConfigurationError, UnavailableError
from sealwright.core.keys import PublicKey
from sealwright.keystores.files import COUNTERS_FILE
from sealwright.keystores.lms_state import Counters
from sealwright.policy.documents import KeyProfile, RestrictionKind, State
from sealwright.policy.fold import Restrictions
from sealwright.policy.sections import Sections
from sealwright.wiring.access import files_of
from sealwright.wiring.configuration import Configuration


def stateful_keys(sections: Sections, restrictions: Restrictions) -> list[KeyProfile]:
    """Return the stateful keys that the policy lets sign."""
    revoked = restrictions.by_kind[RestrictionKind.REVOKE_KEY_PROFILE]
    return [
        profile
        for profile in sections.all(KeyProfile)
        if profile.algorithm.is_stateful and profile.state is State.ACTIVE and profile.id not in revoked
    ]


def is_lost(configuration: Configuration, profile: KeyProfile) -> bool:
    """Whether the folder of a key is there, and nothing in it that says how far the key is used up."""
    folder = folder_of(configuration, profile)
    try:
        if folder is not None:
            Counters(folder / COUNTERS_FILE).next(PublicKey(profile.public_key).fingerprint)
    except ConfigurationError:
        return True
    except UnavailableError:
        return False  # not to be looked into, or busy
    return False


def folder_of(configuration: Configuration, profile: KeyProfile) -> Path | None:
    """Return where the key's files are; None for one that is in no files, or not known here."""
    setting = configuration.partitions.get(profile.partition)
    return None if setting is None else files_of(setting.uri)
