"""Key sets: keys of one scope that sign together, and what a policy and a request must keep to.

A set stands in the scope section, so that the rules that people vote on name it and every evidence shows it: nobody has
to prove that there is none (``docs/adr/0056``).  Where a set is in force for a format, an artifact of it is signed by
whole sets and nothing else.  How many of the signatures a verifier must find is the set's rule.
"""

from collections import Counter
from collections.abc import Sequence

from sealwright.core.errors import Code, RefusedError
from sealwright.policy.documents import Artifact, KeyProfile, KeySet, Request, Scope


def sets_for(scope: Scope, image_format: str) -> tuple[KeySet, ...]:
    """Return the key sets in force for images of a format."""
    return tuple(s for s in scope.key_sets or () if s.image_format in (None, image_format))


def sets_of(scope: Scope, artifact: Artifact, profiles: Sequence[KeyProfile]) -> tuple[KeySet, ...]:
    """Return the key sets that these keys of an artifact belong to."""
    used = {profile.id for profile in profiles}
    return tuple(s for s in sets_for(scope, artifact.image_format) if used & set(s.members))


def check_request(scope: Scope, request: Request) -> None:
    """Raise ``RefusedError`` unless each artifact is signed by whole key sets, where there are any for its format."""
    for artifact in request.artifacts:
        in_force = sets_for(scope, artifact.image_format)
        used = Counter(slot.key_profile for slot in request.slots if slot.artifact == artifact.name)
        wanted = {member for s in in_force if used.keys() & set(s.members) for member in s.members}
        if in_force and (used.keys() != wanted or len(set(used.values())) > 1):
            raise RefusedError(
                f"artifact {artifact.name} is to be signed by {', '.join(sorted(used))}",
                code=Code.KEY_SET_INCOMPLETE,
                hint=f"{scope.id} signs {artifact.image_format} with "
                + " or ".join(f"{s.id} ({', '.join(s.members)})" for s in in_force),
            )


def check_scope(scope: Scope, profiles: Sequence[KeyProfile], *, is_complete: bool) -> None:
    """Raise ``RefusedError`` for key sets that no request could meet; ``profiles`` are those of the policy at hand."""
    sets = scope.key_sets or ()
    members = [member for s in sets for member in s.members]
    known = {profile.id: profile for profile in profiles}
    if len({s.id for s in sets}) < len(sets) or len(set(members)) < len(members):
        raise _refused(f"scope {scope.id} names a key set twice, or a key in two of them")
    for key_set in sets:
        for member in key_set.members:
            profile = known.get(member)
            if profile is None:
                if is_complete:
                    raise _refused(f"key set {key_set.id} of {scope.id} names {member}, which is not in the policy")
            elif (profile.product, profile.environment, profile.image_format) != (
                scope.product, scope.environment, key_set.image_format,
            ):  # fmt: skip
                raise _refused(
                    f"key set {key_set.id} of {scope.id} names {member}, which is of another scope or format"
                )


def _refused(message: str) -> RefusedError:
    return RefusedError(message, code=Code.POLICY_INVALID)
