"""Gather what proves a signed request: documents, log entries, proofs. The client adds the patch, which it made."""

from collections.abc import Sequence

from sealwright.core import records
from sealwright.core.digests import NO_INSTANCE, document_digest
from sealwright.core.envelopes import SignedDocument
from sealwright.core.errors import Code, RefusedError
from sealwright.evidence.bundle import MAX_ROOTS, AsOf, Dossier, LoggedDocument, LoggedEntry, ProvenSection, TrustFile
from sealwright.policy.documents import Outcome, Request, Root, Vote
from sealwright.policy.sections import parse_section
from sealwright.service.ledger import Ledger
from sealwright.service.ports import DocumentStore
from sealwright.translog import merkle, proofs


def gather(ledger: Ledger, documents: DocumentStore, request_digest: str) -> Dossier:
    """Return the dossier of a signed request; ``RefusedError`` while it is not signed."""
    signed = documents.signatures(request_digest)
    if signed is None:
        raise RefusedError(f"request {request_digest[:16]} is not signed", code=Code.CONFLICT)
    intent_index, signatures = signed
    attempt = documents.attempt(intent_index)
    if attempt is None or attempt.outcome is None or attempt.outcome_index is None:
        raise RefusedError(f"nothing is known of intent {intent_index}", code=Code.NOT_FOUND)
    stored = documents.stored(request_digest)
    outcome_document = documents.document(attempt.outcome)
    outcome = records.parse(Outcome, outcome_document.document)
    votes = {digest: vote for digest, _, _, vote in stored.votes}
    checkpoint, note = ledger.log.head()

    def proof(index: int) -> tuple[bytes, ...]:
        return tuple(ledger.log.inclusion_proof(index, checkpoint.size))

    def granting(index: int) -> LoggedDocument:
        return LoggedDocument(signed=ledger.granting(index), index=index, proof=proof(index))

    roots = [index for index in ledger.roots if index <= outcome.root_index]
    policy = granting(outcome.policy_index)
    used = _sections_used(records.parse(Request, stored.request.document), [votes[d] for d in attempt.votes])
    return Dossier(
        type="dossier",
        format=1,
        instance=ledger.instance,
        roots=tuple(granting(index) for index in roots[-MAX_ROOTS:]),
        policy=policy,
        sections=prove_sections(
            documents.sections(document_digest("policy", ledger.instance, policy.signed.document)),
            ledger.instance,
            used,
        ),
        request=stored.request,
        votes=tuple(votes[digest] for digest in attempt.votes),
        reports=(),
        intent=LoggedEntry(
            entry=ledger.log.entries(intent_index, intent_index + 1)[0],
            index=intent_index,
            proof=proof(intent_index),
        ),
        outcome=outcome_document,
        outcome_index=attempt.outcome_index,
        outcome_proof=proof(attempt.outcome_index),
        followed=tuple(ledger.log.consistency_proof(outcome.size, checkpoint.size)),
        checkpoint=note,
        signatures=signatures,
        messages=stored.messages,
    )


def _sections_used(request: Request, votes: Sequence[SignedDocument]) -> set[tuple[str, str]]:
    used = {("scope", f"{request.product}/{request.environment}"), (request.requester_kind, request.requester)}
    used |= {("key-profile", slot.key_profile) for slot in request.slots}
    for vote in votes:
        used.add(("person", records.parse(Vote, vote.document).person))
    return used


def prove_sections(sections: Sequence[bytes], instance: str, used: set[tuple[str, str]]) -> tuple[ProvenSection, ...]:
    """Return the sections named in ``used``, each with its inclusion proof among all of them."""
    parsed = [(parse_section(data), data) for data in sections]
    by_digest = sorted((document_digest(s.type, instance, data), s, data) for s, data in parsed)
    leaves = [merkle.leaf_hash(bytes.fromhex(digest)) for digest, _, _ in by_digest]

    def subtree(height: int, index: int) -> bytes:
        return merkle.root_of(leaves[index << height : (index + 1) << height])

    return tuple(
        ProvenSection(document=data, index=i, proof=tuple(proofs.inclusion_proof(i, len(leaves), subtree)))
        for i, (_, section, data) in enumerate(by_digest)
        if (section.type, section.id) in used
    )


def trust_file(ledger: Ledger) -> TrustFile:
    """Return the trust file of this installation as of now."""
    root, policy = ledger.state.root, ledger.state.policy
    if root is None:
        raise RefusedError("the log holds no root", code=Code.ROOT_INVALID)
    checkpoint, _ = ledger.log.head()
    digests = []
    for index in ledger.roots:
        signed = ledger.granting(index)
        version = records.parse(Root, signed.document).version
        digests.append(document_digest("root", NO_INSTANCE if version == 1 else ledger.instance, signed.document))
    log = next(log for log in root.root.logs if log.origin == ledger.origin)
    return TrustFile(
        type="trust",
        format=1,
        instance=ledger.instance,
        roots=tuple(digests),
        log=log.origin,
        log_key=log.key,
        log_ml_dsa=log.ml_dsa,
        witnesses=root.root.witnesses,
        witness_quorum=root.root.witness_quorum,
        as_of=AsOf(
            size=checkpoint.size,
            root_hash=checkpoint.root.hex(),
            policy_version=policy.policy.version if policy else 0,
            policy_index=policy.index if policy else 0,
        ),
        distrusted=(),
    )
