"""Public keys and exact algorithms: one name says key type, parameters, hash, padding and salt.

``algorithms`` names them; ``classical``, ``ml_dsa``, ``slh_dsa`` and ``hss_lms`` know one kind of key each; ``public``
puts them together and is what the rest of the program uses.
"""

from sealwright.core.keys.algorithms import Algorithm, Family
from sealwright.core.keys.classical import hash_of, rsa_padding
from sealwright.core.keys.hss_lms import HssLmsPublicKey
from sealwright.core.keys.public import MAX_WHOLE_MESSAGE_BYTES, Key, LibraryKey, OwnKey, PublicKey
from sealwright.core.keys.slh_dsa import SlhDsaPublicKey

__all__ = [
    "MAX_WHOLE_MESSAGE_BYTES",
    "Algorithm",
    "Family",
    "HssLmsPublicKey",
    "Key",
    "LibraryKey",
    "OwnKey",
    "PublicKey",
    "SlhDsaPublicKey",
    "hash_of",
    "rsa_padding",
]
