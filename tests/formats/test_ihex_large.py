"""100 MiB of Intel HEX, S-record and UF2 are read in bounded memory, and hostile ones without going over them again."""

import contextlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.formats.memory_files import hex_record, s_record, uf2_file

from sealwright.core.errors import FormatError
from sealwright.core.images import MemorySource
from sealwright.formats import hex_lines
from sealwright.formats.ihex_records import read

TEXT_BYTES = 100 << 20
RESIDENT_KIB = 150 << 10
BANK = bytes(range(256)) * 256

PROGRAM = """
import re, sys
from pathlib import Path
from sealwright.client.files import FileSource
from sealwright.formats import detect

with FileSource(Path(sys.argv[1])) as image:
    print(detect(image).inspect(image).facts["Data"])
print(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1])
"""


def hex_bank(bank: int) -> bytes:
    lines = [hex_record(4, 0, (bank + 0x800).to_bytes(2, "big"))]
    lines += [hex_record(0, at, BANK[at : at + 16]) for at in range(0, len(BANK), 16)] if bank == 0 else []
    return ("\n".join(lines) + "\n").encode()


def write_hex(path: Path) -> int:
    """The data records of every bank are the same; only the record before them differs."""
    bank = hex_bank(0)
    records = bank[len(hex_bank(1)) :]
    count = TEXT_BYTES // len(bank)
    with path.open("wb") as file:
        for high in range(count):
            file.write(hex_bank(high)[: len(hex_bank(1))] + records)
        file.write(hex_record(1, 0).encode())
    return count * len(BANK)


def write_srec(path: Path) -> int:
    """S3 records of 250 bytes: the longest common ones."""
    count = TEXT_BYTES // 514
    with path.open("wb") as file:
        for at in range(0, count * 250, 250):
            file.write(s_record(3, at, BANK[:250]).encode() + b"\n")
        file.write(s_record(7, 0).encode())
    return count * 250


def write_uf2(path: Path) -> int:
    block, count = uf2_file([(0, BANK[:256])]), TEXT_BYTES // 512
    with path.open("wb") as file:
        for number in range(count):
            place = (number * 256).to_bytes(4, "little") + block[16:20] + number.to_bytes(4, "little")
            file.write(block[:12] + place + count.to_bytes(4, "little") + block[28:])
    return count * 256


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_hex, write_srec, write_uf2])
def test_100_mebibytes_are_read_in_150_mebibytes(tmp_path: Path, write: Callable[[Path], int]) -> None:
    path = tmp_path / "large"
    size = write(path)
    assert path.stat().st_size > TEXT_BYTES * 0.99
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    said, peak_kib = done.stdout.splitlines()
    assert said == f"{size} bytes in 1 segment"
    assert int(peak_kib) < RESIDENT_KIB


def lines_of_two_lengths() -> list[str]:
    return [hex_record(0, i * 3 // 2 + i % 2, bytes(1 + i % 2)) for i in range(20_000)]


HOSTILE = {
    "two lengths": lines_of_two_lengths(),
    "addresses that jump": [hex_record(0, i * 17 & 0xFFFF, b"x") for i in range(20_000)],
    "bases alone": [hex_record(4, 0, i.to_bytes(2, "big")) for i in range(20_000)],
    "a wrong digit at the end": [hex_record(0, i, b"x") for i in range(20_000)] + [":0100G000DD22"],
    "a wrong checksum at the end": [hex_record(0, i, b"x") for i in range(20_000)] + [":0100000000FE"],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_tries_to_read_many_lines_at_once_decode_a_hostile_file_few_times(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    text, decoded = "\n".join([*HOSTILE[name], hex_record(1, 0)]).encode(), []
    decode = hex_lines.decode_line
    monkeypatch.setattr(hex_lines, "decode_line", lambda digits: decoded.append(len(digits)) or decode(digits))
    with contextlib.suppress(FormatError):
        read(MemorySource(text))
    assert sum(decoded) < 8 * len(text)
