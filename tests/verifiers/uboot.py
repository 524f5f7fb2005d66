"""U-Boot in QEMU judges FIT images: it boots them or says why not.

Stock Debian (arm64) unless another machine is named; those are built from Debian's source package.
U-Boot takes its control devicetree from QEMU, so a key node in that devicetree is the trust anchor, without a rebuild.
mkimage builds unsigned images and, for comparison, signed ones; fit_check_sign judges signatures without a boot.
"""

import functools
import os
import select
import struct
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import missing, require_tool
from tests.verifiers.uboot_build import Build, built

UBOOT = Path("/usr/lib/u-boot/qemu_arm64/u-boot.bin")
UBOOT_RISCV64 = Path("/usr/lib/u-boot/qemu-riscv64/u-boot.bin")
OPENSBI = Path("/usr/share/qemu/opensbi-riscv64-generic-fw_dynamic.bin")
LOAD_ADDRESS = 0x48000000
LOAD_ADDRESS_RISCV64 = 0x88000000
FIRST_STAGE_LOAD_ADDRESS = 0x80200000  # CONFIG_SPL_LOAD_FIT_ADDRESS
MARKER = "SEALWRIGHT-KERNEL-RUNNING"
PROMPT = "=> "
AUTOBOOT = b"stop autoboot"
TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class Machine:
    """A machine of QEMU and the U-Boot in it."""

    qemu: str
    options: tuple[str, ...]
    uboot: Callable[[], Path]
    load_address: int


def _packaged(path: Path) -> Callable[[], Path]:
    def found() -> Path:
        if not path.is_file():
            missing(f"{path} (package u-boot-qemu)")
        return path

    return found


_COMMON = ("-m", "512", "-nographic", "-net", "none")
STOCK_ARM64 = Machine("qemu-system-aarch64", ("-cpu", "cortex-a57", *_COMMON), _packaged(UBOOT), LOAD_ADDRESS)
PSS_ARM64 = Machine(STOCK_ARM64.qemu, STOCK_ARM64.options, lambda: built(Build.ARM64), LOAD_ADDRESS)
STOCK_RISCV64 = Machine("qemu-system-riscv64", _COMMON, _packaged(UBOOT_RISCV64), LOAD_ADDRESS_RISCV64)
VERIFYING_RISCV64 = Machine(
    STOCK_RISCV64.qemu, STOCK_RISCV64.options, lambda: built(Build.RISCV64), LOAD_ADDRESS_RISCV64
)


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


def marker_kernel_riscv64() -> bytes:
    """Assemble the same for riscv64."""
    header = struct.pack("<2I3Q2IQ8s4sI", 0x0400006F, 0, 0x200000, 0x10000, 0, 2, 0, 0, b"RISCV", b"RSC\x05", 0)
    code = struct.pack(  # the header begins: j 0x40
        "<16I",
        0x00000517,  # auipc a0, 0
        0x04050513,  # addi a0, a0, 64: text
        0x100005B7,  # lui a1, 0x10000: the 16550 at 0x10000000
        0x00054603,  # next: lbu a2, 0(a0)
        0x00060E63,  # beqz a2, off
        0x0055C683,  # wait: lbu a3, 5(a1)
        0x0206F693,  # andi a3, a3, 32: the transmitter is empty
        0xFE068CE3,  # beqz a3, wait
        0x00C58023,  # sb a2, 0(a1)
        0x00150513,  # addi a0, a0, 1
        0xFE5FF06F,  # j next
        0x001005B7,  # off: lui a1, 0x100: the finisher at 0x100000
        0x00005637,  # lui a2, 0x5
        0x55560613,  # addi a2, a2, 0x555
        0x00C5A023,  # sw a2, 0(a1)
        0x0000006F,  # j .
    )
    return (header + code + f"\r\n{MARKER}\r\n".encode() + b"\0").ljust(0x1000, b"\0")


def control_dtb(machine: Machine = STOCK_ARM64) -> bytes:
    """Return the devicetree of QEMU's machine, without any key."""
    return _control_dtb(machine)


@functools.cache
def _control_dtb(machine: Machine) -> bytes:  # with new seeds in it each time it is asked for
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "virt.dtb"
        _run([require_tool(machine.qemu), "-M", f"virt,dumpdtb={path}", *machine.options])
        return path.read_bytes()


def small_dtb(machine: Machine = STOCK_ARM64) -> bytes:
    """Return the same devicetree without its padding: what a FIT gives the kernel."""
    return _small_dtb(machine)


@functools.cache
def _small_dtb(machine: Machine) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "virt.dtb", Path(folder) / "small.dtb"
        path.write_bytes(control_dtb(machine))
        _run([require_tool("dtc"), "-q", "-I", "dtb", "-O", "dtb", "-o", str(out), str(path)])
        return out.read_bytes()


def boot(fit: bytes, dtb: bytes, command: str = "", machine: Machine = STOCK_ARM64) -> Boot:
    """Load a FIT into memory, type ``command`` (``bootm``) at the prompt, and return all that the console said."""
    with tempfile.TemporaryDirectory() as folder:
        image, control = Path(folder) / "image.itb", Path(folder) / "control.dtb"
        image.write_bytes(fit)
        control.write_bytes(dtb)
        arguments = [require_tool(machine.qemu), "-M", "virt", *machine.options, "-bios", str(machine.uboot())]
        arguments += ["-dtb", str(control)]
        arguments += ["-device", f"loader,file={image},addr={machine.load_address:#x},force-raw=on"]
        with subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as qemu:
            try:
                return Boot(_converse(qemu, command or f"bootm {machine.load_address:#x}"))
            finally:
                qemu.kill()


def boot_chain(first: bytes, fit: bytes, dtb: bytes) -> Boot:
    """Let the first stage (riscv64) load OpenSBI and U-Boot from ``first``; that U-Boot boots ``fit``."""
    machine = VERIFYING_RISCV64
    with tempfile.TemporaryDirectory() as folder:
        images = {FIRST_STAGE_LOAD_ADDRESS: first, machine.load_address: fit}
        arguments = [require_tool(machine.qemu), "-M", "virt", *machine.options]
        arguments += ["-bios", str(built(Build.RISCV64_SPL)), "-dtb", f"{folder}/control.dtb"]
        Path(folder, "control.dtb").write_bytes(dtb)
        for address, image in images.items():
            path = Path(folder, f"{address:x}.itb")
            path.write_bytes(image)
            arguments += ["-device", f"loader,file={path},addr={address:#x},force-raw=on"]
        with subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as qemu:
            try:
                first_said = _first_stage(qemu)
                if AUTOBOOT not in first_said:
                    return Boot(first_said.decode("ascii", "replace"))
                assert qemu.stdin is not None
                qemu.stdin.write(b"\r")
                qemu.stdin.flush()
                said = _converse(qemu, f"bootm {machine.load_address:#x}", is_stopped=True)
                return Boot(first_said.decode("ascii", "replace") + said)
            finally:
                qemu.kill()


def _first_stage(qemu: subprocess.Popen[bytes]) -> bytes:
    said = b""
    while AUTOBOOT not in said and b"### ERROR ###" not in said:
        said += _more(qemu)
    return said


def _converse(qemu: subprocess.Popen[bytes], command: str, *, is_stopped: bool = False) -> str:
    """Stop the autoboot, type the command; done when QEMU ends or the prompt comes back."""
    assert qemu.stdin is not None
    said, read = b"", 0
    steps = ((AUTOBOOT, "\r"), (PROMPT.encode(), f"{command}\r"), (command.encode(), ""))
    for awaited, answer in steps[1:] if is_stopped else steps:
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


def mkimage_auto(data: bytes, folder: Path, load_address: int, *options: str) -> bytes:
    """Build a FIT around one kernel without a source, as Debian's scripts do."""
    (folder / "kernel.bin").write_bytes(data)
    kind = [
        "-A",
        "arm64",
        "-O",
        "linux",
        "-T",
        "kernel",
        "-C",
        "none",
        "-a",
        hex(load_address),
        "-e",
        hex(load_address),
    ]
    _run([require_tool("mkimage"), "-f", "auto", *kind, "-n", "linux", "-d", "kernel.bin", *options, "a.itb"], folder)
    return (folder / "a.itb").read_bytes()


def mkimage_encrypted(source: str, folder: Path, keys: Mapping[str, bytes]) -> bytes:
    """Build a FIT whose ``cipher`` nodes name these keys and initial values."""
    for name, value in keys.items():
        (folder / f"{name}.bin").write_bytes(value)
    (folder / "control.dtb").write_bytes(small_dtb())  # mkimage puts the keys there
    return mkimage(source, folder, "-k", str(folder), "-K", "control.dtb")


def dumpimage(fit: bytes, folder: Path) -> str:
    """Have U-Boot's code say what it reads in a FIT."""
    path = folder / "listed.itb"
    path.write_bytes(fit)
    return _run([require_tool("dumpimage"), "-l", str(path)])


def mkimage_sign(fit: bytes, folder: Path, keys: Path, dtb: bytes) -> tuple[bytes, bytes]:
    """Have mkimage sign the template nodes of a FIT; return it and the control devicetree with mkimage's key node."""
    image, control = folder / "signed.itb", folder / "signed.dtb"
    image.write_bytes(fit)
    control.write_bytes(dtb)
    _run([require_tool("mkimage"), "-F", "-k", str(keys), "-K", str(control), "-r", str(image)], folder)
    return image.read_bytes(), control.read_bytes()


def fit_check_sign(fit: bytes, dtb: bytes, folder: Path, configuration: str = "") -> subprocess.CompletedProcess[str]:
    """Ask U-Boot's host tool; without a required key in ``dtb`` it accepts anything."""
    image, control = folder / "checked.itb", folder / "checked.dtb"
    image.write_bytes(fit)
    control.write_bytes(dtb)
    command = [str(built(Build.FIT_CHECK_SIGN)), "-f", str(image), "-k", str(control)]
    command += ["-c", configuration] if configuration else []
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)


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
