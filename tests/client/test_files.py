"""Image files are read as they were opened, or a clear error says what became of them."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sealwright.client.files import FileSource, read_small
from sealwright.core.errors import ConfigurationError, FormatError

DATA = bytes(range(256)) * 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "image.bin"
    file.write_bytes(DATA)
    return file


def test_any_part_of_a_file_is_read_exactly(path):
    with FileSource(path) as source:
        assert source.size == len(DATA)
        assert source.read(0, len(DATA)) == DATA
        assert source.read(255, 3) == DATA[255:258]
        assert source.read(len(DATA), 0) == b""


@pytest.mark.parametrize(("offset", "length"), [(0, 5121), (5120, 1), (-1, 1), (0, -1), (1 << 60, 1)])
def test_nothing_outside_a_file_is_read(path, offset, length):
    with FileSource(path) as source, pytest.raises(FormatError, match="the image ends at 0x1400"):
        source.read(offset, length)


def make_pipe(at: Path) -> None:
    os.mkfifo(at)


def make_socket(at: Path) -> None:
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(at))
    server.close()


@pytest.mark.parametrize(
    ("make", "kind"), [(Path.mkdir, "a directory"), (make_pipe, "a named pipe"), (make_socket, "a socket")]
)
def test_what_is_no_file_is_refused_without_waiting(tmp_path, make, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    make(Path("thing"))
    with pytest.raises(FormatError, match=f"thing is {kind}, not a regular file"):
        FileSource(Path("thing"))


def test_a_device_is_refused():
    with pytest.raises(FormatError, match="/dev/zero is a device"):
        FileSource(Path("/dev/zero"))


def test_a_link_that_a_person_named_is_followed_one_that_we_derived_is_not(tmp_path, path):
    link = tmp_path / "link"
    link.symlink_to(path)
    assert read_small(link, max_bytes=len(DATA), what="image") == DATA
    with pytest.raises(FormatError, match="link is a symbolic link, not a regular file"):
        FileSource(link, follow_links=False)


def test_a_loop_of_links_is_an_error(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(ConfigurationError, match="a cannot be read: Too many levels of symbolic links"):
        FileSource(tmp_path / "a")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing", "No such file or directory"),
        ("x" * 300, "File name too long"),
        ("image.bin/x", "Not a directory"),
        ("nul\0byte", "embedded null byte"),
    ],
)
def test_a_name_that_leads_nowhere_is_an_error(path, name, reason):
    with pytest.raises(ConfigurationError, match=f"cannot be read: {reason}"):
        FileSource(path.parent / name)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be somebody who is not root for a moment: root may read everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_an_unreadable_file_is_an_error(path):
    path.chmod(0)
    with unprivileged(), pytest.raises(ConfigurationError, match="cannot be read: Permission denied"):
        FileSource(path)


def grow(path: Path) -> None:
    path.write_bytes(DATA + b"more")


def shrink(path: Path) -> None:
    path.write_bytes(DATA[:-1])


def rewrite(path: Path) -> None:
    path.write_bytes(DATA[::-1])
    os.utime(path, ns=(1, 1))  # a coarse clock may show both writes at one time


def exchange(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(DATA)
    other.replace(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (grow, "it had 5120 bytes, now 5124"),
        (shrink, "it had 5120 bytes, now 5119"),
        (rewrite, "it was written to"),
        (exchange, "another file has its name"),
        (Path.unlink, "it is gone"),
    ],
)
def test_a_file_that_changes_under_the_reader_is_told(path, change, said):
    source = FileSource(path)
    source.read(0, 16)
    change(path)
    with pytest.raises(FormatError, match=f"changed while it was read: {said}"), source:
        pass


def test_a_file_that_shrinks_ends_the_reading(path):
    source = FileSource(path)
    os.truncate(path, 100)
    with pytest.raises(FormatError, match="it became shorter"), source:
        source.read(0, 200)


def test_an_error_of_the_reader_is_not_covered_by_the_change(path):
    source = FileSource(path)
    path.unlink()
    with pytest.raises(ZeroDivisionError), source:
        raise ZeroDivisionError


def test_a_small_file_that_is_large_is_refused_unread(tmp_path):
    path = tmp_path / "huge"
    path.touch()
    os.truncate(path, 1 << 40)
    with pytest.raises(FormatError, match=r"trust file .*huge has 1099511627776 bytes, at most 100 are accepted"):
        read_small(path, max_bytes=100, what="trust file")
