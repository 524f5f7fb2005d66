"""The process that makes keys in a token of another user: ``python -m sealwright.keystores.ceremony_worker``.

A vendor's module runs whatever it likes in the process that loads it.  So it is loaded here, in a process that never
was anybody but the partition's user and can become nobody else, and not in a command that root may have started, where
a changed effective user is taken back with one call.  Started by ``ceremony_client``; calls: ``ceremony_calls``.
"""

import sys
from socket import socket

from sealwright.core import records
from sealwright.core.errors import Code, FormatError, SealwrightError
from sealwright.core.keys import Algorithm
from sealwright.keystores import ceremony_calls, frames, opening, private_keys
from sealwright.keystores.ceremony_calls import Call, Created, Facts, Listed, Order, Result
from sealwright.keystores.frames import Failure, Incoming
from sealwright.keystores.interface import Ceremony, CertificateTemplate
from sealwright.keystores.secrets import Secret
from sealwright.keystores.worker import harden, take_channel


def main() -> int:
    """Serve until the parent closes the channel."""
    harden()
    with take_channel() as channel:
        try:
            serve(channel)
        except (EOFError, OSError):
            pass
        except FormatError as e:
            sys.stderr.write(f"sealwright: ceremony worker: {e.message}\n")
            return e.exit_code
    return 0


def serve(channel: socket) -> None:
    """Answer call after call; the first that needs an open token opens it."""
    incoming, ceremony = Incoming(channel), None
    try:
        while True:
            parts = incoming.receive()
            if len(parts) != 1:
                raise FormatError("a call is one part", code=Code.INVALID_FRAME)
            order = records.parse(Order, parts[0], max_bytes=frames.MAX_FRAME_BYTES)
            answer: bytes | Failure
            try:
                if order.call is Call.OPEN:
                    ceremony = opening.open_ceremony(order.uri, Secret(order.secrets[0]))
                    answer = records.serialise(Result())
                else:
                    answer = records.serialise(_answer(order, ceremony))
            except SealwrightError as e:
                answer = Failure.of(e)
            channel.sendall(frames.encode(frames.pack_answers([answer])))
    finally:
        if ceremony is not None:
            ceremony.close()


def _answer(order: Order, ceremony: Ceremony | None) -> Result:
    match order.call:
        case Call.EXISTS:
            return Result(is_there=opening.partition_exists(order.uri))
        case Call.MAKE:
            so_pin, pin = map(Secret, order.secrets)
            opening.create_partition(order.uri, pin, so_pin)
            return Result()
        case _ if ceremony is None:
            raise FormatError("the token is not open", code=Code.INVALID_FRAME)
        case _:
            return _ask(order, ceremony)


def _ask(order: Order, ceremony: Ceremony) -> Result:
    match order.call:
        case Call.CREATE:
            algorithm, template = _wanted(order)
            made = ceremony.create_key(order.label, algorithm, order.size_bits, template, order.parameters)
            return Result(created=Created.of(made))
        case Call.IMPORT:
            key = private_keys.load_pkcs8_der(order.private_key)
            return Result(created=Created.of(ceremony.import_key(order.label, key, order.certificates)))
        case Call.TAKE_UP:
            return Result(created=Created.of(ceremony.take_up(order.label, *_wanted(order))))
        case Call.LIST:
            listed = ceremony.list_keys()
            return Result(keys=tuple(Listed(label=k.label.encode(), public_key=k.public_key.spki_der) for k in listed))
        case Call.DESCRIBE:
            return Result(facts=Facts.of(ceremony.describe()))
        case Call.REMAINS:
            return Result(lines=ceremony.remains(order.label))
        case Call.READ_BACK:
            return Result(attributes=ceremony_calls.attributes_of(ceremony.read_back(order.fingerprint)))
        case Call.DISCARD:
            ceremony.discard(order.label)
            return Result()
        case _:
            raise FormatError(f"unknown call {order.call}", code=Code.INVALID_FRAME)


def _wanted(order: Order) -> tuple[Algorithm, CertificateTemplate]:
    if order.algorithm is None or order.certificate is None:
        raise FormatError("a key has an algorithm and a certificate", code=Code.INVALID_FRAME)
    return order.algorithm, order.certificate.template


if __name__ == "__main__":
    sys.exit(main())
