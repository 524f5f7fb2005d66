"""A vendor's module wants to be root: commands that make keys are started by root, and load it for another user.

A changed effective user is no protection, since the real and the saved one stay: seteuid(0) takes it back.
Rule: a partition with a ``user`` has its module loaded in a process that is that user's and nobody else's.
"""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.conftest import require_tool
from tests.simulators import ceremonies, users
from tests.simulators.live import Live

from sealwright.core.errors import SealwrightError
from sealwright.core.keys import Algorithm
from sealwright.keystores import ceremony_client, private_keys
from sealwright.wiring import ceremony, key_ceremony, partitions
from sealwright.wiring import configuration as settings
from sealwright.wiring.configuration import Configuration, PartitionSetting

SOURCE = Path(__file__).parents[1] / "simulators" / "greedy_module.c"
NAME, SECRET = "router-production", "TEST ONLY passphrase of another product"
ORDER = ceremony.KeyOrder(
    profile=f"{NAME.replace('-', '/')}/1", algorithm=Algorithm.ECDSA_P256_SHA256, size_bits=256, image_format="raw"
)


@dataclass(frozen=True)
class Trap:
    """An instance whose partition has that module, and what the module says."""

    configuration: Configuration
    said: Path
    people: dict[str, Path]

    def of(self, user: int | None) -> Configuration:
        known = self.configuration.partitions[NAME]
        changed = replace(self.configuration, partitions={NAME: replace(known, user=user)})
        settings.write(changed)
        return changed

    def script(self) -> bytes:
        text = ceremonies.script(self.people, ceremonies.key("1"), grade="hardware-claimed", module=ceremonies.module())
        return text.encode()


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trap]:
    users.require_root()
    users.use_python(monkeypatch)
    live = Live(tmp_path / "live").make().configuration
    pin, wanted = tmp_path / "pin", tmp_path / "wanted"
    for path, text in ((pin, "1234"), (wanted, SECRET)):
        path.write_text(text)
        path.chmod(0o600)
    with users.open_folder() as folder:
        module, said = folder / "greedy.so", folder / "said"
        command = [require_tool("cc"), "-shared", "-fPIC", "-w", "-o", str(module), str(SOURCE)]
        subprocess.run(command, check=True, timeout=60)
        module.chmod(0o755)
        said.touch()
        said.chmod(0o666)
        monkeypatch.setenv("GREEDY_WANTED", str(wanted))
        monkeypatch.setenv("GREEDY_SAID", str(said))
        setting = PartitionSetting(uri=f"pkcs11:token=a?module-path={module}", secret=f"file:{pin}")
        people = {name: ceremonies.participant(tmp_path, name) for name in ("ada", "ben")}
        yield Trap(
            replace(live, partitions={NAME: setting}, keystore=replace(live.keystore, so_pin=f"file:{pin}")),
            said,
            people,
        )


def _created(configuration: Configuration, _: bytes) -> None:
    ceremony.create_key(configuration, ORDER)


def _imported(configuration: Configuration, _: bytes) -> None:
    ceremony.import_key(configuration, ORDER, private_keys.generate(ORDER.algorithm, 256), ())


def _held(configuration: Configuration, script: bytes) -> None:
    key_ceremony.run(configuration, script, {})


def _looked_for(configuration: Configuration, _: bytes) -> None:
    partitions.ensure_partition(configuration, NAME)


WAYS = {"create": _created, "import": _imported, "ceremony": _held, "token": _looked_for}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_the_module_of_a_partition_with_a_user_cannot_become_root(
    trap: Trap, way: Callable[[Configuration, bytes], None]
) -> None:
    with pytest.raises(SealwrightError, match="C_Initialize answered CKR_FUNCTION_FAILED"):
        way(trap.of(users.FIRST), trap.script())
    assert set(trap.said.read_text().splitlines()) == {f"loaded by {users.FIRST}, became root: 0, read: nothing"}


def test_without_a_user_it_is_whoever_started_the_command(trap: Trap) -> None:
    """So the module does try, and what it tries would work."""
    with pytest.raises(SealwrightError, match="C_Initialize answered CKR_FUNCTION_FAILED"):
        _created(trap.of(None), b"")
    assert trap.said.read_text() == f"loaded by 0, became root: 1, read: {SECRET}\n"


def test_where_the_user_cannot_be_taken_the_module_is_not_loaded(
    trap: Trap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "python"  # in a folder that is closed to that user
    closed.write_bytes(Path(users.python()).resolve().read_bytes())
    closed.chmod(0o755)
    monkeypatch.setattr(ceremony_client, "_COMMAND", (str(closed), *ceremony_client._COMMAND[1:]))
    with pytest.raises(SealwrightError, match=f"no worker can be started as user {users.FIRST}: Permission denied"):
        _created(trap.of(users.FIRST), b"")
    assert trap.said.read_text() == ""
