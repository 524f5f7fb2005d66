"""The signer process: identity, head, one worker a partition, the engine behind its socket."""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from sealwright.core.errors import SealwrightError, UnavailableError
from sealwright.keystores.dumps import forbid_dumps
from sealwright.keystores.frames import Failure, Item
from sealwright.keystores.numbers import Block
from sealwright.keystores.secrets import read_secret
from sealwright.keystores.worker_client import TIMEOUT_SECONDS, Request, Worker
from sealwright.outside import SystemClock, SystemEntropy
from sealwright.signer.canary import Canaries
from sealwright.signer.endpoint import Endpoint
from sealwright.signer.engine import Engine
from sealwright.signer.follower import Follower
from sealwright.signer.heads import FileHeadStore
from sealwright.signer.ports import Head, Partition, SigningTask
from sealwright.wiring import configuration as settings
from sealwright.wiring.canaries import write_conditions
from sealwright.wiring.configuration import Configuration, PartitionSetting
from sealwright.wiring.private_keys import read_ed25519
from sealwright.wiring.readiness import say_ready

LOOK_SECONDS = 5.0
"""How often it is looked whose canary is due."""


class WorkerPartition:
    """A worker process as the engine wants a partition."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def sign(self, tasks: Sequence[SigningTask]) -> Iterator[bytes | SealwrightError]:
        """Have a batch signed in one frame, and wait for it when it is read."""
        items = [
            Item(task.public_key.fingerprint, task.algorithm, task.payload, Block(*task.block) if task.block else None)
            for task in tasks
        ]
        return _results(self._worker.begin(items))

    def counters(self) -> Mapping[str, tuple[int, int]]:
        """Ask the worker."""
        return self._worker.counters()


class RefusingPartition:
    """A partition whose worker cannot be started: its own orders are refused, and nobody else's."""

    def __init__(self, reason: SealwrightError) -> None:
        self._reason = reason

    def sign(self, tasks: Sequence[SigningTask]) -> Sequence[bytes | SealwrightError]:
        """Refuse."""
        return [self._reason] * len(tasks)

    def counters(self) -> Mapping[str, tuple[int, int]]:
        """Refuse."""
        raise self._reason


def _results(request: Request) -> Iterator[bytes | SealwrightError]:
    for made in request.answers():
        yield UnavailableError(made.message, code=made.code, hint=made.hint) if isinstance(made, Failure) else made


class Partitions(Mapping[str, Partition]):
    """The workers by partition; one that was made, or mended, after the signer started is found when it is asked for.

    A partition whose secret cannot be read must not keep the signer from starting, or from signing for others.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._workers: dict[str, Worker] = {}
        self._refusing: dict[str, SealwrightError] = {}
        self._lock = threading.Lock()  # rounds and canaries ask at once, and a partition has one worker
        self._load()

    def __getitem__(self, name: str) -> Partition:
        with self._lock:
            if name not in self._workers:
                try:
                    self._load()
                except SealwrightError as e:  # the settings, which were good when the signer started
                    self._refusing[name] = e
            if name in self._refusing:
                return RefusingPartition(self._refusing[name])
            return WorkerPartition(self._workers[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._workers)

    def __len__(self) -> int:
        return len(self._workers)

    def close(self) -> None:
        """End all workers."""
        with self._lock:
            workers = tuple(self._workers.values())
        for worker in workers:
            worker.close()

    def _load(self) -> None:
        partitions = settings.load(self._folder).partitions
        before, self._refusing = self._refusing, {}
        for name, setting in partitions.items():
            if name not in self._workers:
                try:
                    self._workers[name] = start_worker(setting)
                except SealwrightError as e:
                    self._refusing[name] = e
                    if name not in before or before[name].message != e.message:
                        _say_closed(name, e)


def _say_closed(name: str, why: SealwrightError) -> None:
    """Once, not each time that somebody asks."""
    sys.stderr.write(
        f"sealwright: signer: nothing is signed with the keys of partition {name}: {why.message}\n"
        f'sealwright: hint: mend that, or the source in [partitions."{name}"] of {settings.FILE_NAME}; '
        "the signer tries again by itself\n"
    )


def start_worker(setting: PartitionSetting) -> Worker:
    """Return the worker of a partition; its process is started when it is first asked."""
    return Worker(
        setting.uri,
        read_secret(setting.secret),
        user=setting.user,
        timeout_seconds=TIMEOUT_SECONDS if setting.timeout_seconds is None else setting.timeout_seconds,
    )


def create_head(configuration: Configuration, size: int, root_hash: str) -> None:
    """Give a new signer its first memory of the log; ``ConfigurationError`` when it has one."""
    head = Head(size=size, root_hash=root_hash, time=SystemClock().now())
    FileHeadStore(configuration.signer_head).create(head)


def run(folder: Path) -> None:
    """Serve until the process is told to end."""
    forbid_dumps()
    configuration = settings.load(folder)
    partitions = Partitions(folder)
    canaries = Canaries(partitions, SystemClock(), lambda found: write_conditions(configuration, found))
    canaries.sing(())  # what a signer before this one said of its keys counts no more
    engine = Engine(
        signer_id=configuration.signer_id,
        identity=read_ed25519(configuration.signer_identity, "signer.identity"),
        follower=Follower(
            instance=configuration.instance,
            origin=configuration.origin,
            heads=FileHeadStore(configuration.signer_head),
            clock=SystemClock(),
        ),
        partitions=canaries,
        entropy=SystemEntropy(),
    )
    user = configuration.signer_user
    is_shared = user not in (None, os.getuid())
    endpoint = Endpoint(
        engine, configuration.socket, user_id=os.getuid() if user is None else user, mode=0o660 if is_shared else 0o600
    )

    def stop(_number: int, _frame: FrameType | None) -> None:
        endpoint.close()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    ended = threading.Event()
    threading.Thread(target=_sing, args=(canaries, endpoint, ended), name="canaries", daemon=True).start()
    try:
        say_ready()
        endpoint.serve()
    finally:
        ended.set()
        partitions.close()


def _sing(canaries: Canaries, endpoint: Endpoint, ended: threading.Event, look_seconds: float = LOOK_SECONDS) -> None:
    """Look again and again whose canary is due."""
    while not ended.wait(look_seconds):
        try:
            canaries.sing(endpoint.active_keys())
        except SealwrightError as e:
            sys.stderr.write(f"sealwright: signer: canaries: {e.message}\n")
        except Exception as e:  # noqa: BLE001 - whatever it is, a watch that ends is worse than one that stumbles
            sys.stderr.write(f"sealwright: signer: canaries: {type(e).__name__}\n")
