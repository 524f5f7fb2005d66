"""One turned bit: what every acceptance has beside it, refused."""


def flipped(data: bytes, at: int, bit: int = 1) -> bytes:
    """Return the same bytes with one of them changed."""
    return data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
