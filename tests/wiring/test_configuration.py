"""The settings file: what is written is read again; what no process could work with is refused with its setting."""

from dataclasses import replace
from pathlib import Path

import pytest

from sealwright.core.errors import ConfigurationError
from sealwright.wiring import configuration as settings
from sealwright.wiring.configuration import KEY_FILES, Configuration, KeystoreSetting, PartitionSetting


@pytest.fixture
def configuration(tmp_path) -> Configuration:
    return Configuration(
        folder=tmp_path,
        instance="ab" * 32,
        origin="log.example/acme",
        host="127.0.0.1",
        port=8710,
        log_key=f"file:{tmp_path}/server/log-key",
        signer_id="signer-1",
        signer_identity="credential:identity",
        partitions={},
        keystore=settings.in_folder(KEY_FILES, tmp_path),
    )


def test_what_is_written_is_read_again(configuration):
    full = replace(
        configuration,
        partitions={
            "router-production": PartitionSetting(
                uri=f"files:{configuration.folder}/signer/keys/r",
                secret=f"file:{configuration.folder}/signer/secrets/r",
            ),
            "odd.name": PartitionSetting(uri='pkcs11:token=a"b\\c?module-path=/m.so', secret="fd:7"),  # noqa: S106 - a source
        },
        keystore=KeystoreSetting(uri="pkcs11:token={partition}?module-path=/m.so", secret="credential:{partition}"),  # noqa: S106
        tls_certificate=configuration.folder / "tls.pem",
        tls_key=Path("/etc/tls.key"),
        signer_user=1234,
    )
    for one in (configuration, full):
        settings.write(one)
        assert settings.load(one.folder) == one


def test_a_moved_folder_takes_its_paths_along(configuration, tmp_path):
    settings.write(configuration)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (tmp_path / "sealwright.toml").rename(moved / "sealwright.toml")
    assert settings.load(moved).log_key == f"file:{moved}/server/log-key"


def test_rewriting_keeps_the_mode_of_the_file(configuration):
    settings.write(configuration)
    path = configuration.folder / "sealwright.toml"
    path.chmod(0o640)
    settings.write(configuration)
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("port = 8710", "port = 70000", "70000 is no port"),
        ("port = 8710", 'port = "8710"', "setting server.port is not a number"),
        ("[server]", "[server]\ntls_key = 'k.pem'", "one of tls_certificate and tls_key is missing"),
        ("{partition}", "one", "would put all partitions into one place"),
        ("[signer]", "[signers]", "id is missing"),
        ("[server]", "[server", "cannot be read"),
        ("[partitions]", "[partitions]\none = 5", "setting partitions.one is not a table"),
        ("[partitions]", "[partitions.one]\nuri = 'files:x'", "setting partitions.one.secret is missing"),
        ("[server]", "[server]\ntls_certificate = 5", "setting server.tls_certificate is not a text"),
    ],
)
def test_wrong_settings_are_refused_by_name(configuration, before, after, message):
    settings.write(configuration)
    path = configuration.folder / "sealwright.toml"
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(ConfigurationError, match=message):
        settings.load(configuration.folder)


def test_a_folder_too_deep_for_a_socket_is_refused(configuration, tmp_path):
    settings.write(configuration)
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    (tmp_path / "sealwright.toml").rename(deep / "sealwright.toml")
    with pytest.raises(ConfigurationError, match="too long for a local socket"):
        settings.load(deep)


def test_a_folder_without_an_instance_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigurationError, match="holds no instance") as refused:
        settings.load(tmp_path)
    assert "sealwright init" in refused.value.hint
