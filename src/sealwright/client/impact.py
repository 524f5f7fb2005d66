"""What a key signed, as the server found it, tied to a log state that was checked."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from sealwright.client.api import Api
from sealwright.client.files import FileSource, read_small
from sealwright.client.log_view import Head, check_grown, head
from sealwright.client.revocations import Taken
from sealwright.client.settings import Settings
from sealwright.client.short_forms import whole
from sealwright.client.standing import InForce, fetch
from sealwright.core import records
from sealwright.core.errors import Code, FormatError, RefusedError, VerificationError
from sealwright.core.images import digests
from sealwright.core.keys import PublicKey
from sealwright.core.patches import PatchedSource
from sealwright.evidence.bundle import EVIDENCE_SUFFIX, MAX_EVIDENCE_BYTES, Evidence
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
    keys: tuple[str, ...]
    """Fingerprints of the keys that are or were meant: more than one where a name was used for several."""

    def spell(self, person: str) -> str:
        """Return an id, with the name behind it if the directory has one."""
        name = self.names.get(person)
        return f"{person} ({name})" if name else person


def of_key(settings: Settings, api: Api, key: str, since: int) -> Asked:
    """Ask what a key (profile id, fingerprint or its first digits) signed from ``since`` on.

    ``RefusedError`` for a key that nobody knows.
    """
    in_force = fetch(api, settings.trust)
    key = whole(key, (PublicKey(p.public_key).fingerprint for p in _profiles(in_force)), "key")
    impact = api.get(Impact, "/v1/impact", key=key, since=since)
    if impact.key != key:
        raise VerificationError("the server answered for another key", expected=key, got=impact.key)
    if any(key not in (image.key_profile, image.key) for image in impact.images):
        raise VerificationError("the server answered with images of another key", expected=key)
    has_earlier = bool(since and not impact.images and api.get(Impact, "/v1/impact", key=key, since=0).images)
    profiles = {p.id: PublicKey(p.public_key).fingerprint for p in _profiles(in_force)}
    named = {name: own for name, own in profiles.items() if key in (name, own)}
    if not impact.images and not has_earlier and not named and in_force.revocations.key(key) is None:
        raise _unknown(in_force, key)
    newest = head(api, settings.trust)
    if impact.log_size > newest.checkpoint.size:
        raise VerificationError("the answer is of a log that there is not", code=Code.LOG_INCONSISTENT)
    check_grown(api, impact.log_size, impact.log_root, newest.checkpoint)
    names = {n.person: n.name for n in api.get(NamesAnswer, "/v1/names").names}
    meant = dict.fromkeys((key, *named, *(image.key_profile for image in impact.images)))
    taken = [in_force.revocations.key(name) for name in meant]
    return Asked(
        impact=impact,
        names=names,
        head=newest,
        taken=tuple(found for found in taken if found is not None),
        has_earlier=has_earlier,
        keys=tuple(dict.fromkeys((*(image.key for image in impact.images), *named.values()))),
    )


def of_image(asked: Asked, path: Path) -> Asked:
    """Keep only what was signed of one file: as it was before, or signed with its evidence beside it."""
    wanted = set(_before_signing(path))
    images = tuple(image for image in asked.impact.images if image.sha256 in wanted)
    return replace(asked, impact=replace(asked.impact, images=images))


def _before_signing(path: Path) -> Iterable[str]:
    """Yield the digest of a file, and of what it was before it was signed, where its evidence can tell."""
    evidence = path.with_name(path.name + EVIDENCE_SUFFIX)
    with FileSource(path) as source:
        yield digests(source).sha256
        if not evidence.is_file():
            return
        data = read_small(evidence, max_bytes=MAX_EVIDENCE_BYTES, what="evidence")
        patch = records.parse(Evidence, data, max_bytes=MAX_EVIDENCE_BYTES).patch
        try:
            yield digests(PatchedSource(source, patch.inverse())).sha256
        except (FormatError, VerificationError):
            return  # the evidence is of another file


def _profiles(in_force: InForce) -> tuple[KeyProfile, ...]:
    return in_force.standing.sections.all(KeyProfile) if in_force.standing else ()


def _unknown(in_force: InForce, key: str) -> RefusedError:
    """A mistyped key must not look like one that signed nothing."""
    close = get_close_matches(key, [profile.id for profile in _profiles(in_force)], 1)
    return RefusedError(
        f"there is no key {key[:96]}: it is not in the policy in force and never signed anything",
        code=Code.NOT_FOUND,
        hint=f"did you mean {close[0]}?"
        if close
        else "list keys with `sealwright key list`; one that is not in the "
        "policy any more is named by its profile or its whole fingerprint",
    )
