"""How many signature numbers of a stateful key are given out at once: the signer marks them, clients warn by it."""

SHARE, SMALLEST, LARGEST = 128, 8, 1024
"""A block is this part of all numbers that a key has, but within these bounds."""


def block_size(capacity: int) -> int:
    """Return the size of a block of a key that has so many numbers in its life."""
    return min(max(capacity // SHARE, SMALLEST), LARGEST)
