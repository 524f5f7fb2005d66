"""Digests of documents: bound to their type and to one installation.

``digest(type, document) = SHA-256("sealwright/<type>/v1" 0x00 || instance || canonical bytes)``, where ``instance`` is
the digest of root version 1 made with 32 zero bytes in its place.  So two installations never share a digest.
Specification: ``docs/spec/canonical-form.md``.
"""

import hashlib

NO_INSTANCE = "0" * 64
"""Stands for the instance while there is none: in the digest of root version 1, which *is* the instance."""


def document_digest(document_type: str, instance: str, document: bytes) -> str:
    """Return the digest (lower-case hex) of a document's canonical bytes."""
    prefix = f"sealwright/{document_type}/v1".encode() + b"\x00"
    return hashlib.sha256(prefix + bytes.fromhex(instance) + document).hexdigest()
