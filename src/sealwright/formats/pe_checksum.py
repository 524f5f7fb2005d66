"""The PE checksum, from pieces of a file that come in any order.

The 16-bit little-endian words of the file, CheckSum taken as zero, are added with end-around carry; the file's length
is added to that.  Reference: Microsoft, PE Format, "Optional Header Windows-Specific Fields" (CheckSum), and
``CheckSumMappedFile`` of ImageHlp.
"""

STEP_BYTES = 1 << 15


class WordSum:
    """The sum of 16-bit words so far."""

    def __init__(self) -> None:
        self._total = 0

    def add(self, offset: int, data: bytes) -> None:
        """Add ``data`` that stands at ``offset`` of the file.

        A whole step is read as one large number: 2^16 is 1 modulo 2^16 - 1, so a number and the sum of its words leave
        the same rest.  One division at the end then replaces a loop over words, at about the speed of memory.
        """
        total = 0
        for at in range(0, len(data), STEP_BYTES):
            total += int.from_bytes(data[at : at + STEP_BYTES], "little")
        self._total += total << 8 * (offset & 1)

    def checksum(self, file_size: int) -> bytes:
        """Return the CheckSum field of a file of ``file_size`` bytes."""
        # End-around carry never gets from something to zero; it stops at 0xffff, the other zero.
        folded = (self._total % 0xFFFF or 0xFFFF) if self._total else 0
        return ((folded + file_size) & 0xFFFFFFFF).to_bytes(4, "little")

    def copy(self) -> "WordSum":
        """Return a sum that goes on from here by itself."""
        other = WordSum()
        other._total = self._total
        return other
