"""Checkpoints: a log's origin, size and root hash; ``log_keys`` opens them under the keys that sign them.

Extension lines are neither written nor accepted: they are not auditable, and nothing of ours needs them.
Reference: C2SP tlog-checkpoint v1.0.0, C2SP tlog-cosignature v1.1.0-rc.1; ``docs/spec/log.md``.
"""

import re
import struct
from dataclasses import dataclass

from sealwright.core import canonical
from sealwright.core.errors import Code, FormatError
from sealwright.translog.merkle import EMPTY_ROOT, HASH_BYTES, MAX_SIZE

_SIZE = re.compile("0|[1-9][0-9]{0,15}")
_LABEL = b"subtree/v1\n\0"
_U64 = struct.Struct(">Q")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a log says of itself at one size."""

    origin: str
    size: int
    root: bytes

    def serialise(self) -> bytes:
        """Return the note text: three lines."""
        return f"{self.origin}\n{self.size}\n{canonical.to_base64(self.root)}\n".encode()


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


def cosigned_message(checkpoint: Checkpoint, cosigner: str, time: int) -> bytes:
    """Return what an ML-DSA-44 cosignature of a checkpoint is over (tlog-cosignature, ``cosigned_message``).

    Label, cosigner's name, time, origin, first leaf (0), size, root hash; each name with its length in a byte before
    it.  ``FormatError`` where a name is too long for that.
    """
    names = [name.encode() for name in (cosigner, checkpoint.origin)]
    if any(not 0 < len(name) < 256 for name in names):
        raise _invalid("names of a log and its cosigner have 1 to 255 bytes")
    by, origin = (bytes((len(name),)) + name for name in names)
    return _LABEL + by + _U64.pack(time) + origin + _U64.pack(0) + _U64.pack(checkpoint.size) + checkpoint.root


def _invalid(message: str) -> FormatError:
    return FormatError(message, code=Code.INVALID_DOCUMENT)
