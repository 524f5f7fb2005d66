"""Attack: the request names the clean image, its slots sign an evil one.  Signer and gates see nothing odd.

Only whoever rebuilds the slots from the image finds it: the approver before, the auditor after.
"""

from dataclasses import replace

import pytest
from tests.client.signed import Maker

from sealwright.client.assembly import assemble
from sealwright.client.recompute import recompute
from sealwright.core.errors import Code, VerificationError
from sealwright.core.images import MemorySource
from sealwright.evidence.bundle import Evidence
from sealwright.evidence.verify import verify_evidence
from sealwright.formats import FORMATS

CLEAN, EVIL = b"clean firmware", b"evil firmware!"


@pytest.fixture(scope="module")
def maker():
    return Maker()


def prepared(maker, folder, data):
    path = folder / "router.bin"
    path.write_bytes(data)
    return maker.prepare(path)


def test_the_approver_who_recomputes_finds_it(maker, tmp_path):
    clean, evil = prepared(maker, tmp_path, CLEAN), prepared(maker, tmp_path, EVIL)
    images = {"router.bin": MemorySource(CLEAN)}
    recompute(maker.request(clean), images, maker.profiles, FORMATS)
    with pytest.raises(VerificationError) as caught:
        recompute(maker.request(replace(clean, slots=evil.slots)), images, maker.profiles, FORMATS)
    assert caught.value.code is Code.SLOTS_DIFFER


def test_verify_finds_it_even_where_two_people_approved_without_looking(maker, tmp_path):
    clean, evil = prepared(maker, tmp_path, CLEAN), prepared(maker, tmp_path, EVIL)
    honest = assemble(maker.sign(clean), "router.bin", MemorySource(CLEAN), FORMATS)
    verify_evidence(honest, MemorySource(CLEAN), maker.trust(), FORMATS)
    mixed = replace(clean, slots=evil.slots)
    dossier = maker.sign(mixed)  # the signer signs: it knows no formats, and the quorum is met
    with pytest.raises(VerificationError) as caught:
        assemble(dossier, "router.bin", MemorySource(CLEAN), FORMATS)
    assert caught.value.code is Code.SLOTS_DIFFER
    forged: Evidence = replace(
        honest,
        **{name: getattr(dossier, name) for name in SHARED},
        signatures=dossier.signatures,
        patch=evil.prepared.assemble({"signature": dossier.signatures[0]}),
    )
    for image in (CLEAN, EVIL):
        with pytest.raises(VerificationError) as caught:
            verify_evidence(forged, MemorySource(image), maker.trust(), FORMATS)
        assert caught.value.code in (Code.SLOTS_DIFFER, Code.IMAGE_MISMATCH)


SHARED = (
    "roots", "policy", "sections", "request", "votes", "intent", "outcome", "outcome_index", "outcome_proof",
    "followed", "checkpoint",
)  # fmt: skip
