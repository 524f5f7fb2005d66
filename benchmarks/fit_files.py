"""A U-Boot FIT whose one image lies outside its devicetree, and mkimage building and signing the same."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.formats.fits import replaced

KEY_NAME = "u-boot-fit"
SOURCE = """/dts-v1/; / {{
    description = "benchmark"; #address-cells = <1>;
    images {{ ramdisk-1 {{
        description = "payload"; data = /incbin/("{payload}"); type = "ramdisk"; arch = "arm64"; os = "linux";
        compression = "none"; load = <0x4a000000>; hash-1 {{ algo = "sha256"; }};
    }}; }};
    configurations {{ default = "conf-1"; conf-1 {{ ramdisk = "ramdisk-1"; {template} }}; }};
}};"""
TEMPLATE = f'signature-1 {{ algo = "sha256,rsa2048"; key-name-hint = "{KEY_NAME}"; sign-images = "ramdisk"; }};'


def make_fit(make_payload: Callable[[Path, int], Path], path: Path, size: int) -> Path:
    """Build a FIT around four bytes, then say that they are ``size`` bytes: mkimage would hold them three times."""
    payload = make_payload(path.with_suffix(".payload"), size)
    small = path.with_suffix(".small")
    small.write_bytes(bytes(4))
    source = path.with_suffix(".its")
    source.write_text(SOURCE.format(payload=small, template=""))
    subprocess.run(["mkimage", "-f", source, "-E", path], check=True, capture_output=True)
    image = replaced(path.read_bytes()[:-4], "/images/ramdisk-1", "data-size", size.to_bytes(4, "big"))
    with payload.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").digest()
        content.seek(0)
        with path.open("wb") as file:
            file.write(replaced(image, "/images/ramdisk-1/hash-1", "value", digest))
            shutil.copyfileobj(content, file, 1 << 20)
            file.flush()
            os.fsync(file.fileno())
    source.write_text(SOURCE.format(payload=payload, template=TEMPLATE))
    return path


def mkimage(image: Path, out: Path, keys: Path) -> Sequence[object]:
    """Return the command that builds and signs the same from its payload, in one run."""
    (keys / f"{KEY_NAME}.key").unlink(missing_ok=True)
    (keys / f"{KEY_NAME}.key").symlink_to(f"{KEY_NAME}.pem")
    return ["mkimage", "-f", image.with_suffix(".its"), "-E", "-k", keys, out]
