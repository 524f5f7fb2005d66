"""CMS SignedData with the signer outside: first the message to sign, later the whole structure.

One SignerInfo, always with signed attributes, named by issuer and serial number, in DER.  A timestamp token is an
unsigned attribute, added afterwards without touching what was signed; that is not done here.
The way back: ``signed_data.parse``.  Reference: RFC 5652, section 5.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from asn1crypto import cms, core, x509

from sealwright.core.errors import Code, FormatError
from sealwright.core.images import Message
from sealwright.core.keys import HssLmsPublicKey
from sealwright.formats import content_hints
from sealwright.formats.cms_shapes import (
    SIGNED_DATA,
    Certificate,
    ContentInfo,
    check_signature,
    digest_identifier,
    signature_identifier,
)
from sealwright.formats.der import check_der
from sealwright.formats.interface import SigningKey, Slot

SLOT = "signature"
MAX_SIGNING_TIME = 253402300799  # 9999-12-31T23:59:59Z, where GeneralizedTime ends
FIRST_GENERALIZED_TIME = 2524608000  # 2050-01-01T00:00:00Z; UTCTime before it (RFC 5652, section 11.3)


def only_key(keys: Sequence[SigningKey], format_name: str) -> SigningKey:
    """Return the one key that signs, its certificate checked; ``FormatError`` says what is missing."""
    if len(keys) != 1:
        raise _invalid(f"{format_name} takes one key, {len(keys)} were given")
    return _checked_key(keys[0], format_name)


def distinct_keys(keys: Sequence[SigningKey], format_name: str) -> tuple[SigningKey, ...]:
    """Return the keys that sign, each with a SignedData of its own, their certificates checked."""
    if not keys or len({key.public_key.spki_der for key in keys}) != len(keys):
        raise _invalid(f"{format_name} takes one key or several different ones, {len(keys)} were given")
    return tuple(_checked_key(key, format_name) for key in keys)


def _checked_key(key: SigningKey, format_name: str) -> SigningKey:
    key.public_key.check_algorithm(key.algorithm)
    hint = "a key profile lists the key's own certificate first (self-signed will do), its issuers after it"
    if not key.certificates:
        raise _invalid(f"{format_name} names its signer by a certificate, key profile {key.profile} has none", hint)
    try:
        for der in key.certificates:
            check_der(der)
        leaf, *_ = [Certificate.read(x509.Certificate.load(der, strict=True)) for der in key.certificates]
    except (FormatError, ValueError, TypeError, KeyError):
        raise _invalid(f"a certificate of key profile {key.profile} is not X.509 in DER", hint) from None
    if isinstance(lms := key.public_key.key, HssLmsPublicKey) and "shake" in lms.hss.name:
        # digestAlgorithm is the hash of the tree (RFC 9708, section 5), and asn1crypto's reader knows no SHAKE256.
        raise _invalid(f"CMS takes HSS/LMS trees of SHA-256, key profile {key.profile} has {lms.hss.name}")
    if leaf.spki_der != key.public_key.spki_der:
        raise _invalid(f"first certificate of key profile {key.profile} ({leaf.subject}) holds another key", hint)
    return key


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A SignedData that lacks only its signature value; ``key`` comes from ``only_key``."""

    key: SigningKey
    content_type: str
    """eContentType, dotted."""
    message_digest: bytes
    """The content hashed with ``cms_shapes.digest_name``."""
    content: bytes | None = None
    """The DER element to stand in eContent; None where the content is detached."""
    signing_time: int | None = None
    """Unix seconds.  It is inside the signed bytes, so it belongs to the frozen options."""
    content_description: str | None = None
    """What the content is, where it is not the bytes of a file as they are (RFC 2634, section 2.9)."""

    def __post_init__(self) -> None:
        if self.signing_time is not None and not 0 <= self.signing_time <= MAX_SIGNING_TIME:
            raise _invalid(f"signing_time {self.signing_time} is outside 0..{MAX_SIGNING_TIME}")

    @property
    def signed_attributes(self) -> bytes:
        """The DER SET OF signed attributes: the message to sign (RFC 5652, section 5.4)."""
        attributes: list[dict[str, Any]] = [
            {"type": "content_type", "values": [self.content_type]},
            {"type": "message_digest", "values": [self.message_digest]},
        ]
        if self.signing_time is not None:
            attributes.append({"type": "signing_time", "values": [_time(self.signing_time)]})
        if self.content_description is not None:
            attributes.append(content_hints.attribute(self.content_description))
        return bytes(cms.CMSAttributes(attributes).dump())

    def slot(self) -> Slot:
        """Return the one signature that is needed."""
        message, algorithm = self.signed_attributes, self.key.algorithm
        return Slot(
            name=SLOT,
            key_profile=self.key.profile,
            algorithm=algorithm,
            message=Message((message,)),
            digest=hashlib.new(algorithm.hash_name, message).digest(),
            whole_message=None if algorithm.is_prehashed else message,
        )

    def assemble(self, signatures: Mapping[str, bytes]) -> bytes:
        """Return the ContentInfo in DER.

        A signature that does not verify is a ``VerificationError``: it must not get beside an image.
        """
        if signatures.keys() != {SLOT}:
            raise _invalid(f"signatures for {sorted(signatures)}, expected exactly {SLOT!r}")
        algorithm = self.key.algorithm
        check_signature(self.key.public_key, algorithm, self.signed_attributes, signatures[SLOT])
        digest_algorithm = digest_identifier(algorithm)
        content = {} if self.content is None else {"content": [core.Any.load(self.content)]}
        certificates = [x509.Certificate.load(der) for der in self.key.certificates]
        leaf = certificates[0]
        signer = {
            "version": "v1",
            "sid": cms.SignerIdentifier(
                {"issuer_and_serial_number": {"issuer": leaf.issuer, "serial_number": leaf.serial_number}}
            ),
            "digest_algorithm": digest_algorithm,
            "signed_attrs": cms.CMSAttributes.load(self.signed_attributes),
            "signature_algorithm": signature_identifier(algorithm),
            "signature": signatures[SLOT],
        }
        signed_data = {
            "version": "v1",  # RFC 5652, section 5.1; PKCS #7 knows no other
            "digest_algorithms": [digest_algorithm],
            "encap_content_info": {"content_type": self.content_type, **content},
            "certificates": [cms.CertificateChoices({"certificate": certificate}) for certificate in certificates],
            "signer_infos": [signer],
        }
        return bytes(ContentInfo({"content_type": SIGNED_DATA, "content": signed_data}).dump())


def slots_of(drafts: Sequence[Draft]) -> tuple[Slot, ...]:
    """Return the slots of several SignedData beside one another; a lone one keeps its plain name."""
    if len(drafts) == 1:
        return (drafts[0].slot(),)
    return tuple(replace(draft.slot(), name=f"{SLOT}-{n}") for n, draft in enumerate(drafts, 1))


def assemble_all(drafts: Sequence[Draft], signatures: Mapping[str, bytes]) -> tuple[bytes, ...]:
    """Return the ContentInfo of each draft, from signatures named as ``slots_of`` names them."""
    names = [slot.name for slot in slots_of(drafts)]
    if signatures.keys() != set(names):
        raise _invalid(f"signatures for {sorted(signatures)}, expected exactly {names}")
    return tuple(draft.assemble({SLOT: signatures[name]}) for name, draft in zip(names, drafts, strict=True))


def _time(seconds: int) -> Any:
    kind = "utc_time" if seconds < FIRST_GENERALIZED_TIME else "generalized_time"
    return cms.Time(name=kind, value=datetime.fromtimestamp(seconds, UTC))


def _invalid(message: str, hint: str = "") -> FormatError:
    return FormatError(message, code=Code.INVALID_DOCUMENT, hint=hint)
