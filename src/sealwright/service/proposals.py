"""Roots and policies collect the signatures of administrators, and are logged when they have enough."""

from collections.abc import Sequence
from dataclasses import replace

from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.envelopes import Envelope, SignedDocument
from sealwright.core.errors import Code, RefusedError
from sealwright.policy.documents import Policy, Root
from sealwright.policy.entries import GrantingEntry
from sealwright.policy.fold import RootInForce, open_policy
from sealwright.policy.roots import check_root, open_next_root
from sealwright.policy.sections import load_complete
from sealwright.policy.signatures import Namespace, who_signed
from sealwright.service.desk import Desk
from sealwright.service.ledger import Ledger
from sealwright.service.ports import Clock, DocumentStore, Proposal


def propose_policy(
    ledger: Ledger, documents: DocumentStore, clock: Clock, signed: SignedDocument, sections: Sequence[bytes]
) -> Proposal:
    """Check a policy head and its complete sections, keep them, and say what it still needs.

    It stands under the root in force, or under one that is proposed: the two are then logged together.
    """
    policy = records.parse(Policy, signed.document)
    root = _root_of(ledger, documents, policy)
    if policy.version <= ledger.state.newest_policy_version:
        raise RefusedError(
            f"policy version {policy.version} is not newer than {ledger.state.newest_policy_version}",
            code=Code.POLICY_NOT_CURRENT,
            hint="fetch the policy in force and propose again",
        )
    load_complete(policy, sections, root, ledger.instance)
    digest = document_digest("policy", ledger.instance, signed.document)
    documents.add_sections(digest, sections).result()
    return _keep(ledger, documents, clock, "policy", digest, signed)


def propose_root(ledger: Ledger, documents: DocumentStore, clock: Clock, signed: SignedDocument) -> Proposal:
    """Check the next root and keep it until enough administrators signed."""
    current = _root(ledger)
    root = records.parse(Root, signed.document)
    check_root(root)
    if root.version != current.root.version + 1 or root.previous != current.digest:
        raise RefusedError("the root does not follow the one in force", code=Code.ROOT_INVALID)
    digest = document_digest("root", ledger.instance, signed.document)
    return _keep(ledger, documents, clock, "root", digest, signed)


def add_signature(ledger: Ledger, documents: DocumentStore, digest: str, envelope: Envelope) -> Proposal:
    """Add one administrator's signature to a proposal."""
    proposal = find(documents, digest)
    _check_open(proposal)
    if any(have.authenticator == envelope.authenticator for have in proposal.signed.signatures):
        raise RefusedError(f"{envelope.signer} signed this already with that key", code=Code.CONFLICT)
    signed = replace(proposal.signed, signatures=(*proposal.signed.signatures, envelope))
    _check_signatures(ledger, documents, proposal.kind, digest, signed)
    proposal = replace(proposal, signed=signed)
    documents.put_proposal(proposal).result()
    return proposal


def apply(ledger: Ledger, desk: Desk, documents: DocumentStore, digests: Sequence[str]) -> int:
    """Log proposals that have their signatures, all in one commit; return the index of the first.

    A root and the policy under it are logged together, so that there is no moment without a policy.
    """
    proposals = [find(documents, digest) for digest in digests]
    root = _root(ledger)
    entries = []
    for proposal in proposals:
        _check_open(proposal)
        if proposal.kind == "root":
            document, digest = open_next_root(proposal.signed, root.root, root.digest, ledger.instance)
            root = RootInForce(root=document, digest=digest, index=-1)
            entries.append(GrantingEntry(entry="root", format=1, signed=proposal.signed))
        else:
            policy, _ = open_policy(proposal.signed, root.root, root.digest, ledger.instance)
            if policy.version <= ledger.state.newest_policy_version:
                # It would be logged, be ignored by everybody, and be called applied.
                raise RefusedError(
                    f"policy version {policy.version} is not newer than {ledger.state.newest_policy_version}, in force",
                    code=Code.POLICY_NOT_CURRENT,
                    hint="propose it again on top of the policy in force",
                )
            entries.append(GrantingEntry(entry="policy", format=1, signed=proposal.signed))
    first = ledger.append(entries)
    for proposal in proposals:
        documents.put_proposal(replace(proposal, state="applied")).result()
    desk.review()
    return first


def withdraw(documents: DocumentStore, digest: str) -> Proposal:
    """Take a proposal out of those that can be signed and applied.

    The signatures it has stay valid until a newer version is in force: whoever kept them could still have it logged by
    a server that does not mind.
    """
    proposal = find(documents, digest)
    _check_open(proposal)
    proposal = replace(proposal, state="withdrawn")
    documents.put_proposal(proposal).result()
    return proposal


def finish_interrupted(ledger: Ledger, documents: DocumentStore) -> None:
    """Mark as applied what was logged before a crash and not marked."""
    state = ledger.state
    in_force = {found.digest for found in (state.root, state.policy) if found is not None}
    for proposal in documents.proposals():
        if proposal.state == "open" and proposal.digest in in_force:
            documents.put_proposal(replace(proposal, state="applied")).result()


def find(documents: DocumentStore, digest: str) -> Proposal:
    """Return a proposal; ``RefusedError`` (``not-found``) when there is none."""
    for proposal in documents.proposals():
        if proposal.digest == digest:
            return proposal
    raise RefusedError(f"there is no proposal {digest[:80]}", code=Code.NOT_FOUND)


def _keep(
    ledger: Ledger, documents: DocumentStore, clock: Clock, kind: str, digest: str, signed: SignedDocument
) -> Proposal:
    _check_signatures(ledger, documents, kind, digest, signed)
    proposal = Proposal(digest=digest, kind=kind, signed=signed, state="open", created=clock.now())
    documents.put_proposal(proposal).result()
    return proposal


def _check_open(proposal: Proposal) -> None:
    if proposal.state != "open":
        raise RefusedError(f"proposal {proposal.digest[:16]} is {proposal.state}", code=Code.CONFLICT)


def _check_signatures(ledger: Ledger, documents: DocumentStore, kind: str, digest: str, signed: SignedDocument) -> None:
    if kind == "root":
        administrators = (*_root(ledger).root.administrators, *records.parse(Root, signed.document).administrators)
        namespace = Namespace.ROOT
    else:
        administrators = _root_of(ledger, documents, records.parse(Policy, signed.document)).administrators
        namespace = Namespace.POLICY
    for envelope in signed.signatures:
        own = [a for a in administrators if a.person == envelope.signer]
        if not any(who_signed([envelope], digest, [admin], namespace)[0] for admin in own):
            raise RefusedError(
                f"the signature of {envelope.signer} is not that of an administrator", code=Code.NOT_PERMITTED
            )


def _root_of(ledger: Ledger, documents: DocumentStore, policy: Policy) -> Root:
    """Return the root that a policy stands under: the one in force, or one that is proposed."""
    current = _root(ledger)
    if policy.root == current.digest:
        return current.root
    for proposal in documents.proposals():
        if (proposal.kind, proposal.state, proposal.digest) == ("root", "open", policy.root):
            return records.parse(Root, proposal.signed.document)
    raise RefusedError("the policy stands under another root", code=Code.POLICY_NOT_CURRENT)


def _root(ledger: Ledger) -> RootInForce:
    if ledger.state.root is None:
        raise RefusedError(
            "the log holds no root", code=Code.ROOT_INVALID, hint="make an instance with `sealwright init`"
        )
    return ledger.state.root
