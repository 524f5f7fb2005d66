"""``verify_evidence``: who approved this image, after which checks, and is that what was signed? Offline, pure.

Steps, each raising ``VerificationError`` or ``RefusedError`` with what was found: root, checkpoint, policy, intent,
outcome, ``authorise`` at the time of the outcome, signatures, then the image: the patch undone, the approved digests,
``prepare`` again, and the patch made anew.  Specification: ``docs/spec/evidence.md``.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sealwright.core import records
from sealwright.core.digests import NO_INSTANCE, document_digest
from sealwright.core.errors import Code, FormatError, RefusedError, VerificationError
from sealwright.core.images import ByteSource, DigestedSource, ImageDigests, digests
from sealwright.core.keys import PublicKey
from sealwright.core.patches import Patch, PatchedSource, Sidecar
from sealwright.evidence.bundle import Evidence, LoggedDocument, TrustFile
from sealwright.formats.interface import Format, SigningKey
from sealwright.formats.targets import ANY
from sealwright.policy import key_sets
from sealwright.policy.authorise import Approved, Documents, Standing, authorise
from sealwright.policy.documents import (
    Artifact,
    Checked,
    Grade,
    KeyGrade,
    KeyProfile,
    KeySet,
    KeySetRule,
    Outcome,
    OutcomeSlot,
    Policy,
    Request,
    RequestSlot,
    Root,
)
from sealwright.policy.entries import GrantingEntry, IntentEntry, OutcomeEntry, parse_entry
from sealwright.policy.fold import Restrictions, open_policy
from sealwright.policy.roots import check_root, open_next_root
from sealwright.policy.sections import load_proven
from sealwright.policy.signatures import the_envelope, verify_ed25519
from sealwright.translog import merkle
from sealwright.translog.log_keys import OpenedCheckpoint, open_checkpoint
from sealwright.translog.notes import parse_vkey


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
        raise _mismatch("first root of the trust file", trust.instance, trust.roots[0])
    if evidence.instance != trust.instance:
        log = records.parse(Request, evidence.request.document).log
        expected, got = f"{trust.log} ({trust.instance[:16]})", f"{log} ({evidence.instance[:16]})"
        raise _mismatch("evidence of another installation than the trust file's", expected, got)
    opened = _open_checkpoint(evidence, trust)
    outcome = records.parse(Outcome, evidence.outcome.document)
    root, root_digest = _verify_root(evidence, trust, outcome, opened)
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
        raise _mismatch("artifact", "one of the request", evidence.artifact)
    signatures = _found(evidence, outcome, approved, artifact)
    profiles = _verify_signatures(evidence, outcome, approved, trust, signatures)
    slots = [
        (s, p) for s, p in zip(approved.request.slots, approved.profiles, strict=True) if s.artifact == artifact.name
    ]
    mine = [(slot, profile, value) for (slot, profile), value in zip(slots, signatures, strict=True)]
    made = _verify_image(evidence, artifact, mine, image, formats, digests)
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


def _open_checkpoint(evidence: Evidence, trust: TrustFile) -> OpenedCheckpoint:
    opened = open_checkpoint(
        evidence.checkpoint,
        origin=trust.log,
        log_keys=trust.log_keys,
        witnesses=[parse_vkey(w.key) for w in trust.witnesses],
        quorum=trust.witness_quorum,
    )
    size, root_hash = opened.checkpoint.size, opened.checkpoint.root.hex()
    if size == trust.as_of.size and root_hash != trust.as_of.root_hash:
        raise VerificationError(
            f"the log forked: root hash at size {size}",
            expected=trust.as_of.root_hash,
            got=root_hash,
            code=Code.LOG_INCONSISTENT,
        )
    return opened


def _verify_root(evidence: Evidence, trust: TrustFile, outcome: Outcome, opened: OpenedCheckpoint) -> tuple[Root, str]:
    """The root in force and its digest: known to the trust file, or following by signatures from the newest that is."""
    newest: tuple[Root, str] | None = None
    for logged in evidence.roots:
        newest = _next_root(logged, newest, trust)
        _verify_granting("root", logged, opened)
    if newest is None or evidence.roots[-1].index != outcome.root_index:
        raise _mismatch("root entry", str(outcome.root_index), str(evidence.roots[-1].index))
    if newest[0].version < len(trust.roots) and evidence.outcome_index >= trust.as_of.size:
        # Signers release nothing once a newer root is logged, so this is the work of one that a newer root dropped.
        raise RefusedError(
            f"root version {newest[0].version} was replaced when the outcome was logged", code=Code.ROOT_INVALID
        )
    if (trust.log, trust.log_key) not in {(log.origin, log.key) for log in newest[0].logs}:
        raise RefusedError(f"the root in force does not name log {trust.log} with this key", code=Code.WRONG_LOG)
    return newest


def _next_root(logged: LoggedDocument, previous: tuple[Root, str] | None, trust: TrustFile) -> tuple[Root, str]:
    root = records.parse(Root, logged.signed.document)
    if previous is not None and root.version != previous[0].version + 1:
        raise _mismatch("root version", str(previous[0].version + 1), str(root.version))
    if root.version <= len(trust.roots):
        instance = NO_INSTANCE if root.version == 1 else trust.instance
        digest = document_digest("root", instance, logged.signed.document)
        if digest != trust.roots[root.version - 1]:
            raise _mismatch(f"digest of root version {root.version}", trust.roots[root.version - 1], digest)
        check_root(root)
        return root, digest
    if previous is None:
        raise RefusedError(
            f"root version {root.version} is newer than the trust file knows, and nothing leads to it",
            code=Code.ROOT_INVALID,
            hint="get a newer trust file from the maker",
        )
    return open_next_root(logged.signed, previous[0], previous[1], trust.instance)


def _verify_granting(kind: str, logged: LoggedDocument, opened: OpenedCheckpoint) -> None:
    entry = records.load(GrantingEntry, {"entry": kind, "format": 1, "signed": records.dump(logged.signed)})
    _verify_inclusion(records.serialise(entry), logged.index, logged.proof, opened)


def _verify_inclusion(entry: bytes, index: int, proof: Sequence[bytes], opened: OpenedCheckpoint) -> None:
    checkpoint = opened.checkpoint
    merkle.verify_inclusion(
        merkle.leaf_hash(entry), index=index, size=checkpoint.size, proof=proof, root=checkpoint.root
    )


def _verify_policy(
    evidence: Evidence, trust: TrustFile, outcome: Outcome, policy: Policy, opened: OpenedCheckpoint
) -> None:
    _verify_granting("policy", evidence.policy, opened)
    if evidence.policy.index != outcome.policy_index:
        raise _mismatch("policy entry", str(outcome.policy_index), str(evidence.policy.index))
    if outcome.size > trust.as_of.policy_index > outcome.policy_index:
        raise RefusedError(
            f"policy version {policy.version} was not the newest when this was signed", code=Code.POLICY_NOT_CURRENT
        )


def _verify_outcome(evidence: Evidence, outcome: Outcome, root: Root, opened: OpenedCheckpoint) -> IntentEntry:
    intent = parse_entry(evidence.intent.entry)
    if not isinstance(intent, IntentEntry):
        raise _mismatch("intent", "an intent entry", type(intent).__name__)
    _verify_inclusion(evidence.intent.entry, evidence.intent.index, evidence.intent.proof, opened)
    found = document_digest("intent", evidence.instance, evidence.intent.entry), evidence.intent.index
    if found != (outcome.intent, outcome.intent_index):
        raise _mismatch("intent", f"{outcome.intent[:16]} at {outcome.intent_index}", f"{found[0][:16]} at {found[1]}")
    if (outcome.signer, outcome.session) != (intent.signer, intent.session):
        raise _mismatch("signer session", intent.session[:16], outcome.session[:16])
    digest = document_digest("outcome", evidence.instance, evidence.outcome.document)
    signer = next((s for s in root.signers if s.id == outcome.signer), None)
    envelope = the_envelope(evidence.outcome, Code.EVIDENCE_MISMATCH)
    if signer is None or envelope.signer != signer.id:
        raise VerificationError(f"root lists no signer {outcome.signer}", code=Code.NOT_TRUSTED)
    until = signer.valid_until
    if evidence.intent.index < signer.valid_from or (until is not None and evidence.outcome_index >= until):
        raise VerificationError(f"signer {signer.id} was not valid at this index", code=Code.NOT_TRUSTED)
    if envelope.authenticator != hashlib.sha256(signer.key).hexdigest():
        raise _mismatch("signer key", hashlib.sha256(signer.key).hexdigest()[:16], envelope.authenticator[:16])
    verify_ed25519(envelope, digest, signer.key)
    entry = OutcomeEntry(entry="outcome", format=1, intent_index=outcome.intent_index, document=digest)
    _verify_inclusion(records.serialise(entry), evidence.outcome_index, evidence.outcome_proof, opened)
    # A policy may be logged between an intent and its signatures, as long as the rules stay the same.
    before = max(outcome.policy_index, outcome.intent_index)
    if not outcome.root_index < outcome.policy_index <= before < outcome.size <= evidence.outcome_index:
        raise _mismatch("log order", "root, policy, intent, outcome", "another one")
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
        raise _mismatch("sections", str(len(used)), str(len(evidence.sections)))
    places = [section.index for section in evidence.sections]
    if places != sorted(set(places)):
        raise _mismatch("order of the sections", "ascending indices", str(places)[:80])


def _found(evidence: Evidence, outcome: Outcome, approved: Approved, artifact: Artifact) -> tuple[bytes | None, ...]:
    """Return the signatures of the artifact's slots in order; None for one that may be missing, and is.

    It may where all its keys belong to sets of the rule ``any``, and one member's signatures are there.
    """
    mine = [
        (done.signature, profile)
        for slot, done, profile in zip(approved.request.slots, outcome.slots, approved.profiles, strict=False)
        if slot.artifact == artifact.name
    ]
    sets = key_sets.sets_of(approved.scope, artifact, [profile for _, profile in mine])
    if not sets or any(key_set.rule is not KeySetRule.ANY for key_set in sets):
        return evidence.signatures
    there = {hashlib.sha256(signature).hexdigest(): signature for signature in evidence.signatures}
    signatures = tuple(there.get(digest or "") for digest, _ in mine)
    absent = {profile.id for (_, profile), found in zip(mine, signatures, strict=True) if found is None}
    if any(absent.issuperset(key_set.members) for key_set in sets):
        raise _mismatch("signatures", "those of one member of each key set", "of none")
    # A member counts with all its signatures or not at all.
    return tuple(None if profile.id in absent else found for (_, profile), found in zip(mine, signatures, strict=True))


def _verify_signatures(
    evidence: Evidence,
    outcome: Outcome,
    approved: Approved,
    trust: TrustFile,
    given: Sequence[bytes | None],
) -> tuple[KeyProfile, ...]:
    """Every slot of the artifact has its signature, whose digest the signer's outcome names, by the slot's key."""
    if len(outcome.slots) != len(approved.request.slots):
        raise _mismatch("slots in the outcome", str(len(approved.request.slots)), str(len(outcome.slots)))
    signatures, messages = iter(given), iter(evidence.messages)
    profiles = []
    for slot, done, profile in zip(approved.request.slots, outcome.slots, approved.profiles, strict=True):
        key = PublicKey(profile.public_key)
        if (done.key, done.algorithm) != (key.fingerprint, profile.algorithm):
            raise _mismatch(f"key of slot {slot.slot}", key.fingerprint[:16], done.key[:16])
        if slot.artifact != evidence.artifact:
            continue
        signature = next(signatures, b"")
        message = next(messages, b"") if profile.signs == "message" else b""
        if signature is None:
            continue
        if (
            done.signature is None
            or done.failure is not None
            or hashlib.sha256(signature).hexdigest() != done.signature
        ):
            raise _mismatch(f"signature of slot {slot.slot}", str(done.signature), "another or none")
        _check_certificate(slot, done, profile)
        if key.fingerprint in trust.distrusted:
            raise VerificationError(f"key {key.fingerprint} is distrusted by the trust file", code=Code.NOT_TRUSTED)
        payload = bytes.fromhex(slot.digest)
        if profile.signs == "message":
            if hashlib.new(profile.algorithm.hash_name, message).digest() != payload:
                raise _mismatch(f"message of slot {slot.slot}", slot.digest[:16], "another or none")
            payload = message
        key.verify(profile.algorithm, payload, signature)
        profiles.append(profile)
    if next(signatures, b"") != b"" or next(messages, None) is not None or not profiles:
        raise _mismatch("signatures", "one for each slot of the artifact", "others")
    return tuple(profiles)


def _check_certificate(slot: RequestSlot, done: OutcomeSlot, profile: KeyProfile) -> None:
    certificate = hashlib.sha256(profile.certificates[0]).hexdigest() if profile.certificates else None
    if done.certificate != certificate:
        raise _mismatch(f"certificate of slot {slot.slot}", str(certificate), str(done.certificate))


def _verify_image(
    evidence: Evidence,
    artifact: Artifact,
    mine: Sequence[tuple[RequestSlot, KeyProfile, bytes | None]],
    image: ByteSource,
    formats: Mapping[str, Format],
    digests: Callable[[ByteSource], ImageDigests],
) -> Patch:
    """The image is the approved one, patched exactly as its format asks with these signatures; return that patch."""
    original = PatchedSource(image, evidence.patch.inverse())
    named = digests(original)
    if named != (artifact.sha256, artifact.sha512, artifact.size):
        raise VerificationError(
            "this is not the approved image", expected=artifact.sha256, got=named.sha256, code=Code.IMAGE_MISMATCH
        )
    module = formats.get(artifact.image_format)
    if module is None:
        raise FormatError(f"format {artifact.image_format} is unknown here", code=Code.UNSUPPORTED_IMAGE)
    digested = DigestedSource(original, lambda: bytes.fromhex(named.sha256))
    prepared = module.prepare(digested, signing_keys([p for _, p, _ in mine]), artifact.options, ANY)
    wanted = [(s.slot, s.key_profile, s.digest) for s, _, _ in mine]
    slots = [(s.name, s.key_profile, s.digest.hex()) for s in prepared.slots]
    if slots != wanted:
        raise VerificationError(
            f"the image has other slots ({[s[0] for s in slots]}) than were approved ({[w[0] for w in wanted]})",
            code=Code.SLOTS_DIFFER,
        )
    found = [(slot, profile, value) for slot, profile, value in mine if value]
    if len(found) < len(mine):
        # The format lays out what the members found would have made alone; each signs what was approved.
        prepared = module.prepare(digested, signing_keys([p for _, p, _ in found]), artifact.options, ANY)
        if [(s.key_profile, s.digest.hex()) for s in prepared.slots] != [
            (s.key_profile, s.digest) for s, _, _ in found
        ]:
            raise VerificationError("the members found sign other slots alone than together", code=Code.SLOTS_DIFFER)
    values = {slot.name: value for slot, (_, _, value) in zip(prepared.slots, found, strict=True)}
    made = prepared.assemble(values)
    if not _is_made_of(evidence.patch, made, is_whole=len(found) == len(mine)):
        raise VerificationError("the patch is not what the format makes of these signatures", code=Code.IMAGE_MISMATCH)
    return made


def _is_made_of(patch: Patch, made: Patch, *, is_whole: bool) -> bool:
    """Whether a patch is the one made anew; beside one of some members alone there may stand other files."""
    if is_whole:
        return patch == made
    return replace(patch, sidecars=made.sidecars) == made and set(made.sidecars) <= set(patch.sidecars)


def signing_keys(profiles: Sequence[KeyProfile]) -> list[SigningKey]:
    """Return the distinct keys of these profiles, in order, as a format wants them."""
    distinct = {profile.id: profile for profile in profiles}
    return [
        SigningKey(
            profile=profile.id,
            public_key=PublicKey(profile.public_key),
            algorithm=profile.algorithm,
            certificates=profile.certificates,
        )
        for profile in distinct.values()
    ]


def _mismatch(what: str, expected: str, got: str) -> VerificationError:
    return VerificationError(what, expected=expected, got=got, code=Code.EVIDENCE_MISMATCH)
