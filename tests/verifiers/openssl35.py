"""OpenSSL 3.5 or newer judges ML-DSA and SLH-DSA; ``scripts/openssl-3.5.sh`` fetches it beside the system's own."""

import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.conftest import PROJECT, missing

PROGRAM = PROJECT / "build" / "openssl" / "openssl"


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it with these arguments."""
    command = [str(_program()), *map(str, arguments)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120)


def _program() -> Path:
    if not PROGRAM.exists():
        missing("OpenSSL 3.5 (scripts/openssl-3.5.sh could not fetch it, or was not run)")
    return PROGRAM


def python() -> list[str]:
    """Return the command of this Python with that OpenSSL in the place of its own, by the loader it came with."""
    unpacked = _program().parent / "usr"
    (libraries,) = {path.parent for path in unpacked.rglob("libssl.so.3")}
    loader = next(path for path in unpacked.rglob("ld-linux*.so.*") if path.is_file())
    places = (libraries, sysconfig.get_config_var("LIBDIR"), Path("/usr/lib") / libraries.name)
    return [str(loader), "--library-path", ":".join(map(str, places)), sys.executable]


def serve(port: int, groups: str, certificate: Path, key: Path) -> subprocess.Popen[bytes]:
    """Listen for TLS 1.3 with these groups alone; answer each client with a page about the connection."""
    command = [_program(), "s_server", "-accept", f"127.0.0.1:{port}", "-groups", groups, "-tls1_3", "-www"]
    command += ["-cert", certificate, "-key", key]
    return subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def handshake(port: int, groups: str, anchor: Path) -> subprocess.CompletedProcess[str]:
    """Make one handshake of TLS 1.3 and say what was agreed on."""
    options = ("-tls1_3", "-groups", groups, "-CAfile", anchor, "-verify_return_error", "-verify_ip", "127.0.0.1")
    return run("s_client", "-connect", f"127.0.0.1:{port}", *options)


def cms_verify(signature: Path, content: Path, anchor: Path) -> subprocess.CompletedProcess[str]:
    """Verify a detached DER signature."""
    options = ("-binary", "-inform", "DER", "-in", signature, "-content", content, "-CAfile", anchor)
    return run("cms", "-verify", *options, "-purpose", "any", "-out", "/dev/null")


def cms_sign(content: Path, key: Path, certificate: Path, out: Path) -> None:
    """Make a detached signature; without ``-md`` it says "no default digest" for ML-DSA."""
    options = ("-binary", "-outform", "DER", "-md", "sha512", "-in", content, "-inkey", key, "-signer", certificate)
    made = run("cms", "-sign", *options, "-out", out)
    assert made.returncode == 0, made.stderr


def verify(public_key: Path, message: Path, signature: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Verify a bare signature over a message."""
    options = ("-pubin", "-inkey", public_key, "-rawin", "-in", message, "-sigfile", signature)
    return run("pkeyutl", "-verify", *options, *more)


def sign(private_key: Path, message: Path, out: Path) -> None:
    """Make a bare signature over a message."""
    made = run("pkeyutl", "-sign", "-inkey", private_key, "-rawin", "-in", message, "-out", out)
    assert made.returncode == 0, made.stderr


def generate(algorithm: str, out: Path) -> None:
    """Make a private key; ``algorithm`` as OpenSSL names it (its names differ from ours in case only)."""
    made = run("genpkey", "-algorithm", algorithm, "-out", out)
    assert made.returncode == 0, made.stderr
