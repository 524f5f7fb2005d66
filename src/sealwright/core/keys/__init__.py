"""Public keys and exact algorithms: one name says key type, parameters, hash, padding and salt.

``algorithms`` names them; ``classical``, ``ml_dsa`` and ``slh_dsa`` know one kind of key each; ``public`` puts them
together and is what the rest of the program uses.
"""

from sealwright.core.keys.algorithms import Algorithm, Family
from sealwright.core.keys.classical import hash_of, rsa_padding
from sealwright.core.keys.public import MAX_WHOLE_MESSAGE_BYTES, Key, LibraryKey, PublicKey
from sealwright.core.keys.slh_dsa import SlhDsaPublicKey

__all__ = [
    "MAX_WHOLE_MESSAGE_BYTES",
    "Algorithm",
    "Family",
    "Key",
    "LibraryKey",
    "PublicKey",
    "SlhDsaPublicKey",
    "hash_of",
    "rsa_padding",
]
