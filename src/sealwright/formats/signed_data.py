"""CMS SignedData as read: strict DER, exactly one signer, everything that belongs to it, checked against trusted keys.

Reference: RFC 5652; RFC 2315 for what Authenticode keeps.
"""

from dataclasses import dataclass
from typing import Any

from asn1crypto import core

from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.formats import content_hints
from sealwright.formats.cms_shapes import (
    SIGNED_DATA,
    Certificate,
    ContentInfo,
    check_signature,
    digest_name,
    signature_identifier,
)
from sealwright.formats.der import check_der
from sealwright.formats.interface import Trust

MAX_DER_BYTES = 1 << 20
MAX_ITEMS = 32
"""Certificates in one SignedData, attributes in one SignerInfo."""
SINGLE_VALUED = ("content_type", "message_digest", "signing_time", content_hints.CONTENT_HINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedData:
    """A SignedData as read: well-formed and consistent in itself, its signature not yet checked."""

    content_type: str
    content: bytes | None
    """The DER element in eContent; None where the content is detached."""
    digest_algorithm: str
    """Of the content, as hashlib names it where hashlib has it."""
    message_digest: bytes
    """What the content must hash to; of a DER element the octets behind tag and length (RFC 5652, section 5.4)."""
    signing_time: int | None
    content_description: str | None
    """What the content is, where the signer says so (RFC 2634, section 2.9)."""
    algorithm: Algorithm | None
    """None where it is none of ours; ``description`` says what it is."""
    description: str
    signed_attributes: bytes
    signature: bytes
    signer: str
    """The key of the signer's certificate, and what that certificate says, which nobody vouches for."""
    spki_der: bytes
    """The signer's public key."""

    def verify(self, trust: Trust) -> PublicKey:
        """Check the signature and return the trusted key that made it; ``message_digest`` is left to the caller.

        Raises ``VerificationError``.
        """
        key = next((k for k in trust.keys if k.spki_der == self.spki_der), None)
        if key is None:
            raise VerificationError(
                f"signed by a key that is not trusted: {self.signer}",
                expected=" or ".join(k.fingerprint[:16] for k in trust.keys) or "a trusted key",
                got=PublicKey(self.spki_der).fingerprint[:16],
                code=Code.NOT_TRUSTED,
            )
        if self.algorithm is None:
            raise VerificationError(f"signed with {self.description}, which is not accepted, by {self.signer}")
        try:
            check_signature(key, self.algorithm, self.signed_attributes, self.signature)
        except FormatError as e:  # the algorithm named is not one that this key can have used
            raise VerificationError(e.message) from None
        return key


def parse(der: bytes) -> SignedData:
    """Read a ContentInfo; ``FormatError`` unless it is a SignedData in DER with one signer and what belongs to it."""
    if len(der) > MAX_DER_BYTES:
        raise FormatError(f"CMS of {len(der)} bytes, at most {MAX_DER_BYTES} are accepted")
    check_der(der)
    try:
        return _read(ContentInfo.load(der, strict=True))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError):
        # asn1crypto decodes a field when it is touched and reports trouble in whatever exception it meets.
        raise FormatError("not a CMS SignedData (RFC 5652)") from None


def _read(outer: Any) -> SignedData:
    if outer["content_type"].dotted != SIGNED_DATA:
        raise FormatError(f"CMS content type is {outer['content_type'].dotted}, expected SignedData")
    signed = outer["content"]
    signers, digests = signed["signer_infos"], signed["digest_algorithms"]
    if len(signers) != 1 or len(digests) != 1:
        raise FormatError(f"CMS with {len(signers)} signers and {len(digests)} digest algorithms, expected one")
    signer = signers[0]
    digest_algorithm = str(signer["digest_algorithm"]["algorithm"].native)
    if digests[0]["algorithm"].native != digest_algorithm:
        raise FormatError("CMS signer uses another digest algorithm than the list announces")
    attributes = _attributes(signer["signed_attrs"])
    encapsulated = signed["encap_content_info"]
    content = encapsulated["content"]
    if attributes["content_type"].dotted != encapsulated["content_type"].dotted:
        raise FormatError("CMS content type differs between content and signed attributes")
    certificate = certificate_of(signed["certificates"], signer["sid"])
    algorithm = algorithm_of(digest_algorithm, signer["signature_algorithm"])
    return SignedData(
        content_type=encapsulated["content_type"].dotted,
        content=None if isinstance(content, core.Void) else _only(content).dump(),
        digest_algorithm=digest_algorithm,
        message_digest=attributes["message_digest"].native,
        signing_time=_seconds(attributes.get("signing_time")),
        content_description=_described(attributes.get(content_hints.CONTENT_HINT)),
        algorithm=algorithm,
        description=algorithm or f"{digest_algorithm} and {signer['signature_algorithm']['algorithm'].native}",
        signed_attributes=b"\x31" + signer["signed_attrs"].dump()[1:],  # [0] in the file, SET OF when signed
        signature=signer["signature"].native,
        signer=certificate.claim,
        spki_der=certificate.spki_der,
    )


def _attributes(found: Any) -> dict[str, Any]:
    """Return the values of the signed attributes; each kind may stand there once (RFC 5652, section 11)."""
    if isinstance(found, core.Void) or len(found) > MAX_ITEMS:
        raise FormatError("CMS signer has no signed attributes, or too many")
    values: dict[str, Any] = {}
    for attribute in found:
        kind = str(attribute["type"].native)
        if kind in values:
            raise FormatError(f"CMS signed attribute {kind} is there twice")
        if kind in SINGLE_VALUED and len(attribute["values"]) != 1:
            raise FormatError(f"CMS signed attribute {kind} has {len(attribute['values'])} values, expected one")
        values[kind] = attribute["values"][0]
    if not {"content_type", "message_digest"} <= values.keys():
        raise FormatError("CMS signed attributes lack content type or message digest")
    return values


def certificate_of(certificates: Any, sid: Any) -> Certificate:
    """Find the one certificate that the signer names, wherever in the set it stands."""
    if sid.name != "issuer_and_serial_number":
        raise FormatError("CMS signer is not named by issuer and serial number")
    if isinstance(certificates, core.Void) or len(certificates) > MAX_ITEMS:
        raise FormatError("CMS has no certificates, or too many")
    wanted = (sid.chosen["issuer"].dump(), sid.chosen["serial_number"].native)
    plain = [Certificate.read(choice.chosen) for choice in certificates if choice.name == "certificate"]
    found = [certificate for certificate in plain if certificate.issuer_and_serial == wanted]
    if len(found) != 1:
        raise FormatError(f"CMS holds {len(found)} certificates of its signer, expected one")
    return found[0]


def _only(content: Any) -> Any:
    if len(content) != 1:
        raise FormatError(f"CMS content of {len(content)} elements, expected one")
    return content[0]


def _described(hints: Any) -> str | None:
    return None if hints is None else content_hints.text_of(hints)


def _seconds(time: Any) -> int | None:
    return None if time is None else int(time.native.timestamp())


def algorithm_of(digest_algorithm: str, found: Any) -> Algorithm | None:
    """Return which of our algorithms a SignerInfo names; None where it is none of ours."""
    if found["algorithm"].native == f"{digest_algorithm}_rsa":  # as good as rsaEncryption (RFC 5754, section 3.2)
        found = signature_identifier(Algorithm.RSA_PKCS1_SHA256)
    matching = (a for a in Algorithm if digest_name(a) == digest_algorithm)
    return next((a for a in matching if signature_identifier(a).native == found.native), None)
