"""OVMF (edk2 for QEMU) with Secure Boot on judges what we sign: it starts a program, or says why not.

Its keys are ours, put there by ``virt-fw-vars``.  The programs that it is asked to start are built from ``efi/`` with
gnu-efi, so that nothing but our signature stands between the firmware and their marker.
"""

import functools
import os
import re
import select
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import PROJECT, missing, require_tool

FIRMWARE = Path("/usr/share/OVMF")
CODE, EMPTY_VARIABLES = FIRMWARE / "OVMF_CODE_4M.secboot.fd", FIRMWARE / "OVMF_VARS_4M.fd"
SOURCES = Path(__file__).with_name("efi")
OWNER = "5ea1c0de-0000-4000-8000-000000000001"
DONE = "SEALWRIGHT-DONE"
REFUSED = ("Access Denied", "Security Violation")
TIMEOUT_SECONDS = 120
COMPILE = shlex.split(
    "-I/usr/include/efi -I/usr/include/efi/x86_64 -fpic -ffreestanding -fno-stack-protector -fno-stack-check "
    "-fshort-wchar -mno-red-zone -maccumulate-outgoing-args -DEFI_FUNCTION_WRAPPER -Wall -O2 -c"
)
LINK = shlex.split(
    "-shared -Bsymbolic -znocombreloc -nostdlib -T /usr/lib/elf_x86_64_efi.lds /usr/lib/crt0-efi-x86_64.o"
)
SECTIONS = [".text", ".sdata", ".data", ".rodata", ".dynamic", ".dynsym", ".rel", ".rela", ".rel.*", ".rela.*"]


@dataclass(frozen=True)
class Boot:
    """What the console said, without the terminal's escapes."""

    console: str

    @property
    def ran(self) -> bool:
        return DONE in self.console

    @property
    def is_refused(self) -> bool:
        """The firmware said that it does not start the program, and the program said nothing."""
        return any(words in self.console for words in REFUSED) and "SEALWRIGHT-" not in self.console


@functools.cache
def program(source: str) -> bytes:
    """Build ``efi/<source>.c`` as an unsigned UEFI program."""
    with tempfile.TemporaryDirectory() as folder:
        compiled, linked, out = (Path(folder) / name for name in ("app.o", "app.so", "app.efi"))
        _run([require_tool("gcc"), *COMPILE, str(SOURCES / f"{source}.c"), "-o", str(compiled)])
        _run([require_tool("ld"), *LINK, str(compiled), "-o", str(linked), "-L/usr/lib", "-lefi", "-lgnuefi"])
        kept = [argument for section in (*SECTIONS, ".reloc") for argument in ("-j", section)]
        target = ["--target", "efi-app-x86_64", "--subsystem=10"]
        _run([require_tool("objcopy"), *kept, *target, str(linked), str(out)])
        return out.read_bytes()


def variables(folder: Path, *changes: str) -> Path:
    """Write a variable store: ``changes`` are options of virt-fw-vars, none leaves Secure Boot off."""
    if not EMPTY_VARIABLES.is_file():
        missing(f"{EMPTY_VARIABLES.name} (package ovmf)")
    out = folder / "variables.fd"
    own = PROJECT / ".venv" / "bin" / "virt-fw-vars"
    tool = str(own) if own.is_file() else require_tool("virt-fw-vars")
    _run([tool, "-i", str(out if out.is_file() else EMPTY_VARIABLES), *changes, "-o", str(out)])
    return out


def boot(
    application: bytes,
    store: Path,
    files: Mapping[str, bytes] | None = None,
    done: str = DONE,
    refused: tuple[str, ...] = REFUSED,
) -> Boot:
    """Start ``application`` as EFI/BOOT/BOOTX64.EFI with a copy of the store; ends at ``done`` or ``refused``."""
    with tempfile.TemporaryDirectory() as folder:
        volume, copy = Path(folder) / "volume", Path(folder) / "variables.fd"
        (volume / "EFI" / "BOOT").mkdir(parents=True)
        (volume / "EFI" / "BOOT" / "BOOTX64.EFI").write_bytes(application)
        for name, content in (files or {}).items():
            (volume / name).write_bytes(content)
        shutil.copyfile(store, copy)
        with subprocess.Popen(
            _machine(copy, volume), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as qemu:
            try:
                return Boot(_listen(qemu, (done, *refused)))
            finally:
                qemu.kill()


def _machine(store: Path, volume: Path) -> list[str]:
    # accel=tcg: hosts whose KVM has no SMM refuse smm=on, without which OVMF does not protect its variables.
    arguments = [require_tool("qemu-system-x86_64"), "-machine", "q35,smm=on,accel=tcg", "-m", "512"]
    arguments += ["-global", "driver=cfi.pflash01,property=secure,value=on", "-no-reboot", "-net", "none"]
    arguments += ["-drive", f"if=pflash,unit=0,readonly=on,format=raw,file={CODE}"]
    arguments += ["-drive", f"if=pflash,unit=1,format=raw,file={store}"]
    arguments += ["-drive", f"if=virtio,format=raw,file=fat:rw:{volume}"]
    return [*arguments, "-nographic", "-nodefaults", "-serial", "stdio"]


def _listen(qemu: subprocess.Popen[bytes], last_words: tuple[str, ...]) -> str:
    assert qemu.stdout is not None
    said, until = b"", time.monotonic() + TIMEOUT_SECONDS
    while True:
        text = re.sub(r"\x1b\[[0-9;=?]*[A-Za-z]", "", said.decode("ascii", "replace")).replace("\r", "")
        if any(words in text for words in last_words):
            return text
        ready, _, _ = select.select([qemu.stdout], [], [], max(0.0, until - time.monotonic()))
        assert ready, f"no word that ends a boot in {TIMEOUT_SECONDS} seconds:\n{text}"
        more = os.read(qemu.stdout.fileno(), 65536)
        if not more:
            return text
        said += more


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
