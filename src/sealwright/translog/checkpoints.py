"""Checkpoints: a log's origin, size and root hash, signed by the log and cosigned by witnesses.

Extension lines are neither written nor accepted: they are not auditable, and nothing of ours needs them.
Reference: C2SP tlog-checkpoint v1.0.0; ``docs/spec/log.md``.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sealwright.core import canonical
from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.translog.merkle import EMPTY_ROOT, HASH_BYTES, MAX_SIZE
from sealwright.translog.notes import VerifierKey, parse_note

_SIZE = re.compile("0|[1-9][0-9]{0,15}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a log says of itself at one size."""

    origin: str
    size: int
    root: bytes

    def serialise(self) -> bytes:
        """Return the note text: three lines."""
        return f"{self.origin}\n{self.size}\n{canonical.to_base64(self.root)}\n".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedCheckpoint:
    """A checkpoint whose signatures were verified.  Only ``open_checkpoint`` makes one."""

    checkpoint: Checkpoint
    witness_times: Mapping[str, int]
    """Name of each trusted witness that cosigned, and when it says it did (POSIX seconds)."""


def parse_checkpoint(text: bytes) -> Checkpoint:
    """Read a note text as a checkpoint; ``FormatError`` unless it is one of exactly three lines."""
    lines = text.decode(errors="replace").split("\n")
    if len(lines) != 4 or lines[3] or not lines[0]:
        raise _invalid("a checkpoint has three lines: origin, size, root hash")
    origin, size, root = lines[:3]
    if not _SIZE.fullmatch(size) or int(size) > MAX_SIZE:
        raise _invalid(f"checkpoint size {size[:40]!r} is not a decimal number up to 2^53-1")
    checkpoint = Checkpoint(origin=origin, size=int(size), root=canonical.from_base64(root))
    if len(checkpoint.root) != HASH_BYTES or (checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT):
        raise _invalid("checkpoint root is not a SHA-256 hash, or not that of the empty log at size 0")
    if checkpoint.serialise() != text:
        raise _invalid("checkpoint is not UTF-8 or not in its only spelling")
    return checkpoint


def open_checkpoint(
    note: bytes, *, origin: str, log_key: VerifierKey, witnesses: Sequence[VerifierKey] = (), quorum: int = 0
) -> OpenedCheckpoint:
    """Verify a checkpoint: of this log, signed by ``log_key``, cosigned by at least ``quorum`` of ``witnesses``.

    Witnesses are counted by public key, since a cosignature does not commit to the cosigner's name.
    Raises ``FormatError`` or ``VerificationError``.
    """
    parsed = parse_note(note)
    signed = parsed.verify((log_key, *witnesses))
    if log_key not in signed:
        raise VerificationError(f"checkpoint is not signed by the key of log {origin}", code=Code.NOT_TRUSTED)
    checkpoint = parse_checkpoint(parsed.text)
    if checkpoint.origin != origin:
        raise VerificationError(
            "checkpoint of another log", expected=origin, got=checkpoint.origin[:100], code=Code.WRONG_LOG
        )
    # The log is no witness of itself, whatever the list says.
    times = {k: time for k, time in signed.items() if time is not None and k.public_key != log_key.public_key}
    cosigners = {key.public_key for key in times}
    if len(cosigners) < quorum:
        raise VerificationError(
            f"{len(cosigners)} trusted witnesses cosigned log {origin} at size {checkpoint.size}, {quorum} are needed",
            code=Code.NOT_TRUSTED,
        )
    return OpenedCheckpoint(checkpoint=checkpoint, witness_times={key.name: time for key, time in times.items()})


def _invalid(message: str) -> FormatError:
    return FormatError(message, code=Code.INVALID_DOCUMENT)
