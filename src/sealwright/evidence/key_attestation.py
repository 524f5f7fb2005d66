"""Vendors' attestations: a certificate by the device that a key was made inside it.  YubiHSM 2 is known.

The device signs an X.509 certificate over the key's public half, with extensions that say how the key came about; the
device's own certificate leads to a root of the vendor.  Not tried on the device: the layout is that of Yubico's
documents, "YubiHSM OIDs" and "Attestation", and of values that others read from devices.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from asn1crypto import core
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sealwright.core.certificates import UNREADABLE
from sealwright.core.errors import Code, FormatError, VerificationError

_VENDOR_ARC = "1.3.6.1.4.1.41482."
_ARC = f"{_VENDOR_ARC}4."
FIRMWARE, SERIAL, ORIGIN, DOMAINS, CAPABILITIES, OBJECT_ID, LABEL, FIPS = (
    x509.ObjectIdentifier(_ARC + n) for n in ("1", "2", "3", "4", "5", "6", "9", "10")
)
GENERATED = 0x01
"""Origin: made inside.  0x02 is imported, 0x10 came in wrapped."""
EXPORTABLE_UNDER_WRAP = 1 << 16
FIRMWARE_BYTES, ORIGIN_BYTES, DOMAINS_BYTES, CAPABILITIES_BYTES = 3, 1, 2, 8
MAX_CHAIN = 8
MAX_INTEGER_BITS = 256
"""Far beyond any serial number, and short enough to be printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """What the device says of a key, in a chain that leads to a root."""

    serial: str
    firmware: str
    object_id: int
    label: str
    says_fips: bool
    """Whether the extension for FIPS is there; a certificate number is not in it."""
    root: x509.Certificate


def verify_yubihsm(
    chain: Sequence[bytes], roots: Sequence[x509.Certificate], public_key: bytes, *, at_seconds: int
) -> Attested:
    """Verify that a YubiHSM 2 made the key of this SubjectPublicKeyInfo and does not export it.

    ``chain``: DER, the key's certificate first, then the device's, then what leads to one of ``roots``.
    Raises ``VerificationError``, ``FormatError`` for what is no certificate.
    """
    certificates = [load_certificate(der) for der in chain]
    if not 2 <= len(certificates) <= MAX_CHAIN:
        raise _refused(f"{len(certificates)} certificates, those of key and device are the least")
    leaf, device = certificates[0], certificates[1]
    if _spki(leaf) != public_key:
        raise _refused("the attestation is that of another key")
    for certificate in certificates[1:]:
        # A key in the device can sign too: what it attests looks like this, and proves nothing about the device.
        if any(_extension(certificate, oid) is not None for oid in (ORIGIN, CAPABILITIES, OBJECT_ID)):
            raise _refused("the key is attested by a key that is itself attested, not by the device")
    for certificate in (leaf, device):
        _check_is_of_a_yubihsm(certificate)
    root = _check_chain(certificates, roots, at_seconds)
    serial = _integer(leaf, SERIAL)
    if _integer(device, SERIAL) != serial:
        raise _refused("key and device certificate name different devices")
    origin, capabilities = _bits(leaf, ORIGIN, ORIGIN_BYTES), _bits(leaf, CAPABILITIES, CAPABILITIES_BYTES)
    _bits(leaf, DOMAINS, DOMAINS_BYTES)
    if origin != GENERATED:
        raise _refused(f"the key was not made in the device: origin {origin:#x}")
    if not capabilities:
        raise _refused("the key has no capability, so it signs nothing")
    if capabilities & EXPORTABLE_UNDER_WRAP:
        raise _refused("the device may export the key under a wrapping key")
    firmware = _value(leaf, FIRMWARE, core.OctetString)
    if len(firmware) != FIRMWARE_BYTES:
        raise _refused(f"firmware of {len(firmware)} bytes, {FIRMWARE_BYTES} name a version")
    return Attested(
        serial=str(serial),
        firmware=".".join(map(str, firmware)),
        object_id=_integer(leaf, OBJECT_ID),
        label=str(_value(leaf, LABEL, core.UTF8String)),
        says_fips=_extension(leaf, FIPS) is not None,
        root=root,
    )


def load_roots(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Read PEM certificates; ``FormatError`` when there is none."""
    try:
        found = x509.load_pem_x509_certificates(pem)
    except UNREADABLE as e:
        raise _no_certificate(e) from None
    return tuple(load_certificate(certificate.public_bytes(Encoding.DER)) for certificate in found)


def load_certificate(der: bytes) -> x509.Certificate:
    """Read one DER certificate, its names and all its extensions: the library decodes each when it is asked for it."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        _spki(certificate)
        list(certificate.extensions)
        _name(certificate)
        certificate.issuer.rfc4514_string()
    except UNREADABLE as e:
        raise _no_certificate(e) from None
    return certificate


def _check_chain(
    certificates: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], at_seconds: int
) -> x509.Certificate:
    """Return the root that the chain ends at; each certificate is signed by the next one, and dates hold."""
    try:
        at = datetime.fromtimestamp(at_seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise _refused(f"time {at_seconds} is beyond the year 9999") from None
    known = {root.public_bytes(Encoding.DER) for root in roots}
    links = list(certificates)
    if links[-1].public_bytes(Encoding.DER) in known:
        root = links[-1]
    else:
        root = next((r for r in roots if _is_issued_by(links[-1], r)), None) or _foreign()
        links.append(root)
    for certificate, issuer in pairwise(links):
        if not _is_issued_by(certificate, issuer):
            raise _refused(f"{_name(certificate)} is not signed by {_name(issuer)}")
    for depth, issuer in enumerate(links[1:]):
        _check_authority(issuer, depth)
    for certificate in links:
        if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
            raise _refused(f"{_name(certificate)} was not valid on {at:%Y-%m-%d}")
    return root


def _check_is_of_a_yubihsm(certificate: x509.Certificate) -> None:
    """The vendor's other products attest too, such as a YubiKey's PIV applet (41482.3) keys that its user chose."""
    for extension in certificate.extensions:
        arc = extension.oid.dotted_string
        if arc.startswith(_VENDOR_ARC) and not arc.startswith(_ARC):
            raise _refused(f"{_name(certificate)} has the extension {arc}: it is of another product than a YubiHSM")


def _check_authority(certificate: x509.Certificate, authorities_below: int) -> None:
    """RFC 5280, section 6.1.4 (k) to (n): what signs certificates says that it may, and is for nothing else."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        raise _refused(f"{_name(certificate)} is no authority") from None
    if not constraints.ca:
        raise _refused(f"{_name(certificate)} is no authority")
    if constraints.path_length is not None and authorities_below > constraints.path_length:
        raise _refused(f"{_name(certificate)} allows {constraints.path_length} authorities below it")
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.KeyUsage) and not extension.value.key_cert_sign:
            raise _refused(f"{_name(certificate)} may not sign certificates, by its key usage")
        if isinstance(extension.value, x509.ExtendedKeyUsage):
            raise _refused(f"{_name(certificate)} is for another purpose, by its extended key usage")


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _extension(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> bytes | None:
    for extension in certificate.extensions:
        if extension.oid == oid and isinstance(extension.value, x509.UnrecognizedExtension):
            return extension.value.value
    return None


def _required(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> bytes:
    data = _extension(certificate, oid)
    if data is None:
        raise _refused(f"{_name(certificate)} lacks the extension {oid.dotted_string}")
    return data


def _value(certificate: x509.Certificate, oid: x509.ObjectIdentifier, kind: type[Any]) -> Any:
    data = _required(certificate, oid)
    try:
        return kind.load(data, strict=True).native
    except (ValueError, TypeError) as e:
        raise FormatError(
            f"attestation: extension {oid.dotted_string}: {str(e)[:80]}", code=Code.INVALID_DOCUMENT
        ) from None


def _integer(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> int:
    value = int(_value(certificate, oid, core.Integer))
    if value.bit_length() > MAX_INTEGER_BITS:
        raise _refused(f"extension {oid.dotted_string} is a number of {value.bit_length()} bits")
    return value


def _bits(certificate: x509.Certificate, oid: x509.ObjectIdentifier, size: int) -> int:
    """Return a BIT STRING of exactly so many bytes as a number: its last bit is the least one."""
    data = _required(certificate, oid)
    tag, length, unused = core.BitString.tag, 1 + size, 0
    if len(data) != 3 + size or data[:3] != bytes([tag, length, unused]):
        raise _refused(f"extension {oid.dotted_string} is no string of {8 * size} bits")
    return int.from_bytes(data[3:])


def _spki(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()[:80] or "a certificate without a name"


def _foreign() -> Any:
    raise _refused("the chain leads to none of the roots")


def _refused(message: str) -> VerificationError:
    return VerificationError(f"attestation: {message}", code=Code.NOT_TRUSTED)


def _no_certificate(error: Exception) -> FormatError:
    return FormatError(f"attestation: not a certificate: {str(error)[:80]}", code=Code.INVALID_DOCUMENT)
