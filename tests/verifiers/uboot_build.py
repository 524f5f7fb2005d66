"""U-Boot built from Debian's source package, with what Debian's own binaries lack; once per checkout.

``scripts/build-uboot.sh`` says what each build is for, and fails when an option fell out of its configuration.
"""

import functools
import shutil
import subprocess
from enum import StrEnum
from pathlib import Path

from tests.conftest import PROJECT, missing

TIMEOUT_SECONDS = 900
NEEDED = ("dpkg-source", "make", "gcc", "bison", "flex", "aarch64-linux-gnu-gcc", "riscv64-linux-gnu-gcc")


class Build(StrEnum):
    """What can be built."""

    FIT_CHECK_SIGN = "fit_check_sign"
    ARM64 = "arm64"
    """RSA-PSS in FIT images, authenticated capsules."""
    RISCV64 = "riscv64"
    RISCV64_SPL = "riscv64_spl"
    """The first stage; ``u-boot-nodtb.bin`` beside its folder is what it starts behind OpenSBI."""


@functools.cache
def built(target: Build) -> Path:
    """Return what was built, ``u-boot.bin`` or the tool; the first caller waits for about a minute."""
    for tool in NEEDED:
        if shutil.which(tool) is None:
            missing(f"program {tool}")
    command = [str(PROJECT / "scripts" / "build-uboot.sh"), target]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
    if done.returncode != 0:
        missing(f"a build of U-Boot ({target}): {done.stderr[-2000:]}")
    return Path(done.stdout.strip())
