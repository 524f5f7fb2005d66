"""Makes a newer trust file out of the one that is held: newer roots, a later point of the log, nothing else.

See docs/adr/0029.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from sealwright.client import log_view
from sealwright.client.api import Api
from sealwright.core.errors import Code, RefusedError, VerificationError
from sealwright.evidence.bundle import AsOf, TrustFile
from sealwright.policy.documents import Root
from sealwright.policy.roots import open_first_root, open_next_root
from sealwright.service.messages import PolicyAnswer


def refresh(
    api: Api, held: TrustFile, progress: Callable[[int, int], None], *, distrust: Sequence[str] = ()
) -> TrustFile:
    """Return the trust file as of now, with the keys of these fingerprints distrusted too.

    Each root is signed by the one before, beginning with those held; the whole log is followed under the newest, and
    must continue the log as held.  ``VerificationError`` where the server shows anything else, ``RefusedError``
    (``policy-not-current``) between a newer root and the policy under it.
    """
    root, digests = _roots(api.get(PolicyAnswer, "/v1/policy"), held)
    log = next(log for log in root.logs if log.origin == held.log)
    newer = replace(
        held,
        roots=digests,
        log_key=log.key,
        log_ml_dsa=log.ml_dsa,
        witnesses=root.witnesses,
        witness_quorum=root.witness_quorum,
    )
    report = log_view.verify(api, newer, progress)
    if report.state.root is None or report.state.root.digest != digests[-1]:
        raise VerificationError("the log holds another root than the server shows", code=Code.NOT_TRUSTED)
    checkpoint, policy = report.head.checkpoint, report.state.policy
    if policy is None and held.as_of.policy_index:
        raise RefusedError(
            f"no policy is logged under root version {root.version}, and the trust file would forget the one it knows",
            code=Code.POLICY_NOT_CURRENT,
            hint="refresh it once a policy is in force",
        )
    return replace(
        newer,
        as_of=AsOf(
            size=checkpoint.size,
            root_hash=checkpoint.root.hex(),
            policy_version=policy.policy.version if policy else 0,
            policy_index=policy.index if policy else 0,
        ),
        distrusted=tuple(sorted({*held.distrusted, *distrust})),
    )


def _roots(answer: PolicyAnswer, held: TrustFile) -> tuple[Root, tuple[str, ...]]:
    """Open all roots, each under the one before; the first ones must be those held."""
    root, digest = open_first_root(answer.roots[0])
    digests = [digest]
    for signed in answer.roots[1:]:
        root, digest = open_next_root(signed, root, digest, held.instance)
        digests.append(digest)
    if tuple(digests[: len(held.roots)]) != held.roots:
        raise VerificationError(
            "the roots of the server do not continue those of the trust file", code=Code.NOT_TRUSTED
        )
    return root, tuple(digests)
