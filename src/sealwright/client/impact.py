"""What a key signed, as the server found it, tied to a log state that was checked."""

from dataclasses import dataclass
from difflib import get_close_matches

from sealwright.client.api import Api
from sealwright.client.log_view import Head, check_grown, head
from sealwright.client.revocations import Taken
from sealwright.client.settings import Settings
from sealwright.client.standing import InForce, fetch
from sealwright.core.errors import Code, RefusedError, VerificationError
from sealwright.core.keys import PublicKey
from sealwright.policy.documents import KeyProfile
from sealwright.service.impact import Impact
from sealwright.service.messages import NamesAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The answer, the names of those in it, and the newest log head, which continues the one of the answer."""

    impact: Impact
    names: dict[str, str]
    head: Head
    taken: tuple[Taken, ...]
    """Revocations of the key's profiles."""
    has_earlier: bool
    """Whether the key signed something before the time that was asked for, and nothing since."""

    def spell(self, person: str) -> str:
        """Return an id, with the name behind it if the directory has one."""
        name = self.names.get(person)
        return f"{person} ({name})" if name else person


def of_key(settings: Settings, api: Api, key: str, since: int) -> Asked:
    """Ask what a key (profile id or fingerprint) signed; ``RefusedError`` for a key that nobody knows."""
    impact = api.get(Impact, "/v1/impact", key=key, since=since)
    if impact.key != key:
        raise VerificationError("the server answered for another key", expected=key, got=impact.key)
    in_force = fetch(api, settings.trust)
    has_earlier = bool(since and not impact.images and api.get(Impact, "/v1/impact", key=key, since=0).images)
    profiles = [p.id for p in _profiles(in_force) if key in (p.id, PublicKey(p.public_key).fingerprint)]
    if not impact.images and not has_earlier and not profiles and in_force.revocations.key(key) is None:
        raise _unknown(in_force, key)
    newest = head(api, settings.trust)
    if impact.log_size > newest.checkpoint.size:
        raise VerificationError("the answer is of a log that there is not", code=Code.LOG_INCONSISTENT)
    check_grown(api, impact.log_size, impact.log_root, newest.checkpoint)
    names = {n.person: n.name for n in api.get(NamesAnswer, "/v1/names").names}
    taken = [in_force.revocations.key(name) for name in dict.fromkeys((key, *profiles))]
    return Asked(
        impact=impact,
        names=names,
        head=newest,
        taken=tuple(found for found in taken if found is not None),
        has_earlier=has_earlier,
    )


def _profiles(in_force: InForce) -> tuple[KeyProfile, ...]:
    return in_force.standing.sections.all(KeyProfile) if in_force.standing else ()


def _unknown(in_force: InForce, key: str) -> RefusedError:
    """A mistyped key must not look like one that signed nothing."""
    close = get_close_matches(key, [profile.id for profile in _profiles(in_force)], 1)
    return RefusedError(
        f"there is no key {key[:96]}: it is not in the policy in force and never signed anything",
        code=Code.NOT_FOUND,
        hint=f"did you mean {close[0]}?" if close else "list keys with `sealwright key list`",
    )
