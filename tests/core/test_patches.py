"""Patches undo themselves, refuse other images, and show the patched image without copying it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwright.core.errors import FormatError, VerificationError
from sealwright.core.images import MemorySource
from sealwright.core.patches import Edit, Patch, PatchedSource


@st.composite
def images_and_patches(draw):
    image = draw(st.binary(max_size=200))
    edits, at = [], 0
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(at, len(image)))
        stop = draw(st.integers(start, len(image)))
        edits.append(Edit(offset=start, old=image[start:stop], new=draw(st.binary(max_size=20))))
        at = stop
    return image, Patch(old_size=len(image), edits=tuple(edits))


@given(images_and_patches())
def test_the_inverse_gives_the_image_back(case):
    image, patch = case
    patched = b"".join(patch.apply(MemorySource(image)))
    assert len(patched) == patch.new_size
    assert b"".join(patch.inverse().apply(MemorySource(patched))) == image


@given(images_and_patches(), st.data())
def test_a_patched_source_reads_as_the_patched_image(case, data):
    image, patch = case
    patched = b"".join(patch.apply(MemorySource(image)))
    source = PatchedSource(MemorySource(image), patch)
    start = data.draw(st.integers(0, len(patched)))
    length = data.draw(st.integers(0, len(patched) - start))
    assert source.size == len(patched)
    assert source.read(start, length) == patched[start : start + length]


def test_a_patch_for_another_image_is_refused():
    patch = Patch(old_size=4, edits=(Edit(offset=1, old=b"b", new=b"x"),))
    with pytest.raises(VerificationError, match="not those the patch replaces"):
        list(patch.apply(MemorySource(b"aBcd")))
    with pytest.raises(VerificationError, match="another image"):
        list(patch.apply(MemorySource(b"abcde")))
    with pytest.raises(VerificationError, match="not those the patch replaces"):
        PatchedSource(MemorySource(b"aBcd"), patch)
    with pytest.raises(VerificationError, match="another image"):
        PatchedSource(MemorySource(b"abcde"), patch)


def test_reading_behind_the_end_says_where_it_ends():
    source = PatchedSource(MemorySource(b"abcd"), Patch(old_size=4))
    with pytest.raises(FormatError, match="ends at 0x4"):
        source.read(3, 2)


@pytest.mark.parametrize(
    "edits",
    [
        (Edit(offset=2, old=b"c", new=b""), Edit(offset=1, old=b"b", new=b"")),
        (Edit(offset=1, old=b"bc", new=b""), Edit(offset=2, old=b"c", new=b"")),
        (Edit(offset=3, old=b"dd", new=b""),),
    ],
)
def test_edits_out_of_order_overlapping_or_outside_are_refused(edits):
    with pytest.raises(FormatError, match="overlap or leave"):
        Patch(old_size=4, edits=edits)
