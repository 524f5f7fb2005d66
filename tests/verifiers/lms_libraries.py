"""Two libraries judge HSS/LMS signatures, pyhsslms and hsslms (the latter SHA-256 of 32 bytes alone).

They know neither CMS nor COSE: the message is taken out of the file by the standard, with asn1crypto and cbor2.
"""

import cbor2
import hsslms
import pyhsslms
from asn1crypto import cms, core

HSS_LMS_SIGNATURE = "1.2.840.113549.1.9.16.3.17"


def pyhsslms_accepts(raw_public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether pyhsslms verifies this signature."""
    return bool(pyhsslms.HssPublicKey.deserialize(raw_public_key).verify(message, signature))


def hsslms_accepts(raw_public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether hsslms verifies this signature."""
    try:
        hsslms.HSS_Pub(raw_public_key).verify(message, signature)
    except hsslms.INVALID:
        return False
    return True


def cms_message(content: bytes, image_sha256: bytes) -> tuple[bytes, bytes]:
    """Return what a detached CMS signs and its signature, if it is one of RFC 9708 over this image."""
    signed = cms.ContentInfo.load(content, strict=True)["content"]
    (signer,) = signed["signer_infos"]
    assert signer["signature_algorithm"]["algorithm"].dotted == HSS_LMS_SIGNATURE
    assert isinstance(signer["signature_algorithm"]["parameters"], core.Void)
    assert signer["digest_algorithm"].dump() == bytes.fromhex("300b0609608648016503040201")  # SHA-256, no parameters
    (digest,) = (a["values"][0].native for a in signer["signed_attrs"] if a["type"].native == "message_digest")
    message = b"\x31" + signer["signed_attrs"].dump()[1:]  # the tag of a SET OF (RFC 5652, section 5.4)
    return (message if digest == image_sha256 else b""), signer["signature"].native


def cose_message(content: bytes, image_sha256: bytes) -> tuple[bytes, bytes]:
    """Return what a detached COSE_Sign1 over this image signs and its signature (RFC 8778)."""
    protected, _, absent, signature = cbor2.loads(content).value
    assert absent is None
    assert cbor2.loads(protected)[1] == -46
    return cbor2.dumps(["Signature1", protected, b"", image_sha256]), signature
