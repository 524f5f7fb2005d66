"""Unified kernel images of Debian's kernel and systemd's stub, with a user space of one program."""

import functools
import struct
from collections.abc import Mapping
from pathlib import Path

from tests.conftest import missing

from sealwright.core.images import MemorySource
from sealwright.formats import pe_layout, uki

STUB = Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
BUSYBOX = Path("/bin/busybox")
CMDLINE = b"console=ttyS0 panic=-1"
OS_RELEASE = b'ID=testonly\nNAME="Test Only"\nPRETTY_NAME="Test Only 1.2"\nVERSION_ID=1.2\n'
MARKER = "SEALWRIGHT-INITRD"
INIT = f"""#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t securityfs securityfs /sys/kernel/security
/bin/busybox dmesg | /bin/busybox grep -i -e secureboot -e lockdown
echo "{MARKER} lockdown: $(/bin/busybox cat /sys/kernel/security/lockdown)"
echo "{MARKER} cmdline: $(/bin/busybox cat /proc/cmdline)"
echo SEALWRIGHT-DONE
/bin/busybox poweroff -f
"""


@functools.cache
def stub() -> bytes:
    if not STUB.is_file():
        missing(f"{STUB.name} (package systemd-boot-efi)")
    return STUB.read_bytes()


@functools.cache
def kernel() -> bytes:
    found = sorted(Path("/boot").glob("vmlinuz-*-cloud-amd64"))
    if not found:
        missing("a kernel in /boot (package linux-image-cloud-amd64)")
    return found[-1].read_bytes()


@functools.cache
def initrd() -> bytes:
    """Pack busybox and a script that says what the kernel thinks of Secure Boot, as a cpio archive (newc)."""
    if not BUSYBOX.is_file():
        missing(f"{BUSYBOX} (package busybox-static)")
    return b"".join(
        (
            _cpio("bin", 0o040755, b""),
            _cpio("bin/busybox", 0o100755, BUSYBOX.read_bytes()),
            _cpio("init", 0o100755, INIT.encode()),
            _cpio("TRAILER!!!", 0, b""),
        )
    )


def _cpio(name: str, mode: int, data: bytes) -> bytes:
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    head += bytes(-len(head) % 4)
    return head + data + bytes(-len(data) % 4)


@functools.cache
def real_parts() -> Mapping[str, bytes]:
    return {".linux": kernel(), ".initrd": initrd(), ".cmdline": CMDLINE, ".osrel": OS_RELEASE}


def build(parts: Mapping[str, bytes], base: bytes | None = None) -> bytes:
    """Build a unified kernel image from byte strings."""
    sources = {name: MemorySource(content) for name, content in parts.items()}
    return b"".join(uki.build(MemorySource(stub() if base is None else base), sources))


def with_section(data: bytes, name: bytes, content: bytes, address: int | None = None) -> bytes:
    """Add a section, at an address in memory or behind all others; what stands behind the sections is left out."""
    layout = pe_layout.read(MemorySource(data))
    data = data[: max(section.start + section.size for section in layout.sections)]
    optional_at = layout.checksum_at - pe_layout.CHECKSUM_AT
    at = layout.sections_table_at + len(layout.sections) * pe_layout.SECTION_HEADER.size
    assert at + pe_layout.SECTION_HEADER.size <= layout.sections_start
    (image_size,) = struct.unpack_from("<I", data, optional_at + uki.SIZE_OF_IMAGE_AT)
    address = image_size if address is None else address
    padded = content.ljust(-(-len(content) // 512) * 512, b"\0")
    header = struct.pack("<8sIIII12xI", name, len(content), address, len(padded), len(data), uki.READ_ONLY_DATA)
    changed = bytearray(data + padded)
    changed[at : at + len(header)] = header
    struct.pack_into("<H", changed, optional_at + uki.SECTION_COUNT_AT, len(layout.sections) + 1)
    end = -(-(address + len(content)) // 4096) * 4096
    struct.pack_into("<I", changed, optional_at + uki.SIZE_OF_IMAGE_AT, max(image_size, end))
    return bytes(changed)
