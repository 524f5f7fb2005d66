"""PKCS #7 SignedData without signed attributes: what UEFI wants of variables and capsules.

The key signs the hash of the content itself, which stands elsewhere.  A capsule holds the ContentInfo, a variable the
SignedData without it.  SHA-256 and RSA PKCS #1 only, as edk2 and U-Boot demand.  With ContentInfo, signed attributes
are read too, since mkeficapsule writes them and firmware takes them.

Verifiers tell by the file alone, which nobody signs, whether a key signed the hash of the content or that of a set of
attributes that name the content's hash.  So content that reads as a set is neither signed nor accepted (ADR 0086).
Reference: RFC 2315, sections 7 and 9; UEFI 2.10, sections 8.2.2 (variables) and 23.1.2 (capsules).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asn1crypto import cms, core, x509

from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.images import ByteSource, Message
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.formats import signed_data
from sealwright.formats.cms import SLOT
from sealwright.formats.cms_shapes import (
    DATA,
    SIGNED_DATA,
    Certificate,
    ContentInfo,
    SignedDataShape,
    digest_identifier,
    signature_identifier,
)
from sealwright.formats.der import check_der
from sealwright.formats.interface import ExistingSignature, SigningKey, Slot, Trust

ALGORITHM = Algorithm.RSA_PKCS1_SHA256
SET, INDEFINITE = 0x31, 0x80
MAX_BER_HEADER = 2 + 0x7F


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A SignedData that lacks only its signature value; ``key`` comes from ``cms.only_key``."""

    key: SigningKey
    message: Message
    digest: bytes
    has_content_info: bool

    def slot(self) -> Slot:
        """Return the one signature that is needed."""
        return Slot(
            name=SLOT,
            key_profile=self.key.profile,
            algorithm=self.key.algorithm,
            message=self.message,
            digest=self.digest,
        )

    def assemble(self, signatures: Mapping[str, bytes]) -> bytes:
        """Return the DER; a signature that does not verify is a ``VerificationError``."""
        if signatures.keys() != {SLOT}:
            raise FormatError(
                f"signatures for {sorted(signatures)}, expected exactly {SLOT!r}", code=Code.INVALID_DOCUMENT
            )
        self.key.public_key.verify(ALGORITHM, self.digest, signatures[SLOT])
        certificates = [x509.Certificate.load(der) for der in self.key.certificates]
        leaf = certificates[0]
        name = {"issuer": leaf.issuer, "serial_number": leaf.serial_number}
        signer = {
            "version": "v1",
            "sid": cms.SignerIdentifier({"issuer_and_serial_number": name}),
            "digest_algorithm": digest_identifier(ALGORITHM),
            "signature_algorithm": signature_identifier(ALGORITHM),
            "signature": signatures[SLOT],
        }
        signed = SignedDataShape(
            {
                "version": "v1",
                "digest_algorithms": [digest_identifier(ALGORITHM)],
                "encap_content_info": {"content_type": DATA},
                "certificates": [cms.CertificateChoices({"certificate": c}) for c in certificates],
                "signer_infos": [signer],
            }
        )
        shape = ContentInfo({"content_type": SIGNED_DATA, "content": signed}) if self.has_content_info else signed
        return bytes(shape.dump())


def draft(key: SigningKey, image: ByteSource, message: Message, *, has_content_info: bool) -> Draft:
    """Hash the message and lay out a signature over it; ``FormatError`` for one that reads as a set of attributes."""
    if reads_as_set(image, message):
        raise FormatError(
            "what would be signed is one ASN.1 SET: as signed attributes it would be a signature over other content",
            at=0,
            code=Code.INVALID_DOCUMENT,
            hint="put anything before it: in a capsule, a payload header (fw_version, lowest_supported_version)",
        )
    return Draft(
        key=key, message=message, digest=message.digest(image, ALGORITHM.hash_name), has_content_info=has_content_info
    )


def reads_as_set(image: ByteSource, message: Message) -> bool:
    """Whether the message is one SET and nothing else, its length in any spelling that some BER reader takes."""
    head = b""
    for piece in message.pieces:
        missing = MAX_BER_HEADER - len(head)
        head += (
            piece[:missing]
            if isinstance(piece, bytes)
            else image.read(piece.start, min(missing, piece.stop - piece.start))
        )
    if len(head) < 2 or head[0] != SET:
        return False
    length = head[1]
    if length == INDEFINITE:
        return True
    count = length & 0x7F if length & 0x80 else 0
    return 2 + count + (int.from_bytes(head[2 : 2 + count]) if count else length) == message.size


@dataclass(frozen=True, slots=True, kw_only=True)
class BareSignature:
    """A SignedData as read; the signature is not yet checked."""

    signer: str
    """The key of the signer's certificate, and what that certificate says, which nobody vouches for."""
    spki_der: bytes
    description: str
    algorithm: Algorithm | None
    signature: bytes
    attributes: signed_data.SignedData | None = None
    """Where it has signed attributes after all: they hold the hash of the content, and the key signed them."""

    def trusted_key(self, trust: Trust) -> PublicKey:
        """Return the trusted key that claims to have signed; ``VerificationError`` if there is none."""
        key = next((k for k in trust.keys if k.spki_der == self.spki_der), None)
        if key is None:
            raise VerificationError(
                f"signed by a key that is not trusted: {self.signer}",
                expected=" or ".join(k.fingerprint[:16] for k in trust.keys) or "a trusted key",
                got=hashlib.sha256(self.spki_der).hexdigest()[:16],
                code=Code.NOT_TRUSTED,
            )
        if self.algorithm is not ALGORITHM:
            raise VerificationError("UEFI signature with another algorithm", expected=ALGORITHM, got=self.description)
        return key

    def is_over(self, image: ByteSource, content: Message, key: PublicKey) -> bool:
        """Whether ``key`` made this signature over that content; ``VerificationError`` if it reads as attributes."""
        if self.attributes is None and reads_as_set(image, content):
            raise VerificationError("what is signed reads as signed attributes, which are no content of their own")
        digest = content.digest(image, ALGORITHM.hash_name)
        try:
            if self.attributes is not None:
                self.attributes.verify(Trust(keys=(key,)))
                return self.attributes.content_description is None and self.attributes.message_digest == digest
            key.verify(ALGORITHM, digest, self.signature)
        except (VerificationError, FormatError):  # or a key that cannot have used this algorithm
            return False
        return True

    def is_claimed_over(self, image: ByteSource, content: Message) -> bool:
        """Whether the key in the file made this signature over that content: it fits, whoever's key that is."""
        try:
            return self.algorithm is ALGORITHM and self.is_over(image, content, PublicKey(self.spki_der))
        except VerificationError:
            return False

    def describe(self, name: str) -> ExistingSignature:
        """Say whose it claims to be."""
        return ExistingSignature(name=name, algorithm=self.description, signer=self.signer)


def parse(der: bytes, *, has_content_info: bool) -> BareSignature:
    """Read a SignedData in DER with one signer and no content; ``FormatError`` otherwise."""
    check_der(der)
    shape = ContentInfo if has_content_info else SignedDataShape
    try:
        outer = shape.load(der, strict=True)
        if has_content_info and _has_attributes(outer):
            return _with_attributes(signed_data.parse(der))
        return _read(outer, has_content_info)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError):
        # asn1crypto decodes a field when it is touched and reports trouble in whatever exception it meets.
        raise FormatError("not a PKCS #7 SignedData" + ("" if has_content_info else " without ContentInfo")) from None


def _has_attributes(outer: Any) -> bool:
    signers = outer["content"]["signer_infos"]
    return len(signers) == 1 and not isinstance(signers[0]["signed_attrs"], core.Void)


def _with_attributes(signed: signed_data.SignedData) -> BareSignature:
    if signed.content_type != DATA or signed.content is not None:
        raise FormatError("CMS holds content of its own, expected a detached signature over data")
    return BareSignature(
        signer=signed.signer,
        spki_der=signed.spki_der,
        description=signed.description,
        algorithm=signed.algorithm,
        signature=signed.signature,
        attributes=signed,
    )


def _read(outer: Any, has_content_info: bool) -> BareSignature:
    if has_content_info and outer["content_type"].dotted != SIGNED_DATA:
        raise FormatError(f"CMS content type is {outer['content_type'].dotted}, expected SignedData")
    signed = outer["content"] if has_content_info else outer
    signers, digests = signed["signer_infos"], signed["digest_algorithms"]
    if len(signers) != 1 or len(digests) != 1:
        raise FormatError(f"CMS with {len(signers)} signers and {len(digests)} digest algorithms, expected one")
    signer, content = signers[0], signed["encap_content_info"]
    digest_algorithm = str(signer["digest_algorithm"]["algorithm"].native)
    if digests[0]["algorithm"].native != digest_algorithm:
        raise FormatError("CMS signer uses another digest algorithm than the list announces")
    if content["content_type"].dotted != DATA or not isinstance(content["content"], core.Void):
        raise FormatError("CMS holds content of its own, expected a detached signature over data")
    if not isinstance(signer["signed_attrs"], core.Void):
        raise FormatError("CMS signer has signed attributes, which UEFI does not take here")
    certificate: Certificate = signed_data.certificate_of(signed["certificates"], signer["sid"])
    algorithm = signed_data.algorithm_of(digest_algorithm, signer["signature_algorithm"])
    return BareSignature(
        signer=certificate.claim,
        spki_der=certificate.spki_der,
        algorithm=algorithm,
        description=algorithm or f"{digest_algorithm} and {signer['signature_algorithm']['algorithm'].native}",
        signature=signer["signature"].native,
    )
