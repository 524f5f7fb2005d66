"""Evidence of evil servers, logs and signers: both verifiers refuse it, each for the reason of the specification."""

import functools
import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.independent.both import independent, reference
from tests.independent.evil import Evil, Lie, members
from tests.spec import installation
from tests.spec.installation import IMAGES, START
from tests.spec.seeded_keys import ed25519_key, p256_key, seed, sign_payload, ssh_key

from sealwright.core import records
from sealwright.core.canonical import to_base64
from sealwright.core.digests import document_digest
from sealwright.core.envelopes import SignatureKind, SignedDocument
from sealwright.core.errors import Code
from sealwright.core.keys import Algorithm
from sealwright.core.patches import Edit
from sealwright.core.sshsig import string
from sealwright.evidence.bundle import AsOf
from sealwright.policy import documents as d
from sealwright.policy.signatures import Namespace

DAY = 86_400
BOOT = IMAGES["boot.bin"]
ATTACKS: dict[str, tuple[Callable[[], Evil], str, Code]] = {}


@pytest.fixture(autouse=True, scope="module")
def _keys_made_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(installation, "ssh_key", functools.cache(ssh_key))
        yield


def attack(name: str, refused: str, code: Code, voters: tuple[str, ...] = ("ben", "cleo", "dan"), **lies: Lie) -> None:
    """``refused``: page and number of the sentence that the independent verifier must name."""
    assert name not in ATTACKS
    ATTACKS[name] = (lambda: Evil(voters, **lies), refused, code)


def signed_by(kind: str, label: str, namespace: Namespace, *, instance: str = "", ssh_kind: str = "ssh-ed25519") -> Lie:
    """The document with one envelope of another key, namespace or instance, under the name of the right signer."""

    def lie(story: Evil, signed: SignedDocument) -> SignedDocument:
        digest = document_digest(kind, instance or story.instance, signed.document)
        made = ssh_key(label, ssh_kind).envelope(signed.signatures[0].signer, namespace, digest)
        return replace(signed, signatures=(made,))

    return lie


def envelopes(change: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> Lie:
    return lambda _, signed: replace(signed, signatures=change(signed.signatures))


def with_envelope(**changes: Any) -> Lie:
    return envelopes(lambda made: (replace(made[0], **changes),))


def with_slots(change: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> Lie:
    return lambda _, document: replace(document, slots=change(document.slots))


def boot_key_as_ssh(story: Evil) -> d.Authenticator:
    """The key that signs boot.bin, as a key of a person."""
    point = story.keys["boot.bin"].public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    blob = b"".join(map(string, (b"ecdsa-sha2-nistp256", b"nistp256", point)))
    return d.Authenticator(key=f"ecdsa-sha2-nistp256 {to_base64(blob)}")


def second_name(story: Evil) -> d.Witness:
    """The witness under another name."""
    again = replace(story.witness_vkey, name="witness.example/b")
    return d.Witness(name=again.name, key=str(again))


def signing_time(time: int) -> Lie:
    """The frozen time of the first artifact."""
    return lambda _, request: replace(
        request, artifacts=first(request.artifacts, options=request.artifacts[0].options | {"signing_time": time})
    )


def first(items: tuple[Any, ...], **changes: Any) -> tuple[Any, ...]:
    return (replace(items[0], **changes), *items[1:])


# Votes and quorum

attack("a quorum of one", "authorise 32", Code.QUORUM_NOT_MET, voters=("ben",))
attack("a quorum without security", "authorise 32", Code.QUORUM_NOT_MET, voters=("ben", "cleo"))
attack("one person twice", "authorise 32", Code.QUORUM_NOT_MET, voters=("ben", "ben", "dan"))
attack(
    "nobody recomputed", "authorise 32", Code.QUORUM_NOT_MET, vote_ben=members(checked=d.Checked.DISPLAYED)
)  # fmt: skip
attack("the requester votes", "authorise 24", Code.REQUESTER_VOTED, voters=("ada", "ben", "cleo", "dan"))
attack(
    "vote of another instance", "authorise 27", Code.VOTE_INVALID,
    signed_vote_ben=signed_by("vote", "ben", Namespace.VOTE, instance="1" * 64, ssh_kind="sk-ssh-ed25519@openssh.com"),
)  # fmt: skip
attack(
    "vote under another namespace", "authorise 27", Code.VOTE_INVALID,
    signed_vote_ben=signed_by("vote", "ben", Namespace.REQUEST, ssh_kind="sk-ssh-ed25519@openssh.com"),
)  # fmt: skip
attack(
    "vote by the key of the requester", "authorise 27", Code.VOTE_INVALID,
    signed_vote_cleo=signed_by("vote", "ada", Namespace.VOTE),
)  # fmt: skip
attack(
    "vote by one under the name of another", "authorise 25", Code.VOTE_INVALID,
    signed_vote_cleo=with_envelope(signer="dan"),
)  # fmt: skip
attack(
    "vote without a signature", "authorise 22", Code.VOTE_INVALID, signed_vote_cleo=envelopes(lambda _: ())
)  # fmt: skip
attack("vote signed twice", "authorise 22", Code.VOTE_INVALID, signed_vote_cleo=envelopes(lambda made: made * 2))
attack("vote for another request", "authorise 23", Code.VOTE_INVALID, vote_ben=members(request="2" * 64))
attack("vote for other rules", "authorise 29", Code.RULES_CHANGED, vote_ben=members(rules="2" * 64))
attack("vote that names a report", "authorise 30", Code.GATES_NOT_MET, vote_ben=members(reports=("2" * 64,)))
attack("rejection counted", "authorise 28", Code.VETOED, vote_dan=members(decision=d.Decision.REJECT))
attack("vote before the request", "authorise 31", Code.VOTE_INVALID, vote_dan=members(time=START - 601))
attack("vote after the outcome", "authorise 31", Code.VOTE_INVALID, vote_dan=members(time=START + 641))
attack("vote of somebody revoked", "authorise 25", Code.VOTE_INVALID, person_dan=members(state=d.State.REVOKED))
attack("voter without the role", "authorise 32", Code.QUORUM_NOT_MET, person_dan=members(roles=("approver",)))
attack(
    "vote of somebody whose section is left out", "authorise 25", Code.VOTE_INVALID,
    evidence=lambda _, e: replace(e, sections=tuple(s for s in e.sections if b'"id":"dan"' not in s.document)),
)  # fmt: skip


def of_pipeline(*controllers: str) -> dict[str, Lie]:
    """The request of the build farm, with these people behind it."""
    return {
        "pipeline_build_farm": members(controllers=controllers),
        "request": members(requester_kind="pipeline", requester="build-farm"),
        "signed_request": lambda story, signed: signed_by("request", "build-farm", Namespace.REQUEST)(
            story, replace(signed, signatures=first(signed.signatures, signer="build-farm"))
        ),
    }


ONE_APPROVAL = (d.QuorumGroup(roles=("approver",), approvals=1, recomputed=0),)
attack("a controller of the pipeline votes", "authorise 24", Code.REQUESTER_VOTED, **of_pipeline("dan", "ada"))
attack(
    "one person and a pipeline that nobody controls", "authorise 33", Code.QUORUM_NOT_MET, voters=("ben",),
    scope_router_production=members(quorum=ONE_APPROVAL), **of_pipeline(),
)  # fmt: skip

# Request and rules

attack(
    "request signed by an approver", "authorise 14", Code.REQUEST_SIGNATURE,
    signed_request=signed_by("request", "cleo", Namespace.REQUEST, ssh_kind="ecdsa-sha2-nistp256"),
)  # fmt: skip
attack(
    "request under the namespace of votes", "authorise 14", Code.REQUEST_SIGNATURE,
    signed_request=signed_by("request", "ada", Namespace.VOTE),
)  # fmt: skip
attack(
    "request signed as somebody else", "authorise 13", Code.REQUEST_SIGNATURE,
    signed_request=with_envelope(signer="ben"),
)  # fmt: skip
attack("requester revoked", "authorise 11", Code.REQUESTER_NOT_ALLOWED, person_ada=members(state=d.State.REVOKED))
attack("requester without the role", "authorise 17", Code.REQUESTER_NOT_ALLOWED, person_ada=members(roles=("guest",)))
attack("request for another log", "authorise 5", Code.WRONG_LOG, request=members(log="log.example/other"))
attack("request of another product", "authorise 16", Code.REQUEST_INVALID, request=members(product="switch"))
attack("request not made yet", "authorise 6", Code.REQUEST_NOT_YET_VALID, request=members(created=START + 641))
attack("request that lives too long", "authorise 8", Code.REQUEST_INVALID, request=members(expires=START + 31 * DAY))
attack("request expired", "authorise 7", Code.REQUEST_EXPIRED, request=members(expires=START + 40))
attack(
    "image by digest alone", "authorise 18", Code.REQUEST_INVALID, request=members(mode=d.Mode.DIGEST)
)  # fmt: skip
attack("second slot stripped of the request", "authorise 10", Code.SLOT_INVALID, request=with_slots(lambda s: s[:1]))
attack("slot twice in the request", "authorise 10", Code.SLOT_INVALID, request=with_slots(lambda s: (*s, s[0])))
attack(
    "key revoked", "authorise 19", Code.KEY_PROFILE_MISMATCH,
    key_profile_router_production_app=members(state=d.State.REVOKED),
)  # fmt: skip
attack(
    "key for endorsements", "authorise 19", Code.KEY_PROFILE_MISMATCH,
    key_profile_router_production_boot=members(purpose=d.Purpose.ENDORSEMENT),
)  # fmt: skip
attack(
    "key of another format", "authorise 19", Code.KEY_PROFILE_MISMATCH,
    key_profile_router_production_boot=members(image_format="mcuboot"),
)  # fmt: skip
attack(
    "key of a grade that the scope forbids", "authorise 19", Code.KEY_PROFILE_MISMATCH,
    scope_router_production=members(key_grades=(d.KeyGrade.HARDWARE_ATTESTED,)),
)  # fmt: skip
attack(
    "gate without a report", "authorise 21", Code.GATES_NOT_MET,
    scope_router_production=members(gates=(d.GateRule(gate="malware-gate", greatest_age_seconds=DAY),)),
)  # fmt: skip
attack(
    "production without a quorum", "policy 6", Code.POLICY_INVALID, voters=(),
    scope_router_production=members(quorum=()),
)  # fmt: skip
attack(
    "one key under two people", "policy 4", Code.POLICY_INVALID,
    person_dan=lambda story, dan: replace(dan, authenticators=(story.people["cleo"].authenticator,)),
)  # fmt: skip

# Policy, root and time

attack("policy expired", "authorise 2", Code.POLICY_EXPIRED, policy=members(expires=START + 40))
attack("policy not made yet", "authorise 3", Code.POLICY_INVALID, policy=members(created=START + 641))
attack("policy that lives too long", "evidence 10", Code.POLICY_INVALID, policy=members(expires=START + 401 * DAY))
attack("policy of another root", "evidence 10", Code.POLICY_NOT_CURRENT, policy=members(root="2" * 64))
attack("policy signed by nobody", "evidence 10", Code.POLICY_INVALID, signed_policy=envelopes(lambda _: ()))
attack(
    "policy signed by an approver", "evidence 10", Code.POLICY_INVALID,
    signed_policy=signed_by("policy", "cleo", Namespace.POLICY, ssh_kind="ecdsa-sha2-nistp256"),
)  # fmt: skip
attack(
    "policy with a signature too many", "evidence 10", Code.POLICY_INVALID,
    signed_policy=envelopes(lambda made: (*made, replace(made[0], signer="ben"))),
)  # fmt: skip
attack("root expired", "authorise 1", Code.ROOT_EXPIRED, root_2=members(expires=START + 40))
attack(
    "log key under another name", "root 5", Code.ROOT_INVALID,
    root_2=lambda _, root: replace(root, logs=(*root.logs, replace(root.logs[0], origin="log.example/b"))),
)  # fmt: skip
attack(
    "witness under another name", "root 5", Code.ROOT_INVALID,
    root_2=lambda _, root: replace(root, witnesses=first(root.witnesses, name="witness.example/b")),
)  # fmt: skip
attack(
    "witness under two names", "root 7", Code.ROOT_INVALID,
    root_2=lambda story, root: replace(root, witnesses=(*root.witnesses, second_name(story))),
)  # fmt: skip
attack(
    "signer for which anybody can sign", "root 6", Code.INVALID_DOCUMENT,
    root_2=lambda _, root: replace(root, signers=first(root.signers, key=bytes(32))),
)  # fmt: skip
attack("root not made yet", "authorise 3", Code.ROOT_INVALID, root_2=members(created=START + 641))
attack(
    "signer that may not act yet", "evidence 16", Code.NOT_TRUSTED,
    root_2=lambda _, root: replace(root, signers=first(root.signers, valid_from=7)),
)  # fmt: skip
attack(
    "signer that may act no more", "evidence 16", Code.NOT_TRUSTED,
    root_2=lambda _, root: replace(root, signers=first(root.signers, valid_until=7)),
)  # fmt: skip


def newer_policy(story: Evil, _: None) -> None:
    """Logged before the request, followed by the signer, and kept quiet by both."""
    newer = story._sign_policy(3, story.root_digests[1], "policy-3")
    story.newer = story._log_granting("policy", newer)  # type: ignore[attr-defined]


def knows_the_newer_policy(story: Evil, trust: Any) -> Any:
    size = story.newer + 1  # type: ignore[attr-defined]
    known = AsOf(size=size, root_hash=story.root_hash(size).hex(), policy_version=3, policy_index=size - 1)
    return replace(trust, as_of=known)


attack(
    "old policy, the newer one known", "evidence 12", Code.POLICY_NOT_CURRENT,
    before=newer_policy, trust=knows_the_newer_policy,
)  # fmt: skip

attack(
    "key of a voter twice", "policy 4", Code.POLICY_INVALID,
    person_cleo=lambda _, person: replace(person, authenticators=person.authenticators * 2),
)  # fmt: skip
attack(
    "firmware key that speaks for a voter", "policy 13", Code.POLICY_INVALID,
    person_cleo=lambda story, person: replace(person, authenticators=(*person.authenticators, boot_key_as_ssh(story))),
)  # fmt: skip
attack(
    "time before the request's life", "authorise 8", Code.REQUEST_INVALID, request=signing_time(START - 601)
)  # fmt: skip
attack(
    "time when the request has expired", "authorise 8", Code.REQUEST_INVALID, request=signing_time(START + 7 * DAY)
)  # fmt: skip
attack(
    "slots of the second artifact first", "authorise 10", Code.SLOT_INVALID,
    request=with_slots(lambda slots: slots[::-1]),
)  # fmt: skip
attack(
    "approval with a condition", "authorise 31", Code.VOTE_INVALID, vote_ben=members(reason="if the tests pass")
)  # fmt: skip

# Intent, outcome, log

attack("intent for other votes", "authorise 36", Code.INTENT_MISMATCH, intent=members(votes=("2" * 64,)))
attack(
    "intent for the votes in another order", "authorise 36", Code.INTENT_MISMATCH,
    intent=lambda _, intent: replace(intent, votes=intent.votes[::-1]),
)  # fmt: skip
attack("intent for another request", "authorise 34", Code.INTENT_MISMATCH, intent=members(request="2" * 64))
attack("intent for other rules", "authorise 35", Code.RULES_CHANGED, intent=members(rules="2" * 64))
attack("intent of another session", "evidence 14", Code.EVIDENCE_MISMATCH, intent=members(session="2" * 64))
attack("intent of another signer", "evidence 14", Code.EVIDENCE_MISMATCH, intent=members(signer="signer-2"))
attack("outcome of another intent", "evidence 14", Code.EVIDENCE_MISMATCH, outcome=members(intent="2" * 64))
attack(
    "outcome by a signer not listed", "evidence 15", Code.NOT_TRUSTED,
    intent=members(signer="signer-2"), outcome=members(signer="signer-2"),
    signed_outcome=with_envelope(signer="signer-2"),
)  # fmt: skip
attack(
    "outcome by another key", "evidence 17", Code.EVIDENCE_MISMATCH,
    before=lambda story, _: setattr(story, "identity", ed25519_key("another identity")),
)  # fmt: skip
attack(
    "outcome by another key that claims to be the signer's", "evidence 17", Code.SIGNATURE_MISMATCH,
    signed_outcome=lambda story, signed: replace(signed, signatures=first(
        signed.signatures, signature=ed25519_key("another identity").sign(bytes.fromhex(
            document_digest("outcome", story.instance, signed.document))))),
)  # fmt: skip
attack("outcome signed twice", "evidence 15", Code.EVIDENCE_MISMATCH, signed_outcome=envelopes(lambda made: made * 2))
attack(
    "outcome under SSHSIG", "evidence 17", Code.SIGNATURE_MISMATCH,
    signed_outcome=with_envelope(kind=SignatureKind.SSHSIG),
)  # fmt: skip
attack("signer followed a fork", "evidence 20", Code.LOG_INCONSISTENT, outcome=members(root_hash="2" * 64))
attack("policy above what was followed", "evidence 19", Code.EVIDENCE_MISMATCH, outcome=members(size=3))
attack("outcome of another policy", "evidence 11", Code.EVIDENCE_MISMATCH, outcome=members(policy_index=1))
attack("outcome of another root", "evidence 8", Code.EVIDENCE_MISMATCH, outcome=members(root_index=0))
attack("outcome before the request", "authorise 6", Code.REQUEST_NOT_YET_VALID, outcome=members(time=START - 601))
attack(
    "second slot stripped of the outcome", "evidence 25", Code.EVIDENCE_MISMATCH, outcome=with_slots(lambda s: s[:1])
)
attack(
    "slots of the outcome exchanged", "evidence 26", Code.EVIDENCE_MISMATCH, outcome=with_slots(lambda s: s[::-1])
)  # fmt: skip
attack(
    "key named that did not sign", "evidence 26", Code.EVIDENCE_MISMATCH,
    outcome=with_slots(lambda s: first(s, key="2" * 64)),
)  # fmt: skip
attack(
    "certificate left out", "evidence 28", Code.EVIDENCE_MISMATCH,
    outcome=with_slots(lambda s: first(s, certificate=None)),
)  # fmt: skip
attack(
    "signature left out", "evidence 27", Code.EVIDENCE_MISMATCH, outcome=with_slots(lambda s: first(s, signature=None))
)  # fmt: skip


def forked_checkpoint(story: Evil, evidence: Any) -> Any:
    """Signed by the log and its witness over another last entry."""
    story.entries[-1] = story.entries[-1].replace(b'"slot":0', b'"slot":1')
    return replace(evidence, checkpoint=story.checkpoint())


attack("forked log", "evidence 7", Code.LOG_INCONSISTENT, evidence=forked_checkpoint)
attack(
    "checkpoint without the witness", "evidence 2", Code.NOT_TRUSTED,
    evidence=lambda _, e: replace(e, checkpoint=b"".join(e.checkpoint.splitlines(keepends=True)[:-1])),
)  # fmt: skip
UNKNOWN = "\N{EM DASH} stranger.example AAAAAAA=\n".encode()
attack(
    "checkpoint with two lines of one key", "evidence 2", Code.INVALID_DOCUMENT,
    evidence=lambda _, e: replace(e, checkpoint=e.checkpoint + UNKNOWN * 2),
)  # fmt: skip
attack(
    "checkpoint by another log key", "evidence 2", Code.NOT_TRUSTED,
    trust=lambda _, trust: replace(trust, log_key=str(installation.NoteSigner(
        installation.ORIGIN, ed25519_key("another log")).verifier_key)),
)  # fmt: skip

# Sections


def other_sections(change: Callable[[list[Any]], list[Any]]) -> Lie:
    return lambda _, evidence: replace(evidence, sections=tuple(change(list(evidence.sections))))


def weaker_scope(sections: list[Any]) -> list[Any]:
    """The scope of the evidence, not of the policy, with a quorum of one."""
    at = next(n for n, s in enumerate(sections) if b'"type":"scope"' in s.document)
    weaker = sections[at].document.replace(b'"approvals":2', b'"approvals":1')
    return [*sections[:at], replace(sections[at], document=weaker), *sections[at + 1 :]]


attack("scope that is not in the policy", "evidence 21", Code.LOG_INCONSISTENT, evidence=other_sections(weaker_scope))
attack(
    "two sections swapped", "evidence 21", Code.LOG_INCONSISTENT,
    evidence=other_sections(lambda s: [
        replace(s[0], document=s[1].document), replace(s[1], document=s[0].document), *s[2:]]),
)  # fmt: skip
attack(
    "places of two sections swapped", "evidence 21", Code.LOG_INCONSISTENT,
    evidence=other_sections(lambda s: [
        replace(s[0], index=s[1].index, proof=s[1].proof), replace(s[1], index=s[0].index, proof=s[0].proof), *s[2:]]),
)  # fmt: skip
attack(
    "section twice", "evidence 21", Code.POLICY_INVALID, evidence=other_sections(lambda s: [*s, s[0]])
)  # fmt: skip


attack(
    "sections in another order", "evidence 23", Code.EVIDENCE_MISMATCH, evidence=other_sections(lambda s: s[::-1])
)  # fmt: skip


def with_dan(story: Evil, evidence: Any) -> Any:
    story.voters = ("ben", "cleo", "dan")
    return replace(evidence, sections=story._proven_sections(tuple(IMAGES)))


attack(
    "section that nothing uses", "evidence 23", Code.EVIDENCE_MISMATCH, voters=("ben", "cleo"), evidence=with_dan,
    scope_router_production=lambda _, scope: replace(scope, quorum=scope.quorum[:1]),
)  # fmt: skip

# Signatures and image


def other_key(story: Evil, made: list[Any]) -> list[Any]:
    digest = story.prepared["boot.bin"].slots[0].digest
    return [(*made[0][:2], sign_payload(p256_key("another key"), digest)), *made[1:]]


def other_digest(story: Evil, made: list[Any]) -> list[Any]:
    return [(*made[0][:2], sign_payload(story.keys["boot.bin"], seed("another digest"))), *made[1:]]


def with_patch(**changes: Any) -> Lie:
    return lambda _, evidence: replace(evidence, patch=replace(evidence.patch, **changes))


attack("signature by another key", "evidence 31", Code.SIGNATURE_MISMATCH, signatures=other_key)
attack("signature of another digest", "evidence 31", Code.SIGNATURE_MISMATCH, signatures=other_digest)
attack(
    "key distrusted since", "evidence 29", Code.NOT_TRUSTED,
    trust=lambda story, trust: replace(trust, distrusted=(
        hashlib.sha256(installation.spki(story.keys["boot.bin"])).hexdigest(),)),
)  # fmt: skip
attack(
    "patch of the other artifact", "evidence 33", Code.IMAGE_MISMATCH,
    evidence=lambda story, e: replace(e, patch=story.prepared["app.bin"].assemble(
        {"signature": story.signatures["app.bin"]})),
)  # fmt: skip
attack(
    "sidecar of the other artifact", "evidence 36", Code.IMAGE_MISMATCH,
    evidence=lambda story, e: replace(e, patch=replace(story.prepared["app.bin"].assemble(
        {"signature": story.signatures["app.bin"]}), old_size=len(BOOT))),
)  # fmt: skip
attack("sidecar left out", "evidence 36", Code.IMAGE_MISMATCH, evidence=with_patch(sidecars=()))
attack(
    "slots of another image", "evidence 35", Code.SLOTS_DIFFER,
    request=lambda _, request: replace(request, artifacts=first(
        request.artifacts, options={"signing_time": START + 11})),
)  # fmt: skip
attack(
    "artifact of another name", "evidence 24", Code.EVIDENCE_MISMATCH,
    evidence=lambda _, e: replace(e, artifact="other.bin"),
)  # fmt: skip
attack(
    "signatures of the other artifact", "evidence 27", Code.EVIDENCE_MISMATCH,
    evidence=lambda story, e: replace(e, signatures=(story.signatures["app.bin"],)),
)  # fmt: skip
attack(
    "signature too many", "evidence 32", Code.EVIDENCE_MISMATCH,
    evidence=lambda story, e: replace(e, signatures=(*e.signatures, story.signatures["app.bin"])),
)  # fmt: skip
attack(
    "message too many", "evidence 32", Code.EVIDENCE_MISMATCH,
    evidence=lambda _, e: replace(e, messages=(b"unasked",)),
)  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_evil_evidence_is_refused_for_its_reason(name):
    make, refused, code = ATTACKS[name]
    story = make()
    evidence, trust = records.serialise(story.evidence()), records.serialise(story.trust())
    says = independent(BOOT, evidence, trust), reference(BOOT, evidence, trust)
    assert (says[0].partition(":")[0], says[1]) == (refused, code)


def test_a_pipeline_with_a_controller_may_request():
    story = Evil(("ben",), scope_router_production=members(quorum=ONE_APPROVAL), **of_pipeline("ada"))
    given = BOOT, records.serialise(story.evidence()), records.serialise(story.trust())
    assert (independent(*given), reference(*given)) == ("", "")


def test_of_an_image_of_another_format_the_restored_bytes_are_approved_only():
    story = Evil(
        key_profile_router_production_boot=members(image_format="other"),
        request=lambda _, request: replace(request, artifacts=first(request.artifacts, image_format="other")),
    )
    given = BOOT, records.serialise(story.evidence()), records.serialise(story.trust())
    assert (independent(*given), reference(*given)) == ("approved only", Code.UNSUPPORTED_IMAGE)


def test_without_a_lie_all_is_well():
    story = Evil()
    for artifact, image in IMAGES.items():
        given = image, records.serialise(story.evidence(artifact)), records.serialise(story.trust())
        assert (independent(*given), reference(*given)) == ("", "")


def self_signed(key: Any) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "TEST ONLY key of another kind")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 0x80).not_valid_before(
        datetime(2026, 1, 1, tzinfo=UTC)
    )
    builder = builder.not_valid_after(datetime(2046, 1, 1, tzinfo=UTC))
    hashed = hashes.SHA256() if isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) else None
    return builder.sign(key, hashed).public_bytes(Encoding.DER)


class OtherKey(Evil):
    """Nothing evil: the boot loader is signed with a key of another kind."""

    def __init__(self, key: Any, algorithm: Algorithm) -> None:
        self.key, self.algorithm = key, algorithm
        changes = {"algorithm": algorithm, "public_key": installation.spki(key), "certificates": (self_signed(key),)}
        changes["signs"] = "digest" if algorithm.is_prehashed else "message"
        super().__init__(key_profile_router_production_boot=members(**changes))

    def signature(self, slot: d.RequestSlot) -> bytes:
        if slot.artifact != "boot.bin":
            return super().signature(slot)
        if not self.algorithm.is_prehashed:
            (message,) = (s.whole_message for s in self.prepared[slot.artifact].slots)
            return self.key.sign(message)
        digest, hashed = bytes.fromhex(slot.digest), getattr(hashes, self.algorithm[-6:].upper())()
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            return self.key.sign(digest, ec.ECDSA(utils.Prehashed(hashed)))
        pss = padding.PSS(padding.MGF1(hashed), hashed.digest_size)
        return self.key.sign(digest, pss if "pss" in self.algorithm else padding.PKCS1v15(), utils.Prehashed(hashed))


CLASSICAL = [a for a in Algorithm if a.startswith(("rsa-", "ecdsa-")) and a != "ecdsa-p256-sha256"]
"""The 400 lines of the independent verifier know these, Ed25519 and ML-DSA; others it refuses."""


@pytest.mark.parametrize("algorithm", CLASSICAL)
def test_evidence_of_every_classical_algorithm_is_verified_by_both(algorithm, rsa_key):
    curves = {"ecdsa-p384-sha384": ec.SECP384R1(), "ecdsa-p521-sha512": ec.SECP521R1()}
    key = ec.generate_private_key(curves[algorithm]) if algorithm in curves else rsa_key
    story = OtherKey(key, algorithm)
    given = BOOT, records.serialise(story.evidence()), records.serialise(story.trust())
    assert (independent(*given), reference(*given)) == ("", "")


@pytest.mark.parametrize("kind", [mldsa.MLDSA44PrivateKey, mldsa.MLDSA65PrivateKey, mldsa.MLDSA87PrivateKey])
def test_evidence_of_ml_dsa_is_verified_by_both(kind):
    story = OtherKey(kind.generate(), Algorithm(f"ml-dsa-{kind.__name__[5:7]}"))
    given = BOOT, records.serialise(story.evidence()), records.serialise(story.trust())
    assert (independent(*given), reference(*given)) == ("", "")


@pytest.fixture(scope="module")
def rsa_key():
    return rsa.generate_private_key(65537, 2048)


def test_a_patch_that_undoes_a_change_of_the_image_is_refused():
    edit = Edit(offset=0, old=BOOT[:4], new=b"EVIL")
    story = Evil(evidence=with_patch(edits=(edit,)))
    given = b"EVIL" + BOOT[4:], records.serialise(story.evidence()), records.serialise(story.trust())
    assert independent(*given).startswith("evidence 36")
    assert reference(*given) == Code.IMAGE_MISMATCH


UNKNOWN_ROOTS: dict[str, tuple[str, dict[str, Lie]]] = {
    "signed by nobody": ("evidence 5", {"signed_root_2": envelopes(lambda _: ())}),
    "signed by an approver": ("evidence 5", {
        "signed_root_2": signed_by("root", "cleo", Namespace.ROOT, ssh_kind="ecdsa-sha2-nistp256")}),
    "signed as a policy": ("evidence 5", {"signed_root_2": signed_by("root", "root-a", Namespace.POLICY)}),
    "not after the one before": ("evidence 5", {"root_2": members(previous="2" * 64)}),
    "of grade production with one administrator": ("root 3", {"root_2": members(grade=d.Grade.PRODUCTION)}),
    "that lives too long": ("root 1", {"root_2": members(expires=START + 1831 * DAY)}),
    "with a threshold that nobody can meet": ("root 2", {"root_2": members(threshold=2)}),
    "with a quorum that no witnesses can meet": ("root 4", {"root_2": members(witness_quorum=2)}),
    "with one signer twice": ("root 7", {"root_2": lambda _, root: replace(root, signers=root.signers * 2)}),
}  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN_ROOTS)
def test_who_knows_the_first_root_only_refuses_a_second(name):
    refused, lies = UNKNOWN_ROOTS[name]
    story = Evil(**lies)
    given = BOOT, records.serialise(story.evidence()), records.serialise(story.trust(roots=1))
    assert independent(*given).partition(":")[0] == refused
    assert reference(*given) == Code.ROOT_INVALID
