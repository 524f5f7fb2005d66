"""``sealwright doctor``: looks at everything that an installation stands on, changes nothing, and says how to mend it.

What runs is left alone: the log, its guard and the signer's memory are read beside it, and no keystore is opened while
the signer has it.
"""

import ctypes
import shutil
import socket
import ssl
import stat
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import httpx
from cryptography import x509

from sealwright.core.errors import Code, SealwrightError
from sealwright.policy.documents import DAY_SECONDS, MAX_CLOCK_SKEW_SECONDS
from sealwright.signer.canary import INTERVAL_SECONDS
from sealwright.signer.heads import peek
from sealwright.storage import log_guard
from sealwright.wiring.access import chmod_for_owner, unwritable
from sealwright.wiring.canaries import read_conditions
from sealwright.wiring.configuration import FILE_NAME, Configuration

LEAST_FREE_BYTES, FEW_FREE_BYTES = 100 << 20, 2 << 30
SOON_SECONDS = 30 * DAY_SECONDS
HYBRID_SINCE = (3, 5)
_STA_UNSYNC, _STATUS_AT, _TIMEX_BYTES = 0x40, 40, 208  # struct timex of 64-bit Linux: adjtimex(2)


class Level(StrEnum):
    """How bad it is."""

    FINE = "fine"
    NOTE = "note"  # nothing to mend
    WARNING = "warning"  # will be a problem
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was looked at, what was found, what would mend it."""

    subject: str
    level: Level
    found: str
    remedy: str = ""

    @property
    def is_bad(self) -> bool:
        return self.level in (Level.WARNING, Level.PROBLEM)


Check = Callable[[Configuration], Iterator[Finding]]


def fine(subject: str, found: str) -> Finding:
    return Finding(subject=subject, level=Level.FINE, found=found)


def note(subject: str, found: str) -> Finding:
    return Finding(subject=subject, level=Level.NOTE, found=found)


def warning(subject: str, found: str, remedy: str) -> Finding:
    return Finding(subject=subject, level=Level.WARNING, found=found, remedy=remedy)


def problem(subject: str, found: str, remedy: str) -> Finding:
    return Finding(subject=subject, level=Level.PROBLEM, found=found, remedy=remedy)


def run(configuration: Configuration, checks: dict[str, Check]) -> list[Finding]:
    """Carry out all checks; one that cannot look says so and does not stop the others."""
    findings: list[Finding] = []
    for subject, check in checks.items():
        try:
            findings += check(configuration)
        except SealwrightError as e:
            findings.append(problem(subject, e.message, e.hint or f"see docs/errors.md#{e.code}"))
        except PermissionError as e:
            opened = chmod_for_owner(Path(e.filename)) if e.filename else ""
            remedy = opened or "run the doctor as the user who owns the instance's files"
            findings.append((problem if opened else warning)(subject, f"{e.filename} cannot be looked at", remedy))
        except OSError as e:
            findings.append(problem(subject, f"{e.filename}: {e.strerror}", "put the file back, or restore a backup"))
    return findings


def check_files(configuration: Configuration) -> Iterator[Finding]:
    """Nobody else can read what is secret or change what is believed, and each process can write its own files."""
    bad = list(_bad_files(configuration))
    yield from bad
    if not bad:
        yield fine("files", "modes and owners are right")


def _bad_files(configuration: Configuration) -> Iterator[Finding]:
    for trouble in unwritable(configuration, for_owner=True):
        yield problem("files", f"{trouble.found}: nothing is signed", trouble.remedy)
    folder = configuration.folder
    settings = (folder / FILE_NAME).stat()
    if settings.st_mode & 0o022:
        yield problem("files", f"others can change {FILE_NAME}", f"chmod go-w {folder / FILE_NAME}")
    group = 0 if configuration.signer_user is None else 0o050  # a server of another user passes through run/
    for name in ("server", "signer", "guard", "run"):
        path = folder / name
        allowed = group if name == "run" else 0
        if path.stat().st_mode & 0o077 & ~allowed:
            yield problem("files", f"others can look into {path}", f"chmod {0o700 | allowed:o} {path}")
        for file in path.iterdir():
            if file.lstat().st_uid != path.stat().st_uid:
                yield problem(
                    "files",
                    f"{file} belongs to user {file.lstat().st_uid}, its folder to {path.stat().st_uid}",
                    f"chown --reference={path} {file}",
                )
    own = [configuration.log_key, configuration.log_ml_dsa_key, configuration.signer_identity]
    secrets = dict.fromkeys([*own, configuration.keystore.so_pin], "")
    secrets |= {setting.secret: f", of partition {name}," for name, setting in configuration.partitions.items()}
    for source, of in secrets.items():
        kind, _, where = source.partition(":")
        if kind == "file":
            yield from _bad_secret(Path(where), of, is_needed=source != configuration.keystore.so_pin)


def _bad_secret(path: Path, of: str, *, is_needed: bool) -> Iterator[Finding]:
    try:
        status = path.lstat()
    except FileNotFoundError:
        if is_needed:
            remedy = "put it back from where such secrets are kept; no backup has it"
            yield problem("files", f"{path}{of} is missing", remedy)
        return
    if not stat.S_ISREG(status.st_mode):
        yield problem("files", f"{path}{of} is not a regular file", "put the file itself there")
    elif status.st_mode & 0o177:
        remedy = f"chmod 600 {path}, and make it anew if somebody did"
        yield problem("files", f"others can read {path}{of.removesuffix(',')}", remedy)


def check_processes(configuration: Configuration) -> Iterator[Finding]:
    """Signer and server answer."""
    signer_runs, server_runs = peek(configuration.signer_head)[1], _server_runs(configuration)
    health, why = _server_health(configuration) if server_runs else (False, "no server of this instance runs")
    if signer_runs and not configuration.socket.is_socket():
        yield problem("signer", f"it runs, but {configuration.socket} is gone", "restart the signer")
    elif signer_runs:
        yield fine("signer", "running")
    if health:
        yield fine("server", f"answers at {configuration.url}")
    if not server_runs:
        yield from _port_taken(configuration)
    if not signer_runs and not server_runs:
        yield note("processes", f"nothing runs: `sealwright up {configuration.folder}` starts it")
    elif not signer_runs:
        yield problem("signer", "not running: nothing is signed", "start it; its own output says why it ended")
    elif not health:
        yield problem(
            "server", f"{configuration.url} does not answer: {why}", "start it; its own output says why it ended"
        )


def _about_failure(failure: str) -> str:
    """Return what to do about a canary that failed, by the code that its failure begins with."""
    if failure.startswith(f"{Code.CREDENTIAL}:"):
        return "correct where its PIN or passphrase comes from, then restart the signer: none is tried twice"
    if failure.startswith(f"{Code.SIGNATURE_MISMATCH}:"):
        return "it signs wrongly: take the token out of use; the signer refuses the key until its canary is right"
    return "see to its keystore; the signer tries it again by itself"


def check_canaries(configuration: Configuration) -> Iterator[Finding]:
    """Each key signs a canary again and again while the signer runs."""
    if not peek(configuration.signer_head)[1]:
        return
    conditions = read_conditions(configuration)
    if conditions is None:
        yield note("canaries", "the signer has said nothing of its keys yet")
        return
    for one in conditions.keys:
        if one.failure is not None:
            yield problem(
                "canaries",
                f"key {one.key[:16]} in partition {one.partition} is refused: {one.failure}",
                _about_failure(one.failure),
            )
    if int(time.time()) - conditions.time > 2 * INTERVAL_SECONDS:
        yield warning("canaries", "none was looked at for twenty minutes", "restart the signer")
    elif not any(one.failure for one in conditions.keys):
        yield fine("canaries", f"{len(conditions.keys)} keys sign and verify; stateful keys are not asked")


def _server_runs(configuration: Configuration) -> bool:
    """Whether a process has the guard: anybody's could answer at the port."""
    path = log_guard.path_of(configuration.guard, configuration.origin)
    return path.is_file() and log_guard.is_locked(path)


def _port_taken(configuration: Configuration) -> Iterator[Finding]:
    """A server that is to start needs its port."""
    host, port = configuration.host, configuration.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            probe.bind(address)
            probe.listen(1)
    except PermissionError:
        yield note("server", f"whether port {port} is free can only be seen by who may listen on it")
    except OSError as e:
        yield problem(
            "server",
            f"nothing can listen on {host} port {port}: {e.strerror}",
            f"`ss -ltnp 'sport = :{port}'` says who has it; end that, or set another server.host or server.port",
        )


def _server_health(configuration: Configuration) -> tuple[bool, str]:
    try:
        answer = httpx.get(f"{configuration.url}/health", timeout=5, trust_env=False, verify=_own(configuration))
    except (httpx.HTTPError, OSError) as e:
        return False, str(e)
    return answer.status_code == 200, f"status {answer.status_code}"


def _own(configuration: Configuration) -> ssl.SSLContext:
    """Return what takes the certificate of the settings, whoever issued it and for whatever name."""
    context = ssl.create_default_context(cafile=configuration.tls_certificate)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False  # it is reached by another one here
    return context


def check_address(configuration: Configuration) -> Iterator[Finding]:
    """What others can reach is encrypted, with a certificate that lasts."""
    if configuration.tls_certificate is None or configuration.tls_key is None:
        if configuration.is_tls_in_front:
            yield note("network", f"whoever reaches {configuration.host} but by the proxy with TLS acts as any client")
        elif configuration.is_exposed:
            yield problem(
                "network",
                f"the server does not start on {configuration.host} without TLS: who listens too could act as clients",
                "set server.tls_certificate and server.tls_key, or listen on 127.0.0.1 behind a proxy with TLS",
            )
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            configuration.tls_certificate, configuration.tls_key
        )
    except ssl.SSLError as e:
        yield problem("network", f"TLS certificate and key cannot be used: {e.reason}", "renew the two together")
        return
    certificate = x509.load_pem_x509_certificate(configuration.tls_certificate.read_bytes())
    yield from expiry("network", "the TLS certificate", int(certificate.not_valid_after_utc.timestamp()), "renew it")
    yield _key_exchange()


def _key_exchange() -> Finding:
    """Say whether TLS agrees on keys by X25519MLKEM768 too; OpenSSL offers it by itself from 3.5 on."""
    is_hybrid = ssl.OPENSSL_VERSION_INFO >= HYBRID_SINCE
    spelt = "is hybrid with those who can (X25519MLKEM768)" if is_hybrid else "is classical: X25519MLKEM768 needs 3.5"
    return (fine if is_hybrid else note)("network", f"key exchange of TLS, by {ssl.OPENSSL_VERSION}, {spelt}")


def check_machine(configuration: Configuration) -> Iterator[Finding]:
    """Clock and disk."""
    now, seen = int(time.time()), peek(configuration.signer_head)[0].time
    if now < seen - MAX_CLOCK_SKEW_SECONDS:
        yield problem(
            "clock", f"it is {seen - now} s behind a time that the signer has seen", "set the clock: nothing is signed"
        )
    elif _is_unsynchronised():
        yield note("clock", "no time service keeps it right, says the kernel; the signer refuses when it is 600 s off")
    else:
        yield fine("clock", "kept right by a time service")
    free = shutil.disk_usage(configuration.folder).free
    text = f"{free / (1 << 30):.1f} GiB are free"
    if free < LEAST_FREE_BYTES:
        yield problem("disk", text, "make room at once: without it nothing is logged, so nothing is signed")
    elif free < FEW_FREE_BYTES:
        yield warning("disk", text, "make room; images lie in server/images")
    else:
        yield fine("disk", text)


def _is_unsynchronised() -> bool:
    state = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes = 0: only asks
    if ctypes.CDLL(None, use_errno=True).adjtimex(state) < 0:
        return False
    status = int.from_bytes(state.raw[_STATUS_AT : _STATUS_AT + 4], sys.byteorder)
    return bool(status & _STA_UNSYNC)


def expiry(subject: str, what: str, until: int, remedy: str, *, soon_seconds: int = SOON_SECONDS) -> Iterator[Finding]:
    """Say when something has expired, or will soon."""
    left = until - int(time.time())
    if left <= 0:
        yield problem(subject, f"{what} has expired", remedy)
    elif left < soon_seconds:
        days = left // DAY_SECONDS
        when = "today" if not days else "in a day" if days == 1 else f"in {days} days"
        yield warning(subject, f"{what} expires {when}", remedy)
