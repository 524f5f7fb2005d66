"""What every route works with: the use cases of one server, and who waits for which request."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from sealwright.service.desk import Desk
from sealwright.service.intake import Intake
from sealwright.service.ledger import Ledger
from sealwright.service.login import Logins
from sealwright.service.ports import Clock, DocumentStore
from sealwright.service.pump import Pump
from sealwright.storage.blobs import Blobs


@dataclass(slots=True)
class Waiters:
    """Calls that wait until a request ends; told from any thread."""

    _events: dict[str, set[asyncio.Event]] = field(default_factory=dict)
    _loop: asyncio.AbstractEventLoop | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say on which loop the waiting happens."""
        self._loop = loop

    def notify(self, digest: str) -> None:
        """A request ended.  Cheap when nobody waits for it."""
        if digest in self._events and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._set, digest)

    def _set(self, digest: str) -> None:
        for event in self._events.get(digest, ()):
            event.set()

    def add(self, digest: str) -> asyncio.Event:
        """Register a waiter; it is set when the request ends from now on."""
        event = asyncio.Event()
        self._events.setdefault(digest, set()).add(event)
        return event

    def remove(self, digest: str, event: asyncio.Event) -> None:
        """A waiter has gone."""
        events = self._events.get(digest)
        if events is not None:
            events.discard(event)
            if not events:
                del self._events[digest]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One server."""

    ledger: Ledger
    documents: DocumentStore
    desk: Desk
    intake: Intake
    pump: Pump
    logins: Logins
    images: Blobs
    clock: Clock
    waiters: Waiters
    key_trouble: Callable[[], str] = str
    """What the signer says of keys that it refuses to use; nothing where all are well, or it is elsewhere."""
