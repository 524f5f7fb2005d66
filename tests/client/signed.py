"""Requests signed by a whole simulated installation, with the dossier and the trust file that its server would give."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.formats import throwaway
from tests.simulators.instance import DAY, Instance

from sealwright.client.compose import PreparedArtifact, new_request, prepare_artifact
from sealwright.client.files import FileSource
from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.keys import Algorithm
from sealwright.evidence.bundle import AsOf, Dossier, LoggedDocument, LoggedEntry, ProvenSection, TrustFile
from sealwright.formats import FORMATS
from sealwright.policy.documents import Environment, KeyProfile, Outcome, Request, RequestSlot, Root
from sealwright.policy.entries import GrantingEntry, parse_entry
from sealwright.translog import merkle, proofs

PRODUCT = "gateway"
ALGORITHMS = {
    "raw": Algorithm.ECDSA_P256_SHA256,
    "uefi-pe": Algorithm.RSA_PKCS1_SHA256,
    "u-boot-fit": Algorithm.RSA_PKCS1_SHA256,
    "mcuboot": Algorithm.ECDSA_P256_SHA256,
    "esp32-secure-boot-v2": Algorithm.ECDSA_P256_SHA256,
}


@dataclass
class Maker:
    """A manufacturer with one product, whose key signs one format."""

    image_format: str = "raw"
    algorithm: Algorithm | None = None
    instance: Instance = field(init=False)

    def __post_init__(self) -> None:
        self.instance = Instance(start=False)
        self.algorithm = self.algorithm or ALGORITHMS[self.image_format]
        self.instance.with_product(PRODUCT, algorithm=self.algorithm, image_format=self.image_format)
        self.with_certificate(self.profile.id)
        self.instance.log_policy()
        self.instance.start_signer()

    def with_certificate(self, profile_id: str) -> None:
        profile = self.instance.sections["key-profile", profile_id]
        key = self.instance.partitions[profile.partition].keys[hashlib.sha256(profile.public_key).hexdigest()]
        certificate = throwaway.certificate(key, profile_id)
        self.instance.put(
            replace(profile, certificates=(throwaway.Signer(key, profile.algorithm, certificate).certificate_der,))
        )

    @property
    def profile(self) -> KeyProfile:
        profile: KeyProfile = self.instance.sections["key-profile", f"{PRODUCT}/production/1"]
        return profile

    @property
    def profiles(self) -> dict[str, KeyProfile]:
        return {i: section for (kind, i), section in self.instance.sections.items() if kind == "key-profile"}

    def options(self) -> dict[str, Any]:
        times = {"signing_time": self.instance.clock.now()}
        return {"raw": times, "uefi-pe": times, "mcuboot": {"version": "1.2.3"}, "u-boot-fit": {"key_name": "dev"}}.get(
            self.image_format, {}
        )

    def prepare(self, path: Path, *, options: Mapping[str, Any] | None = None) -> PreparedArtifact:
        with FileSource(path) as source:
            chosen = self.options() if options is None else options
            return prepare_artifact(source, path.name, FORMATS[self.image_format], [self.profile], chosen)

    def request(self, *artifacts: PreparedArtifact, **changes: Any) -> Request:
        request = new_request(
            artifacts,
            log=self.instance.log.origin,
            requester="ada",
            product=PRODUCT,
            release="1.2.3",
            environment=Environment.PRODUCTION,
            now=self.instance.clock.now(),
            lifetime_seconds=DAY,
            entropy=os.urandom,
        )
        return replace(request, **changes)

    def sign(self, *artifacts: PreparedArtifact, request: Request | None = None) -> Dossier:
        """The whole way, by ada, approved by ben and cleo."""
        instance = self.instance
        messages = tuple(m for a in artifacts for m in a.messages)
        submission = instance.submit(request or self.request(*artifacts), messages=messages)
        instance.vote(submission, "ben", "cleo")
        index, result = instance.ask(submission)
        outcome = instance.outcome_of(result)
        outcome_index = instance.log_outcome(index, outcome)
        released = instance.round(release=(index,)).released[0]
        assert not released.refusal, released.refusal
        said = records.parse(Outcome, outcome.document)
        size = len(instance.log.entries)
        used = {("person", name) for name in ("ada", "ben", "cleo")} | {("scope", f"{PRODUCT}/production")}
        used |= {("key-profile", s.key_profile) for a in artifacts for s in a.slots}
        return Dossier(
            type="dossier",
            format=1,
            instance=instance.instance,
            roots=(self._granted(said.root_index),),
            policy=self._granted(said.policy_index),
            sections=self._sections(used),
            request=submission.request,
            votes=tuple(submission.votes),
            reports=(),
            intent=LoggedEntry(entry=instance.log.entries[index], index=index, proof=self._proof(index)),
            outcome=outcome,
            outcome_index=outcome_index,
            outcome_proof=self._proof(outcome_index),
            followed=tuple(proofs.consistency_proof(said.size, size, self._subtree)),
            checkpoint=instance.log.checkpoint(),
            signatures=released.signatures,
            messages=messages,
        )

    def trust(self, **changes: Any) -> TrustFile:
        instance = self.instance
        root = records.parse(Root, records.serialise(instance.root))
        base = TrustFile(
            type="trust",
            format=1,
            instance=instance.instance,
            roots=(instance.instance,),
            log=instance.log.origin,
            log_key=instance.log.vkey,
            log_ml_dsa=instance.log.ml_dsa,
            witnesses=root.witnesses,
            witness_quorum=0,
            as_of=AsOf(size=1, root_hash="0" * 64, policy_version=0, policy_index=0),
            distrusted=(),
        )
        return replace(base, **changes)

    def _subtree(self, height: int, index: int) -> bytes:
        entries = self.instance.log.entries[index << height : (index + 1) << height]
        return merkle.root_of([merkle.leaf_hash(entry) for entry in entries])

    def _proof(self, index: int) -> tuple[bytes, ...]:
        return tuple(proofs.inclusion_proof(index, len(self.instance.log.entries), self._subtree))

    def _granted(self, index: int) -> LoggedDocument:
        entry = parse_entry(self.instance.log.entries[index])
        assert isinstance(entry, GrantingEntry)
        return LoggedDocument(signed=entry.signed, index=index, proof=self._proof(index))

    def _sections(self, used: set[tuple[str, str]]) -> tuple[ProvenSection, ...]:
        digested = sorted(
            (document_digest(section.type, self.instance.instance, data), section, data)
            for section in self.instance.sections.values()
            for data in [records.serialise(section)]
        )
        leaves = [merkle.leaf_hash(bytes.fromhex(digest)) for digest, _, _ in digested]

        def subtree(height: int, index: int) -> bytes:
            return merkle.root_of(leaves[index << height : (index + 1) << height])

        return tuple(
            ProvenSection(document=data, index=i, proof=tuple(proofs.inclusion_proof(i, len(leaves), subtree)))
            for i, (_, section, data) in enumerate(digested)
            if (section.type, section.id) in used
        )


def with_slots(request: Request, slots: Sequence[RequestSlot]) -> Request:
    return replace(request, slots=tuple(slots))
