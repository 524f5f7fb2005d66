"""Large files, file to file: beside a loop of the needed work and the formats' own tools; then through a server."""

import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tests.simulators.live import Live

from benchmarks import fit_files
from benchmarks.live import approve_when_there, installation, peak
from benchmarks.measuring import Figure, alternate
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm
from sealwright.formats import pe_layout

MEMTEST = Path("/boot/memtest86+x64.efi")
RANDOM_BYTES = 16 << 20


def make_raw(path: Path, size: int) -> Path:
    """Write ``size`` bytes that are no zeros and lie on the disk."""
    block, written = os.urandom(RANDOM_BYTES), 0
    with path.open("wb") as file:
        while written < size:
            written += file.write(block[: size - written])
        file.flush()
        os.fsync(file.fileno())
    return path


def make_pe(path: Path, size: int) -> Path:
    """Write memtest86+ with its last section grown to ``size`` bytes in all, as sbsign and osslsigncode accept it."""
    data = MEMTEST.read_bytes()
    layout = pe_layout.read(MemorySource(data))
    last = max(layout.sections, key=lambda section: section.start)
    assert last.start + last.size == len(data), "bytes behind the last section"
    size = size // 4096 * 4096
    header = data.rindex(last.name.encode().ljust(8, b"\0"), 0, layout.sections[0].start)
    block, written = os.urandom(RANDOM_BYTES), len(data)
    grown = bytearray(data)
    struct.pack_into("<I", grown, header + 16, size - last.start)  # SizeOfRawData
    with path.open("wb") as file:
        file.write(grown)
        while written < size:
            written += file.write(block[: size - written])
        os.fsync(file.fileno())
    return path


def make_application(path: Path, size: int) -> Path:
    """Write a bare application for MCUboot: a quarter of ``size``, for no slot is as large as other images."""
    return make_raw(path, size // 4)


MAKERS = {"raw": make_raw, "uefi-pe": make_pe}
ALONE = {"mcuboot": make_application, "u-boot-fit": partial(fit_files.make_fit, make_raw)}
"""What is not sent through the server too."""
PRODUCTS = {"raw": "router", "uefi-pe": "boot"}


def make_keys(folder: Path) -> None:
    """Write a key and its self-signed certificate for each format."""
    folder.mkdir()
    now = datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "TEST ONLY benchmark")])
    for image_format, key in (
        ("raw", ec.generate_private_key(ec.SECP256R1())),
        ("uefi-pe", rsa.generate_private_key(65537, 2048)),
        ("u-boot-fit", rsa.generate_private_key(65537, 2048)),
        ("intel-hex", ec.generate_private_key(ec.SECP256R1())),
        ("mcuboot", ec.generate_private_key(ec.SECP256R1())),
    ):
        builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
        certificate = builder.sign(key, hashes.SHA256())
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        (folder / f"{image_format}.pem").write_bytes(key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
        (folder / f"{image_format}.crt").write_bytes(certificate.public_bytes(pem))


def figures(folder: Path, *, size: int, runs: int) -> list[Figure]:
    """Sign a raw file, a PE and an MCUboot image with a key in the client's process."""
    make_keys(folder / "keys")
    found = []
    for image_format, make in {**MAKERS, **ALONE}.items():
        image = make(folder / f"image.{image_format}", size)
        found += _file_to_file(folder, image, image_format, runs)
        image.unlink()
    return found


def _file_to_file(folder: Path, image: Path, image_format: str, runs: int) -> list[Figure]:
    out, peaks = folder / "out", list[float]()

    def job(command: Sequence[object]) -> Callable[[], float]:
        def run() -> float:
            out.unlink(missing_ok=True)  # osslsigncode never overwrites
            _warm_memory(image)
            seconds, stdout = _timed(command)
            if "benchmarks.file_ours" in command:
                peaks.append(float(stdout))
            return seconds

        return run

    commands: dict[str, Sequence[object]] = {
        "ours": _module("file_ours", image_format, image, out, folder / "keys"),
        "loop": _module("file_loop", image_format, image, out),
    }
    commands |= _other_signers(image_format, image, out, folder / "keys")
    medians = alternate(runs, **{name: job(command) for name, command in commands.items()})
    name = f"{image_format} {image.stat().st_size >> 20} MiB, file to file"
    aims = {
        "loop": "<= 1.5",
        "osslsigncode": "<= 1",
        "imgtool": "<= 0.33, or the loop",
        "mkimage": "<= 0.33, or the loop",
    }
    figures = [
        Figure(name=f"{name}, {other}", ours=medians["ours"], other=medians[other], unit="s", beside=other,
               aim=aims.get(other, ""))
        for other in medians if other != "ours"
    ]  # fmt: skip
    return [*figures, Figure(name=f"{name}, memory", ours=max(peaks), unit="MiB", aim="<= 150")]


def _warm_memory(image: Path) -> None:
    """Have the machine's free memory in hand, whoever runs next; the file itself stays in the page cache.

    In a virtual machine the first touch of a gibibyte costs up to four seconds, and who gets touched memory is chance.
    """
    populate = "import mmap, sys; mmap.mmap(-1, int(sys.argv[1])).madvise(23)"  # MADV_POPULATE_WRITE
    subprocess.run([sys.executable, "-c", populate, str(image.stat().st_size * 3 // 2)], check=True)


def _other_signers(image_format: str, image: Path, out: Path, keys: Path) -> dict[str, Sequence[object]]:
    key, certificate = keys / f"{image_format}.pem", keys / f"{image_format}.crt"
    if image_format == "mcuboot":
        parameters = ("-v", "1.2.3", "-H", "0x200", "--pad-header", "-S", hex(1 << 31))
        return {"imgtool": [Path(sys.executable).with_name("imgtool"), "sign", "-k", key, *parameters, image, out]}
    if image_format == "u-boot-fit":
        return {"mkimage": fit_files.mkimage(image, out, keys)}
    if image_format != "uefi-pe":
        return {}
    sign = ["osslsigncode", "sign", "-key", key, "-certs", certificate, "-h", "sha256", "-in", image, "-out", out]
    return {"sbsign": ["sbsign", "--key", key, "--cert", certificate, "--output", out, image], "osslsigncode": sign}


def upload_figures(folder: Path, *, size: int, runs: int) -> list[Figure]:
    """Sign the same files through a live server: uploaded, approved twice, fetched, verified with their evidence."""
    found = []
    with installation(folder, "files") as live:
        live.found_policy(product="boot", image_format="uefi-pe", algorithm=Algorithm.RSA_PKCS1_SHA256, size_bits=2048)
        for image_format, make in MAKERS.items():
            image = make(folder / f"image.{image_format}", size)
            found += _through_server(live, image, image_format, runs)
            image.unlink()
    return found


def _through_server(live: Live, image: Path, image_format: str, runs: int) -> list[Figure]:
    out, peaks = live.folder / "out", list[float]()

    def ours() -> float:
        _touch(image)
        _warm_memory(image)
        # A raw image stays as it is; its signature and evidence come beside it.
        where = image if image_format == "raw" else out / image.name
        seconds, client_peak = sign_by_command_line(live, image, where, PRODUCTS[image_format])
        peaks.extend((client_peak, peak(live)))
        return seconds

    out.mkdir(exist_ok=True)

    def loop() -> float:
        _warm_memory(image)
        return _timed(_module("file_loop", image_format, image, out / "loop"))[0]

    medians = alternate(runs, ours=ours, loop=loop)
    name = f"{image_format} {image.stat().st_size >> 20} MiB, through the server"
    return [
        Figure(name=f"{name}, loop", ours=medians["ours"], other=medians["loop"], unit="s", beside="loop", aim="<= 3"),
        Figure(name=f"{name}, memory", ours=max(peaks), unit="MiB", aim="<= 150"),
    ]


def _touch(image: Path) -> None:
    """Make it another image, so that it is uploaded again."""
    with image.open("r+b") as file:
        file.seek(-8, os.SEEK_END)
        file.write(os.urandom(8))


def sign_by_command_line(live: Live, image: Path, out: Path, product: str) -> tuple[float, float]:
    """Run ``sealwright sign --wait`` while two people approve; return its seconds and its memory in MiB."""
    environment = os.environ | {
        "SEALWRIGHT_URL": live.configuration.url,
        "SEALWRIGHT_TRUST": str(live.configuration.trust_file),
        "SEALWRIGHT_IDENTITY": str(live.identities["ada"]),
    }
    command = _module(
        "measured_cli", "sign", image, "--product", product, "--release", "1", "--wait", "-o", out, "--force"
    )
    start = time.perf_counter()
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        approve_when_there(live)
        _, said = process.communicate()
    seconds = time.perf_counter() - start
    if process.returncode:
        raise RuntimeError(f"sealwright sign: {said[-500:]}")
    return seconds, float(said.split()[-1])


def _module(name: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.{name}", *map(str, arguments)]


def _timed(command: Sequence[object]) -> tuple[float, str]:
    start = time.perf_counter()
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return seconds, done.stdout
