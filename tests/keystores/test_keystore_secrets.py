"""Secrets: the three places they may come from, every other one refused, and a type that does not show them."""

import copy
import logging
import os
import pickle
import traceback
from pathlib import Path

import pytest

from sealwright.core.errors import Code, ConfigurationError
from sealwright.keystores.secrets import MAX_SECRET_BYTES, Secret, read_secret

VALUE = b"TEST ONLY passphrase"


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "pin"
    path.write_bytes(VALUE + b"\n")
    path.chmod(0o600)
    return path


def refused(source: str, message: str, environment: dict[str, str] | None = None) -> ConfigurationError:
    with pytest.raises(ConfigurationError, match=message) as error:
        read_secret(source, environment or {})
    assert error.value.code is Code.CREDENTIAL
    return error.value


def test_a_file_of_ours_is_read_without_its_line_feed(secret_file: Path) -> None:
    assert read_secret(f"file:{secret_file}").reveal() == VALUE
    secret_file.chmod(0o400)
    assert read_secret(f"file:{secret_file}").reveal() == VALUE


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o700, 0o601])
def test_a_file_with_another_mode_is_refused(secret_file: Path, mode: int) -> None:
    secret_file.chmod(mode)
    refused(f"file:{secret_file}", f"has mode {mode:04o}, 0600 or 0400 is needed")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(secret_file: Path) -> None:
    os.chown(secret_file, 65534, 65534)
    refused(f"file:{secret_file}", "belongs to user 65534")


def test_a_link_a_pipe_and_a_folder_are_refused(secret_file: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(secret_file)
    refused(f"file:{tmp_path / 'link'}", "cannot open")
    os.mkfifo(tmp_path / "pipe", 0o600)
    refused(f"file:{tmp_path / 'pipe'}", "is not a regular file")
    refused(f"file:{tmp_path}", "is not a regular file")


def test_a_descriptor_is_read_to_its_end_and_closed() -> None:
    readable, writable = os.pipe()
    os.write(writable, VALUE + b"\n")
    os.close(writable)
    assert read_secret(f"fd:{readable}").reveal() == VALUE
    refused(f"fd:{readable}", "cannot read the secret")


@pytest.mark.parametrize("number", ["0", "1", "2"])
def test_a_standard_stream_is_no_source(number: str) -> None:
    refused(f"fd:{number}", "descriptors 0 to 2")


def test_a_systemd_credential_is_read_by_name(tmp_path: Path) -> None:
    (tmp_path / "router-pin").write_bytes(VALUE)
    assert read_secret("credential:router-pin", {"CREDENTIALS_DIRECTORY": str(tmp_path)}).reveal() == VALUE
    refused("credential:other", "cannot open", {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    refused("credential:router-pin", "CREDENTIALS_DIRECTORY is not set")


@pytest.mark.parametrize("name", ["", "../pin", "a/b", "..", ".hidden"])
def test_a_credential_name_is_one_plain_file_name(name: str, tmp_path: Path) -> None:
    refused(f"credential:{name}", "one plain file name", {"CREDENTIALS_DIRECTORY": str(tmp_path)})


@pytest.mark.parametrize("source", ["env:PIN", "TEST ONLY passphrase", "", "fd:x", "fd:-1", "fd:٣", "arg:1234"])
def test_environment_and_arguments_are_no_source_and_are_not_repeated(source: str) -> None:
    error = refused(source, "credential:NAME, fd:NUMBER or file:PATH", {"PIN": VALUE.decode()})
    assert not source or source not in f"{error} {error!r} {error.hint}"


@pytest.mark.parametrize("value", [b"", b"\n", b"x" * (MAX_SECRET_BYTES + 1), b"x" * 100_000])
def test_an_empty_or_endless_secret_is_refused(secret_file: Path, value: bytes) -> None:
    secret_file.write_bytes(value)
    refused(f"file:{secret_file}", "1 to 4096 bytes")


def test_no_usual_way_shows_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(VALUE)
    logging.getLogger("test").warning("the secret is %s and %r", secret, secret)
    try:
        raise ValueError(secret)
    except ValueError as e:
        shown = "".join(traceback.format_exception(e))
    texts = [repr(secret), str(secret), f"{secret}", f"{[secret]}", caplog.text, shown]
    assert all("<secret>" in text and "TEST ONLY" not in text for text in texts)
    assert not hasattr(secret, "__dict__")


@pytest.mark.parametrize("copying", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_secret_is_not_copied(copying: object) -> None:
    assert callable(copying)
    with pytest.raises(TypeError, match="not pickled or copied"):
        copying(Secret(VALUE))
