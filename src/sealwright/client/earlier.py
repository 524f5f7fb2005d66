"""Keys that earlier policies named: what comes back is the profile as it was, and no name gets a second key.

The server is believed here: what it hides or invents ends in a draft, where whoever signs sees the fingerprint.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sealwright.client.administration import Desk
from sealwright.client.proposing import proposals
from sealwright.core.errors import Code, RefusedError
from sealwright.core.keys import PublicKey
from sealwright.policy.documents import KeyProfile
from sealwright.policy.sections import parse_section
from sealwright.service.messages import ProposalAnswer


@dataclass(frozen=True, slots=True)
class EarlierKeys:
    """Profiles of all policies that were in force, the newest first."""

    profiles: tuple[KeyProfile, ...]

    def find(self, profile: str, fingerprint: str) -> KeyProfile | None:
        """Return the newest profile of this name for this key, or None."""
        return next((p for p in self.profiles if p.id == profile and fingerprint_of(p) == fingerprint), None)

    def others(self, profile: KeyProfile) -> list[str]:
        """Return the fingerprints of other keys that had this name."""
        own = {fingerprint_of(p) for p in self.profiles if p.id == profile.id}
        return sorted(own - {fingerprint_of(profile)})

    def check_name(self, profile: str, fingerprint: str = "") -> None:
        """Raise ``RefusedError`` where a policy had another key of this name than the one with ``fingerprint``.

        Requests, approvals and the log name keys by profile: two keys of one name could not be told apart there.
        """
        for known in self.profiles:
            if known.id == profile and fingerprint_of(known) != fingerprint:
                raise RefusedError(
                    f"an earlier policy had another key of the name {profile}, {fingerprint_of(known)[:16]}",
                    code=Code.CONFLICT,
                    hint="choose another name for a new key; `sealwright key create PROFILE --existing "
                    f"{fingerprint_of(known)[:16]} …` puts the old one back",
                )


def fetch(desk: Desk) -> EarlierKeys:
    """Ask for the keys of all policies that were in force."""
    return EarlierKeys(tuple(_profiles(desk)))


def fingerprint_of(profile: KeyProfile) -> str:
    """Return the fingerprint of a profile's key."""
    return PublicKey(profile.public_key).fingerprint


def _profiles(desk: Desk) -> Iterator[KeyProfile]:
    for proposal in proposals(desk.api):
        if proposal.kind == "policy" and proposal.state == "applied":
            whole = desk.api.get(ProposalAnswer, f"/v1/proposals/{proposal.digest}")
            yield from (s for s in map(parse_section, whole.sections) if isinstance(s, KeyProfile))
