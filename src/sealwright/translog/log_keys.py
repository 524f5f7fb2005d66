"""The keys of a log, and checkpoints opened under all of them.

A log signs each checkpoint with Ed25519 and, from some size on, with ML-DSA-44 too.  Who knows both keys demands both
signatures: an attacker who breaks one algorithm, or strips its line, gains nothing.
Reference: ``docs/spec/log.md``, "Checkpoint"; why there is a size: ``docs/adr/0067``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sealwright.core.errors import Code, VerificationError
from sealwright.translog.checkpoints import Checkpoint, parse_checkpoint
from sealwright.translog.notes import VerifierKey, parse_note, parse_vkey


@dataclass(frozen=True, slots=True)
class LogKeys:
    """What a log signs with; ``ml_dsa`` on every checkpoint over ``first_size`` entries or more."""

    ed25519: VerifierKey
    ml_dsa: VerifierKey | None = None
    first_size: int = 0

    @property
    def known(self) -> tuple[VerifierKey, ...]:
        """Both keys, or the one."""
        return (self.ed25519,) if self.ml_dsa is None else (self.ed25519, self.ml_dsa)

    def demanded(self, size: int) -> tuple[VerifierKey, ...]:
        """The keys that must have signed a checkpoint of this size."""
        return self.known if size >= self.first_size else (self.ed25519,)


def parse_log_keys(ed25519: str, ml_dsa: str | None = None, first_size: int = 0) -> LogKeys:
    """Read the keys from their text; ``FormatError`` as ``parse_vkey``."""
    return LogKeys(parse_vkey(ed25519), None if ml_dsa is None else parse_vkey(ml_dsa), first_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedCheckpoint:
    """A checkpoint whose signatures were verified.  Only ``open_checkpoint`` makes one."""

    checkpoint: Checkpoint
    witness_times: Mapping[str, int]
    """Name of each trusted witness that cosigned, and when it says it did (POSIX seconds)."""


def open_checkpoint(
    note: bytes, *, origin: str, log_keys: LogKeys, witnesses: Sequence[VerifierKey] = (), quorum: int = 0
) -> OpenedCheckpoint:
    """Verify a checkpoint: of this log, signed by all its keys, cosigned by at least ``quorum`` of ``witnesses``.

    Witnesses are counted by public key, since a cosignature does not commit to the cosigner's name.
    Raises ``FormatError`` or ``VerificationError``.
    """
    parsed = parse_note(note)
    signed = parsed.verify((*log_keys.known, *witnesses))
    if log_keys.ed25519 not in signed:
        raise _not_signed("the key", origin)
    checkpoint = parse_checkpoint(parsed.text)
    if checkpoint.origin != origin:
        raise VerificationError(
            "checkpoint of another log", expected=origin, got=checkpoint.origin[:100], code=Code.WRONG_LOG
        )
    if not signed.keys() >= {*log_keys.demanded(checkpoint.size)}:
        raise _not_signed("the ML-DSA-44 key", origin)
    # The log is no witness of itself, whatever the list says.
    own = {key.public_key for key in log_keys.known}
    times = {key: time for key, time in signed.items() if time is not None and key.public_key not in own}
    cosigners = {key.public_key for key in times}
    if len(cosigners) < quorum:
        raise VerificationError(
            f"{len(cosigners)} trusted witnesses cosigned log {origin} at size {checkpoint.size}, {quorum} are needed",
            code=Code.NOT_TRUSTED,
        )
    return OpenedCheckpoint(checkpoint=checkpoint, witness_times={key.name: time for key, time in times.items()})


def _not_signed(key: str, origin: str) -> VerificationError:
    return VerificationError(f"checkpoint is not signed by {key} of log {origin}", code=Code.NOT_TRUSTED)
