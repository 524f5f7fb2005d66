"""Proposals: the next policy, or the next root with the policy under it; who signed, what they change, their logging.

A root takes the policy with it: it is signed, withdrawn and applied together with the policy that stands under it, so
that there is no moment without a policy (docs/adr/0070).
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sealwright.client import settings as connection
from sealwright.client.administration import Desk
from sealwright.client.api import Api
from sealwright.client.compose import sign_bytes, sign_document
from sealwright.client.differences import Difference, between, of_roots
from sealwright.client.drafts import Draft, load_draft
from sealwright.client.settings import Settings
from sealwright.client.short_forms import whole
from sealwright.client.standing import InForce
from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.errors import Code, RefusedError, VerificationError
from sealwright.policy.documents import Policy, Root
from sealwright.policy.fold import open_policy
from sealwright.policy.roots import open_next_root
from sealwright.policy.sections import load_complete
from sealwright.policy.signatures import Namespace, who_signed
from sealwright.service.messages import Applied, ApplyBody, ProposalAnswer, ProposalsAnswer, ProposeBody, SignBody

_NAMESPACES = {"root": Namespace.ROOT, "policy": Namespace.POLICY}


def propose(desk: Desk, *, renew: bool = False) -> ProposalAnswer:
    """Sign the draft's head and send it with its sections; ``renew`` proposes an unchanged policy for longer."""
    settings, now = desk.settings, int(time.time())
    if not desk.changes and desk.in_force.standing is not None and not renew:
        raise RefusedError(
            "the draft changes nothing",
            code=Code.CONFLICT,
            hint="edit people, products or keys first; --renew proposes the same policy with a later expiry",
        )
    desk.check()
    head = desk.draft.head(desk.in_force.root_digest, now=now)
    signed = sign_document(head, instance=settings.trust.instance, identity=settings.identity, signer=desk.api.who())
    return desk.api.post(
        ProposalAnswer, "/v1/proposals", ProposeBody(kind="policy", signed=signed, sections=desk.draft.sections)
    )


def propose_root(desk: Desk, root: Root) -> list[ProposalAnswer]:
    """Sign the next root and send it; with it the policy in force once more, under the next root."""
    settings, in_force, who = desk.settings, desk.in_force, desk.api.who()
    instance, now = settings.trust.instance, int(time.time())
    same = Draft(
        instance=instance, base_version=in_force.policy_version, sections=in_force.sections, entropy=os.urandom
    )
    digest = document_digest("root", instance, records.serialise(root))
    head = same.head(digest, now=now)
    load_complete(head, in_force.sections, root, instance)
    signed = sign_document(root, instance=instance, identity=settings.identity, signer=who)
    made = [desk.api.post(ProposalAnswer, "/v1/proposals", ProposeBody(kind="root", signed=signed))]
    if in_force.standing is None:
        return made
    under = sign_document(head, instance=instance, identity=settings.identity, signer=who)
    if all(a.person != who for a in root.administrators):  # they leave, and sign nothing under the next root
        under = replace(under, signatures=())
    body = ProposeBody(kind="policy", signed=under, sections=in_force.sections)
    return [*made, desk.api.post(ProposalAnswer, "/v1/proposals", body)]


def proposals(api: Api) -> tuple[ProposalAnswer, ...]:
    """Return all proposals, the newest first."""
    return api.get(ProposalsAnswer, "/v1/proposals").proposals


def open_proposals(api: Api, in_force: InForce) -> list[ProposalAnswer]:
    """Return the proposals that can still come into force, the newest first."""
    return [p for p in proposals(api) if p.state == "open" and not _is_superseded(p, in_force)]


def _is_superseded(proposal: ProposalAnswer, in_force: InForce) -> bool:
    if proposal.kind == "root":
        return records.parse(Root, proposal.signed.document).version <= in_force.root.version
    policy = records.parse(Policy, proposal.signed.document)
    return policy.version <= in_force.policy_version


def find(desk: Desk, digest: str) -> ProposalAnswer:
    """Fetch a proposal by its digest or the first digits of it; the newest open one where none is given."""
    if not digest:
        heads = _heads(open_proposals(desk.api, desk.in_force))
        if not heads:
            raise RefusedError("there is no open proposal", code=Code.NOT_FOUND, hint="`sealwright policy propose`")
        digest = heads[0].digest
    else:
        digest = whole(digest, (p.digest for p in proposals(desk.api)), "proposal")
    return fetch(desk, digest)


def fetch(desk: Desk, digest: str) -> ProposalAnswer:
    """Fetch a proposal and check that it is what it says: its digest, root and complete sections."""
    found = desk.api.get(ProposalAnswer, f"/v1/proposals/{digest}")
    got = document_digest(found.kind, desk.settings.trust.instance, found.signed.document)
    if found.kind not in _NAMESPACES or digest not in (got, found.digest) or found.digest != got:
        raise VerificationError("the server shows another proposal than was asked for", expected=digest, got=got)
    if found.kind == "policy":
        policy = records.parse(Policy, found.signed.document)
        root, _ = root_over(desk, found)
        load_complete(policy, found.sections, root, desk.settings.trust.instance)
    else:
        records.parse(Root, found.signed.document)
    return found


def root_over(desk: Desk, proposal: ProposalAnswer) -> tuple[Root, str]:
    """Return the root whose administrators sign a proposal, and its digest: the one in force, or one proposed."""
    in_force = desk.in_force
    if proposal.kind == "root":
        return in_force.root, in_force.root_digest
    digest = records.parse(Policy, proposal.signed.document).root
    if digest == in_force.root_digest:
        return in_force.root, digest
    for known in proposals(desk.api):
        if (
            known.kind == "root"
            and document_digest("root", desk.settings.trust.instance, known.signed.document) == digest
        ):
            return records.parse(Root, known.signed.document), digest
    raise RefusedError("the policy stands under another root", code=Code.POLICY_NOT_CURRENT)


def together(desk: Desk, proposal: ProposalAnswer) -> list[ProposalAnswer]:
    """Return a proposal with what goes with it: a root and the open policy under it, in this order."""
    if proposal.kind == "policy":
        _, digest = root_over(desk, proposal)
        return [proposal] if digest == desk.in_force.root_digest else [fetch(desk, digest), proposal]
    under = [
        p.digest
        for p in open_proposals(desk.api, desk.in_force)
        if p.kind == "policy" and records.parse(Policy, p.signed.document).root == proposal.digest
    ]
    return [proposal, *(fetch(desk, digest) for digest in under[:1])]


def changes_of(in_force: InForce, proposal: ProposalAnswer) -> tuple[Difference, ...]:
    """Return what a proposal changes in what is in force."""
    if proposal.kind == "root":
        return (of_roots(in_force.root, records.parse(Root, proposal.signed.document)),)
    return between(in_force.sections, proposal.sections)


def drop_applied(settings: Settings, applied: Sequence[ProposalAnswer]) -> bool:
    """Remove the draft if that is what was applied; return whether there is one with something else in it."""
    path = connection.draft_path()
    if not path.is_file():
        return False
    draft = load_draft(path, os.urandom)
    mine = draft.instance == settings.trust.instance and any(draft.sections == p.sections for p in applied)
    if mine:
        path.unlink()
    return not mine


def sign(desk: Desk, proposal: ProposalAnswer) -> ProposalAnswer:
    """Add one's own signature to a proposal."""
    envelope = sign_bytes(
        proposal.signed.document,
        proposal.kind,
        instance=desk.settings.trust.instance,
        identity=desk.settings.identity,
        signer=desk.api.who(),
    )
    return desk.api.post(ProposalAnswer, f"/v1/proposals/{proposal.digest}/signatures", SignBody(envelope=envelope))


@dataclass(frozen=True, slots=True)
class Tally:
    """Who signed a proposal, of those of one root, and how many of them must."""

    root: Root
    people: frozenset[str]

    @property
    def is_enough(self) -> bool:
        """Whether the root's threshold is met."""
        return len(self.people) >= self.root.threshold


def tallies(desk: Desk, proposal: ProposalAnswer) -> list[Tally]:
    """Return what a proposal has of the signatures that it needs: a root those of two roots, itself one of them."""
    roots = [root_over(desk, proposal)[0]]
    if proposal.kind == "root":
        roots.append(records.parse(Root, proposal.signed.document))
    namespace, signatures = _NAMESPACES[proposal.kind], proposal.signed.signatures
    return [Tally(r, who_signed(signatures, proposal.digest, r.administrators, namespace)[0]) for r in roots]


def may_sign(desk: Desk, proposal: ProposalAnswer) -> bool:
    """Whether one's signature is asked for and not there yet."""
    who, found = desk.api.who(), tallies(desk, proposal)
    listed = any(a.person == who for tally in found for a in tally.root.administrators)
    return listed and all(who not in tally.people for tally in found)


def signers_of(desk: Desk, proposal: ProposalAnswer) -> frozenset[str]:
    """Return the administrators who signed a proposal."""
    return frozenset[str]().union(*(tally.people for tally in tallies(desk, proposal)))


def has_enough(desk: Desk, proposal: ProposalAnswer) -> bool:
    """Whether a proposal has the signatures that it needs."""
    return all(tally.is_enough for tally in tallies(desk, proposal))


def only_signed(desk: Desk) -> ProposalAnswer:
    """Return the open proposal that is meant where none is named: the only one that has its signatures.

    ``RefusedError`` (``conflict``) where there are several: one of them may be a mistake that was not withdrawn.
    """
    heads = _heads(open_proposals(desk.api, desk.in_force))
    if not heads:
        raise RefusedError("there is no open proposal", code=Code.NOT_FOUND, hint="`sealwright policy propose`")
    signed = [p for p in heads if all(has_enough(desk, one) for one in together(desk, p))]
    if len(signed) > 1:
        listed = ", ".join(f"{p.digest[:16]} ({p.kind})" for p in signed)
        raise RefusedError(
            f"{len(signed)} open proposals have their signatures: {listed}",
            code=Code.CONFLICT,
            hint="name one: `sealwright policy apply PROPOSAL`; `sealwright policy withdraw PROPOSAL` takes one out",
        )
    return fetch(desk, (signed or heads)[0].digest)


def _heads(found: Sequence[ProposalAnswer]) -> list[ProposalAnswer]:
    """Leave out the policies that go with a proposed root."""
    roots = {p.digest for p in found if p.kind == "root"}
    return [
        p for p in found if p.kind == "root" or records.parse(Policy, p.signed.document).root not in roots
    ]  # fmt: skip


def apply(desk: Desk, chosen: Sequence[ProposalAnswer]) -> int:
    """Have proposals logged together; checked here first, so that a missing signature is told at once."""
    root, digest, instance = desk.in_force.root, desk.in_force.root_digest, desk.settings.trust.instance
    for proposal in chosen:
        if proposal.kind == "root":
            root, digest = open_next_root(proposal.signed, root, digest, instance)
        else:
            open_policy(proposal.signed, root, digest, instance)
    if [p.kind for p in chosen] == ["root"] and desk.in_force.standing is not None:
        raise RefusedError(
            "no open policy stands under this root: the one that was proposed with it was overtaken or withdrawn",
            code=Code.POLICY_NOT_CURRENT,
            hint=f"`sealwright policy withdraw {chosen[0].digest[:16]}`, then propose the root again",
        )
    applied = desk.api.post(Applied, "/v1/apply", ApplyBody(proposals=tuple(p.digest for p in chosen)))
    return applied.index


def withdraw(desk: Desk, proposal: ProposalAnswer) -> ProposalAnswer:
    """Take a proposal out of those that can be signed and applied."""
    return desk.api.delete(ProposalAnswer, f"/v1/proposals/{proposal.digest}")


def signed_by_oneself(desk: Desk) -> list[ProposalAnswer]:
    """Return the open policies that one signed oneself."""
    found = open_proposals(desk.api, desk.in_force)
    return [p for p in found if p.kind == "policy" and desk.api.who() in signers_of(desk, p)]
