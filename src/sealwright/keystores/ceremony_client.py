"""A token of another user, asked through a process of that user: ``ceremony_worker`` loads the vendor's module.

There is no time-out: a person waits, a module may take minutes for one RSA key, and Ctrl-C ends both.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import socketpair

from sealwright.core import records
from sealwright.core.errors import Code, FormatError, UnavailableError
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.keystores import frames, private_keys
from sealwright.keystores.ceremony_calls import Call, Order, Result, SelfSigned, error_of
from sealwright.keystores.frames import Failure, Incoming
from sealwright.keystores.interface import CertificateTemplate, CreatedKey, ListedKey, ModuleFacts
from sealwright.keystores.private_keys import PrivateKey
from sealwright.keystores.secrets import Secret
from sealwright.keystores.worker_client import start_as

_COMMAND = (sys.executable, "-I", "-m", "sealwright.keystores.ceremony_worker")
_PATIENCE_SECONDS = 5.0


class RemoteCeremony:
    """``interface.Ceremony`` of a token, in a process of its user."""

    def __init__(self, uri: str, user: int) -> None:
        self._uri = uri
        self._channel, theirs = socketpair()
        with theirs:
            is_ours = {user} == {*os.getresuid()}  # nobody else to leave behind, and a plain user may drop no group
            try:
                self._process = start_as(_COMMAND, theirs, None if is_ours else user)
            except BaseException:
                self._channel.close()
                raise
        self._incoming = Incoming(self._channel)

    def open(self, secret: Secret) -> None:
        """Log in."""
        self._ask(Order(call=Call.OPEN, uri=self._uri, secrets=(secret.reveal(),)))

    def exists(self) -> bool:
        """Return whether the token is there; nobody logs in."""
        return self._ask(Order(call=Call.EXISTS, uri=self._uri)).is_there

    def make(self, so_pin: Secret, pin: Secret) -> None:
        """Make the token."""
        self._ask(Order(call=Call.MAKE, uri=self._uri, secrets=(so_pin.reveal(), pin.reveal())))

    def create_key(
        self, label: str, algorithm: Algorithm, size_bits: int, certificate: CertificateTemplate, parameters: str = ""
    ) -> CreatedKey:
        """Make a key and its certificate."""
        wanted = SelfSigned.of(certificate)
        return self._made(
            Order(
                call=Call.CREATE,
                label=label,
                algorithm=algorithm,
                size_bits=size_bits,
                certificate=wanted,
                parameters=parameters,
            ),
            algorithm,
        )

    def import_key(self, label: str, private_key: PrivateKey, certificates: Sequence[bytes]) -> CreatedKey:
        """Take in an existing key."""
        der = private_keys.pkcs8_der(private_key)
        order = Order(call=Call.IMPORT, label=label, private_key=der, certificates=tuple(certificates))
        made = self._ask(order).created
        if made is None or made.key.public_key != private_keys.public_half(private_key).spki_der:
            raise self._misfit("an import of another key")
        return made.created

    def list_keys(self) -> tuple[ListedKey, ...]:
        """Return every key of the token."""
        return tuple(
            ListedKey(label=key.label.decode("utf-8", "replace"), public_key=PublicKey(key.public_key))
            for key in self._ask(Order(call=Call.LIST)).keys
        )

    def describe(self) -> ModuleFacts:
        """Return what the token says of itself."""
        if (facts := self._ask(Order(call=Call.DESCRIBE)).facts) is None:
            raise self._misfit("no description")
        return facts.facts

    def remains(self, label: str) -> tuple[str, ...]:
        """Say what is there under a label."""
        return self._ask(Order(call=Call.REMAINS, label=label)).lines

    def take_up(self, label: str, algorithm: Algorithm, certificate: CertificateTemplate) -> CreatedKey:
        """Return the key that an interrupted ``create_key`` made."""
        wanted = SelfSigned.of(certificate)
        return self._made(Order(call=Call.TAKE_UP, label=label, algorithm=algorithm, certificate=wanted), algorithm)

    def read_back(self, fingerprint: str) -> Mapping[str, bool]:
        """Return what the token says of a key now."""
        found = self._ask(Order(call=Call.READ_BACK, fingerprint=fingerprint)).attributes
        return {attribute.name: attribute.value for attribute in found}

    def discard(self, label: str) -> None:
        """Delete what remains under a label."""
        self._ask(Order(call=Call.DISCARD, label=label))

    def sealed_files(self, fingerprint: str) -> tuple[Path, ...]:  # noqa: ARG002
        """No file: nothing leaves a token, and the process is asked for none that we would then read."""
        return ()

    def close(self) -> None:
        """End the process by closing the channel; one stuck in a driver is killed."""
        self._channel.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE_SECONDS)
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE_SECONDS)

    def _made(self, order: Order, algorithm: Algorithm) -> CreatedKey:
        made = self._ask(order).created
        if made is None or not made.certificates or made.key.label != order.label.encode():
            raise self._misfit("another key than was asked for")
        created = made.created
        created.public_key.check_algorithm(algorithm)
        return created

    def _ask(self, order: Order) -> Result:
        try:
            self._channel.sendall(frames.encode([records.serialise(order)]))
            answers = frames.unpack_answers(self._incoming.receive())
            if len(answers) != 1:
                raise self._misfit(f"{len(answers)} answers")
            if isinstance(answers[0], Failure):
                raise error_of(answers[0])
            return records.parse(Result, answers[0], max_bytes=frames.MAX_FRAME_BYTES)
        except (OSError, EOFError) as e:
            raise UnavailableError(
                f"{self._uri}: the process with its module ended ({type(e).__name__})", code=Code.KEYSTORE_UNAVAILABLE
            ) from e

    def _misfit(self, what: str) -> FormatError:
        return FormatError(f"{self._uri}: its process answered with {what}", code=Code.INVALID_FRAME)


@contextmanager
def asked(uri: str, user: int) -> Iterator[RemoteCeremony]:
    """Yield the process for something that needs no login."""
    remote = RemoteCeremony(uri, user)
    try:
        yield remote
    finally:
        remote.close()
