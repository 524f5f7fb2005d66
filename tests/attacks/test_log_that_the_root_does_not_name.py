"""Attack: a log key of one's own, and a victim talked into a trust file with it; the root names another log."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.client.signed import Maker

from sealwright.client.assembly import assemble
from sealwright.core.errors import Code, RefusedError, VerificationError
from sealwright.core.images import MemorySource
from sealwright.evidence.verify import verify_evidence
from sealwright.formats import FORMATS

IMAGE = b"firmware"


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    maker, path = Maker(), tmp_path_factory.mktemp("raw") / "router.bin"
    path.write_bytes(IMAGE)
    return maker, assemble(maker.sign(maker.prepare(path)), path.name, MemorySource(IMAGE), FORMATS)


def test_the_log_that_the_root_names_is_taken(signed):
    maker, evidence = signed
    assert verify_evidence(evidence, MemorySource(IMAGE), maker.trust(), FORMATS).checkpoint_size


def test_another_log_key_is_refused_even_with_a_trust_file_for_it(signed):
    maker, evidence = signed
    own = maker.instance.log.copy()
    own.private_key = Ed25519PrivateKey.generate()
    forged = replace(evidence, checkpoint=own.checkpoint())
    with pytest.raises(RefusedError) as caught:
        verify_evidence(forged, MemorySource(IMAGE), maker.trust(log_key=own.vkey), FORMATS)
    assert caught.value.code is Code.WRONG_LOG


def test_a_trust_file_whose_first_root_is_not_its_instance_is_refused(signed):
    maker, evidence = signed
    with pytest.raises(VerificationError) as caught:
        verify_evidence(evidence, MemorySource(IMAGE), maker.trust(roots=("0" * 64,)), FORMATS)
    assert caught.value.code is Code.EVIDENCE_MISMATCH
