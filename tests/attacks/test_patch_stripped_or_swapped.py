"""Attack: the evidence of one image beside another, its patch emptied, swapped, or made to hide a change."""

from dataclasses import replace

import pytest
from tests.client.signed import Maker
from tests.formats import efi_images

from sealwright.client.assembly import assemble
from sealwright.core.errors import SealwrightError
from sealwright.core.images import MemorySource
from sealwright.core.patches import Edit, Patch
from sealwright.evidence.verify import verify_evidence
from sealwright.formats import FORMATS


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    maker, path = Maker("uefi-pe"), tmp_path_factory.mktemp("pe") / "loader.efi"
    path.write_bytes(efi_images.image())
    image = path.read_bytes()
    evidence = assemble(maker.sign(maker.prepare(path)), path.name, MemorySource(image), FORMATS)
    return maker, image, b"".join(evidence.patch.apply(MemorySource(image))), evidence


def verify(signed, image, evidence):
    maker, *_ = signed
    return verify_evidence(evidence, MemorySource(image), maker.trust(), FORMATS)


def refused(signed, image, evidence):
    with pytest.raises(SealwrightError) as caught:
        verify(signed, image, evidence)
    return caught.value.message


def test_the_signed_image_verifies(signed):
    _, _, patched, evidence = signed
    assert verify(signed, patched, evidence).artifact.name == "loader.efi"


def test_the_unsigned_image_is_refused_with_its_own_evidence(signed):
    _, image, _, evidence = signed
    assert "another image" in refused(signed, image, evidence)


def test_a_stripped_patch_turns_no_unsigned_image_into_a_signed_one(signed):
    _, image, _, evidence = signed
    stripped = replace(evidence, patch=Patch(old_size=len(image)))
    assert "the patch is not what the format makes" in refused(signed, image, stripped)


def test_a_patch_that_hides_a_change_is_refused(signed):
    _, image, patched, evidence = signed
    evil = bytearray(patched)
    evil[0x500] ^= 0xFF
    # Undoing this patch gives the approved image back; making it again does not give the patch.
    edits = [*evidence.patch.edits, Edit(offset=0x500, old=image[0x500:0x501], new=bytes(evil[0x500:0x501]))]
    hiding = replace(evidence.patch, edits=tuple(sorted(edits, key=lambda e: e.offset)))
    assert "the patch is not what the format makes" in refused(signed, bytes(evil), replace(evidence, patch=hiding))


def test_the_patch_of_another_request_is_refused(signed, tmp_path):
    maker, image, patched, evidence = signed
    path = tmp_path / "loader.efi"
    path.write_bytes(image)
    other = assemble(maker.sign(maker.prepare(path)), path.name, MemorySource(image), FORMATS)
    swapped = replace(evidence, patch=other.patch)
    if other.patch != evidence.patch:
        refused(signed, patched, swapped)
    refused(signed, b"".join(other.patch.apply(MemorySource(image)))[:-8], swapped)


@pytest.mark.parametrize("at", [0, 0x100, -1])
def test_trailing_and_missing_bytes_are_refused(signed, at):
    _, _, patched, evidence = signed
    refused(signed, patched + b"\x00", evidence)
    refused(signed, patched[:at] if at else b"", evidence)
