"""What ``cryptography`` raises over a certificate that is none: when it reads it, or later, when a part is asked for.

Two of them are no ``ValueError``; names, dates and extensions are decoded only when somebody looks at them.
"""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion)
