"""Ten thousand real signatures of one stateful key, through everything that repeats a number elsewhere.

Eight processes at once, processes killed at any moment, the keystore put back from an old copy, two signers with a copy
each; the blocks are those that the log would hold for each session, one above the other (ADR 0052).
"""

import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from tests.conftest import PROJECT
from tests.keystores.conftest import PIN, TEMPLATE

from sealwright.core import lms
from sealwright.core.keys import Algorithm, HssLmsPublicKey, PublicKey
from sealwright.keystores.numbers import Block
from sealwright.keystores.opening import create_partition, open_ceremony, open_keystore

HSS, PARAMETERS = Algorithm.HSS_LMS, "sha256-n24-h15-w1"
SIGNATURES = 10_000
SIGNER = """
import sys
from sealwright.core.errors import RefusedError
from sealwright.core.keys import Algorithm
from sealwright.keystores.numbers import Block
from sealwright.keystores.opening import open_keystore
from sealwright.keystores.secrets import Secret
uri, pin, key, first, stop, count = sys.argv[1:]
store = open_keystore(uri, Secret(pin.encode()))
for n in range(int(count)):
    try:
        signature = store.sign(key, Algorithm.HSS_LMS, b"firmware", Block(int(first), int(stop)))
    except RefusedError:
        break
    sys.stdout.buffer.write(signature)
    sys.stdout.buffer.flush()
"""


class Signers:
    """Processes that sign with one key, each into a file of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "p"
        uri = f"files:{self.home}"
        create_partition(uri, PIN)
        ceremony = open_ceremony(uri, PIN)
        self.key: PublicKey = ceremony.create_key("router/lms", HSS, 0, TEMPLATE, PARAMETERS).public_key
        ceremony.close()
        self.outputs: list[Path] = []
        self.mark = 1
        """What the log knows: all blocks end here or below."""

    def block(self, size: int) -> Block:
        """Return the block of another session."""
        self.mark += size
        return Block(self.mark - size, self.mark)

    def start(self, home: Path, block: Block, count: int) -> subprocess.Popen[bytes]:
        output = self.folder / f"{len(self.outputs)}.signatures"
        self.outputs.append(output)
        order = (f"files:{home}", PIN.reveal().decode(), self.key.fingerprint, *map(str, block), str(count))
        with output.open("wb") as file:
            return subprocess.Popen([sys.executable, "-c", SIGNER, *order], stdout=file, cwd=PROJECT)

    def finish(self, *processes: subprocess.Popen[bytes]) -> None:
        assert [process.wait(timeout=500) for process in processes] == [0] * len(processes)

    def numbers(self) -> list[int]:
        """Return the number of every signature that a process gave out whole; each verifies."""
        assert isinstance(self.key.key, HssLmsPublicKey)
        found = []
        for output in self.outputs:
            data = output.read_bytes()
            for at in range(0, len(data) - self.size + 1, self.size):
                signature = data[at : at + self.size]
                self.key.verify(HSS, b"firmware", signature)
                found.append(lms.leaf_indices(self.key.key.hss, signature)[0])
        return found

    @property
    def size(self) -> int:
        assert isinstance(self.key.key, HssLmsPublicKey)
        return 4 + self.key.key.hss.top.signature_size

    @property
    def made(self) -> int:
        return sum(output.stat().st_size // self.size for output in self.outputs)


@pytest.fixture
def folder():
    """In memory: each number is flushed, and what is shown here is kills and copies, not a loss of power."""
    memory = Path("/dev/shm")  # noqa: S108
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as path:
        yield Path(path)


@pytest.mark.slow
def test_ten_thousand_signatures_and_no_number_twice(folder):
    signers = Signers(folder)
    old = shutil.copytree(signers.home, folder / "old")

    first = signers.block(4000)
    signers.finish(*(signers.start(signers.home, first, 450) for _ in range(8)))
    assert signers.made == 3600

    moments = random.Random(8)  # noqa: S311
    while signers.made < 5000:
        block = signers.block(400)
        pair = [signers.start(signers.home, block, 400) for _ in range(2)]
        started = signers.made
        while signers.made == started:
            time.sleep(0.05)
        time.sleep(moments.uniform(0.0, 1.0))
        for process in pair:
            process.kill()
            process.wait()

    shutil.rmtree(signers.home)
    shutil.copytree(old, signers.home)
    block = signers.block(3000)
    signers.finish(*(signers.start(signers.home, block, 350) for _ in range(8)))

    clone = shutil.copytree(signers.home, folder / "clone")
    blocks = {signers.home: signers.block(1500), clone: signers.block(1500)}
    signers.finish(*(signers.start(home, mine, 300) for home, mine in blocks.items() for _ in range(4)))

    numbers = signers.numbers()
    assert len(numbers) >= SIGNATURES
    assert len(set(numbers)) == len(numbers)
    assert max(numbers) < signers.mark

    again = open_keystore(f"files:{old}", PIN).sign(signers.key.fingerprint, HSS, b"firmware", first)
    assert isinstance(signers.key.key, HssLmsPublicKey)
    assert lms.leaf_indices(signers.key.key.hss, again)[0] in numbers, "the old copy alone would have repeated it"
