"""What is in force, as the server shows it and the trust file allows: roots, policy and sections, all checked here.

A client that composes requests and votes stands on this, not on what a page says.
"""

from dataclasses import dataclass

from sealwright.client import revocations
from sealwright.client.api import Api
from sealwright.client.revocations import Revocations, Taken
from sealwright.core.errors import Code, RefusedError, VerificationError
from sealwright.evidence.bundle import TrustFile
from sealwright.policy.authorise import Standing
from sealwright.policy.documents import Root
from sealwright.policy.fold import open_policy
from sealwright.policy.roots import open_first_root, open_next_root
from sealwright.policy.sections import load_complete
from sealwright.service.messages import PolicyAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """Root and policy in force, checked against a trust file."""

    root: Root
    root_digest: str
    policy_version: int
    sections: tuple[bytes, ...]
    """Exact bytes of all sections; empty while there is no policy."""
    standing: Standing | None
    """None while there is no policy."""
    revocations: Revocations
    """Who and what is revoked: at once, and whatever the policy says."""


def fetch(api: Api, trust: TrustFile) -> InForce:
    """Ask the server what is in force and check every signature on the way from the trust file to it."""
    answer = api.get(PolicyAnswer, "/v1/policy")
    root, digest = _open_roots(answer, trust)
    if answer.policy is None:
        return InForce(
            root=root,
            root_digest=digest,
            policy_version=0,
            sections=(),
            standing=None,
            revocations=revocations.fetch(api, trust, root, None),
        )
    policy, _ = open_policy(answer.policy, root, digest, trust.instance)
    if policy.version < trust.as_of.policy_version:
        raise RefusedError(
            f"the server shows policy version {policy.version}, the trust file knows {trust.as_of.policy_version}",
            code=Code.POLICY_NOT_CURRENT,
        )
    sections = load_complete(policy, answer.sections, root, trust.instance)
    revoked = revocations.fetch(api, trust, root, sections)
    return InForce(
        root=root,
        root_digest=digest,
        policy_version=policy.version,
        sections=answer.sections,
        standing=Standing(
            instance=trust.instance,
            origin=trust.log,
            root=root,
            policy=policy,
            sections=sections,
            restrictions=revoked.restrictions,
        ),
        revocations=revoked,
    )


def restriction(api: Api, trust: TrustFile, index: int) -> Taken:
    """Return the restriction at a log index, with what its document says."""
    in_force = fetch(api, trust)
    sections = in_force.standing.sections if in_force.standing else None
    return revocations.fetch_one(api, trust, index, in_force.root, sections)


def needed(in_force: InForce) -> Standing:
    """Return the standing; ``RefusedError`` while there is no policy."""
    if in_force.standing is None:
        raise RefusedError(
            "no policy is in force",
            code=Code.POLICY_NOT_CURRENT,
            hint="add people, products and keys, then `sealwright policy propose` and `sealwright policy apply`",
        )
    return in_force.standing


def _open_roots(answer: PolicyAnswer, trust: TrustFile) -> tuple[Root, str]:
    root, digest = open_first_root(answer.roots[0])
    _check_known(0, digest, trust)
    for i, signed in enumerate(answer.roots[1:], 1):
        root, digest = open_next_root(signed, root, digest, trust.instance)
        _check_known(i, digest, trust)
    if len(answer.roots) < len(trust.roots):
        raise VerificationError("the server shows an older root than the trust file knows", code=Code.NOT_TRUSTED)
    return root, digest


def _check_known(i: int, digest: str, trust: TrustFile) -> None:
    if i < len(trust.roots) and digest != trust.roots[i]:
        raise VerificationError(
            f"root version {i + 1} of the server is not that of the trust file",
            expected=trust.roots[i],
            got=digest,
            code=Code.NOT_TRUSTED,
        )
