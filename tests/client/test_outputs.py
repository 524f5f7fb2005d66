"""Output files appear complete and together, or not at all."""

import os
import resource
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import missing

from sealwright.client.files import FileSource
from sealwright.client.outputs import Outputs, write_patched
from sealwright.core.errors import Code, ConfigurationError, SealwrightError, UnavailableError, VerificationError
from sealwright.core.images import MemorySource
from sealwright.core.patches import Edit, Patch, Sidecar

DATA = bytes(range(256)) * 1000
PATCH = Patch(
    old_size=len(DATA),
    edits=(
        Edit(offset=16, old=DATA[16:20], new=b"longer than before"),
        Edit(offset=len(DATA), old=b"", new=b"the end"),
    ),
    sidecars=(Sidecar(suffix=".p7s", content=b"signature"),),
)
SIGNED = b"".join(PATCH.apply(MemorySource(DATA)))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.bin"
    path.write_bytes(DATA)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_patched_image_and_its_sidecar_are_written(tmp_path, image):
    with FileSource(image) as source:
        written = write_patched(source, PATCH, tmp_path / "signed.bin")
    assert [path.name for path in written] == ["signed.bin", "signed.bin.p7s"]
    assert [path.read_bytes() for path in written] == [SIGNED, b"signature"]
    assert names(tmp_path) == ["image.bin", "signed.bin", "signed.bin.p7s"]
    assert image.read_bytes() == DATA


def test_an_image_in_memory_gives_the_same_file(tmp_path):
    write_patched(MemorySource(DATA), PATCH, tmp_path / "signed.bin")
    assert (tmp_path / "signed.bin").read_bytes() == SIGNED


@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=8), new=st.binary(max_size=20))
@settings(max_examples=60, deadline=None)
def test_a_file_is_patched_as_the_patch_says(tmp_path_factory, data, cuts, new):
    folder = tmp_path_factory.mktemp("patched")
    (folder / "image").write_bytes(data)
    bounds = sorted({min(cut, len(data)) for cut in cuts})
    edits = tuple(Edit(offset=a, old=data[a:b], new=new) for a, b in zip(bounds[::2], bounds[1::2], strict=False))
    patch = Patch(old_size=len(data), edits=edits)
    with FileSource(folder / "image") as source:
        write_patched(source, patch, folder / "signed")
    assert (folder / "signed").read_bytes() == b"".join(patch.apply(MemorySource(data)))


def test_an_image_on_another_file_system_gives_the_same_file(tmp_path):
    memory = Path("/dev/shm")  # noqa: S108 - the kernel copies nothing from one file system to another
    if not memory.is_dir():
        missing("a second file system, /dev/shm,")
    with tempfile.NamedTemporaryFile(dir=memory) as other:
        other.write(DATA)
        other.flush()
        with FileSource(Path(other.name)) as source:
            write_patched(source, PATCH, tmp_path / "signed.bin")
    assert (tmp_path / "signed.bin").read_bytes() == SIGNED


@pytest.mark.parametrize("taken", ["signed.bin", "signed.bin.p7s"])
def test_what_exists_is_not_overwritten_unless_asked(tmp_path, image, taken):
    (tmp_path / taken).write_bytes(b"precious")
    with FileSource(image) as source:
        with pytest.raises(ConfigurationError, match=f"{taken} exists already") as caught:
            write_patched(source, PATCH, tmp_path / "signed.bin")
        assert "--force" in caught.value.hint
        assert (tmp_path / taken).read_bytes() == b"precious"
        assert names(tmp_path) == sorted({"image.bin", taken})
        write_patched(source, PATCH, tmp_path / "signed.bin", replace=True)
    assert (tmp_path / "signed.bin").read_bytes() == SIGNED


def test_a_broken_link_counts_as_existing(tmp_path, image):
    (tmp_path / "signed.bin").symlink_to("nowhere")
    with FileSource(image) as source, pytest.raises(ConfigurationError, match="exists already"):
        write_patched(source, PATCH, tmp_path / "signed.bin")


def test_replacing_a_link_leaves_what_it_points_to(tmp_path, image):
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "signed.bin").symlink_to("precious")
    with FileSource(image) as source:
        write_patched(source, PATCH, tmp_path / "signed.bin", replace=True)
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert not (tmp_path / "signed.bin").is_symlink()


@pytest.mark.parametrize("alias", ["image.bin", "./image.bin", "link"])
def test_an_image_is_never_written_over_itself(tmp_path, image, alias):
    (tmp_path / "link").symlink_to(image)
    with FileSource(image) as source, pytest.raises(ConfigurationError, match="is the image itself"):
        write_patched(source, PATCH, tmp_path / alias, replace=True)
    assert image.read_bytes() == DATA


def test_a_patch_for_another_image_leaves_nothing(tmp_path, image):
    for patch in (Patch(old_size=5), Patch(old_size=len(DATA), edits=(Edit(offset=9, old=b"no", new=b""),))):
        with FileSource(image) as source, pytest.raises(VerificationError) as caught:
            write_patched(source, patch, tmp_path / "signed.bin")
        assert caught.value.code is Code.IMAGE_MISMATCH
    assert names(tmp_path) == ["image.bin"]


@pytest.fixture
def little_room() -> Iterator[None]:
    """No file may grow beyond 100 kB; Python ignores the signal, so that writing fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_no_room_leaves_nothing(tmp_path, image, little_room):  # noqa: ARG001
    with FileSource(image) as source, pytest.raises(UnavailableError, match="cannot be written: File too large"):
        write_patched(source, PATCH, tmp_path / "signed.bin")
    with pytest.raises(UnavailableError, match="cannot be written: File too large"):
        write_patched(MemorySource(DATA), PATCH, tmp_path / "signed.bin")
    assert names(tmp_path) == ["image.bin"]


def test_a_name_taken_meanwhile_withdraws_the_others(tmp_path):
    with Outputs() as outputs:
        for name in "abc":
            outputs.write(tmp_path / name, [name.encode()])
        (tmp_path / "b").write_bytes(b"precious")
        with pytest.raises(ConfigurationError, match=r"b exists already"):
            outputs.publish()
    assert names(tmp_path) == ["b"]
    assert (tmp_path / "b").read_bytes() == b"precious"


def test_leaving_without_publishing_leaves_nothing(tmp_path):
    with Outputs() as outputs:
        part = outputs.write(tmp_path / "a", [b"x"])
        assert part.read_bytes() == b"x"
        assert names(tmp_path) == [part.name]
        assert not (tmp_path / "a").exists()
    assert names(tmp_path) == []


def test_files_are_private_while_written_and_then_as_the_umask_says(tmp_path):
    before = os.umask(0o027)
    try:
        with Outputs() as outputs:

            def chunks() -> Iterator[bytes]:
                (part,) = tmp_path.iterdir()
                assert stat.S_IMODE(part.stat().st_mode) == 0o600
                yield b"x"

            outputs.write(tmp_path / "a", chunks())
            outputs.publish()
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_the_longest_name_can_be_written(tmp_path):
    with Outputs() as outputs:
        outputs.write(tmp_path / ("x" * 255), [b"x"])
        outputs.publish()
    assert names(tmp_path) == ["x" * 255]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing/a", "No such file"),
        ("x" * 256, "File name too long"),
        ("image.bin/a", "Not a dir"),
    ],
)
def test_a_place_that_cannot_be_written_is_told(tmp_path, image, name, reason):
    with FileSource(image) as source, pytest.raises(ConfigurationError, match=f"cannot be written: {reason}"):
        write_patched(source, PATCH, tmp_path / name)


def test_a_directory_is_never_replaced(tmp_path, image):
    (tmp_path / "folder").mkdir()
    for replace in (False, True):
        with FileSource(image) as source, pytest.raises(SealwrightError):
            write_patched(source, PATCH, tmp_path / "folder", replace=replace)
    assert names(tmp_path) == ["folder", "image.bin"]


def test_one_file_is_not_written_twice(tmp_path):
    with Outputs() as outputs:
        outputs.write(tmp_path / "a", [b"x"])
        with pytest.raises(ConfigurationError, match="would be written twice"):
            outputs.write(tmp_path / "a", [b"y"])
