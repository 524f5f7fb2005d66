"""The installation behind the test values: every document, entry and file the same each time it is made.

TEST ONLY keys, fixed times, salts from labels.  The signer is the real engine; log and server are a list of entries.
The story: root 1 and policy 1; root 2 adds a witness, policy 2 stands under it; a request of two artifacts, one signed
with ECDSA over a digest, one with Ed25519 over the message; votes with three kinds of SSH keys; outcome; evidence.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from tests.simulators.instance import Clock, MemoryHeads
from tests.spec.seeded_keys import (
    PrivateKey,
    SshKey,
    certificate,
    ed25519_key,
    ml_dsa_44_key,
    p256_key,
    seed,
    sign_ml_dsa_44,
    sign_payload,
    spki,
    ssh_key,
)

from sealwright.core import canonical, records
from sealwright.core.digests import NO_INSTANCE, document_digest
from sealwright.core.envelopes import Envelope, SignatureKind, SignedDocument
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.evidence import bundle
from sealwright.evidence.signed_image import signing_keys
from sealwright.formats import raw
from sealwright.formats.targets import ANY
from sealwright.policy import documents as d
from sealwright.policy import entries as e
from sealwright.policy.sections import sections_root
from sealwright.policy.signatures import Namespace
from sealwright.signer.engine import Engine
from sealwright.signer.follower import Follower
from sealwright.signer.ports import SigningTask
from sealwright.signer.protocol import Round, SignOrder
from sealwright.translog import merkle, proofs
from sealwright.translog.checkpoints import Checkpoint, cosigned_message
from sealwright.translog.notes import NoteSigner, SignatureType, VerifierKey

ORIGIN, WITNESS = "log.example/test-only", "witness.example/test-only"
LOG_ML_DSA = "log ML-DSA-44"
START, DAY = 1_790_000_000, 86_400
IMAGES = {"boot.bin": b"TEST ONLY boot loader image\n" * 40, "app.bin": b"TEST ONLY application image\n" * 30}
ROUTER = "router/production"
SIGNER = "signer-1"


def salt(label: str) -> str:
    return seed(f"salt {label}")[:16].hex()


class LabelledEntropy:
    """Gives the signer another fixed token each time."""

    count = 0

    def token(self, size_bytes: int) -> bytes:
        self.count += 1
        return seed(f"entropy {self.count}")[:size_bytes]


class SeededPartition:
    """The keys of one partition."""

    def __init__(self, keys: Sequence[PrivateKey]) -> None:
        self.keys = {PublicKey(spki(key)).fingerprint: key for key in keys}

    def sign(self, tasks: Sequence[SigningTask]) -> list[bytes]:
        return [sign_payload(self.keys[task.public_key.fingerprint], task.payload) for task in tasks]


class Installation:
    """Runs the story; its attributes are what the values are made of."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        self.signed: dict[str, SignedDocument] = {}
        """Every signed document by the name of its file of values."""
        self.people: dict[str, SshKey] = {
            "ada": ssh_key("ada"),
            "ben": ssh_key("ben", "sk-ssh-ed25519@openssh.com"),
            "cleo": ssh_key("cleo", "ecdsa-sha2-nistp256"),
            "dan": ssh_key("dan", "ssh-rsa"),
        }
        self.keys: dict[str, Any] = {"boot.bin": p256_key("boot key"), "app.bin": ed25519_key("app key")}
        self.administrator = ssh_key("root-a")
        self.log_key, self.witness_key, self.identity = map(ed25519_key, ("log", "witness", "signer identity"))
        self.log_vkey = str(NoteSigner(ORIGIN, self.log_key).verifier_key)
        second = ml_dsa_44_key(LOG_ML_DSA).public_key().public_bytes_raw()
        self.log_ml_dsa_vkey = VerifierKey(ORIGIN, SignatureType.ML_DSA_44, second)
        witness_public = self.witness_key.public_key().public_bytes_raw()
        self.witness_vkey = VerifierKey(WITNESS, SignatureType.COSIGNATURE, witness_public)
        self.instance = NO_INSTANCE
        self.sections = self._sections()
        root_1 = self._sign_root(self._root(1, NO_INSTANCE), "root")
        self.instance = self.root_digests[0]
        self._log_granting("root", root_1)
        self._log_granting("policy", self._sign_policy(1, self.root_digests[0], "policy-1"))
        self._log_granting("root", self._sign_root(self._root(2, self.root_digests[0]), "root-2"))
        self.policy_index = self._log_granting("policy", self._sign_policy(2, self.root_digests[1], "policy"))
        self._start_signer()
        self._request()
        self._vote()
        self._refuse_another()
        self._sign()
        for index in range(3):  # so that proofs in the evidence have several hashes
            self._log(e.TimestampedEntry(entry="timestamped", format=1, outcome_index=self.outcome_index, slot=0,
                                         token=hashlib.sha256(b"TEST ONLY token %d" % index).hexdigest()))  # fmt: skip

    # -- documents

    def _root(self, version: int, previous: str) -> d.Root:
        public = self.identity.public_key().public_bytes_raw()
        witnesses = (d.Witness(name=WITNESS, key=str(self.witness_vkey)),)
        return d.Root(
            type="root",
            format=1,
            salt=seed(f"salt root {version}").hex(),
            version=version,
            previous=previous,
            administrators=(d.Administrator(person="root-a", authenticators=(self.administrator.authenticator,)),),
            threshold=1,
            logs=(d.LogIdentity(origin=ORIGIN, key=self.log_vkey, first_size=0, ml_dsa=self._ml_dsa(version)),),
            signers=(d.SignerIdentity(id=SIGNER, key=public, valid_from=0),),
            witnesses=witnesses if version > 1 else (),
            witness_quorum=version - 1,
            timestamp_anchors=(),
            grade=d.Grade.EVALUATION,
            created=START - DAY + version,
            expires=START + 365 * DAY,
        )

    def _ml_dsa(self, version: int) -> d.LogMlDsaKey | None:
        """The second root brings the log's second key; its own entry makes size 3."""
        return d.LogMlDsaKey(key=str(self.log_ml_dsa_vkey), first_size=3) if version > 1 else None

    def _sign_root(self, root: d.Root, name: str) -> SignedDocument:
        return self._signed_by("root", root, "root-a", self.administrator, Namespace.ROOT, name)

    @property
    def root_digests(self) -> list[str]:
        found = [self.signed[name].document for name in ("root", "root-2") if name in self.signed]
        return [document_digest("root", self.instance if at else NO_INSTANCE, data) for at, data in enumerate(found)]

    def _sections(self) -> dict[str, d.Section]:
        """Every section by its kind and id."""
        active, production = d.State.ACTIVE, d.Environment.PRODUCTION
        roles = {"ada": ("developer",), "ben": ("approver",), "cleo": ("approver",), "dan": ("security",)}
        found: list[d.Section] = [
            d.Person(type="person", format=1, salt=salt(name), id=name, authenticators=(key.authenticator,),
                     roles=roles[name], state=active)
            for name, key in self.people.items()
        ]  # fmt: skip
        validity = (datetime.fromtimestamp(START - DAY, UTC), datetime.fromtimestamp(START + 3650 * DAY, UTC))
        for name, algorithm in (("boot.bin", Algorithm.ECDSA_P256_SHA256), ("app.bin", Algorithm.ED25519)):
            found.append(
                d.KeyProfile(
                    type="key-profile",
                    format=1,
                    salt=salt(f"key profile {name}"),
                    id=f"{ROUTER}/{name.removesuffix('.bin')}",
                    product="router",
                    environment=production,
                    purpose=d.Purpose.FIRMWARE,
                    partition="router-production",
                    public_key=spki(self.keys[name]),
                    algorithm=algorithm,
                    signs="digest" if algorithm.is_prehashed else "message",
                    certificates=(certificate(self.keys[name], name, validity),),
                    grade=d.KeyGrade.SOFTWARE,
                    origin="generated",
                    state=active,
                    image_format="raw",
                )
            )
        found += [
            d.Pipeline(type="pipeline", format=1, salt=salt("pipeline"), id="build-farm",
                       authenticators=(ssh_key("build-farm").authenticator,), controllers=("ada",),
                       roles=("developer",), state=active),
            d.GateKey(type="gate-key", format=1, salt=salt("gate key"), id="malware-gate",
                      key=ed25519_key("gate").public_key().public_bytes_raw(), state=active),
            d.Scope(
                type="scope", format=1, salt=salt("scope"), id=ROUTER, product="router", environment=production,
                requesters=("developer",),
                quorum=(d.QuorumGroup(roles=("approver",), approvals=2, recomputed=1),
                        d.QuorumGroup(roles=("security",), approvals=1, recomputed=0)),
                gates=(), modes=(d.Mode.UPLOAD,), key_grades=tuple(d.KeyGrade), member_states=("DE", "FR"),
                support_until=START + 1825 * DAY,
            ),
        ]  # fmt: skip
        return {f"{section.type} {section.id}": section for section in found}

    def section_bytes(self) -> list[bytes]:
        return [records.serialise(section) for section in self.sections.values()]

    def section_digest(self, section: d.Section) -> str:
        return document_digest(section.type, self.instance, records.serialise(section))

    def _sign_policy(self, version: int, root: str, name: str) -> SignedDocument:
        digests = [self.section_digest(section) for section in self.sections.values()]
        policy = d.Policy(
            type="policy",
            format=1,
            salt=salt(name),
            version=version,
            root=root,
            created=START - 60,
            expires=START + 90 * DAY,
            section_count=len(digests),
            sections_root=sections_root(digests),
        )
        return self._signed_by("policy", policy, "root-a", self.administrator, Namespace.POLICY, name)

    def _signed_by(
        self, kind: str, document: Any, signer: str, key: SshKey, namespace: Namespace, name: str
    ) -> SignedDocument:
        data = records.serialise(document)
        envelope = key.envelope(signer, namespace, document_digest(kind, self.instance, data))
        self.signed[name] = SignedDocument(document=data, signatures=(envelope,))
        return self.signed[name]

    # -- the log

    def _log(self, entry: Any) -> int:
        self.entries.append(records.serialise(entry))
        return len(self.entries) - 1

    def _log_granting(self, kind: Any, signed: SignedDocument) -> int:
        return self._log(e.GrantingEntry(entry=kind, format=1, signed=signed))

    def _subtree(self, height: int, index: int) -> bytes:
        part = self.entries[index << height : (index + 1) << height]
        return merkle.root_of([merkle.leaf_hash(entry) for entry in part])

    def root_hash(self, size: int) -> bytes:
        return proofs.tree_at(size, self._subtree).root()

    def checkpoint(self) -> bytes:
        """Return the newest checkpoint, signed by both keys of the log and cosigned by the witness."""
        size = len(self.entries)
        checkpoint = Checkpoint(origin=ORIGIN, size=size, root=self.root_hash(size))
        text, time = checkpoint.serialise(), START + 30
        second = sign_ml_dsa_44(LOG_ML_DSA, cosigned_message(checkpoint, ORIGIN, 0))
        log_blob = self.log_ml_dsa_vkey.key_id + bytes(8) + second
        log_line = f"\N{EM DASH} {ORIGIN} {canonical.to_base64(log_blob)}\n"
        cosigned = self.witness_key.sign(b"cosignature/v1\ntime %d\n" % time + text)
        blob = self.witness_vkey.key_id + time.to_bytes(8, "big") + cosigned
        line = f"\N{EM DASH} {WITNESS} {canonical.to_base64(blob)}\n"
        return NoteSigner(ORIGIN, self.log_key).sign(text) + (log_line + line).encode()

    # -- the flow

    def _start_signer(self) -> None:
        self.clock = Clock(START)
        follower = Follower(instance=self.instance, origin=ORIGIN, heads=MemoryHeads(), clock=self.clock)
        self.engine = Engine(
            signer_id=SIGNER,
            identity=self.identity,
            follower=follower,
            partitions={"router-production": SeededPartition(list(self.keys.values()))},
            entropy=LabelledEntropy(),
        )
        self._round()
        answer = self.engine.handle(Round(start=len(self.entries), sections=tuple(self.section_bytes())))
        assert answer.announcement is not None, answer.refusal
        self.signed["session"], self.session = answer.announcement, answer.session
        self._log_granting("session", answer.announcement)

    def _round(self, **order: Any) -> Any:
        taken = self.engine._follower.state.size
        answer = self.engine.handle(
            Round(start=taken, entries=tuple(self.entries[taken:]), checkpoint=self.checkpoint(), **order)
        )
        assert answer.refusal is None, answer.refusal
        return answer

    def _request(self) -> None:
        profiles = {p.id.rsplit("/", 1)[1] + ".bin": p for p in self.sections.values() if isinstance(p, d.KeyProfile)}
        self.prepared = {
            name: raw.prepare(MemorySource(image), signing_keys([profiles[name]]), {"signing_time": START + 10}, ANY)
            for name, image in IMAGES.items()
        }
        request = d.Request(
            type="request",
            format=1,
            salt=salt("request"),
            id="r-1",
            log=ORIGIN,
            requester_kind="person",
            requester="ada",
            product="router",
            release="1.2.3",
            environment=d.Environment.PRODUCTION,
            mode=d.Mode.UPLOAD,
            artifacts=tuple(
                d.Artifact(
                    name=name,
                    sha256=hashlib.sha256(image).hexdigest(),
                    sha512=hashlib.sha512(image).hexdigest(),
                    size=len(image),
                    image_format="raw",
                    options=dict(self.prepared[name].options),
                )
                for name, image in IMAGES.items()
            ),
            slots=tuple(
                d.RequestSlot(artifact=name, slot=s.name, key_profile=s.key_profile, digest=s.digest.hex())
                for name, prepared in self.prepared.items()
                for s in prepared.slots
            ),
            claims=(d.Claim(name="commit", value="TEST ONLY"),),
            created=START,
            expires=START + 7 * DAY,
        )
        self._signed_by("request", request, "ada", self.people["ada"], Namespace.REQUEST, "request")
        self.request_digest = self.digest_of("request", "request")

    def digest_of(self, kind: str, name: str) -> str:
        return document_digest(kind, self.instance, self.signed[name].document)

    def rules(self) -> dict[str, Any]:
        profiles = [p for p in self.sections.values() if isinstance(p, d.KeyProfile)]
        return {
            "type": "rules",
            "format": 1,
            "scope": self.section_digest(self.sections[f"scope {ROUTER}"]),
            "key_profiles": sorted(map(self.section_digest, profiles)),
        }

    def _vote(self) -> None:
        self.rules_digest = document_digest("rules", self.instance, records.serialise(self.rules()))
        for name, checked in (("ben", "recomputed"), ("cleo", "displayed"), ("dan", "displayed")):
            self._cast(name, self.request_digest, d.Decision.APPROVE, d.Checked(checked), f"vote-{name}")

    def _cast(
        self, name: str, request: str, decision: d.Decision, checked: d.Checked, file: str, reason: str | None = None
    ) -> None:
        vote = d.Vote(
            type="vote",
            format=1,
            salt=salt(file),
            request=request,
            rules=self.rules_digest,
            reports=(),
            decision=decision,
            person=name,
            checked=checked,
            time=START + 20,
            reason=reason,
        )
        self._signed_by("vote", vote, name, self.people[name], Namespace.VOTE, file)

    def _refuse_another(self) -> None:
        """A veto against another request, and the revocation of a pipeline."""
        other = hashlib.sha256(b"TEST ONLY another request").hexdigest()
        self._cast("ben", other, d.Decision.REJECT, d.Checked.DISPLAYED, "vote-reject", "TEST ONLY wrong build")
        add = partial(e.RestrictionEntry, entry="restriction", format=1, person="ben")
        self._log(add(kind=d.RestrictionKind.VETO, subject=other, document=self.digest_of("vote", "vote-reject")))
        restriction = d.Restriction(
            type="restriction",
            format=1,
            salt=salt("restriction"),
            kind=d.RestrictionKind.REVOKE_PERSON,
            subject="build-farm",
            person="ben",
            reason="TEST ONLY build farm is gone",
            time=START + 25,
        )
        self._signed_by("restriction", restriction, "ben", self.people["ben"], Namespace.RESTRICTION, "restriction")
        self._log(
            add(kind=restriction.kind, subject="build-farm", document=self.digest_of("restriction", "restriction"))
        )

    def _sign(self) -> None:
        self.votes = tuple(self.signed[f"vote-{name}"] for name in ("ben", "cleo", "dan"))
        self.intent = e.IntentEntry(
            entry="intent",
            format=1,
            request=self.request_digest,
            votes=tuple(document_digest("vote", self.instance, v.document) for v in self.votes),
            reports=(),
            rules=self.rules_digest,
            signer=SIGNER,
            session=self.session,
            time=START + 40,
        )
        self.intent_index = self._log(self.intent)
        self.clock.time = START + 40
        self.messages = [s.whole_message for p in self.prepared.values() for s in p.slots if s.whole_message]
        order = SignOrder(intent_index=self.intent_index, request=self.signed["request"], votes=self.votes, reports=(),
                          messages=tuple(self.messages))  # fmt: skip
        (signed,) = self._round(sign=(order,)).signed
        assert signed.outcome is not None, signed.refusal
        self.signed["outcome"] = signed.outcome
        document = self.digest_of("outcome", "outcome")
        self.outcome_index = self._log(
            e.OutcomeEntry(entry="outcome", format=1, intent_index=self.intent_index, document=document)
        )
        (released,) = self._round(release=(self.intent_index,)).released
        self.signatures = dict(zip(IMAGES, released.signatures, strict=True))

    # -- what goes out

    def _logged(self, name: str, index: int) -> bundle.LoggedDocument:
        return bundle.LoggedDocument(signed=self.signed[name], index=index, proof=self._proof(index))

    def _proof(self, index: int) -> tuple[bytes, ...]:
        return tuple(proofs.inclusion_proof(index, len(self.entries), self._subtree))

    def _proven_sections(self, artifact_names: Sequence[str]) -> tuple[bundle.ProvenSection, ...]:
        by_digest = {self.section_digest(s): s for s in self.sections.values()}
        leaves = [merkle.leaf_hash(bytes.fromhex(digest)) for digest in sorted(by_digest)]
        wanted = {f"scope {ROUTER}", *(f"person {name}" for name in self.people)}
        wanted |= {f"key-profile {ROUTER}/{name.removesuffix('.bin')}" for name in artifact_names}
        return tuple(
            bundle.ProvenSection(
                document=records.serialise(by_digest[digest]),
                index=index,
                proof=tuple(proofs.inclusion_proof(index, len(leaves), lambda height, at: merkle.root_of(
                    leaves[at << height : (at + 1) << height]))),
            )
            for index, digest in enumerate(sorted(by_digest))
            if f"{by_digest[digest].type} {by_digest[digest].id}" in wanted
        )  # fmt: skip

    def evidence(self, artifact: str) -> bundle.Evidence:
        """Return the evidence of one artifact."""
        prepared, size = self.prepared[artifact], len(self.entries)
        outcome = records.parse(d.Outcome, self.signed["outcome"].document)
        return bundle.Evidence(
            type="evidence",
            format=1,
            instance=self.instance,
            roots=(self._logged("root", 0), self._logged("root-2", 2)),
            policy=self._logged("policy", self.policy_index),
            sections=self._proven_sections(tuple(IMAGES)),
            request=self.signed["request"],
            votes=self.votes,
            reports=(),
            intent=bundle.LoggedEntry(
                entry=self.entries[self.intent_index], index=self.intent_index, proof=self._proof(self.intent_index)
            ),
            outcome=self.signed["outcome"],
            outcome_index=self.outcome_index,
            outcome_proof=self._proof(self.outcome_index),
            followed=tuple(proofs.consistency_proof(outcome.size, size, self._subtree)),
            checkpoint=self.checkpoint(),
            artifact=artifact,
            signatures=(self.signatures[artifact],),
            messages=tuple(s.whole_message for s in prepared.slots if s.whole_message),
            patch=prepared.assemble({"signature": self.signatures[artifact]}),
        )

    def trust(self, *, roots: int = 2) -> bundle.TrustFile:
        """Return the trust file of somebody who knows so many versions of the root."""
        size, policy_version, policy_index = ((2, 1, 1), (4, 2, 3))[roots - 1]
        return bundle.TrustFile(
            type="trust",
            format=1,
            instance=self.instance,
            roots=tuple(self.root_digests[:roots]),
            log=ORIGIN,
            log_key=self.log_vkey,
            log_ml_dsa=self._ml_dsa(roots),
            witnesses=(d.Witness(name=WITNESS, key=str(self.witness_vkey)),) if roots > 1 else (),
            witness_quorum=roots - 1,
            as_of=bundle.AsOf(
                size=size,
                root_hash=self.root_hash(size).hex(),
                policy_version=policy_version,
                policy_index=policy_index,
            ),
            distrusted=(),
        )

    def report(self) -> SignedDocument:
        """Return a gate report; its signature is that of the gate's Ed25519 key."""
        report = d.Report(
            type="report",
            format=1,
            salt=salt("report"),
            gate="malware-gate",
            gate_version="1.0",
            configuration=hashlib.sha256(b"TEST ONLY configuration").hexdigest(),
            artifact=hashlib.sha256(IMAGES["boot.bin"]).hexdigest(),
            snapshots=(d.Claim(name="signatures", value="2026-09-21"),),
            verdict="pass",
            findings=hashlib.sha256(b"TEST ONLY findings").hexdigest(),
            time=START,
            greatest_age_seconds=DAY,
        )
        data, key = records.serialise(report), ed25519_key("gate")
        digest = document_digest("report", self.instance, data)
        envelope = Envelope(
            signer="malware-gate",
            authenticator=hashlib.sha256(key.public_key().public_bytes_raw()).hexdigest(),
            kind=SignatureKind.ED25519,
            signature=key.sign(bytes.fromhex(digest)),
        )
        return SignedDocument(document=data, signatures=(envelope,))
