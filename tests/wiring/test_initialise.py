"""A new installation: whole or not there, nothing secret readable by others, signed by its administrators."""

import time
from pathlib import Path

import pytest
from tests.simulators.live import Live, make_identity

from sealwright.client import ssh
from sealwright.client.compose import sign_bytes
from sealwright.client.settings import load_trust
from sealwright.core.digests import NO_INSTANCE
from sealwright.core.errors import ConfigurationError, RefusedError, SealwrightError
from sealwright.policy import documents as d
from sealwright.signer.heads import peek
from sealwright.storage.log_reader import LogReader
from sealwright.wiring import initialise


def founding(folder: Path, identities: dict[str, Path], **changes) -> initialise.Founding:
    given = {
        "folder": folder,
        "origin": "log.example/acme",
        "administrators": [(name, ssh.public_key(path).line()) for name, path in identities.items()],
        "threshold": 1,
        "grade": d.Grade.EVALUATION,
        "host": "127.0.0.1",
        "port": 8710,
        "now": int(time.time()),
    }
    return initialise.Founding(**(given | changes))


@pytest.fixture
def identities(tmp_path) -> dict[str, Path]:
    return {name: make_identity(tmp_path / name) for name in ("ada", "ben")}


def signing(identities):
    def sign(person: str, document: bytes):
        return sign_bytes(document, "root", instance=NO_INSTANCE, identity=identities[person], signer=person)

    return sign


def test_an_installation_has_its_root_logged_and_what_is_secret_hidden(tmp_path, identities):
    made = initialise.create(founding(tmp_path / "i", identities), signing(identities))
    with LogReader(made.log_database) as log:
        assert log.size == 1
    trust = load_trust(made.trust_file)
    assert (trust.instance, trust.log) == (made.instance, "log.example/acme")
    head, is_running = peek(made.signer_head)
    assert (head.size, is_running) == (1, False), "the first entry is this installation's root"
    assert (tmp_path / "i").stat().st_mode & 0o777 == 0o700
    for name in ("server", "signer", "guard", "run", "signer/keys", "signer/secrets"):
        assert (tmp_path / "i" / name).stat().st_mode & 0o777 == 0o700
    for name in ("server/log-key", "server/log-ml-dsa-key", "signer/identity", "server/documents.db", "signer/head"):
        assert (tmp_path / "i" / name).stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "i" / ".new").exists()


def test_an_empty_folder_that_exists_is_used_in_place(tmp_path, identities):
    """It may be a mount point."""
    folder = tmp_path / "i"
    folder.mkdir()
    number = folder.stat().st_ino
    initialise.create(founding(folder, identities), signing(identities))
    assert folder.stat().st_ino == number


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"threshold": 3}, RefusedError, "threshold 3 cannot be met by 2 administrators"),
        ({"grade": d.Grade.PRODUCTION}, RefusedError, "a production root needs a threshold of two"),
        ({"origin": "Log Example"}, ConfigurationError, "'Log Example' cannot name a log"),
        ({"port": 0}, ConfigurationError, "0 is no port"),
        ({"administrators": []}, RefusedError, "threshold 1 cannot be met by 0 administrators"),
    ],
)
def test_what_cannot_be_is_refused_before_anybody_signs_and_leaves_nothing(
    tmp_path, identities, changes, error, message
):
    def sign(_person, _document):
        raise AssertionError("asked to sign")

    with pytest.raises(error, match=message):
        initialise.create(founding(tmp_path / "i", identities, **changes), sign)
    assert not (tmp_path / "i").exists()


def test_a_key_that_signs_for_two_administrators_is_refused(tmp_path, identities):
    identities["ben"] = identities["ada"]
    with pytest.raises(RefusedError, match="administrator key is there twice"):
        initialise.create(founding(tmp_path / "i", identities), signing(identities))


def test_a_signature_by_another_key_leaves_nothing(tmp_path, identities):
    with pytest.raises(SealwrightError, match="signature of|signed by"):  # noqa: RUF043 - either says it
        initialise.create(
            founding(tmp_path / "i", identities, threshold=2),
            signing(identities | {"ben": make_identity(tmp_path / "mallory")}),
        )
    assert not (tmp_path / "i").exists()


def test_a_folder_with_something_in_it_is_not_touched(tmp_path, identities):
    (tmp_path / "i").mkdir()
    (tmp_path / "i" / "mine").write_text("mine")
    with pytest.raises(ConfigurationError, match="is not empty"):
        initialise.create(founding(tmp_path / "i", identities), signing(identities))
    assert [p.name for p in (tmp_path / "i").iterdir()] == ["mine"]


def test_a_failure_in_the_middle_leaves_nothing_behind(tmp_path, identities, monkeypatch):
    def full(*_arguments, **_keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(initialise.settings, "write", full)
    for folder in (tmp_path / "new", tmp_path / "empty"):
        if folder.name == "empty":
            folder.mkdir()
        with pytest.raises(OSError, match="No space left"):
            initialise.create(founding(folder, identities), signing(identities))
    assert not (tmp_path / "new").exists()
    assert not list((tmp_path / "empty").iterdir())


def test_two_installations_share_nothing(tmp_path):
    one, other = (Live(tmp_path / name).make().configuration for name in ("a", "b"))
    assert one.instance != other.instance
    for name in ("server/log-key", "server/log-ml-dsa-key", "signer/identity"):
        assert (one.folder / name).read_text() != (other.folder / name).read_text()
