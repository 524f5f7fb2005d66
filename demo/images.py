"""The four images: taken from Debian packages, or built around what is in them."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.verifiers import uboot

from demo.console import run

MEMTEST = Path("/boot/memtest86+x64.efi")
UBOOT_ARM = Path("/usr/lib/u-boot/qemu_arm/u-boot.bin")
FIT_SOURCE = """/dts-v1/;
/ {
	description = "Atlas router: U-Boot of Debian and a kernel that says that it ran";
	#address-cells = <1>;
	images {
		kernel-1 {
			data = /incbin/("kernel.bin");
			type = "kernel"; arch = "arm64"; os = "linux"; compression = "none";
			load = <0x44000000>; entry = <0x44000000>;
			hash-1 { algo = "sha256"; };
		};
		fdt-1 {
			data = /incbin/("board.dtb");
			type = "flat_dt"; arch = "arm64"; compression = "none";
			hash-1 { algo = "sha256"; };
		};
		u-boot-1 {
			description = "U-Boot for qemu_arm64, from package u-boot-qemu";
			data = /incbin/("/usr/lib/u-boot/qemu_arm64/u-boot.bin");
			type = "firmware"; arch = "arm64"; os = "u-boot"; compression = "none";
			load = <0x50000000>;
			hash-1 { algo = "sha256"; };
		};
	};
	configurations {
		default = "conf-1";
		conf-1 {
			kernel = "kernel-1"; fdt = "fdt-1"; loadables = "u-boot-1";
			signature-1 {
				algo = "sha256,rsa2048"; key-name-hint = "atlas";
				sign-images = "kernel", "fdt", "loadables";
			};
		};
	};
};
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One image to sign: for which product, with which key, and what the format must be told."""

    title: str
    image: Path
    product: str
    key: str
    options: tuple[str, ...] = ()
    image_format: str = ""


def make(folder: Path) -> list[Job]:
    """Put the four images into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    efi = folder / "memtest.efi"
    shutil.copyfile(MEMTEST, efi)
    firmware = folder / "sensor-app.bin"
    shutil.copyfile(UBOOT_ARM, firmware)
    raw = folder / "sensor-radio.bin"
    shutil.copyfile("/usr/lib/u-boot/qemu_arm64/u-boot.bin", raw)
    return [
        Job(title="a UEFI program (memtest86+)", image=efi, product="atlas-router", key="uefi"),
        Job(title="a U-Boot FIT (Debian's U-Boot, a kernel)", image=_fit(folder), product="atlas-router", key="boot"),
        Job(
            title="an MCUboot image (a bootloader binary)",
            image=firmware,
            product="pico-sensor",
            key="mcuboot",
            image_format="mcuboot",
            options=("version=1.2.3", "security_counter=7"),
        ),
        Job(title="a raw binary", image=raw, product="pico-sensor", key="raw"),
    ]


def _fit(folder: Path) -> Path:
    work = folder / "fit"
    work.mkdir(exist_ok=True)
    (work / "kernel.bin").write_bytes(uboot.marker_kernel())
    (work / "board.dtb").write_bytes(uboot.small_dtb())
    (work / "router.its").write_text(FIT_SOURCE)
    run(["mkimage", "-f", "router.its", "router.itb"], cwd=work, stdout=subprocess.DEVNULL)
    fit = folder / "router.itb"
    (work / "router.itb").replace(fit)
    return fit
