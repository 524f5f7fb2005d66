"""Other people's programs judge what we signed: each must accept the image and refuse it with one byte flipped."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from tests.verifiers import uboot

from demo.console import UnexpectedError
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.formats.fit_key_node import with_key_node

Judge = Callable[[Path, Path], list[tuple[str, bool, str]]]
"""(image, folder with certificate.pem and public.pem) -> (program, accepted, its words) for each program."""


def judge_uefi(image: Path, keys: Path) -> list[tuple[str, bool, str]]:
    certificate = str(keys / "certificate.pem")
    return [
        _judge("sbverify", ["sbverify", "--cert", certificate, str(image)], "Signature verification OK"),
        _judge("osslsigncode", ["osslsigncode", "verify", "-CAfile", certificate, "-in", str(image)], "Succeeded"),
    ]


def judge_fit(image: Path, keys: Path) -> list[tuple[str, bool, str]]:
    public = serialization.load_pem_public_key((keys / "public.pem").read_bytes())
    spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    dtb = with_key_node(uboot.control_dtb(), PublicKey(spki), Algorithm.RSA_PKCS1_SHA256, "atlas")
    console = uboot.boot(image.read_bytes(), dtb).console
    accepted = "rsa2048:atlas+ OK" in console and uboot.MARKER in console
    wanted = ("rsa2048:atlas+", uboot.MARKER) if accepted else ("Bad", "Failed", "error")
    words = [line.strip() for line in console.splitlines() if any(w in line for w in wanted)]
    return [("U-Boot in QEMU", accepted, "; ".join(words[-2:]))]


def judge_mcuboot(image: Path, keys: Path) -> list[tuple[str, bool, str]]:
    command = ["imgtool", "verify", "-k", str(keys / "public.pem"), str(image)]
    return [_judge("imgtool", command, "Image was correctly validated")]


def judge_raw(image: Path, keys: Path) -> list[tuple[str, bool, str]]:
    signature = image.with_name(image.name + ".p7s")
    command = ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", str(signature), "-content", str(image)]
    command += ["-CAfile", str(keys / "certificate.pem"), "-purpose", "any", "-out", "/dev/null"]
    return [_judge("openssl cms", command, "CMS Verification successful")]


JUDGES: dict[str, Judge] = {"uefi": judge_uefi, "boot": judge_fit, "mcuboot": judge_mcuboot, "raw": judge_raw}


def _judge(name: str, command: list[str], good: str) -> tuple[str, bool, str]:
    program = Path(sys.executable).parent / command[0]
    if program.exists():
        command = [str(program), *command[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    accepted = done.returncode == 0 and good in said
    if accepted:
        return name, True, good
    if not lines:
        raise UnexpectedError(f"{name} said nothing and ended with {done.returncode}")
    words = ("doesn't match", "mismatch", "content verify", "invalid hash", "failure", "failed")
    telling = [line for word in words for line in lines if word in line.lower()]
    return name, False, (telling or lines)[0]
