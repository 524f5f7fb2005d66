"""The server process: log, documents, desk, pump, API. Holds the log key and no key that signs firmware."""

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from sealwright.core.errors import ConfigurationError, SealwrightError
from sealwright.outside import SystemClock, SystemEntropy
from sealwright.server.application import make_application
from sealwright.server.context import Context, Waiters
from sealwright.server.routes import ROUTES
from sealwright.service import proposals, restrictions
from sealwright.service.desk import Desk
from sealwright.service.intake import Intake
from sealwright.service.ledger import Ledger
from sealwright.service.live import Judge
from sealwright.service.login import Logins
from sealwright.service.pump import Pump
from sealwright.storage.blobs import Blobs
from sealwright.storage.documents import Documents
from sealwright.storage.log import LogStore
from sealwright.wiring import configuration as settings
from sealwright.wiring.canaries import failing
from sealwright.wiring.configuration import Configuration
from sealwright.wiring.private_keys import check_named_keys, read_note_signer
from sealwright.wiring.readiness import say_ready
from sealwright.wiring.signer_link import LocalSigner

log = logging.getLogger(__name__)
BACKLOG = 2048
GARBAGE_OBJECTS = 20_000


def build(configuration: Configuration, undo: ExitStack) -> Context:
    """Put a server together; ``undo`` takes it apart in order."""
    clock = SystemClock()
    signer = read_note_signer(configuration)
    store = LogStore(configuration.log_database, signer=signer, guard_directory=configuration.guard)
    undo.callback(store.close)
    documents = Documents(configuration.documents_database)
    undo.callback(documents.close)
    ledger = Ledger(instance=configuration.instance, log=store, documents=documents)
    check_named_keys(ledger.state, signer)
    restrictions.finish_interrupted(ledger, documents)
    proposals.finish_interrupted(ledger, documents)
    images, waiters, wake = Blobs(configuration.images), Waiters(), threading.Event()
    desk = Desk(
        ledger=ledger,
        documents=documents,
        judge=Judge(ledger, clock),
        clock=clock,
        on_ready=wake.set,
        on_end=waiters.notify,
    )
    link = LocalSigner(configuration.socket)
    undo.callback(link.close)
    pump = Pump(ledger=ledger, desk=desk, documents=documents, signer=link, clock=clock, wake=wake, on_trouble=_report)
    desk.restore()
    undo.callback(pump.close)
    pump.start()
    return Context(
        ledger=ledger,
        documents=documents,
        desk=desk,
        intake=Intake(ledger=ledger, desk=desk, documents=documents, images=images),
        pump=pump,
        logins=Logins(ledger=ledger, clock=clock, entropy=SystemEntropy()),
        images=images,
        clock=clock,
        waiters=waiters,
        key_trouble=lambda: "; ".join(f"key {c.key[:16]}: {c.failure}" for c in failing(configuration)[:8]),
    )


def run(folder: Path) -> None:
    """Serve until the process is told to end."""
    configuration = settings.load(folder)
    settings.check_served(configuration)
    with ExitStack() as undo:
        listener = undo.enter_context(listen(configuration.host, configuration.port))
        context = build(configuration, undo)
        application = make_application(context, ROUTES)
        application.router.lifespan_context = _attach(context)
        server = uvicorn.Server(
            uvicorn.Config(
                application,
                loop="uvloop",
                http="httptools",
                access_log=False,
                log_level="warning",
                ssl_certfile=configuration.tls_certificate,
                ssl_keyfile=configuration.tls_key,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=2000,
                timeout_graceful_shutdown=5,
            )
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            # Uvicorn raises the signal that ended it once more when it is done; that must not end us unclosed.
            signal.signal(number, lambda _number, _frame: None)
        settle_memory()
        server.run(sockets=[listener])


def settle_memory() -> None:
    """Look for garbage less often, and not among what stays: cycles are rare here, and looking costs a twentieth."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS, 20, 20)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; ``ConfigurationError`` says who may have the port."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as e:
        raise ConfigurationError(f"{host} is no address of this machine: {e.strerror}", setting="server.host") from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as e:
        listener.close()
        hint = "choose another server.port or server.host in sealwright.toml"
        if e.errno == errno.EADDRINUSE:
            hint = (
                f"stop what has it (`ss -ltnp sport = :{port}` says what: perhaps this server runs already), or {hint}"
            )
        raise ConfigurationError(
            f"cannot listen on port {port} of {host}: {os.strerror(e.errno or 0)}", setting="server.port", hint=hint
        ) from None
    return listener


def _attach(context: Context) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        context.waiters.attach(asyncio.get_running_loop())
        say_ready()  # the socket listens since before: who connects now is answered
        yield

    return lifespan


_last_trouble = ""


def _report(error: SealwrightError) -> None:
    """Say once what keeps the pump from signing, not every second."""
    global _last_trouble  # noqa: PLW0603 - one process, one pump
    text = f"{error.code}: {error.message}"
    if text != _last_trouble:
        _last_trouble = text
        log.warning("nothing is signed: %s", text)
