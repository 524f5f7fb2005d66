"""What people are told of stateful keys: how many of their numbers are marked in the log, and what software LMS is not.

The marks come from the log alone, followed entry by entry: what a keystore counted can be an old copy's word.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sealwright.core.keys import HssLmsPublicKey, PublicKey
from sealwright.core.number_blocks import block_size
from sealwright.policy.documents import KeyGrade, KeyProfile

SOFTWARE_LABEL = "software LMS: not SP 800-208 compliant, key not in a validated module"
FEW, FEW_BLOCKS = 10, 2
"""Less than this part of all numbers left is few, and so is less than so many blocks: a restart burns one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """How many signature numbers of a key are marked in the log as given out, of how many it has in its life."""

    marked: int
    capacity: int

    @property
    def left(self) -> int:
        """How many no session has been given yet."""
        return max(0, self.capacity - self.marked)

    @property
    def is_few(self) -> bool:
        """Whether it is time to make the next key."""
        return self.left < max(self.capacity / FEW, FEW_BLOCKS * block_size(self.capacity))

    @property
    def is_used_up(self) -> bool:
        """Whether there is none left to give out; the running signer may have some of its last block."""
        return self.left == 0

    def __str__(self) -> str:
        if self.marked <= 1:  # that of its certificate; a draft's key is not in the log either
            return f"{self.capacity:,} in all, none given out yet, {self.left:,} left"
        return f"{self.marked:,} of {self.capacity:,} marked in the log, {self.left:,} left"


def label_of(profile: KeyProfile) -> str:
    """Return what must be said of a key wherever it is shown; empty for most.

    NIST SP 800-208, section 8: keys are made and used in validated modules that do not export them.
    """
    return SOFTWARE_LABEL if profile.algorithm.is_stateful and profile.grade is KeyGrade.SOFTWARE else ""


def parameters_of(profile: KeyProfile) -> str:
    """Return the parameters that an HSS/LMS key names, as ``sha256-n24-h10-w8``; empty for other keys."""
    key = PublicKey(profile.public_key).key
    return key.hss.name if isinstance(key, HssLmsPublicKey) else ""


def numbers_of(profile: KeyProfile, marks: Callable[[str], int]) -> Numbers | None:
    """Return how far a stateful key is used up; None for other keys.  ``marks`` gives the end of its newest block."""
    public = PublicKey(profile.public_key)
    if not isinstance(public.key, HssLmsPublicKey):
        return None
    # Number 0 is in the key's certificate, before any block.
    return Numbers(marked=max(1, marks(public.fingerprint)), capacity=public.key.hss.capacity)


def any_stateful(profiles: Sequence[KeyProfile]) -> bool:
    """Whether the log has to be followed to say how far one of these keys is used up."""
    return any(profile.algorithm.is_stateful for profile in profiles)


def few_left(profile: KeyProfile, numbers: Numbers) -> str:
    """Return the warning about a key that is used up, or nearly."""
    if numbers.is_used_up:
        return f"key {profile.id} is used up: it signs what the signer's last block has left, then nothing; rotate it"
    return f"key {profile.id} has {numbers.left:,} of {numbers.capacity:,} signature numbers left: make the next key"
