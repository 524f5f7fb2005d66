"""A maker whose product is signed by two keys of one key set: hybrid, rotation bridge, or two providers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.client.signed import PRODUCT, Maker
from tests.simulators.instance import Instance, MemoryPartition

from sealwright.client.assembly import assemble
from sealwright.client.compose import PreparedArtifact, prepare_artifact
from sealwright.client.files import FileSource
from sealwright.core.errors import SealwrightError
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.evidence.bundle import Evidence
from sealwright.evidence.signed_image import signing_keys
from sealwright.evidence.verify import VerifiedEvidence, verify_evidence
from sealwright.formats import FORMATS
from sealwright.formats.targets import ANY
from sealwright.keystores import private_keys
from sealwright.policy import documents as d
from sealwright.signer.ports import SigningTask

SCOPE, FIRST, SECOND = f"{PRODUCT}/production", f"{PRODUCT}/production/1", f"{PRODUCT}/production/2"


class AnyPartition(MemoryPartition):
    """Keys of every stateless algorithm, in memory."""

    def create(self, algorithm: Algorithm) -> PublicKey:
        key = private_keys.generate(algorithm, algorithm.key_size_bits or 2048)
        public = private_keys.public_half(key)
        self.keys[public.fingerprint] = key
        return public

    def sign(self, tasks: Sequence[SigningTask]) -> Sequence[bytes | SealwrightError]:
        self.signed += len(tasks)
        return [private_keys.sign(self.keys[t.public_key.fingerprint], t.algorithm, t.payload) for t in tasks]


@dataclass
class Pair(Maker):
    """Two keys sign every image; ``rule`` says how many a verifier must find."""

    second: Algorithm = Algorithm.ML_DSA_44
    rule: d.KeySetRule = d.KeySetRule.ALL
    second_partition: str = f"{PRODUCT}-production"

    def __post_init__(self) -> None:
        self.instance = Instance(start=False)
        self.algorithm = self.algorithm or Algorithm.ECDSA_P256_SHA256
        for name in (f"{PRODUCT}-production", self.second_partition):
            self.instance.partitions[name] = AnyPartition()
        self.instance.with_product(PRODUCT, algorithm=self.algorithm, image_format=self.image_format)
        self.put_second()
        for profile in (FIRST, SECOND):
            self.with_certificate(profile)
        self.put_key_set(d.KeySet(id="pair", members=(FIRST, SECOND), rule=self.rule, image_format=self.image_format))
        self.instance.log_policy()
        self.instance.start_signer()

    def put_second(self) -> None:
        self.instance.with_key(SECOND, algorithm=self.second, image_format=self.image_format)
        profile = self.instance.sections["key-profile", SECOND]
        if self.second_partition != profile.partition:
            key = self.instance.partitions[self.second_partition].create(self.second)
            self.instance.put(replace(profile, partition=self.second_partition, public_key=key.spki_der))

    def put_key_set(self, *sets: d.KeySet) -> None:
        scope = self.instance.sections["scope", SCOPE]
        self.instance.put(replace(scope, key_sets=sets))

    def prepare_with(self, path: Path, *profiles: str) -> PreparedArtifact:
        """Lay out an image for some keys."""
        keys = [self.profiles[name] for name in profiles]
        with FileSource(path) as source:
            return prepare_artifact(source, path.name, FORMATS[self.image_format], keys, self.options())

    def evidence_of(self, path: Path) -> Evidence:
        """Sign an image with both keys, all the way."""
        dossier = self.sign(self.prepare_with(path, FIRST, SECOND))
        return assemble(dossier, path.name, MemorySource(path.read_bytes()), FORMATS)

    def verify(self, evidence: Evidence, path: Path) -> VerifiedEvidence:
        """Verify evidence with the image that its patch makes."""
        patched = b"".join(evidence.patch.apply(MemorySource(path.read_bytes())))
        return verify_evidence(evidence, MemorySource(patched), self.trust(), FORMATS)

    def half(self, evidence: Evidence, path: Path, kept: str) -> Evidence:
        """The evidence and patch that somebody leaves who takes one member's signature off."""
        at = (FIRST, SECOND).index(kept)
        signatures = (evidence.signatures[at],)
        keys = signing_keys([self.profiles[kept]])
        alone = FORMATS[self.image_format].prepare(MemorySource(path.read_bytes()), keys, self.options(), ANY)
        patch = alone.assemble({alone.slots[0].name: signatures[0]})
        return replace(evidence, signatures=signatures, patch=patch)
