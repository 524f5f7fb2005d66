"""The installation of the test values, ruled by somebody evil: server, log and signer keep no rule.

Every document can be exchanged before it is signed; what comes after is signed, logged and proven as it should be, so
that one lie at a time reaches the verifier.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from tests.spec.installation import ROUTER, SIGNER, START, Installation, salt
from tests.spec.seeded_keys import seed, sign_payload

from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.envelopes import Envelope, SignatureKind, SignedDocument
from sealwright.evidence import bundle
from sealwright.policy import documents as d
from sealwright.policy import entries as e
from sealwright.policy.signatures import Namespace
from sealwright.translog import merkle, proofs

Lie = Callable[["Evil", Any], Any]


def members(**changes: Any) -> Lie:
    """Another value of some members."""
    return lambda _, document: replace(document, **changes)


class Evil(Installation):
    """``lies`` change the documents of these names (``request``, ``vote-ben``, ``outcome``, ``evidence``, …).

    A lie of the name with `` signed`` behind it changes the signed document.
    """

    def __init__(self, voters: tuple[str, ...] = ("ben", "cleo", "dan"), **lies: Lie) -> None:
        self.voters, self.lies = voters, {name.replace("_", "-"): lie for name, lie in lies.items()}
        super().__init__()

    def told(self, name: str, truth: Any) -> Any:
        return self.lies.get(name, lambda _, it: it)(self, truth)

    def _sections(self) -> dict[str, d.Section]:
        return {name: self.told(name.replace(" ", "-").replace("/", "-"), s) for name, s in super()._sections().items()}

    def _signed_by(
        self, kind: str, document: Any, signer: str, key: Any, namespace: Namespace, name: str
    ) -> SignedDocument:
        super()._signed_by(kind, self.told(name, document), signer, key, namespace, name)
        self.signed[name] = self.told(f"signed-{name}", self.signed[name])
        return self.signed[name]

    def _start_signer(self) -> None:
        self.told("before", None)
        self.session = seed("session").hex()

    def _vote(self) -> None:
        super()._vote()
        for name in {*self.voters} - {"ben", "cleo", "dan"}:
            self._cast(name, self.request_digest, d.Decision.APPROVE, d.Checked.DISPLAYED, f"vote-{name}")

    def signature(self, slot: d.RequestSlot) -> bytes:
        messages = [s.whole_message for s in self.prepared[slot.artifact].slots if s.whole_message]
        return sign_payload(self.keys[slot.artifact], messages[0] if messages else bytes.fromhex(slot.digest))

    def _sign(self) -> None:
        request = records.parse(d.Request, self.signed["request"].document)
        self.votes = tuple(self.signed[f"vote-{name}"] for name in self.voters)
        votes = tuple(document_digest("vote", self.instance, vote.document) for vote in self.votes)
        intent = e.IntentEntry(
            entry="intent", format=1, request=self.request_digest, votes=votes, reports=(), rules=self.rules_digest,
            signer=SIGNER, session=self.session, time=START + 40,
        )  # fmt: skip
        self.intent = self.told("intent", intent)
        self.intent_index = self._log(self.intent)
        profiles = {s.id: s for s in self.sections.values() if isinstance(s, d.KeyProfile)}
        made = [(slot.artifact, profiles[slot.key_profile], self.signature(slot)) for slot in request.slots]
        self.genuine = {artifact: signature for artifact, _, signature in made}
        made = self.told("signatures", made)
        size = len(self.entries)
        outcome = d.Outcome(
            type="outcome", format=1, salt=salt("outcome"),
            intent=document_digest("intent", self.instance, self.entries[self.intent_index]),
            intent_index=self.intent_index, signer=SIGNER, session=self.session, size=size,
            root_hash=self.root_hash(size).hex(), root_index=2, policy_index=self.policy_index,
            slots=tuple(
                d.OutcomeSlot(
                    key=hashlib.sha256(profile.public_key).hexdigest(), algorithm=profile.algorithm,
                    signature=hashlib.sha256(signature).hexdigest(),
                    certificate=hashlib.sha256(profile.certificates[0]).hexdigest(),
                )
                for _, profile, signature in made
            ),
            time=START + 40,
        )  # fmt: skip
        data = records.serialise(self.told("outcome", outcome))
        digest = document_digest("outcome", self.instance, data)
        envelope = Envelope(
            signer=SIGNER,
            authenticator=hashlib.sha256(self.identity.public_key().public_bytes_raw()).hexdigest(),
            kind=SignatureKind.ED25519,
            signature=self.identity.sign(bytes.fromhex(digest)),
        )
        self.signed["outcome"] = self.told("signed-outcome", SignedDocument(document=data, signatures=(envelope,)))
        self.outcome_index = self._log(
            e.OutcomeEntry(entry="outcome", format=1, intent_index=self.intent_index, document=digest)
        )
        self.signatures = {artifact: signature for artifact, _, signature in made}

    def _proven_sections(self, artifact_names: Sequence[str]) -> tuple[bundle.ProvenSection, ...]:
        """Only those that the decision uses, as the specification demands."""
        by_digest = {self.section_digest(s): s for s in self.sections.values()}
        leaves = [merkle.leaf_hash(bytes.fromhex(digest)) for digest in sorted(by_digest)]
        request = records.parse(d.Request, self.signed["request"].document)
        used = {("scope", ROUTER), (request.requester_kind, request.requester)}
        used |= {("person", name) for name in self.voters}
        used |= {("key-profile", f"{ROUTER}/{name.removesuffix('.bin')}") for name in artifact_names}

        def subtree(height: int, at: int) -> bytes:
            return merkle.root_of(leaves[at << height : (at + 1) << height])

        return tuple(
            bundle.ProvenSection(
                document=records.serialise(by_digest[digest]),
                index=index,
                proof=tuple(proofs.inclusion_proof(index, len(leaves), subtree)),
            )
            for index, digest in enumerate(sorted(by_digest))
            if (by_digest[digest].type, by_digest[digest].id) in used
        )

    def evidence(self, artifact: str = "boot.bin") -> bundle.Evidence:
        lied, self.signatures = self.signatures, self.genuine  # no format module puts a wrong signature into a patch
        found = replace(super().evidence(artifact), signatures=(lied[artifact],))
        self.signatures = lied
        return self.told("evidence", found)

    def trust(self, *, roots: int = 2) -> bundle.TrustFile:
        return self.told("trust", super().trust(roots=roots))
