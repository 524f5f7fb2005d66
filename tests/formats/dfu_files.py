"""Makers of DfuSe files by hand, and what a verifier without us does with a signed DFU or DfuSe file."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path
from re import DOTALL, findall

from tests.conftest import PROJECT
from tests.formats.throwaway import Signer
from tests.verifiers import openssl

Elements = list[tuple[int, bytes]]


def with_suffix(body: bytes, *, version: int = 0x0100, vendor: int = 0x1209, product: int = 1) -> bytes:
    """Close a file as the specification says; also one that lies elsewhere."""
    open_ended = body + struct.pack("<HHHH3sB", 0x0200, product, vendor, version, b"UFD", 16)
    return open_ended + struct.pack("<I", zlib.crc32(open_ended) ^ 0xFFFFFFFF)


def with_new_crc(image: bytes) -> bytes:
    return image[:-4] + struct.pack("<I", zlib.crc32(image[:-4]) ^ 0xFFFFFFFF)


def dfuse_file(targets: list[tuple[int, Elements]]) -> bytes:
    """DfuSe with these targets: alternate setting and elements."""
    body = b""
    for alternate, elements in targets:
        data = b"".join(struct.pack("<II", address, len(content)) + content for address, content in elements)
        name = f"@Internal Flash /{alternate}".encode()
        body += struct.pack("<6sBI255sII", b"Target", alternate, 1, name, len(data), len(elements)) + data
    prefix = struct.pack("<5sBIB", b"DfuSe", 1, 11 + len(body), len(targets))
    return with_suffix(prefix + body, version=0x011A, vendor=0x0483, product=0xDF11)


def program(page: str) -> str:
    """The program on a format's page that parts a signed file into signature and content."""
    (found,) = findall(r"```python\n(.*?)```", (PROJECT / "docs" / "formats" / f"{page}.md").read_text(), DOTALL)
    return str(found)


def judge(folder: Path, image: bytes, who: Signer, page: str) -> str:
    """What OpenSSL says of a signed file once the program of the page has parted it."""
    (folder / "signed.dfu").write_bytes(image)
    command = [sys.executable, "-c", program(page), "signed.dfu"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    said = openssl.cms_verify(folder / "signature.p7s", folder / "content", who.anchor(folder))
    assert (said.returncode == 0) == (said.stderr.strip() == "CMS Verification successful"), said
    return said.stderr
