"""A whole installation in memory: people with SSH keys, root, policy, a log, a signer with in-memory partitions.

It behaves; it does not mock: every document is really signed, every entry really hashed, and the signer is the real
engine.  Attack tests change what a server could change, between these steps.
"""

import base64
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sealwright.core import records, sshsig
from sealwright.core.digests import NO_INSTANCE, document_digest
from sealwright.core.envelopes import Envelope, SignatureKind, SignedDocument
from sealwright.core.errors import Code, RefusedError, SealwrightError
from sealwright.core.keys import Algorithm, PublicKey, hash_of, rsa_padding
from sealwright.policy import documents as d
from sealwright.policy.authorise import Standing, rules_of
from sealwright.policy.entries import GrantingEntry, IntentEntry, OutcomeEntry, RestrictionEntry
from sealwright.policy.fold import LogState
from sealwright.policy.sections import Sections, load_complete, sections_root
from sealwright.policy.signatures import Namespace
from sealwright.signer.engine import Engine
from sealwright.signer.follower import Follower
from sealwright.signer.ports import Head, SigningTask
from sealwright.signer.protocol import Round, RoundResult, SignOrder
from sealwright.translog.checkpoints import Checkpoint
from sealwright.translog.merkle import EMPTY_ROOT, CompactRange, leaf_hash
from sealwright.translog.notes import NoteSigner, SignatureType, VerifierKey

ORIGIN = "log.example/acme"
START = 1_790_000_000
DAY = 86_400


def salt() -> str:
    return os.urandom(16).hex()


@dataclass
class Clock:
    """A clock that stands still until it is set."""

    time: int = START

    def now(self) -> int:
        return self.time


class Entropy:
    def token(self, size_bytes: int) -> bytes:
        return os.urandom(size_bytes)


@dataclass
class SoftPerson:
    """Somebody with a plain Ed25519 SSH key."""

    id: str
    private_key: ed25519.Ed25519PrivateKey = field(default_factory=ed25519.Ed25519PrivateKey.generate)

    @property
    def key(self) -> sshsig.SshPublicKey:
        raw = self.private_key.public_key().public_bytes_raw()
        return sshsig.parse_public_key(sshsig.string(b"ssh-ed25519") + sshsig.string(raw))

    @property
    def authenticator(self) -> d.Authenticator:
        return d.Authenticator(key=self.key.line())

    def sign(self, digest: str, namespace: str, *, signer: str | None = None) -> Envelope:
        signed = sshsig.to_be_signed(namespace, bytes.fromhex(digest))
        inner = sshsig.string(b"ssh-ed25519") + sshsig.string(self.private_key.sign(signed))
        key = self.key
        blob = (
            sshsig.MAGIC
            + (1).to_bytes(4, "big")
            + sshsig.string(key.blob)
            + sshsig.string(namespace.encode())
            + sshsig.string(b"")
            + sshsig.string(b"sha512")
            + sshsig.string(inner)
        )
        return Envelope(
            signer=signer or self.id, authenticator=key.fingerprint, kind=SignatureKind.SSHSIG, signature=blob
        )


class MemoryPartition:
    """Keys in memory, with the manners of a keystore."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {}
        self.signed = 0

    def create(self, algorithm: Algorithm) -> PublicKey:
        if algorithm is Algorithm.ED25519:
            key: Any = ed25519.Ed25519PrivateKey.generate()
        elif algorithm.startswith("ecdsa-p256"):
            key = ec.generate_private_key(ec.SECP256R1())
        elif algorithm.startswith("ecdsa-p384"):
            key = ec.generate_private_key(ec.SECP384R1())
        else:
            key = rsa.generate_private_key(65537, 2048)
        public = PublicKey(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
        self.keys[public.fingerprint] = key
        return public

    def sign(self, tasks: Sequence[SigningTask]) -> Sequence[bytes | SealwrightError]:
        results: list[bytes | SealwrightError] = []
        for task in tasks:
            key = self.keys.get(task.public_key.fingerprint)
            if key is None:
                results.append(RefusedError("no such key", code=Code.NOT_FOUND))
                continue
            self.signed += 1
            if isinstance(key, ed25519.Ed25519PrivateKey):
                results.append(key.sign(task.payload))
            elif isinstance(key, ec.EllipticCurvePrivateKey):
                results.append(key.sign(task.payload, ec.ECDSA(utils.Prehashed(hash_of(task.algorithm)))))
            else:
                prehashed = utils.Prehashed(hash_of(task.algorithm))
                results.append(key.sign(task.payload, rsa_padding(task.algorithm), prehashed))
        return results


class MemoryHeads:
    def __init__(self, head: Head | None = None) -> None:
        self.head = head or Head(size=0, root_hash=EMPTY_ROOT.hex(), time=0)

    def load(self) -> Head:
        return self.head

    def store(self, head: Head) -> None:
        self.head = head


@dataclass
class SoftWitness:
    """A witness that cosigns whatever it is shown, at its clock's time (C2SP tlog-cosignature)."""

    name: str
    clock: Clock
    private_key: ed25519.Ed25519PrivateKey = field(default_factory=ed25519.Ed25519PrivateKey.generate)

    @property
    def vkey(self) -> VerifierKey:
        raw = self.private_key.public_key().public_bytes_raw()
        return VerifierKey(self.name, SignatureType.COSIGNATURE, raw)

    def cosign(self, text: bytes) -> bytes:
        time = self.clock.now()
        signature = self.private_key.sign(b"cosignature/v1\ntime %d\n" % time + text)
        blob = self.vkey.key_id + time.to_bytes(8, "big") + signature
        return f"\N{EM DASH} {self.name} {base64.b64encode(blob).decode()}\n".encode()


@dataclass
class MemoryLog:
    """The log as its sequencer sees it: entries, and the key that signs checkpoints."""

    origin: str = ORIGIN
    private_key: ed25519.Ed25519PrivateKey = field(default_factory=ed25519.Ed25519PrivateKey.generate)
    ml_dsa_key: mldsa.MLDSA44PrivateKey | None = field(default_factory=mldsa.MLDSA44PrivateKey.generate)
    entries: list[bytes] = field(default_factory=list)
    witnesses: list["SoftWitness"] = field(default_factory=list)
    """Who cosigns every checkpoint."""

    @property
    def vkey(self) -> str:
        raw = self.private_key.public_key().public_bytes_raw()
        return str(VerifierKey(self.origin, SignatureType.ED25519, raw))

    @property
    def signer(self) -> NoteSigner:
        return NoteSigner(self.origin, self.private_key, self.ml_dsa_key)

    @property
    def ml_dsa(self) -> d.LogMlDsaKey | None:
        key = self.signer.ml_dsa_verifier_key
        return None if key is None else d.LogMlDsaKey(key=str(key), first_size=0)

    def append(self, entry: Any) -> int:
        self.entries.append(entry if isinstance(entry, bytes) else records.serialise(entry))
        return len(self.entries) - 1

    def checkpoint(self, size: int | None = None) -> bytes:
        size = len(self.entries) if size is None else size
        tree = CompactRange()
        tree.extend(leaf_hash(e) for e in self.entries[:size])
        text = Checkpoint(origin=self.origin, size=size, root=tree.root()).serialise()
        note = self.signer.sign(text)
        return note + b"".join(witness.cosign(text) for witness in self.witnesses)

    def copy(self, size: int | None = None) -> "MemoryLog":
        """The first ``size`` entries as another log with the same key: what a fork begins with."""
        entries = self.entries[: len(self.entries) if size is None else size]
        return replace(self, entries=entries, witnesses=list(self.witnesses))


@dataclass
class Submission:
    """One request with everything the server keeps of it."""

    request: SignedDocument
    digest: str
    rules: str
    votes: list[SignedDocument] = field(default_factory=list)
    messages: tuple[bytes, ...] = ()


class Instance:
    """Four people, the product ``router`` in production and development, two approvals, one of them recomputed."""

    def __init__(self, *, threshold: int = 1, grade: str = "evaluation", start: bool = True) -> None:
        self.clock = Clock()
        self.people = {name: SoftPerson(name) for name in ("ada", "ben", "cleo", "dan")}
        self.admins = {name: SoftPerson(name) for name in ("root-a", "root-b")}
        self.log = MemoryLog()
        self.identity = ed25519.Ed25519PrivateKey.generate()
        self.partitions: dict[str, MemoryPartition] = {}
        self.sections: dict[tuple[str, str], Any] = {}
        self.salts: dict[tuple[str, str], str] = {}
        self.policy_version = 0
        self.threshold, self.grade = threshold, grade
        self.root = self.make_root()
        self.instance = document_digest("root", NO_INSTANCE, records.serialise(self.root))
        self.root_digest = self.instance
        self.log.append(self.granting("root", self.signed_root(self.root)))
        self.heads = MemoryHeads()
        for name in self.people:
            self.put(self.person(name))
        for environment in ("production", "development"):
            self.with_product("router", environment=environment)
        if start:
            self.log_policy()
            self.start_signer()

    # -- documents

    def make_root(self, **changes: Any) -> d.Root:
        base = d.Root(
            type="root",
            format=1,
            salt=os.urandom(32).hex(),
            version=1,
            previous=NO_INSTANCE,
            administrators=tuple(
                d.Administrator(person=a.id, authenticators=(a.authenticator,)) for a in self.admins.values()
            ),
            threshold=self.threshold,
            logs=(d.LogIdentity(origin=self.log.origin, key=self.log.vkey, first_size=0, ml_dsa=self.log.ml_dsa),),
            signers=(d.SignerIdentity(id="signer-1", key=self.identity.public_key().public_bytes_raw(), valid_from=0),),
            witnesses=(),
            witness_quorum=0,
            timestamp_anchors=(),
            grade=d.Grade(self.grade),
            created=START - DAY,
            expires=START + 365 * DAY,
        )
        return replace(base, **changes)

    def signed_root(self, root: d.Root, signers: Sequence[SoftPerson] | None = None) -> SignedDocument:
        data = records.serialise(root)
        digest = document_digest("root", NO_INSTANCE if root.version == 1 else self.instance, data)
        admins = self.admins.values() if signers is None else signers
        return SignedDocument(document=data, signatures=tuple(a.sign(digest, Namespace.ROOT) for a in admins))

    def next_root(self, **changes: Any) -> d.Root:
        """The root after the one in force, the same but for ``changes``."""
        follows = {"version": self.root.version + 1, "previous": self.root_digest, "salt": os.urandom(32).hex()}
        return replace(self.root, **(follows | changes))

    def log_root(self, root: d.Root) -> int:
        """Log a root that all administrators signed; it is in force from here on."""
        self.root = root
        self.root_digest = document_digest("root", self.instance, records.serialise(root))
        return self.log.append(self.granting("root", self.signed_root(root)))

    def granting(self, kind: str, signed: SignedDocument) -> GrantingEntry:
        return GrantingEntry(entry=kind, format=1, signed=signed)  # type: ignore[arg-type]

    def person(self, name: str, **changes: Any) -> d.Person:
        base = d.Person(
            type="person",
            format=1,
            salt=self._salt("person", name),
            id=name,
            authenticators=(self.people[name].authenticator,),
            roles=("developer", "approver"),
            state=d.State.ACTIVE,
        )
        return replace(base, **changes)

    def pipeline(self, name: str, *, controllers: tuple[str, ...] = ()) -> d.Pipeline:
        """A build system with a key of its own that may request."""
        self.people[name] = SoftPerson(name)
        return d.Pipeline(
            type="pipeline",
            format=1,
            salt=self._salt("pipeline", name),
            id=name,
            authenticators=(self.people[name].authenticator,),
            controllers=controllers,
            roles=("developer",),
            state=d.State.ACTIVE,
        )

    def put(self, section: Any) -> None:
        self.sections[section.type, section.id] = section

    def with_product(
        self,
        product: str,
        *,
        environment: str = "production",
        algorithm: Algorithm = Algorithm.ECDSA_P256_SHA256,
        image_format: str = "raw",
        approvals: int = 2,
        recomputed: int = 1,
    ) -> "Instance":
        scope_id = f"{product}/{environment}"
        production = environment == "production"
        groups = (d.QuorumGroup(roles=("approver",), approvals=approvals, recomputed=recomputed),)
        self.put(
            d.Scope(
                type="scope",
                format=1,
                salt=self._salt("scope", scope_id),
                id=scope_id,
                product=product,
                environment=d.Environment(environment),
                requesters=("developer",),
                quorum=groups if production else (),
                gates=(),
                modes=(d.Mode.UPLOAD,),
                key_grades=tuple(d.KeyGrade),
                member_states=("DE", "FR"),
                support_until=START + 1825 * DAY,
            )
        )
        self.with_key(f"{product}/{environment}/1", algorithm=algorithm, image_format=image_format)
        return self

    def with_key(
        self,
        profile_id: str,
        *,
        algorithm: Algorithm = Algorithm.ECDSA_P256_SHA256,
        image_format: str = "raw",
        **changes: Any,
    ) -> "Instance":
        product, environment = profile_id.split("/")[:2]
        partition = self.partitions.setdefault(f"{product}-{environment}", MemoryPartition())
        profile = d.KeyProfile(
            type="key-profile",
            format=1,
            salt=self._salt("key-profile", profile_id),
            id=profile_id,
            product=product,
            environment=d.Environment(environment),
            purpose=d.Purpose.FIRMWARE,
            partition=f"{product}-{environment}",
            public_key=partition.create(algorithm).spki_der,
            algorithm=algorithm,
            signs="digest" if algorithm.is_prehashed else "message",
            certificates=(),
            grade=d.KeyGrade.SOFTWARE,
            origin="generated",
            state=d.State.ACTIVE,
            image_format=image_format,
        )
        self.put(replace(profile, **changes))
        return self

    def _salt(self, kind: str, name: str) -> str:
        return self.salts.setdefault((kind, name), salt())

    def section_bytes(self) -> tuple[bytes, ...]:
        return tuple(records.serialise(s) for s in self.sections.values())

    def make_policy(self, **changes: Any) -> d.Policy:
        datas = [(s.type, records.serialise(s)) for s in self.sections.values()]
        base = d.Policy(
            type="policy",
            format=1,
            salt=salt(),
            version=self.policy_version + 1,
            root=self.root_digest,
            created=self.clock.now() - 60,
            expires=self.clock.now() + 90 * DAY,
            section_count=len(datas),
            sections_root=sections_root(document_digest(t, self.instance, b) for t, b in datas),
        )
        return replace(base, **changes)

    def signed_policy(self, policy: d.Policy, signers: Sequence[SoftPerson] | None = None) -> SignedDocument:
        data = records.serialise(policy)
        digest = document_digest("policy", self.instance, data)
        admins = self.admins.values() if signers is None else signers
        return SignedDocument(document=data, signatures=tuple(a.sign(digest, Namespace.POLICY) for a in admins))

    def log_policy(self, policy: d.Policy | None = None) -> int:
        policy = policy or self.make_policy()
        self.policy_version = policy.version
        self.policy = policy
        return self.log.append(self.granting("policy", self.signed_policy(policy)))

    def standing(self) -> Standing:
        state = LogState(instance=self.instance, origin=self.log.origin)
        for entry in self.log.entries:
            state.apply(entry)
        assert state.root is not None
        assert state.policy is not None
        sections = load_complete(state.policy.policy, self.section_bytes(), state.root.root, self.instance)
        return Standing(
            instance=self.instance,
            origin=self.log.origin,
            root=state.root.root,
            policy=state.policy.policy,
            sections=sections,
            restrictions=state.restrictions,
        )

    # -- request, vote, intent

    def make_request(
        self, image: bytes = b"firmware", *, requester: str = "ada", product: str = "router",
        environment: str = "production", **changes: Any,
    ) -> d.Request:  # fmt: skip
        profile = f"{product}/{environment}/1"
        base = d.Request(
            type="request",
            format=1,
            salt=salt(),
            id=f"r-{os.urandom(6).hex()}",
            log=self.log.origin,
            requester_kind="person",
            requester=requester,
            product=product,
            release="1.2.3",
            environment=d.Environment(environment),
            mode=d.Mode.UPLOAD,
            artifacts=(self.artifact(image),),
            slots=(self.slot(image, key_profile=profile),),
            claims=(),
            created=self.clock.now(),
            expires=self.clock.now() + DAY,
        )
        return replace(base, **changes)

    def artifact(self, image: bytes, name: str = "firmware.bin", image_format: str = "raw") -> d.Artifact:
        return d.Artifact(
            name=name,
            sha256=hashlib.sha256(image).hexdigest(),
            sha512=hashlib.sha512(image).hexdigest(),
            size=len(image),
            image_format=image_format,
            options={},
        )

    def slot(
        self, image: bytes, *, key_profile: str, name: str = "firmware.bin", slot: str = "signature"
    ) -> d.RequestSlot:
        return d.RequestSlot(
            artifact=name, slot=slot, key_profile=key_profile, digest=hashlib.sha256(image).hexdigest()
        )

    def submit(
        self, request: d.Request | None = None, *, by: SoftPerson | None = None, messages: tuple[bytes, ...] = ()
    ) -> Submission:
        request = request or self.make_request()
        data = records.serialise(request)
        digest = document_digest("request", self.instance, data)
        person = by or self.people[request.requester]
        signed = SignedDocument(document=data, signatures=(person.sign(digest, Namespace.REQUEST),))
        try:
            _, _, rules = rules_of(records.parse(d.Request, data), self.standing())
        except SealwrightError:
            rules = "0" * 64  # a request that no scope knows: the signer says why
        return Submission(request=signed, digest=digest, rules=rules, messages=messages)

    def make_vote(self, submission: Submission, name: str, **changes: Any) -> d.Vote:
        base = d.Vote(
            type="vote",
            format=1,
            salt=salt(),
            request=submission.digest,
            rules=submission.rules,
            reports=(),
            decision=d.Decision.APPROVE,
            person=name,
            checked=d.Checked.RECOMPUTED,
            time=self.clock.now(),
        )
        return replace(base, **changes)

    def signed_vote(
        self, vote: d.Vote, *, by: SoftPerson | None = None, namespace: str = Namespace.VOTE
    ) -> SignedDocument:
        data = records.serialise(vote)
        person = by or self.people[vote.person]
        envelope = person.sign(document_digest("vote", self.instance, data), namespace, signer=vote.person)
        return SignedDocument(document=data, signatures=(envelope,))

    def vote(self, submission: Submission, *names: str) -> Submission:
        submission.votes += [self.signed_vote(self.make_vote(submission, name)) for name in names]
        return submission

    def vote_digest(self, vote: SignedDocument) -> str:
        return document_digest("vote", self.instance, vote.document)

    def make_intent(self, submission: Submission, **changes: Any) -> IntentEntry:
        base = IntentEntry(
            entry="intent",
            format=1,
            request=submission.digest,
            votes=tuple(self.vote_digest(v) for v in submission.votes),
            reports=(),
            rules=submission.rules,
            signer="signer-1",
            session=self.session,
            time=self.clock.now(),
        )
        return replace(base, **changes)

    def order(self, submission: Submission, intent_index: int) -> SignOrder:
        return SignOrder(
            intent_index=intent_index,
            request=submission.request,
            votes=tuple(submission.votes),
            reports=(),
            messages=submission.messages,
        )

    def restrict(self, kind: d.RestrictionKind, subject: str, person: str = "ben") -> int:
        return self.log.append(
            RestrictionEntry(
                entry="restriction", format=1, kind=kind, subject=subject, person=person, document=os.urandom(32).hex()
            )
        )

    # -- the signer and its rounds

    def new_engine(
        self,
        *,
        heads: MemoryHeads | None = None,
        identity: ed25519.Ed25519PrivateKey | None = None,
        signer_id: str = "signer-1",
    ) -> Engine:
        follower = Follower(instance=self.instance, origin=self.log.origin, heads=heads or self.heads, clock=self.clock)
        return Engine(
            signer_id=signer_id,
            identity=identity or self.identity,
            follower=follower,
            partitions=self.partitions,
            entropy=Entropy(),
        )

    def start_signer(self) -> None:
        """Start the signer's only session: it follows the log, and its announcement is logged."""
        self.engine = self.new_engine()
        result = self.catch_up()
        self.session = result.session
        assert result.announcement is not None, result.refusal
        self.log.append(self.granting("session", result.announcement))
        assert self.catch_up().announcement is None

    def catch_up(self, engine: Engine | None = None, log: MemoryLog | None = None, **order: Any) -> RoundResult:
        """One round that brings the engine to the end of the log; checked to be followed."""
        engine, log = engine or self.engine, log or self.log
        taken = self._taken(engine)
        result = engine.handle(
            Round(start=taken, entries=tuple(log.entries[taken:]), checkpoint=log.checkpoint(), **order)
        )
        if result.refusal is None and result.needs_policy:
            result = engine.handle(Round(start=result.size, sections=self.section_bytes()))
        return result

    @staticmethod
    def _taken(engine: Engine) -> int:
        return engine._follower.state.size

    def round(self, **order: Any) -> RoundResult:
        """Follow everything logged, then carry out ``order``."""
        self.catch_up()
        return self.engine.handle(Round(start=len(self.log.entries), **order))

    def signed_and_logged(self, submission: Submission) -> int:
        """Signed, the outcome logged, nothing released yet; return the intent's index."""
        index, result = self.ask(submission)
        self.log_outcome(index, self.outcome_of(result))
        return index

    def approved(self, **changes: Any) -> Submission:
        """A request that ada made and ben and cleo approved."""
        return self.vote(self.submit(self.make_request(**changes)), "ben", "cleo")

    def ask(self, submission: Submission, **intent: Any) -> tuple[int, RoundResult]:
        """Log the intent and give the order; return the intent's index and the answer."""
        index = self.log.append(self.make_intent(submission, **intent))
        return index, self.round(sign=(self.order(submission, index),))

    def sign(self, submission: Submission, **intent: Any) -> tuple[bytes, ...]:
        """The whole way: intent, outcome, release.  Raises the refusal."""
        index, result = self.ask(submission, **intent)
        outcome = self.outcome_of(result)
        self.log_outcome(index, outcome)
        released = self.round(release=(index,)).released[0]
        if released.refusal:
            raise RefusedError(released.refusal.message, code=released.refusal.code)
        return released.signatures

    def refusal(self, submission: Submission, **intent: Any) -> Code:
        """The rule by which the signer refuses to sign; checked to have used no key."""
        before = self.signatures_made
        _, result = self.ask(submission, **intent)
        assert self.signatures_made == before
        return self.code_of(result)

    def release_refusal(self, index: int) -> Code:
        """The rule by which the signer keeps the signatures of the intent at ``index``."""
        released = self.round(release=(index,)).released[0]
        assert released.refusal is not None
        assert not released.signatures
        return released.refusal.code

    @staticmethod
    def code_of(result: RoundResult) -> Code:
        refusal = result.refusal or result.signed[0].refusal
        assert refusal is not None, "the signer signed"
        return refusal.code

    @property
    def signatures_made(self) -> int:
        return sum(partition.signed for partition in self.partitions.values())

    def outcome_of(self, result: RoundResult) -> SignedDocument:
        refusal = result.refusal or result.signed[0].refusal
        if refusal:
            raise RefusedError(refusal.message, code=refusal.code)
        outcome = result.signed[0].outcome
        assert outcome is not None
        return outcome

    def log_outcome(self, index: int, outcome: SignedDocument) -> int:
        digest = document_digest("outcome", self.instance, outcome.document)
        return self.log.append(OutcomeEntry(entry="outcome", format=1, intent_index=index, document=digest))

    def loaded(self) -> Sections:
        return self.standing().sections
