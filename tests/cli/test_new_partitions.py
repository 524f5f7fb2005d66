"""Where `key create` and `key ceremony` put new partitions: a try that fails leaves nothing that a later one obeys."""

import os
import subprocess
import sys
import tomllib

import pytest
from tests.simulators import ceremonies
from tests.simulators.softhsm import SoftHsm

from sealwright.wiring import configuration, signer

CREDENTIAL, REFUSED = 78, 77
ALGORITHM = ("--algorithm", "ecdsa-p256-sha256", "--format", "raw")


@pytest.fixture
def hsm(tmp_path):
    hsm = SoftHsm(tmp_path)
    yield hsm
    hsm.close()


@pytest.fixture
def product(terminal):
    """A product in the draft whose keys have no partition yet, and its instance's folder."""
    name = f"box{os.urandom(3).hex()}"
    terminal.good("root-a", "product", "add", name, "--environment", "test")
    yield name
    terminal.good("root-a", "policy", "discard", "--yes")


@pytest.fixture
def create(terminal, live, product):
    """Run `key create` for a key of the product."""

    def run(*options, name="1"):
        instance = ("--instance", live.configuration.folder)
        return terminal.run("root-a", "key", "create", f"{product}/test/{name}", *instance, *ALGORITHM, *options)

    return run


def settings_of(live, product):
    values = tomllib.loads((live.configuration.folder / "sealwright.toml").read_text())
    return values["partitions"].get(f"{product}-test")


def pin_file(folder, pin="1234"):
    path = folder / "pin"
    path.write_text(f"{pin}\n")
    path.chmod(0o600)
    return path


def test_a_refused_key_leaves_nothing_and_the_corrected_command_makes_it(live, create, product, hsm, tmp_path):
    uri, pin = hsm.token(f"{product}-token", pin="7531"), pin_file(tmp_path)
    before = (live.configuration.folder / "sealwright.toml").read_bytes()
    refused = create("--keystore", uri, "--secret", f"file:{pin}")
    assert refused.code == CREDENTIAL
    assert "CKR_PIN_INCORRECT" in refused.err
    missing = create("--keystore", hsm.uri("no-such-token"), "--secret", f"file:{pin}")
    assert "no token 'no-such-token'" in missing.err
    absent = create("--keystore", uri, "--secret", f"file:{tmp_path / 'none'}")
    assert f"cannot open {tmp_path / 'none'}" in absent.err
    assert (live.configuration.folder / "sealwright.toml").read_bytes() == before
    pin.write_text("7531\n")
    made = create("--keystore", uri, "--secret", f"file:{pin}")
    assert made.code == 0, made.err
    assert settings_of(live, product) == {"uri": uri, "secret": f"file:{pin}"}


@pytest.mark.parametrize("secret", ["1234", "pin:1234", "file:", "fd:9"])
def test_a_typed_pin_is_refused_before_anything_and_never_repeated(live, create, product, hsm, secret):
    refused = create("--keystore", hsm.uri("box"), "--secret", secret)
    assert refused.code == CREDENTIAL
    assert "--secret" in refused.err
    assert "file:PATH (mode 0600) or credential:NAME" in refused.err
    assert "1234" not in refused.err
    assert settings_of(live, product) is None


def test_a_pin_in_the_uri_is_refused_and_never_written(live, create, product, hsm, tmp_path):
    uri = hsm.token(f"{product}-token") + "&pin-value=1234"
    refused = create("--keystore", uri, "--secret", f"file:{pin_file(tmp_path)}")
    assert refused.code == CREDENTIAL
    assert "a PIN does not belong in a URI" in refused.err
    assert "1234" not in (live.configuration.folder / "sealwright.toml").read_text()


def test_relative_paths_mean_the_folder_they_were_typed_in(live, create, product, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pin_file(tmp_path)
    made = create("--keystore", "files:keys", "--secret", "file:pin")
    assert made.code == 0, made.err
    assert settings_of(live, product) == {"uri": f"files:{tmp_path / 'keys'}", "secret": f"file:{tmp_path / 'pin'}"}
    monkeypatch.chdir("/")
    found = signer.Partitions(live.configuration.folder)
    try:
        assert found[f"{product}-test"].counters() == {}
    finally:
        found.close()
    assert (
        create("--keystore", f"files:{tmp_path / 'keys'}", "--secret", f"file:{tmp_path / 'pin'}", name="2").code == 0
    )


def test_options_that_the_settings_contradict_are_refused(create, product, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert create().code == 0
    for option, value in (("--keystore", "files:elsewhere"), ("--secret", "file:another")):
        refused = create(option, value, name="2")
        assert refused.code == CREDENTIAL
        assert f"the settings have partition {product}-test elsewhere than {option} says" in refused.err


def test_taking_up_a_key_makes_no_partition(live, create, product):
    assert create("--existing", "0123456789").code == CREDENTIAL
    assert settings_of(live, product) is None
    assert not (live.configuration.folder / f"signer/secrets/{product}-test").exists()
    assert not (live.configuration.folder / f"signer/keys/{product}-test").exists()


def test_a_secret_alone_is_that_of_the_usual_place(live, create, product, tmp_path):
    pin = pin_file(tmp_path)
    assert create("--secret", f"file:{pin}").code == 0
    assert settings_of(live, product) == {"uri": f"files:signer/keys/{product}-test", "secret": f"file:{pin}"}


def test_key_files_of_a_key_that_could_not_be_made_are_taken_back(live, create, product, monkeypatch):
    from sealwright.keystores import files

    def full(*_arguments):
        raise OSError(28, "No space left on device", "keys")

    with monkeypatch.context() as patch:
        patch.setattr(files.FilesCeremony, "create_key", full)
        assert create().code == CREDENTIAL
    folder = live.configuration.folder
    assert settings_of(live, product) is None
    assert not (folder / f"signer/keys/{product}-test").exists()
    assert not (folder / f"signer/secrets/{product}-test").exists()
    assert create().code == 0


def test_a_token_that_was_made_for_a_key_that_failed_is_taken_by_the_next_try(live, create, product, hsm, monkeypatch):
    from sealwright.keystores import pkcs11

    path = live.configuration.folder / "sealwright.toml"
    before = path.read_text()
    keystore = (
        f'uri = "pkcs11:token={{partition}}?module-path={hsm.module_path}"\nso_pin = "file:signer/secrets/so-pin"'
    )
    path.write_text(before.replace('uri = "files:signer/keys/{partition}"', keystore))
    try:
        with monkeypatch.context() as patch:
            patch.setattr(pkcs11.Pkcs11Ceremony, "create_key", lambda *_: os.open("/no/such", os.O_RDONLY))
            assert create().code == CREDENTIAL
        assert settings_of(live, product) is None
        assert (live.configuration.secrets / f"{product}-test").exists()
        assert create().code == 0
        assert configuration.load(live.configuration.folder).partitions[f"{product}-test"].uri.startswith("pkcs11:")
    finally:
        path.write_text(before)


def test_the_draft_is_kept_when_nobody_listens(live, terminal, product):
    command = [
        sys.executable, "-m", "sealwright.cli", "key", "create", f"{product}/test/quiet",
        "--instance", live.configuration.folder, *ALGORITHM,
    ]  # fmt: skip
    environment = {**os.environ, "SEALWRIGHT_CONFIG": str(live.folder / "config-root-a")}
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        subprocess.run(command, env=environment, check=False, stdout=closed, stderr=subprocess.PIPE, timeout=60)
    assert f"{product}/test/quiet" in terminal.good("root-a", "policy", "check").out


def test_a_ceremony_for_a_token_makes_no_partition_of_files(live, terminal, product, hsm, tmp_path):
    people = {name: ceremonies.participant(tmp_path, name) for name in ("ada", "ben")}
    told = {"id": product, "product": product, "environment": "test", "grade": "hardware-claimed"}
    script = tmp_path / "script.toml"
    script.write_text(ceremonies.script(people, ceremonies.key("1"), module=ceremonies.module(), **told))
    command = ("key", "ceremony", script, "--instance", live.configuration.folder)
    said = terminal.run("root-a", *command)
    assert said.code == REFUSED
    assert f"{product}-test is a partition of files" in said.err
    assert settings_of(live, product) is None
    assert not (live.configuration.folder / f"signer/keys/{product}-test").exists()
    uri, pin = hsm.token(f"{product}-token"), pin_file(tmp_path)
    terminal.good("root-a", *command, "--keystore", uri, "--secret", f"file:{pin}")
    assert settings_of(live, product) == {"uri": uri, "secret": f"file:{pin}"}


def test_every_option_that_takes_a_secret_names_the_same_sources_and_itself(live, terminal, tmp_path):
    for command in (("init",), ("key", "create"), ("key", "ceremony"), ("key", "import")):
        shown = " ".join(terminal.good("root-a", *command, "--help").out.split())
        assert "file:PATH (mode 0600)" in shown, command
    key = tmp_path / "key.pem"
    key.write_text("no key")
    said = terminal.run(
        "root-a", "key", "import", "router/test/9", key, "--instance", live.configuration.folder,
        "--passphrase", "1234", *ALGORITHM,
    )  # fmt: skip
    assert said.code == CREDENTIAL
    assert "--passphrase: the source of a secret is" in said.err
    assert "1234" not in said.err
    administrator = f"ada={live.identities['root-a']}"
    init = ("init", tmp_path / "new", "--origin", "log.example/new", "--administrator", administrator)
    for option in ("--pin", "--so-pin"):
        said = terminal.run("root-a", *init, "--keystore", "pkcs11:module-path=/m.so", option, "1234")
        assert f"{option} takes the source of a secret, never the secret" in said.err
        assert "1234" not in said.err
