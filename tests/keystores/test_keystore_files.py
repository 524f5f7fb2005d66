"""The encrypted files: who may read them, what a changed byte does, and that nothing lies there in the clear."""

import json
import os
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from tests.keystores.conftest import PIN, make_partition

from sealwright.core import canonical
from sealwright.core.errors import Code, ConfigurationError, RefusedError, UnavailableError
from sealwright.core.keys import Algorithm
from sealwright.keystores.files import FilesCeremony, FilesKeystore
from sealwright.keystores.opening import create_partition, open_keystore
from sealwright.keystores.secrets import Secret

ONE_KEY = (Algorithm.ED25519,)


@pytest.fixture
def folder(new_files: str) -> Path:
    """A partition with one Ed25519 key."""
    make_partition(new_files, algorithms=ONE_KEY)
    return Path(new_files.removeprefix("files:"))


def key_file(folder: Path) -> Path:
    (path,) = (p for p in folder.iterdir() if p.name != "partition.json")
    return path


def open_folder(folder: Path, passphrase: Secret = PIN) -> FilesKeystore:
    keystore = FilesKeystore(folder)
    keystore.open(passphrase)
    return keystore


def test_folder_and_files_are_ours_alone(folder: Path) -> None:
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {p.stat().st_mode & 0o777 for p in folder.iterdir()} == {0o600}


def test_a_finished_partition_holds_its_files_and_no_temporary_ones(folder: Path) -> None:
    names = sorted(p.name for p in folder.iterdir())
    assert names == sorted(["partition.json", key_file(folder).name])
    assert len(key_file(folder).stem) == 64


def test_what_an_interrupted_write_left_is_not_read(folder: Path) -> None:
    (folder / f".{key_file(folder).name}.0123456789abcdef").write_bytes(b"{half a fi")
    assert len(open_folder(folder).public_keys()) == 1


def test_the_private_key_is_not_in_the_folder_in_the_clear(folder: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    ceremony = FilesCeremony(folder)
    ceremony.open(PIN)
    ceremony.import_key("router", key, ())
    raw = key.private_bytes_raw()
    encoded = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    everything = b"".join(p.read_bytes() for p in folder.iterdir())
    assert raw not in everything
    assert canonical.to_base64(encoded)[:-4].encode() not in everything


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
@pytest.mark.parametrize("which", ["partition.json", "key"])
def test_a_file_that_others_can_reach_is_refused(folder: Path, which: str, mode: int) -> None:
    path = key_file(folder) if which == "key" else folder / which
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"has mode {mode:04o}, which lets others in"):
        open_folder(folder)


def test_a_folder_that_others_can_reach_is_refused(folder: Path) -> None:
    folder.chmod(0o750)
    with pytest.raises(ConfigurationError, match="has mode 0750"):
        open_folder(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(folder: Path) -> None:
    os.chown(key_file(folder), 65534, 65534)
    with pytest.raises(ConfigurationError, match="belongs to user 65534"):
        open_folder(folder)


def test_a_link_in_place_of_a_file_is_refused(folder: Path) -> None:
    path = key_file(folder)
    path.rename(folder.parent / "elsewhere")
    path.symlink_to(folder.parent / "elsewhere")
    with pytest.raises(ConfigurationError, match="is not a regular file"):
        open_folder(folder)


def test_a_wrong_passphrase_is_a_credential_error_without_the_passphrase(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not open") as refused:
        open_folder(folder, Secret(b"wrong-passphrase"))
    assert refused.value.code is Code.CREDENTIAL
    assert "wrong-passphrase" not in f"{refused.value!r} {refused.value} {refused.value.hint}"


@pytest.mark.parametrize("member", ["type", "format", "salt", "memory_kib", "iterations", "lanes", "sealed"])
def test_a_changed_member_of_the_partition_file_is_refused(folder: Path, member: str) -> None:
    change(folder / "partition.json", member)
    with pytest.raises(ConfigurationError, match=r"is not a keystore file|does not open"):
        open_folder(folder)


@pytest.mark.parametrize("member", ["type", "format", "label", "public_key", "certificates", "sealed"])
def test_a_changed_member_of_a_key_file_is_refused(folder: Path, member: str) -> None:
    change(key_file(folder), member)
    with pytest.raises(ConfigurationError, match=r"is not a keystore file|does not decrypt|holds another key"):
        open_folder(folder)


def test_each_bit_of_the_sealed_key_counts(folder: Path) -> None:
    path = key_file(folder)
    whole = json.loads(path.read_bytes())
    sealed = canonical.from_base64(whole["sealed"])
    keystore = open_folder(folder)
    for at in range(len(sealed)):
        flipped = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        path.write_bytes(canonical.encode(whole | {"sealed": canonical.to_base64(flipped)}))
        with pytest.raises(ConfigurationError, match="does not decrypt"):
            keystore._partition.load(path.stem)


def test_a_cut_key_file_is_refused_at_any_offset(folder: Path) -> None:
    path, keystore = key_file(folder), open_folder(folder)
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(ConfigurationError, match="is not a keystore file"):
            keystore._partition.load(path.stem)


def test_a_key_file_under_another_name_is_refused(folder: Path) -> None:
    key_file(folder).rename(folder / f"{'0' * 64}.json")
    with pytest.raises(ConfigurationError, match="holds another key than its name says"):
        open_folder(folder)


def test_a_key_file_of_another_partition_with_the_same_passphrase_is_refused(folder: Path, tmp_path: Path) -> None:
    create_partition(f"files:{tmp_path / 'other'}", PIN)
    make_partition(f"files:{tmp_path / 'other'}", algorithms=ONE_KEY)
    shutil.copy2(key_file(tmp_path / "other"), folder)
    with pytest.raises(ConfigurationError, match="belongs to another partition"):
        open_folder(folder)


def test_a_key_file_that_vanished_shows_in_the_health(folder: Path) -> None:
    keystore = open_folder(folder)
    assert len(keystore.public_keys()) == 1
    key_file(folder).unlink()
    with pytest.raises(UnavailableError, match=r"\.json is gone"):
        keystore.public_keys()


def test_a_folder_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot open"):
        open_folder(tmp_path / "nowhere")


def test_an_existing_folder_is_not_made_a_partition_again(folder: Path) -> None:
    before = (folder / "partition.json").read_bytes()
    with pytest.raises(ConfigurationError, match="cannot make the partition"):
        create_partition(f"files:{folder}", PIN)
    assert (folder / "partition.json").read_bytes() == before


def test_a_relative_folder_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="needs the absolute path"):
        open_keystore("files:keys", PIN)


def test_an_import_never_replaces_a_file(folder: Path) -> None:
    ceremony = FilesCeremony(folder)
    ceremony.open(PIN)
    key = ec.generate_private_key(ec.SECP256R1())
    ceremony.import_key("first", key, ())
    files = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(RefusedError, match="already holds key"):
        ceremony.import_key("second", key, ())
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == files


@pytest.mark.parametrize("label", ["", "x" * 201, "two\nlines", "right\u202eleft"])
def test_a_label_that_could_not_be_read_back_is_not_written(folder: Path, label: str) -> None:
    ceremony = FilesCeremony(folder)
    ceremony.open(PIN)
    with pytest.raises(Exception, match=r"outside 1..200|forbidden character"):
        ceremony.import_key(label, ed25519.Ed25519PrivateKey.generate(), ())
    assert len(list(folder.iterdir())) == 2


def change(path: Path, member: str) -> None:
    """Give one member another value of its own type, bounds kept, and write canonical JSON."""
    document = json.loads(path.read_bytes())
    value = document[member]
    if isinstance(value, int):
        document[member] = value + 1
    elif isinstance(value, list):
        document[member] = []
    elif member in ("sealed", "public_key"):
        data = canonical.from_base64(value)
        document[member] = canonical.to_base64(data[:-1] + bytes([data[-1] ^ 1]))
    else:
        document[member] = ("0" if value[0] != "0" else "1") + value[1:]
    path.write_bytes(canonical.encode(document))
