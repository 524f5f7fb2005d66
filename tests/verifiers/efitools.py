"""efitools judge what is signed for a UEFI variable: they write the bytes to be signed, and whole signed updates."""

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from tests.conftest import require_tool


def signature_list(certificate: Path, owner: str, out: Path) -> bytes:
    """Have ``cert-to-efi-sig-list`` pack a certificate."""
    _run([require_tool("cert-to-efi-sig-list"), "-g", owner, str(certificate), str(out)])
    return out.read_bytes()


def to_be_signed(variable: str, lists: bytes, timestamp: int, folder: Path, *, append: bool = False) -> bytes:
    """Return the bytes that ``sign-efi-sig-list -o`` hands to an outside signer."""
    source, out = folder / "lists.esl", folder / "lists.tbs"
    source.write_bytes(lists)
    _sign(["-o", variable, str(source), str(out)], timestamp, append=append)
    return out.read_bytes()


def sign(
    variable: str, lists: bytes, timestamp: int, key: Path, certificate: Path, folder: Path, *, append: bool = False
) -> bytes:
    """Have ``sign-efi-sig-list`` make the whole update."""
    source, out = folder / "lists.esl", folder / "lists.auth"
    source.write_bytes(lists)
    _sign(["-k", str(key), "-c", str(certificate), variable, str(source), str(out)], timestamp, append=append)
    return out.read_bytes()


def _sign(arguments: list[str], timestamp: int, *, append: bool) -> None:
    when = datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S")
    _run([require_tool("sign-efi-sig-list"), *(["-a"] if append else []), "-t", when, *arguments])


def _run(command: list[str]) -> None:
    environment = {**os.environ, "TZ": "UTC"}  # sign-efi-sig-list reads times as local ones
    subprocess.run(command, capture_output=True, check=True, timeout=60, env=environment)
