"""Attack: an image with two signatures loses one on the way; what is left is valid by itself."""

from dataclasses import replace

import pytest
from tests.client.signed import Maker
from tests.formats import fits

from sealwright.client.assembly import assemble
from sealwright.core.errors import SealwrightError
from sealwright.core.images import MemorySource
from sealwright.evidence.signed_image import signing_keys
from sealwright.evidence.verify import verify_evidence
from sealwright.formats import FORMATS
from sealwright.formats.targets import ANY


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    both = {name: {"kernel": ["kernel-1"], "fdt": ["fdt-1"]} for name in ("conf-1", "conf-2")}
    path = folder / "router.itb"
    path.write_bytes(fits.Recipe(configurations=both).build(folder))
    maker = Maker("u-boot-fit")
    prepared = maker.prepare(path)
    image = path.read_bytes()
    evidence = assemble(maker.sign(prepared), path.name, MemorySource(image), FORMATS)
    return maker, image, prepared, evidence


def test_both_slots_verify(signed):
    maker, image, _, evidence = signed
    patched = b"".join(evidence.patch.apply(MemorySource(image)))
    verified = verify_evidence(evidence, MemorySource(patched), maker.trust(), FORMATS)
    assert len(evidence.signatures) == len(verified.signing_keys) == 2


@pytest.mark.parametrize("kept", [0, 1])
def test_evidence_without_one_of_two_signatures_is_refused(signed, kept):
    maker, image, _, evidence = signed
    patched = b"".join(evidence.patch.apply(MemorySource(image)))
    for signatures in ((evidence.signatures[kept],), (evidence.signatures[kept],) * 2, evidence.signatures[::-1]):
        with pytest.raises(SealwrightError):
            verify_evidence(replace(evidence, signatures=signatures), MemorySource(patched), maker.trust(), FORMATS)


def test_an_image_patched_for_one_slot_only_is_refused(signed):
    maker, image, _, evidence = signed
    alone = FORMATS["u-boot-fit"].prepare(
        MemorySource(image),
        signing_keys([maker.profile]),
        {**maker.options(), "configurations": ["conf-1"]},
        ANY,
    )
    patch = alone.assemble({alone.slots[0].name: evidence.signatures[0]})
    patched = b"".join(patch.apply(MemorySource(image)))
    with pytest.raises(SealwrightError):
        verify_evidence(replace(evidence, patch=patch), MemorySource(patched), maker.trust(), FORMATS)
    with pytest.raises(SealwrightError):
        verify_evidence(
            replace(evidence, patch=patch, signatures=evidence.signatures[:1]),
            MemorySource(patched),
            maker.trust(),
            FORMATS,
        )
