"""A signature in two readings: over content, and over a set of attributes that names the hash of other content."""

import hashlib
import itertools
import struct

from asn1crypto import cms
from tests.formats.efi_capsules import IMAGE_TYPE, MAKER

from sealwright.core import canonical
from sealwright.core.images import MemorySource, Message
from sealwright.formats import bare_signature, capsule_layout, uefi

COUNT = struct.Struct("<Q")
EVIL = b"evil firmware " * 200


def attributes_for(content: bytes) -> bytes:
    """Return the set of attributes that a signer of ``content`` signs."""
    digest = hashlib.sha256(content).digest()
    return bytes(
        cms.CMSAttributes(
            [{"type": "content_type", "values": ["data"]}, {"type": "message_digest", "values": [digest]}]
        ).dump()
    )


def firmware_that_is_attributes() -> tuple[bytes, int, bytes]:
    """Return firmware and count that together are attributes for the third, evil firmware with a count of zero."""
    for number in itertools.count():
        evil = EVIL + number.to_bytes(4, "little")
        attributes = attributes_for(evil + COUNT.pack(0))
        (count,) = COUNT.unpack(attributes[-COUNT.size :])
        if count <= canonical.MAX_INTEGER:  # which the option allows
            return attributes[: -COUNT.size], count, evil
    raise AssertionError


def bare(content: bytes, signature: bytes | None = None) -> bytes:
    """Sign content as ``bare_signature`` does, but whatever it is; or put a signature there that exists."""
    message = Message((content,))
    draft = bare_signature.Draft(
        key=MAKER.signing_key(),
        message=message,
        digest=message.digest(MemorySource(b""), "sha256"),
        has_content_info=True,
    )
    return draft.assemble({"signature": signature or MAKER.sign(draft.slot())})


def with_attributes(der: bytes, attributes: bytes) -> bytes:
    """Put signed attributes into a PKCS #7; its signature stays."""
    outer = cms.ContentInfo.load(der)
    outer["content"]["signer_infos"][0]["signed_attrs"] = cms.CMSAttributes.load(attributes)
    return bytes(outer.dump(force=True))


def around(payload: bytes, count: int, der: bytes) -> bytes:
    """Build a capsule around a payload and a signature that is there."""
    body = COUNT.pack(count) + uefi.certificate(der) + payload
    head = capsule_layout.head(
        image_type=IMAGE_TYPE, image_index=1, hardware_instance=0, body_bytes=len(body), is_authenticated=True
    )
    return head + body
