"""Signature numbers of stateful keys, as signer, worker and keystore speak of them."""

from typing import NamedTuple


class Block(NamedTuple):
    """The numbers, ``first`` <= number < ``stop``, that a stateful key may use at present."""

    first: int
    stop: int


class Counter(NamedTuple):
    """How far a stateful key is used up: the first number not taken, and how many it has in its life."""

    next: int
    capacity: int
