"""What must hold of a key before it is made: whatever ``policy check``, a signer or a device would refuse later.

A key costs a ceremony, and one that nothing can use lies in its partition for good.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial

from sealwright.client.drafts import Draft
from sealwright.client.revocations import Revocations, Taken
from sealwright.core.errors import Code, ConfigurationError, RefusedError
from sealwright.core.keys import Algorithm, Family, PublicKey
from sealwright.formats import FORMATS
from sealwright.formats.targets import TARGETS
from sealwright.policy.documents import Environment, KeyGrade, KeyProfile, Scope
from sealwright.policy.minutes import partition_of

MIN_RSA_BITS = 1024  # no curve is that large

_refused = partial(RefusedError, code=Code.POLICY_INVALID)


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedKey:
    """What is known of a key before it exists, or of one that does."""

    profile: str
    product: str
    environment: Environment
    partition: str
    algorithm: Algorithm
    size_bits: int
    image_format: str | None
    grade: KeyGrade

    @property
    def scope(self) -> str:
        """The id of the scope that it belongs to."""
        return f"{self.product}/{self.environment}"


def wanted(profile: KeyProfile) -> WantedKey:
    """Return what is to be checked of a key that exists."""
    return WantedKey(
        profile=profile.id,
        product=profile.product,
        environment=profile.environment,
        partition=profile.partition,
        algorithm=profile.algorithm,
        size_bits=PublicKey(profile.public_key).size_bits,
        image_format=profile.image_format,
        grade=profile.grade,
    )


def check_new(key: WantedKey, draft: Draft, revocations: Revocations) -> None:
    """Raise ``RefusedError`` for a key that cannot be made under this name, or that nothing could use."""
    if draft.get(KeyProfile, key.profile) is not None:
        raise RefusedError(
            f"there is a key {key.profile} already",
            code=Code.CONFLICT,
            hint=f"choose another name; keys are never replaced; `sealwright key show {key.profile}` shows it",
        )
    check_usable(key, draft, revocations)


def check_usable(key: WantedKey, draft: Draft, revocations: Revocations) -> None:
    """Raise ``RefusedError`` for a key that no request could use."""
    if (taken := revocations.key(key.profile)) is not None:
        raise revoked_name("key", taken)
    scope = draft.get(Scope, key.scope)
    if scope is None:
        raise _no_scope(key, draft.all(Scope))
    if key.image_format is None and key.environment is Environment.PRODUCTION:
        raise _refused(f"key {key.profile} names no format", hint="in production a key signs one format: --format")
    _check_target(key)
    _check_partition(key, draft)
    if key.grade not in scope.key_grades:
        raise _refused(
            f"key {key.profile} is graded {key.grade}, {scope.id} takes {', '.join(scope.key_grades)}",
            hint=f"`sealwright product change {key.product} --environment {key.environment} --key-grade …` "
            "lets more grades in, or keep the key in a token",
        )


def apart(profile: KeyProfile, draft: Draft) -> str:
    """Return what is still to do for a key that lies apart from the others of its scope; empty where nothing is."""
    scope_id = f"{profile.product}/{profile.environment}"
    scope = draft.get(Scope, scope_id)
    partitions = {key.partition for key in draft.all(KeyProfile) if f"{key.product}/{key.environment}" == scope_id}
    if len(partitions) < 2 or (scope is not None and scope.key_sets):
        return ""
    return (
        f"keys of {scope_id} now lie in {' and '.join(sorted(partitions))}, which only a key set may span: "
        f"`sealwright product key-set {profile.product} SET --environment {profile.environment} --member …`"
    )


def revoked_name(what: str, taken: Taken) -> RefusedError:
    """Return the refusal to use the name of something that was revoked: the log revokes names, and for ever."""
    reason = f": {taken.reason}" if taken.reason else ""
    return RefusedError(
        f"{what} {taken.subject} was revoked at log index {taken.index} by {taken.person}{reason}",
        code=Code.REVOKED,
        hint="a revocation is for ever and holds for the name: choose another one",
    )


def check_format(name: str) -> None:
    """Raise ``ConfigurationError`` for a format that there is not; a key may name none."""
    if name and name not in FORMATS:
        raise ConfigurationError(
            f"there is no format {name}", setting="--format", hint=f"formats: {', '.join(sorted(FORMATS))}"
        )


def check_public_key(public_key: PublicKey, algorithm: Algorithm, profiles: Iterable[KeyProfile]) -> None:
    """Check a key that exists already: it makes this kind of signature, and no other profile has it."""
    public_key.check_algorithm(algorithm)
    for profile in profiles:
        if PublicKey(profile.public_key).fingerprint == public_key.fingerprint:
            raise RefusedError(
                f"this is the key {profile.id} already", code=Code.CONFLICT, hint="a key has one profile, for one use"
            )


def _check_partition(key: WantedKey, draft: Draft) -> None:
    """One partition holds keys of one scope; that of another scope is its own, also while it has no key."""
    homes = {scope.id: partition_of(scope.product, scope.environment) for scope in draft.all(Scope)}
    taken = [scope for scope, home in homes.items() if home == key.partition]
    taken += [f"{k.product}/{k.environment}" for k in draft.all(KeyProfile) if k.partition == key.partition]
    if others := sorted(set(taken) - {key.scope}):
        raise _refused(
            f"partition {key.partition} is that of {others[0]}",
            hint="a partition holds keys of one scope: name another",
        )


def _no_scope(key: WantedKey, scopes: list[Scope]) -> RefusedError:
    known = [scope.id for scope in scopes]
    close = get_close_matches(key.scope, known, 1)
    meant = f"did you mean {close[0]}? " if close else ""
    return _refused(
        f"there is no product {key.product} in {key.environment}",
        hint=f"{meant}`sealwright product add {key.product} --environment {key.environment}` makes it; "
        f"there is {', '.join(known) or 'none yet'}",
    )


def _is_size_of(size_bits: int, family: Family) -> bool:
    """Whether a size can be one of this family: a target of several names the sizes of all of them."""
    if family in (Family.RSA, Family.ECDSA):
        return (size_bits >= MIN_RSA_BITS) is (family is Family.RSA)
    return True


def _check_target(key: WantedKey) -> None:
    """Some verifier of the format must take the algorithm and size; nobody knows one for a format without targets."""
    targets = [t for t in TARGETS.values() if key.image_format and key.image_format in (t.formats or ())]
    fitting = [t for t in targets if t.algorithms is None or key.algorithm in t.algorithms]
    if targets and not fitting:
        could = sorted({a for t in targets for a in t.algorithms or ()})
        raise _refused(
            f"no target of {key.image_format} verifies {key.algorithm}", hint=f"algorithms: {', '.join(could)}"
        )
    sizes = {s for t in fitting for s in t.key_sizes_bits or (key.size_bits,) if _is_size_of(s, key.algorithm.family)}
    if targets and key.size_bits not in sizes:
        raise _refused(
            f"no target of {key.image_format} verifies {key.algorithm} keys of {key.size_bits} bits",
            hint=f"sizes: {', '.join(map(str, sorted(sizes)))}",
        )
