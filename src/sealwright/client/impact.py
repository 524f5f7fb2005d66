"""What a key signed, as the server found it, tied to a log state that was checked."""

from dataclasses import dataclass

from sealwright.client.api import Api
from sealwright.client.log_view import Head, check_grown, head
from sealwright.client.settings import Settings
from sealwright.client.standing import fetch
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

    def spell(self, person: str) -> str:
        """Return an id, with the name behind it if the directory has one."""
        name = self.names.get(person)
        return f"{person} ({name})" if name else person


def of_key(settings: Settings, api: Api, key: str, since: int) -> Asked:
    """Ask what a key (profile id or fingerprint) signed; ``RefusedError`` for a key that nobody knows."""
    impact = api.get(Impact, "/v1/impact", key=key, since=since)
    if impact.key != key:
        raise VerificationError("the server answered for another key", expected=key, got=impact.key)
    if not impact.images:
        _check_known(settings, api, key)
    newest = head(api, settings.trust)
    if impact.log_size > newest.checkpoint.size:
        raise VerificationError("the answer is of a log that there is not", code=Code.LOG_INCONSISTENT)
    check_grown(api, impact.log_size, impact.log_root, newest.checkpoint)
    names = {n.person: n.name for n in api.get(NamesAnswer, "/v1/names").names}
    return Asked(impact=impact, names=names, head=newest)


def _check_known(settings: Settings, api: Api, key: str) -> None:
    """A mistyped key must not look like one that signed nothing."""
    in_force = fetch(api, settings.trust)
    profiles = in_force.standing.sections.all(KeyProfile) if in_force.standing else ()
    if not any(key in (profile.id, PublicKey(profile.public_key).fingerprint) for profile in profiles):
        raise RefusedError(
            f"nobody knows a key {key[:96]}: it is not in the policy and signed nothing",
            code=Code.NOT_FOUND,
            hint="list keys with `sealwright key list`",
        )
