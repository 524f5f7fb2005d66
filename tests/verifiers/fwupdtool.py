"""fwupdtool, of the package fwupd, reads and makes DFU and DfuSe files: the program that updates firmware on Linux."""

import base64
import subprocess
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.conftest import require_tool


@dataclass(frozen=True, kw_only=True)
class Read:
    """What it found in a file, or why it refused it."""

    refusal: str = ""
    facts: dict[str, int]
    """``vendor``, ``product``, ``release`` and ``dfu_version``."""
    targets: list[tuple[int, list[tuple[int, bytes]]]]
    """Of DfuSe: alternate setting, and address and data of each element."""


def read(folder: Path, image: bytes, kind: str) -> Read:
    """Have it take the file apart; ``kind`` is ``dfu`` or ``dfuse``."""
    path = folder / "judged.dfu"
    path.write_bytes(image)
    done = _run("firmware-export", path, kind)
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line and "…:" not in line]
        return Read(refusal=said[-1], facts={}, targets=[])
    found = ET.fromstring(done.stdout)  # noqa: S314 - written by the tool that we started
    names = ("vendor", "product", "release", "dfu_version")
    facts = {name: int(found.findtext(name, "0"), 16) for name in names}
    return Read(facts=facts, targets=[_target(target) for target in found.findall("firmware")])


def _target(found: ET.Element) -> tuple[int, list[tuple[int, bytes]]]:
    return int(found.findtext("idx", "0"), 16), [
        (int(chunk.findtext("addr", "0"), 16), base64.b64decode(chunk.findtext("data", "")))
        for chunk in found.findall("chunks/chunk")
    ]


def build_dfuse(folder: Path, targets: list[tuple[int, list[tuple[int, bytes]]]]) -> bytes:
    """Have it make a DfuSe file with these targets, named as ST's tools name them."""
    root = ET.Element("firmware", gtype="FuDfuseFirmware")
    for name, value in (("vendor", 0x0483), ("product", 0xDF11), ("release", 0x0200), ("dfu_version", 0x011A)):
        ET.SubElement(root, name).text = hex(value)
    for alternate, elements in targets:
        target = ET.SubElement(root, "firmware")
        ET.SubElement(target, "id").text = f"@Internal Flash /{alternate}"
        ET.SubElement(target, "idx").text = hex(alternate)
        chunks = ET.SubElement(target, "chunks")
        for address, data in elements:
            chunk = ET.SubElement(chunks, "chunk")
            ET.SubElement(chunk, "addr").text = hex(address)
            ET.SubElement(chunk, "data").text = base64.b64encode(data).decode()
    source, made = folder / "made.xml", folder / "made.dfu"
    source.write_bytes(ET.tostring(root))
    done = _run("firmware-build", source, made)
    assert done.returncode == 0, done.stderr
    return made.read_bytes()


def _run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [require_tool("fwupdtool"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
