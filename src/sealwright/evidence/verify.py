"""``verify_evidence``: who approved this image, after which checks, and is that what was signed? Offline, pure.

Steps, each raising ``VerificationError`` or ``RefusedError`` with what was found: root, checkpoint, policy, intent,
outcome, ``authorise`` at the time of the outcome, signatures, then the image: the patch undone, the approved digests,
``prepare`` again, and the patch made anew.  Specification: ``docs/spec/evidence.md``.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.errors import Code, RefusedError, VerificationError
from sealwright.core.images import ByteSource, ImageDigests, digests
from sealwright.core.patches import Sidecar
from sealwright.evidence.bundle import Evidence, TrustFile
from sealwright.evidence.in_the_log import mismatch, opened_checkpoint, verify_granting, verify_inclusion, verify_root
from sealwright.evidence.signed_image import found_signatures, verify_image, verify_signatures
from sealwright.formats.interface import Format
from sealwright.policy import key_sets
from sealwright.policy.authorise import Approved, Documents, Standing, authorise
from sealwright.policy.documents import (
    Artifact,
    Checked,
    Grade,
    KeyGrade,
    KeyProfile,
    KeySet,
    Outcome,
    Policy,
    Request,
    Root,
)
from sealwright.policy.entries import IntentEntry, OutcomeEntry, parse_entry
from sealwright.policy.fold import Restrictions, open_policy
from sealwright.policy.sections import load_proven
from sealwright.policy.signatures import the_envelope, verify_ed25519
from sealwright.translog import merkle
from sealwright.translog.log_keys import OpenedCheckpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedEvidence:
    """What the evidence proved, and what it rests on."""

    approved: Approved
    outcome: Outcome
    artifact: Artifact
    signing_keys: tuple[KeyProfile, ...]
    """Key profile of each signature of the artifact."""
    missing_keys: tuple[KeyProfile, ...]
    """Members of key sets whose signature was not found, which their rule ``any`` allows."""
    unproven: tuple[Sidecar, ...]
    """Files in the patch that no signature found made; only where keys are missing."""
    grade: Grade
    is_witnessed: bool
    checkpoint_size: int
    outcome_index: int

    @property
    def displayed(self) -> int:
        """Approvals by people who looked at the request."""
        return sum(b.vote.checked is Checked.DISPLAYED for b in self.approved.ballots)

    @property
    def recomputed(self) -> int:
        """Approvals by people who rebuilt every slot from a file of their own."""
        return len(self.approved.ballots) - self.displayed

    @property
    def is_hardware(self) -> bool:
        """Whether all signing keys are said to live in hardware."""
        return all(profile.grade is not KeyGrade.SOFTWARE for profile in self.signing_keys)

    @property
    def key_sets(self) -> tuple[KeySet, ...]:
        """The key sets that signed the artifact."""
        return key_sets.sets_of(self.approved.scope, self.artifact, self.signing_keys)


def verify_evidence(
    evidence: Evidence,
    image: ByteSource,
    trust: TrustFile,
    formats: Mapping[str, Format],
    *,
    restrictions: Restrictions | None = None,
    digests: Callable[[ByteSource], ImageDigests] = digests,
) -> VerifiedEvidence:
    """Verify that ``image`` is what ``evidence`` says was approved and signed, standing on ``trust`` alone.

    ``restrictions``, from a copy of the log, adds vetoes and revocations logged before the outcome.  ``digests``
    hashes an image; who has threads may give a faster one.
    """
    if trust.roots[0] != trust.instance:
        raise mismatch("first root of the trust file", trust.instance, trust.roots[0])
    if evidence.instance != trust.instance:
        log = records.parse(Request, evidence.request.document).log
        expected, got = f"{trust.log} ({trust.instance[:16]})", f"{log} ({evidence.instance[:16]})"
        raise mismatch("evidence of another installation than the trust file's", expected, got)
    opened = opened_checkpoint(evidence, trust)
    outcome = records.parse(Outcome, evidence.outcome.document)
    root, root_digest = verify_root(evidence, trust, outcome, opened)
    policy, _ = open_policy(evidence.policy.signed, root, root_digest, trust.instance)
    _verify_policy(evidence, trust, outcome, policy, opened)
    intent = _verify_outcome(evidence, outcome, root, opened)
    sections = load_proven(policy, [(s.document, s.index, s.proof) for s in evidence.sections], root, trust.instance)
    standing = Standing(
        instance=trust.instance,
        origin=trust.log,
        root=root,
        policy=policy,
        sections=sections,
        restrictions=restrictions or Restrictions(),
    )
    documents = Documents(request=evidence.request, votes=evidence.votes, reports=evidence.reports)
    approved = authorise(documents, intent, standing, now=outcome.time)
    _check_sections_used(evidence, approved)
    artifact = next((a for a in approved.request.artifacts if a.name == evidence.artifact), None)
    if artifact is None:
        raise mismatch("artifact", "one of the request", evidence.artifact)
    signatures = found_signatures(evidence, outcome, approved, artifact)
    profiles = verify_signatures(evidence, outcome, approved, trust, signatures)
    slots = [
        (s, p) for s, p in zip(approved.request.slots, approved.profiles, strict=True) if s.artifact == artifact.name
    ]
    mine = [(slot, profile, value) for (slot, profile), value in zip(slots, signatures, strict=True)]
    made = verify_image(evidence, artifact, mine, image, formats, digests)
    return VerifiedEvidence(
        approved=approved,
        outcome=outcome,
        artifact=artifact,
        signing_keys=profiles,
        missing_keys=tuple(profile for profile in dict.fromkeys(p for _, p in slots) if profile not in profiles),
        unproven=tuple(sidecar for sidecar in evidence.patch.sidecars if sidecar not in made.sidecars),
        grade=root.grade,
        is_witnessed=trust.witness_quorum > 0,
        checkpoint_size=opened.checkpoint.size,
        outcome_index=evidence.outcome_index,
    )


def _verify_policy(
    evidence: Evidence, trust: TrustFile, outcome: Outcome, policy: Policy, opened: OpenedCheckpoint
) -> None:
    verify_granting("policy", evidence.policy, opened)
    if evidence.policy.index != outcome.policy_index:
        raise mismatch("policy entry", str(outcome.policy_index), str(evidence.policy.index))
    if outcome.size > trust.as_of.policy_index > outcome.policy_index:
        raise RefusedError(
            f"policy version {policy.version} was not the newest when this was signed", code=Code.POLICY_NOT_CURRENT
        )


def _verify_outcome(evidence: Evidence, outcome: Outcome, root: Root, opened: OpenedCheckpoint) -> IntentEntry:
    intent = parse_entry(evidence.intent.entry)
    if not isinstance(intent, IntentEntry):
        raise mismatch("intent", "an intent entry", type(intent).__name__)
    verify_inclusion(evidence.intent.entry, evidence.intent.index, evidence.intent.proof, opened)
    found = document_digest("intent", evidence.instance, evidence.intent.entry), evidence.intent.index
    if found != (outcome.intent, outcome.intent_index):
        raise mismatch("intent", f"{outcome.intent[:16]} at {outcome.intent_index}", f"{found[0][:16]} at {found[1]}")
    if (outcome.signer, outcome.session) != (intent.signer, intent.session):
        raise mismatch("signer session", intent.session[:16], outcome.session[:16])
    digest = document_digest("outcome", evidence.instance, evidence.outcome.document)
    signer = next((s for s in root.signers if s.id == outcome.signer), None)
    envelope = the_envelope(evidence.outcome, Code.EVIDENCE_MISMATCH)
    if signer is None or envelope.signer != signer.id:
        raise VerificationError(f"root lists no signer {outcome.signer}", code=Code.NOT_TRUSTED)
    until = signer.valid_until
    if evidence.intent.index < signer.valid_from or (until is not None and evidence.outcome_index >= until):
        raise VerificationError(f"signer {signer.id} was not valid at this index", code=Code.NOT_TRUSTED)
    if envelope.authenticator != hashlib.sha256(signer.key).hexdigest():
        raise mismatch("signer key", hashlib.sha256(signer.key).hexdigest()[:16], envelope.authenticator[:16])
    verify_ed25519(envelope, digest, signer.key)
    entry = OutcomeEntry(entry="outcome", format=1, intent_index=outcome.intent_index, document=digest)
    verify_inclusion(records.serialise(entry), evidence.outcome_index, evidence.outcome_proof, opened)
    # A policy may be logged between an intent and its signatures, as long as the rules stay the same.
    before = max(outcome.policy_index, outcome.intent_index)
    if not outcome.root_index < outcome.policy_index <= before < outcome.size <= evidence.outcome_index:
        raise mismatch("log order", "root, policy, intent, outcome", "another one")
    merkle.verify_consistency(
        old_size=outcome.size,
        old_root=bytes.fromhex(outcome.root_hash),
        new_size=opened.checkpoint.size,
        new_root=opened.checkpoint.root,
        proof=evidence.followed,
    )
    return intent


def _check_sections_used(evidence: Evidence, approved: Approved) -> None:
    """Only sections that the decision used belong in evidence, in one order: one evidence has one spelling."""
    used = {("scope", approved.scope.id)} | {("key-profile", p.id) for p in approved.profiles}
    used |= {("person", b.person.id) for b in approved.ballots}
    used.add((approved.request.requester_kind, approved.request.requester))
    if len(evidence.sections) != len(used):
        raise mismatch("sections", str(len(used)), str(len(evidence.sections)))
    places = [section.index for section in evidence.sections]
    if places != sorted(set(places)):
        raise mismatch("order of the sections", "ascending indices", str(places)[:80])
