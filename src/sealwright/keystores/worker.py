"""The worker process of one partition: ``python -m sealwright.keystores.worker``, started by ``worker_client``.

Its standard input is one end of a socket pair; keystore and secret come over it, never as arguments or environment.
One thread, one login: PKCS#11 modules share a login among all sessions of a process, so a partition is only as separate
as its process.  It does not authorise; its parent does.  When the keystore becomes unavailable it says so and exits:
a new process is what revives a token.  Frames: ``keystores.frames``.
"""

import ctypes
import os
import signal
import socket
import sys
from collections.abc import Sequence
from types import TracebackType

from sealwright.core.errors import Code, FormatError, SealwrightError, UnavailableError
from sealwright.keystores import frames
from sealwright.keystores.dumps import forbid_dumps
from sealwright.keystores.frames import Failure, Incoming, Run
from sealwright.keystores.interface import Keystore
from sealwright.keystores.opening import open_keystore
from sealwright.keystores.secrets import Secret

_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4


def main() -> int:
    """Serve until the parent closes the channel (0), or the keystore is of no more use (75, 78)."""
    harden()
    with take_channel() as channel:
        try:
            return serve(channel)
        except (EOFError, OSError):
            return 0
        except FormatError as e:
            sys.stderr.write(f"sealwright: worker: {e.message}\n")
            return e.exit_code


def serve(channel: socket.socket) -> int:
    """Open the keystore that the first frame names, then answer request after request."""
    incoming = Incoming(channel)
    try:
        keystore = _open(incoming)
    except SealwrightError as e:
        _send(channel, [Failure.of(e)])
        return e.exit_code
    _send(channel, [b""])
    try:
        while _answer(channel, incoming, keystore):
            pass
    finally:
        keystore.close()
    return UnavailableError.exit_code


def harden() -> None:
    """No core dump, no debugger of the same user, no descriptor of the parent, no capability, none by set-user-ID.

    Ctrl-C is the parent's business.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    forbid_dumps()
    library = ctypes.CDLL(None, use_errno=True)
    # A signer that may change users has ambient capabilities, which an exec hands on; capset(2), version 3, all zero.
    header, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if (
        library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        or library.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
        or library.capset(header, nothing)
    ):
        raise OSError(ctypes.get_errno(), "prctl or capset was refused")
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    sys.excepthook = _report_without_values


def take_channel() -> socket.socket:
    """Move the channel from standard input, where a module might read, to a descriptor of its own."""
    channel = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    return channel


def _open(incoming: Incoming) -> Keystore:
    parts = incoming.receive()
    if len(parts) != 2:
        raise FormatError("the first frame holds keystore and secret", code=Code.INVALID_FRAME)
    uri, secret = parts
    return open_keystore(uri.decode(), Secret(secret))


def _answer(channel: socket.socket, incoming: Incoming, keystore: Keystore) -> bool:
    """Answer one request, before the next is looked at; False when the keystore is of no more use."""
    parts = incoming.receive()
    answers: list[bytes | Failure]
    match parts[:1]:
        case [frames.SIGN]:
            answers = _sign_all(keystore, [*frames.unpack_runs(parts[1:])])
        case [frames.KEYS] if len(parts) == 1:
            answers = _keys(keystore)
        case [frames.COUNTERS] if len(parts) == 1:
            answers = _counters(keystore)
        case _:
            answers = [Failure(code=Code.INVALID_FRAME, message="unknown request")]
    _send(channel, answers)
    return not any(map(_is_end, answers))


def _sign_all(keystore: Keystore, runs: Sequence[Run]) -> list[bytes | Failure]:
    """Sign in order; behind a payload for which the keystore was gone nothing is tried, since this process ends."""
    answers: list[bytes | Failure] = []
    for run in runs:
        answers += _sign_run(keystore, run)
        if _is_end(answers[-1]):
            return answers + answers[-1:] * (sum(len(run.payloads) for run in runs) - len(answers))
    return answers


def _is_end(answer: bytes | Failure) -> bool:
    return isinstance(answer, Failure) and answer.code is Code.KEYSTORE_UNAVAILABLE


def _sign_run(keystore: Keystore, run: Run) -> list[bytes | Failure]:
    try:
        sign = keystore.signing(run.fingerprint, run.algorithm, run.block, len(run.payloads))
    except SealwrightError as e:
        return [Failure.of(e)] * len(run.payloads)
    answers: list[bytes | Failure] = []
    for payload in run.payloads:
        try:
            answers.append(sign(payload))
        except SealwrightError as e:
            answers.append(Failure.of(e))
            if _is_end(answers[-1]):
                break
    return answers


def _keys(keystore: Keystore) -> list[bytes | Failure]:
    try:
        return [key.spki_der for key in keystore.public_keys().values()]
    except SealwrightError as e:
        return [Failure.of(e)]


def _counters(keystore: Keystore) -> list[bytes | Failure]:
    try:
        return [frames.pack_counter(fingerprint, counter) for fingerprint, counter in keystore.counters().items()]
    except SealwrightError as e:
        return [Failure.of(e)]


def _send(channel: socket.socket, answers: Sequence[bytes | Failure]) -> None:
    channel.sendall(frames.encode(frames.pack_answers(answers)))


def _report_without_values(kind: type[BaseException], _value: BaseException, trace: TracebackType | None) -> None:
    """Name the place of a bug, but not the message of the exception: it could repeat what must stay here."""
    places = []
    while trace is not None:
        places.append(f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}")
        trace = trace.tb_next
    sys.stderr.write(f"sealwright: worker: {kind.__name__} in {' > '.join(places)}\n")


if __name__ == "__main__":
    sys.exit(main())
