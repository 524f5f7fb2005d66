"""Makers and outside readers for the formats that are spellings of a memory image.

The canonical stream is built here a second time, by the programs of ``docs/spec/memory-image.md`` and from what
intelhex, bincopy and a reader of UF2 by hand found; nothing of ours helps.
"""

import io
import re
import struct
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import bincopy
from intelhex import IntelHex
from tests.conftest import PROJECT
from tests.formats.throwaway import Signer
from tests.verifiers import openssl

from sealwright.core.images import MemorySource
from sealwright.formats import targets
from sealwright.formats.memory_image import MemoryImage

OPTIONS = {"signing_time": 1_790_000_000}
Memory = list[tuple[int, bytes]]


def random_memory(random: Random, pieces: int = 5, size: int = 3000) -> Memory:
    """Some segments with gaps between them, some of them across 64 KiB."""
    found, at = [], random.choice([0, 0x10, 0x0800_0000, 0xFFF0])
    for _ in range(random.randint(1, pieces)):
        data = random.randbytes(random.randint(1, size))
        found.append((at, data))
        at += len(data) + random.choice([1, 7, 0x100, 0x1_0001, 0x20_0000])
    return found


def canonical(memory: Iterable[tuple[int, bytes]], entry: int | None = None, *, segment_entry: bool = False) -> bytes:
    """The stream of docs/spec/memory-image.md."""
    out = b"Sealwright memory image 1\n"
    out += b"".join(struct.pack(">4sQQ", b"SEG ", address, len(data)) + data for address, data in memory)
    return out if entry is None else out + struct.pack(">4sQ", b"ENTS" if segment_entry else b"ENTL", entry)


def by_intelhex(text: bytes) -> bytes:
    """The canonical stream of what intelhex loads."""
    found = IntelHex()
    found.loadhex(io.StringIO(text.decode()))
    memory = [(a, found.tobinstr(start=a, end=b - 1)) for a, b in found.segments()]
    start = found.start_addr or {}
    if "CS" in start:
        return canonical(memory, start["CS"] << 16 | start["IP"], segment_entry=True)
    return canonical(memory, start.get("EIP"))


def by_bincopy(text: bytes) -> bytes:
    """The canonical stream of what bincopy loads."""
    found = bincopy.BinFile()
    found.add(text.decode())
    memory = [(s.minimum_address, bytes(s.data)) for s in found.segments]
    return canonical(memory, found.execution_start_address or None)


def program(which: int) -> str:
    """A program of docs/spec/memory-image.md."""
    page = (PROJECT / "docs" / "spec" / "memory-image.md").read_text()
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)[which]


def by_page(path: Path, which: int = 0) -> bytes:
    """What a verifier without us gets who follows the page."""
    done = subprocess.run(
        [sys.executable, "-c", program(which), str(path)], capture_output=True, check=True, timeout=60
    )
    return done.stdout


def stream(memory: MemoryImage) -> bytes:
    return b"".join(memory.canonical())


def sign(module: ModuleType, image: bytes, who: Signer, **options: Any) -> bytes:
    """Our signature beside ``image``."""
    prepared = module.prepare(MemorySource(image), [who.signing_key()], OPTIONS | options, targets.ANY)
    patch = prepared.assemble(who.sign_all(prepared))
    assert b"".join(patch.apply(MemorySource(image))) == image, "the file stays as it is"
    return bytes(patch.sidecars[0].content)


def verify(module: ModuleType, image: bytes, signature: bytes, who: Signer) -> Any:
    return module.verify(MemorySource(image), who.trust, {".p7s": signature})


def judge(folder: Path, signature: bytes, content: bytes, who: Signer) -> str:
    """What OpenSSL says of a signature over the bytes that an outside reader made of the file."""
    (folder / "s.p7s").write_bytes(signature)
    (folder / "content").write_bytes(content)
    done = openssl.cms_verify(folder / "s.p7s", folder / "content", who.anchor(folder))
    assert (done.returncode == 0) == (done.stderr.strip() == ACCEPTED), done
    return done.stderr


ACCEPTED = "CMS Verification successful"
CHANGED = "content verify error"
UNKNOWN_SIGNER = "certificate verify error"


def hex_record(kind: int, address: int, data: bytes = b"") -> str:
    body = bytes([len(data)]) + address.to_bytes(2, "big") + bytes([kind]) + data
    return ":" + (body + bytes([-sum(body) & 0xFF])).hex().upper()


def hex_text(memory: Memory, step: int = 16, entry: int | None = None, end: str = "\n") -> bytes:
    """Intel HEX as most tools write it."""
    lines, high = [], 0
    for address, data in memory:
        at = address
        while at < address + len(data):
            if at >> 16 != high:
                high = at >> 16
                lines.append(hex_record(4, 0, high.to_bytes(2, "big")))
            stop = min(at + step, address + len(data), (high + 1) << 16)
            lines.append(hex_record(0, at & 0xFFFF, data[at - address : stop - address]))
            at = stop
    if entry is not None:
        lines.append(hex_record(5, 0, entry.to_bytes(4, "big")))
    return end.join([*lines, hex_record(1, 0), ""]).encode()


def s_record(kind: int, address: int, data: bytes = b"") -> str:
    width = {0: 2, 1: 2, 2: 3, 3: 4, 5: 2, 6: 3, 7: 4, 8: 3, 9: 2}.get(kind, 2)
    body = bytes([width + len(data) + 1]) + address.to_bytes(width, "big") + data
    return f"S{kind}" + (body + bytes([~sum(body) & 0xFF])).hex().upper()


def uf2_file(memory: Memory, family: int | None = 0xE48BFF56, step: int = 256, **changes: int) -> bytes:
    """UF2; ``changes`` are fields of the second block, by name."""
    pieces = [(a + i, d[i : i + step]) for a, d in memory for i in range(0, len(d), step)]
    blocks = []
    for number, (address, data) in enumerate(pieces):
        fields = {
            "magic_0": 0x0A324655, "magic_1": 0x9E5D5157, "flags": 0 if family is None else 0x2000, "address": address,
            "size": len(data), "number": number, "total": len(pieces), "family": family or 0,
        }  # fmt: skip
        if number == 1:
            fields |= changes
        blocks.append(struct.pack("<8I", *fields.values()) + data.ljust(476, b"\0") + struct.pack("<I", 0x0AB16F30))
    return b"".join(blocks)
