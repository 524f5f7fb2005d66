"""init, up, server, signer, doctor, backup and restore as an operator types them."""

import json
import os
import subprocess
from dataclasses import replace

import pytest
from tests.conftest import require_tool
from tests.simulators.live import Live, make_identity
from tests.simulators.softhsm import SoftHsm
from tests.simulators.users import FIRST, open_folder, python, require_root

from sealwright.cli.main import main
from sealwright.signer.heads import peek
from sealwright.wiring import configuration, supervisor


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    """Run a command; return exit code, stdout, stderr."""
    try:
        code = main([str(a) for a in arguments])
    except SystemExit as e:
        code = int(e.code or 0)
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return code, said.out, said.err


@pytest.fixture
def ada(tmp_path):
    return make_identity(tmp_path / "ada")


def init(capsys, folder, ada, *more: object) -> tuple[int, str, str]:
    return run(capsys, "init", folder, "--origin", "log.example/acme", "--administrator", f"ada={ada}", *more)


def test_init_says_what_was_made_and_what_comes_next(capsys, tmp_path, ada):
    code, out, err = init(capsys, tmp_path / "i", ada)
    assert code == 0
    made = configuration.load(tmp_path / "i")
    for part in (
        f"made a new evaluation installation in {tmp_path}/i",
        made.instance,
        "ada; 1 of 1 must sign",
        f"{tmp_path}/i/trust.json",
        f"sealwright up {tmp_path}/i",
        f"sealwright connect http://127.0.0.1:8710 --trust {tmp_path}/i/trust.json --identity {ada}",
    ):
        assert part in out
    assert f"ada signs the root with {ada}" in err
    for secret in (tmp_path / "i").rglob("*"):
        if secret.name in ("log-key", "identity"):
            assert secret.read_text().strip() not in out + err


def test_init_speaks_json(capsys, tmp_path, ada):
    code, out, _ = init(capsys, tmp_path / "i", ada, "--json", "--port", 8123)
    assert code == 0
    value = json.loads(out)
    assert value["instance"] == configuration.load(tmp_path / "i").instance
    assert value["url"] == "http://127.0.0.1:8123"


@pytest.mark.parametrize(("host", "url"), [("0.0.0.0", "http://127.0.0.1:8710"), ("::", "http://[::1]:8710")])  # noqa: S104
def test_init_everywhere_says_an_address_that_can_be_connected_to(capsys, tmp_path, ada, host, url):
    code, out, err = init(capsys, tmp_path / "i", ada, "--host", host)
    assert code == 0
    assert f"sealwright connect {url} --trust" in out
    assert "from other machines it is https://NAME-OF-THIS-MACHINE:8710" in err
    assert f"the server will not listen on {host} without TLS" in err
    for command in ("up", "server"):
        code, _, err = run(capsys, command, tmp_path / "i")
        assert code == 78
        assert f"the server would listen on {host} without TLS" in err
    path = tmp_path / "i" / "sealwright.toml"
    path.write_text(path.read_text().replace("[server]\n", "[server]\ntls_in_front = true\n"))
    behind_a_proxy = configuration.load(tmp_path / "i")
    assert not behind_a_proxy.is_exposed
    configuration.check_served(behind_a_proxy)
    configuration.write(behind_a_proxy)
    assert configuration.load(tmp_path / "i") == behind_a_proxy


def test_init_for_production_wants_two_administrators(capsys, tmp_path, ada):
    ben = make_identity(tmp_path / "ben")
    code, _, err = init(capsys, tmp_path / "i", ada, "--grade", "production")
    assert code == 77
    assert "threshold 2 cannot be met by 1 administrator" in err
    code, _, err = init(capsys, tmp_path / "i", ada, "--grade", "production", "--threshold", 1)
    assert code == 64
    code, out, _ = init(capsys, tmp_path / "i", ada, "--grade", "production", "--administrator", f"ben={ben}")
    assert code == 0
    assert "ada, ben; 2 of 2 must sign" in out


def test_init_with_a_token_module_makes_a_token_with_the_first_key_of_a_partition(capsys, tmp_path, ada):
    hsm = SoftHsm(tmp_path)
    try:
        code, out, _ = init(capsys, tmp_path / "i", ada, "--keystore", f"pkcs11:module-path={hsm.module_path}")
        assert code == 0
        assert f"pkcs11:token={{partition}}?module-path={hsm.module_path}" in out
        from sealwright.wiring import partitions

        partitions.ensure_partition(configuration.load(tmp_path / "i"), "router-production")
        tool = require_tool("softhsm2-util")
        assert (
            "router-production"
            in subprocess.run([tool, "--show-slots"], capture_output=True, text=True, check=True).stdout
        )
    finally:
        hsm.close()


@pytest.mark.parametrize(
    ("administrators", "code", "message"),
    [
        (["ada"], 64, "'ada' is not NAME=IDENTITY"),
        (["ada=/no/such/key"], 78, "/no/such/key: No such file"),
        (["ada={ada}", "ada={ada}"], 64, "administrator ada is there twice"),
        (["ada={ada}", "eve={ada}"], 77, "administrator key is there twice"),
        (["Ada Lovelace={ada}"], 65, "person"),
    ],
)
def test_init_refuses_administrators_that_cannot_be(capsys, tmp_path, ada, administrators, code, message):
    options = [word.format(ada=ada) for a in administrators for word in ("--administrator", a)]
    found, out, err = run(capsys, "init", tmp_path / "i", "--origin", "log.example/acme", *options)
    assert (found, out) == (code, "")
    assert message in err
    assert not (tmp_path / "i").exists()


@pytest.mark.parametrize("command", ["up", "server", "signer", "doctor"])
def test_a_folder_without_an_instance_is_a_wrong_setting(capsys, tmp_path, command):
    code, out, err = run(capsys, command, tmp_path)
    assert (code, out) == (78, "")
    assert f"sealwright: error: {tmp_path} holds no instance" in err
    assert "sealwright: hint: make one with `sealwright init DIR`" in err


def test_a_new_signer_begins_where_its_administrator_says_and_is_never_told_again(capsys, tmp_path, monkeypatch):
    folder = Live(tmp_path).make().folder / "i"
    monkeypatch.setattr("sealwright.wiring.__main__.serve", lambda _name, _folder: None)
    as_of = f"7:{'ab' * 32}"
    code, _, err = run(capsys, "signer", folder, "--as-of", as_of)
    assert code == 78
    assert "a signer's memory of the log is never replaced" in err
    (folder / "signer" / "head").unlink()
    for wrong in ("7", f"0:{'ab' * 32}", f"7:{'AB' * 32}", f"7:{'ab' * 31}"):
        code, _, err = run(capsys, "signer", folder, "--as-of", wrong)
        assert code == 64
        assert "is no state of a log" in err
    assert run(capsys, "signer", folder, "--as-of", as_of)[0] == 0
    head, _ = peek(folder / "signer" / "head")
    assert (head.size, head.root_hash) == (7, "ab" * 32)
    assert run(capsys, "signer", folder, "--as-of", as_of)[0] == 78


def test_doctor_ends_with_1_and_speaks_json_when_something_is_wrong(capsys, tmp_path):
    folder = Live(tmp_path).make().folder / "i"
    code, out, _ = run(capsys, "doctor", folder)
    assert code == 0
    assert out.endswith("all well\n")
    (folder / "signer" / "identity").chmod(0o644)
    code, out, _ = run(capsys, "doctor", folder)
    assert code == 1
    assert f"problem   files: others can read {folder}/signer/identity" in out
    assert f"mend it: chmod 600 {folder}/signer/identity" in out
    code, out, _ = run(capsys, "doctor", folder, "--json")
    assert code == 1
    (bad,) = [f for f in json.loads(out) if f["level"] == "problem"]
    assert bad["subject"] == "files"
    assert bad["remedy"].startswith("chmod 600")


def test_backup_and_restore(capsys, tmp_path):
    folder = Live(tmp_path).make().folder / "i"
    code, out, err = run(capsys, "backup", folder, tmp_path / "b")
    assert code == 0
    assert "log size   1" in out
    assert "not in it, keep copies elsewhere: log key, signer identity" in err
    assert run(capsys, "backup", folder, tmp_path / "b")[0] == 77
    code, _, err = run(capsys, "restore", tmp_path / "b", tmp_path / "r")
    assert code == 77
    assert "--replacing" in err
    as_of = f"1:{json.loads((tmp_path / 'b' / 'backup.json').read_text())['root_hash']}"
    assert run(capsys, "restore", tmp_path / "b", tmp_path / "r", "--replacing", folder, "--as-of", as_of)[0] == 64
    code, out, _ = run(capsys, "restore", tmp_path / "b", tmp_path / "lost", "--as-of", as_of)
    assert code == 0
    assert f"put back, mode 0600: {tmp_path}/lost/server/log-key" in out
    code, out, _ = run(capsys, "restore", tmp_path / "b", tmp_path / "r", "--replacing", folder)
    assert code == 0
    assert "put back" not in out
    assert f"{folder} cannot go on" in out
    assert f"then: sealwright doctor {tmp_path}/r" in out
    assert run(capsys, "doctor", tmp_path / "r")[0] == 0
    code, _, err = run(capsys, "doctor", folder)
    assert code == 78
    assert f"{folder} was replaced by {tmp_path}/r" in err


def test_up_refuses_what_nothing_could_be_signed_with():
    """As a user who is not root, to whom modes mean nothing."""
    require_root()
    with open_folder() as folder:
        live = Live(folder / "l").make()
        for path in (folder / "l", *(folder / "l").rglob("*")):
            os.chown(path, FIRST, FIRST)
        up = "import sys; from sealwright.cli.main import main; print(main(['up', sys.argv[1]]))"
        database = live.folder / "i" / "server" / "log.db"
        database.chmod(0o400)
        done = subprocess.run(
            [python(), "-I", "-c", up, live.folder / "i"], user=FIRST, group=FIRST, extra_groups=(), cwd="/",
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.stdout.strip() == "78"
        assert f"{database} cannot be written to: nothing could be signed" in done.stderr
        assert f"chmod u+rwX {database}" in done.stderr
        assert "serves" not in done.stdout


def test_up_says_which_keys_it_cannot_read(capsys, tmp_path, monkeypatch):
    live = Live(tmp_path).make()
    loaded = live.configuration
    setting = configuration.PartitionSetting(uri=f"files:{loaded.keys}/lamp", secret="file:/nowhere")  # noqa: S106
    configuration.write(replace(loaded, partitions={"lamp": setting}))
    monkeypatch.setattr(supervisor.Supervisor, "run", lambda self: self._on_ready())
    (loaded.keys / "lamp").mkdir(parents=True)
    code, _, err = run(capsys, "up", live.folder / "i")
    assert code == 0
    assert "warning: nothing will be signed with the keys of lamp: its key files are not there" in err


def test_up_shows_how_to_connect_when_both_serve(capsys, tmp_path, monkeypatch):
    live = Live(tmp_path).make()
    monkeypatch.setattr(supervisor.Supervisor, "run", lambda self: self._on_ready())
    code, out, _ = run(capsys, "up", live.folder / "i")
    assert code == 0
    assert f"serves at {live.configuration.url}" in out
