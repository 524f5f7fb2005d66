"""Stock Debian U-Boot (qemu_arm64) in QEMU judges FIT images: it boots them or says why not.

U-Boot takes its control devicetree from QEMU, so a key node in that devicetree is the trust anchor, without a rebuild.
mkimage builds unsigned images and, for comparison, signed ones.
"""

import functools
import os
import select
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import missing, require_tool

UBOOT = Path("/usr/lib/u-boot/qemu_arm64/u-boot.bin")
MACHINE = ["-cpu", "cortex-a57", "-m", "512", "-nographic", "-net", "none"]
LOAD_ADDRESS = 0x48000000
MARKER = "SEALWRIGHT-KERNEL-RUNNING"
PROMPT = "=> "
TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class Boot:
    """What the console said."""

    console: str

    @property
    def kernel_ran(self) -> bool:
        return MARKER in self.console


def marker_kernel() -> bytes:
    """Assemble an arm64 kernel that writes a marker to the console and powers off."""
    header = struct.pack("<2I6Q4sI", 0x14000010, 0, 0, 0x10000, 0xA, 0, 0, 0, b"ARM\x64", 0)  # begins: b 0x40
    code = struct.pack(
        "<10I",
        0x10000140,  # adr x0, text
        0xD2A12001,  # mov x1, 0x09000000: the PL011
        0x38401402,  # next: ldrb w2, [x0], 1
        0x34000062,  # cbz w2, off
        0xB9000022,  # str w2, [x1]
        0x17FFFFFD,  # b next
        0xD2B08000,  # off: mov x0, 0x84000000
        0xF2800100,  # movk x0, 8: PSCI SYSTEM_OFF
        0xD4000002,  # hvc 0
        0x14000000,  # b .
    )
    return (header + code + f"\r\n{MARKER}\r\n".encode() + b"\0").ljust(0x1000, b"\0")


@functools.cache
def control_dtb() -> bytes:
    """Return the devicetree of QEMU's machine, without any key."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "virt.dtb"
        _run([require_tool("qemu-system-aarch64"), "-M", f"virt,dumpdtb={path}", *MACHINE])
        return path.read_bytes()


@functools.cache
def small_dtb() -> bytes:
    """Return the same devicetree without its padding: what a FIT gives the kernel."""
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "virt.dtb", Path(folder) / "small.dtb"
        path.write_bytes(control_dtb())
        _run([require_tool("dtc"), "-q", "-I", "dtb", "-O", "dtb", "-o", str(out), str(path)])
        return out.read_bytes()


def boot(fit: bytes, dtb: bytes, command: str = f"bootm {LOAD_ADDRESS:#x}") -> Boot:
    """Load a FIT into memory, type ``command`` at the prompt, and return all that the console said."""
    if not UBOOT.is_file():
        missing(f"{UBOOT} (package u-boot-qemu)")
    with tempfile.TemporaryDirectory() as folder:
        image, control = Path(folder) / "image.itb", Path(folder) / "control.dtb"
        image.write_bytes(fit)
        control.write_bytes(dtb)
        arguments = [require_tool("qemu-system-aarch64"), "-M", "virt", *MACHINE, "-bios", str(UBOOT)]
        arguments += ["-dtb", str(control)]
        arguments += ["-device", f"loader,file={image},addr={LOAD_ADDRESS:#x},force-raw=on"]
        with subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as qemu:
            try:
                return Boot(_converse(qemu, command))
            finally:
                qemu.kill()


def _converse(qemu: subprocess.Popen[bytes], command: str) -> str:
    """Stop the autoboot, type the command; done when QEMU ends or the prompt comes back."""
    assert qemu.stdin is not None
    said, read = b"", 0
    for awaited, answer in ((b"stop autoboot", "\r"), (PROMPT.encode(), f"{command}\r"), (command.encode(), "")):
        while awaited not in said[read:]:
            said += _more(qemu)
        read = said.index(awaited, read) + len(awaited)
        qemu.stdin.write(answer.encode())
        qemu.stdin.flush()
    start = read
    while PROMPT.encode() not in said[start:]:
        more = _more(qemu)
        if not more:
            break
        said += more
    return said[start:].decode("ascii", "replace")


def _more(qemu: subprocess.Popen[bytes]) -> bytes:
    assert qemu.stdout is not None
    ready, _, _ = select.select([qemu.stdout], [], [], TIMEOUT_SECONDS)
    assert ready, f"U-Boot said nothing for {TIMEOUT_SECONDS} seconds"
    return os.read(qemu.stdout.fileno(), 65536)


def mkimage(source: str, folder: Path, *options: str) -> bytes:
    """Build a FIT from devicetree source; files it includes lie in ``folder``."""
    (folder / "image.its").write_text(source)
    out = folder / "image.itb"
    _run([require_tool("mkimage"), "-f", "image.its", *options, out.name], folder)
    return out.read_bytes()


def mkimage_sign(fit: bytes, folder: Path, keys: Path, dtb: bytes) -> tuple[bytes, bytes]:
    """Have mkimage sign the template nodes of a FIT; return it and the control devicetree with mkimage's key node."""
    image, control = folder / "signed.itb", folder / "signed.dtb"
    image.write_bytes(fit)
    control.write_bytes(dtb)
    _run([require_tool("mkimage"), "-F", "-k", str(keys), "-K", str(control), "-r", str(image)], folder)
    return image.read_bytes(), control.read_bytes()


def fdtget(dtb: bytes, folder: Path, node: str, name: str) -> str:
    """Read a property as hexadecimal bytes with the devicetree compiler's tool."""
    path = folder / "read.dtb"
    path.write_bytes(dtb)
    return _run([require_tool("fdtget"), "-t", "bx", str(path), node, name], folder).strip()


def fdtput(fit: bytes, folder: Path, *arguments: str) -> bytes:
    """Change a devicetree in place as libfdt does: ``-t s NODE NAME VALUE``, ``-c NODE``, ``-d NODE NAME``."""
    path = folder / "written.dtb"
    path.write_bytes(fit)
    flags = 2 if arguments[0] == "-t" else 1
    _run([require_tool("fdtput"), *arguments[:flags], str(path), *arguments[flags:]], folder)
    return path.read_bytes()


def dtc(fit: bytes, folder: Path) -> str:
    """Decompile a devicetree: it must parse, and nothing may be said on the side."""
    path = folder / "read.dtb"
    path.write_bytes(fit)
    return _run([require_tool("dtc"), "-q", "-I", "dtb", "-O", "dts", str(path)], folder)


def _run(command: list[str], folder: Path | None = None) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
    return done.stdout
