"""Partitions of different users: what the operating system lets the worker of one do to the keys of the other."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.conftest import require_tool
from tests.keystores.conftest import PIN, payload_of, size_of
from tests.simulators import users
from tests.simulators.live import Live
from tests.simulators.softhsm import SoftHsm
from tests.simulators.users import FIRST, SECOND

from sealwright.core.errors import ConfigurationError
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.keystores.frames import Item
from sealwright.keystores.opening import create_partition
from sealwright.keystores.worker_client import Worker
from sealwright.wiring import ceremony, partitions
from sealwright.wiring import configuration as settings
from sealwright.wiring.configuration import PartitionSetting
from sealwright.wiring.partition_user import acting_as, give_to
from sealwright.wiring.signer import start_worker

ECDSA = Algorithm.ECDSA_P256_SHA256
STATUS = ("Uid", "Gid", "Groups", "NoNewPrivs", "CapEff", "CapPrm", "CapInh", "CapAmb")
REACH = """
import ctypes, os, sys
pid, folder, *files = int(sys.argv[1]), *sys.argv[2:]
library = ctypes.CDLL(None, use_errno=True)

def attach():
    if library.ptrace(16, pid, 0, 0):  # PTRACE_ATTACH
        raise OSError(ctypes.get_errno(), "ptrace")

def copy_memory():
    buffer, two = ctypes.create_string_buffer(8), ctypes.c_size_t * 2
    if library.process_vm_readv(pid, two(ctypes.addressof(buffer), 8), 1, two(4096, 8), 1, 0) < 0:
        raise OSError(ctypes.get_errno(), "process_vm_readv")

def read(path):
    return lambda: open(path, "rb").read(1)

tries = {
    "list": lambda: os.listdir(folder),
    **{f"read {file}": read(file) for file in files},
    "make": lambda: os.close(os.open(folder + "/planted", os.O_CREAT | os.O_WRONLY)),
    "attach": attach,
    "copy memory": copy_memory,
    "descriptors": lambda: os.listdir(f"/proc/{pid}/fd"),
    **{f"read {name}": read(f"/proc/{pid}/{name}") for name in ("mem", "environ", "maps")},
    "kill": lambda: os.kill(pid, 9),
    "rename": lambda: os.rename(folder, folder + ".moved"),
}
for name, attempt in tries.items():
    try:
        attempt()
        print("reached", name)
    except PermissionError:
        pass
"""


@dataclass
class Two:
    """Two partitions with a key each, of two users, and their workers."""

    python: str
    folders: dict[int, Path]
    keys: dict[int, PublicKey]
    workers: dict[int, Worker]

    def pid(self, user: int) -> int:
        running = self.workers[user]._running
        assert running is not None
        return running.process.pid


def make(setting: PartitionSetting, folder: Path, name: str) -> PublicKey:
    """Make a key as ``sealwright key create`` does."""
    live = Live(folder / name).make()
    configuration = live.configuration
    profile = f"{name}/production/1"
    partition = partitions.partition_name(profile)
    configuration = replace(configuration, partitions={partition: setting})
    partitions.ensure_partition(configuration, partition)
    order = ceremony.KeyOrder(profile=profile, algorithm=ECDSA, size_bits=size_of(ECDSA), image_format="raw")
    return PublicKey(ceremony.create_key(configuration, order).public_key)


@pytest.fixture(params=["files", "token"])
def two(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Two]:
    users.require_root()
    secret = tmp_path / "pin"
    secret.write_bytes(PIN.reveal())
    secret.chmod(0o600)
    with users.open_folder() as folder:
        python = users.use_python(monkeypatch)
        folders, keys, workers = {}, {}, {}
        hsm = SoftHsm(folder) if request.param == "token" else None
        if hsm:
            hsm.tokens_folder.chmod(0o1777)  # each token is a folder of its own in it, as keys of users are in /tmp
            hsm.configuration.chmod(0o644)
        for user, name in ((FIRST, "router"), (SECOND, "camera")):
            if hsm:
                before = set(hsm.tokens_folder.iterdir())
                with acting_as(user):
                    uri = hsm.token(name, PIN.reveal().decode())
                (folders[user],) = set(hsm.tokens_folder.iterdir()) - before
            else:
                folders[user] = folder / name
                uri = f"files:{folders[user]}"
            setting = PartitionSetting(uri=uri, secret=f"file:{secret}", user=user)
            keys[user], workers[user] = make(setting, tmp_path, name), start_worker(setting)
            workers[user].health([keys[user].fingerprint])
        yield Two(python, folders, keys, workers)
        for worker in workers.values():
            worker.close()
        if hsm:
            hsm.close()


def test_a_worker_has_its_user_and_nothing_else(two: Two) -> None:
    for user in (FIRST, SECOND):
        lines = Path(f"/proc/{two.pid(user)}/status").read_text().splitlines()
        status = {name: value.split() for name, _, value in (line.partition(":") for line in lines) if name in STATUS}
        assert status["Uid"] == status["Gid"] == [str(user)] * 4
        assert status["Groups"] == []
        assert status["NoNewPrivs"] == ["1"]
        assert all(status[name] == ["0" * 16] for name in STATUS if name.startswith("Cap"))
        payload = payload_of(ECDSA)
        (signature,) = two.workers[user].sign([Item(two.keys[user].fingerprint, ECDSA, payload)])
        assert isinstance(signature, bytes)
        two.keys[user].verify(ECDSA, payload, signature)


def test_files_of_a_partition_belong_to_its_user_alone(two: Two) -> None:
    for user, folder in two.folders.items():
        found = [folder, *folder.iterdir()]
        assert len(found) > 1
        assert {path.stat().st_uid for path in found} == {user}
        assert {path.stat().st_mode & 0o077 for path in found} == {0}


def test_the_user_of_one_partition_reaches_nothing_of_the_other(two: Two) -> None:
    files = sorted(two.folders[SECOND].iterdir())
    assert users.run_as(FIRST, two.python, REACH, two.pid(SECOND), two.folders[SECOND], *files) == ""
    assert set(two.workers[SECOND].public_keys()) == {two.keys[SECOND].fingerprint}
    # The same tries by the partition's own user reach the files and still not the worker's memory.
    own = users.run_as(SECOND, two.python, REACH, two.pid(SECOND), two.folders[SECOND], *files).splitlines()
    assert {"reached list", "reached kill", *(f"reached read {file}" for file in files)} <= set(own)
    assert not {f"reached {what}" for what in ("attach", "copy memory", "read mem", "read maps")} & set(own)


def test_a_worker_that_is_told_of_the_others_partition_cannot_open_it(two: Two) -> None:
    """The signer is believed; but even a wrong line in the settings does not open another user's keys."""
    uri = two.workers[SECOND]._uri
    mixed = Worker(uri, PIN, user=FIRST)
    with pytest.raises(Exception, match=r"belongs to user|no token|Permission denied|cannot") as refused:
        mixed.health([two.keys[SECOND].fingerprint])
    assert PIN.reveal().decode() not in str(refused.value)
    mixed.close()


@pytest.mark.slow
def test_a_signer_starts_each_worker_as_the_user_in_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users.require_root()
    with users.open_folder() as folder:
        monkeypatch.setattr("sys.executable", users.python())
        live = Live(tmp_path / "live").make()
        places = {
            name: PartitionSetting(
                uri=f"files:{folder / name}", secret=f"file:{live.configuration.secrets / name}", user=user
            )
            for name, user in (("router-production", FIRST), ("router-development", SECOND))
        }
        settings.write(replace(live.configuration, partitions=places))
        assert live.configuration.partitions == places
        for name in places:
            partitions.ensure_partition(live.configuration, name)
        live.start()
        try:
            live.found_policy()
            for environment in ("production", "development"):
                request, _ = live.submit(environment=environment)
                if environment == "production":
                    live.approve(request, "ben", "cleo")
                done = live.result(request)
                assert done.status.state == "signed", done
            signer = live.processes["signer"].pid
            task = Path(f"/proc/{signer}/task")
            children = [int(pid) for thread in task.iterdir() for pid in (thread / "children").read_text().split()]
            uids = {line.split()[1] for pid in children for line in status_of(pid) if line.startswith("Uid")}
            assert uids == {str(FIRST), str(SECOND)}
            reach = "import socket, sys; s = socket.socket(socket.AF_UNIX)\n"
            reach += "try: s.connect(sys.argv[1]); print('reached')\nexcept PermissionError: pass"
            (tmp_path / "live").chmod(0o755)
            assert users.run_as(FIRST, sys.executable, reach, live.configuration.socket) == ""
        finally:
            live.stop()


def status_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/status").read_text().splitlines()


def test_a_user_that_cannot_be_changed_to_is_a_configuration_error(tmp_path: Path) -> None:
    users.require_root()
    with users.open_folder():
        program = users.python()
        code = (
            "from sealwright.keystores.worker_client import Worker; from sealwright.keystores.secrets import Secret\n"
        )
        code += "from sealwright.core.errors import ConfigurationError\n"
        code += "try: Worker('files:/x', Secret(b'x'), user=61002).public_keys()\n"
        code += "except ConfigurationError as e: print(e.message, '|', e.setting)"
        said = users.run_as(FIRST, program, code)
    assert said == "no worker can be started as user 61002: Operation not permitted | user"
    shutil.rmtree(tmp_path)


CAPABLE = """
import os, signal, sys
from sealwright.keystores.secrets import Secret
from sealwright.keystores.worker_client import Worker
worker = Worker(sys.argv[1], Secret(sys.argv[2].encode()), user=int(sys.argv[3]))
print(os.getuid(), worker.public_keys())
process = worker._running.process
lines = [line.split() for line in open(f"/proc/{process.pid}/status")]
print({line[0]: line[1] for line in lines if line[0] in ("Uid:", "CapPrm:", "CapAmb:")})
os.kill(process.pid, signal.SIGSTOP)
worker._lost("stopped")
print(process.returncode)
"""


def test_a_signer_with_three_capabilities_starts_and_ends_workers_of_other_users() -> None:
    users.require_root()
    with users.open_folder() as folder:
        create_partition(f"files:{folder / 'keys'}", PIN)
        give_to(SECOND, folder / "keys")
        capabilities = "+setuid,+setgid,+kill"
        command = [require_tool("setpriv"), f"--reuid={FIRST}", f"--regid={FIRST}", "--clear-groups", "--no-new-privs"]
        command += [f"--inh-caps={capabilities}", f"--ambient-caps={capabilities}", users.python(), "-I", "-c"]
        command += [CAPABLE, f"files:{folder / 'keys'}", PIN.reveal().decode(), str(SECOND)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd="/")
    assert done.returncode == 0, done.stderr
    nothing = "0" * 16
    status = {"Uid:": str(SECOND), "CapPrm:": nothing, "CapAmb:": nothing}
    assert done.stdout.splitlines() == [f"{FIRST} {{}}", str(status), "-9"]


def test_a_command_that_may_not_act_for_a_user_says_so() -> None:
    users.require_root()
    with acting_as(FIRST):
        wanted = acting_as(SECOND)
        with pytest.raises(ConfigurationError, match=f"belongs to user {SECOND}, and this is user {FIRST}"):
            wanted.__enter__()
        assert os.geteuid() == FIRST
    assert os.geteuid() == 0
