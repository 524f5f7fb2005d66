"""Whose signature it is, is said by its key; what an embedded certificate says, anybody can exchange."""

from collections.abc import Callable
from datetime import datetime

import pytest
from asn1crypto import cms
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.formats import attribute_sets, efi_capsules, efi_images, efi_variables
from tests.formats.throwaway import Signer, signer

from sealwright.core.errors import VerificationError
from sealwright.core.images import MemorySource
from sealwright.formats import ihex, pe, pe_layout, raw, targets, uefi, uefi_capsule, uefi_variable
from sealwright.formats.capsule_layout import BODY_AT
from sealwright.formats.interface import Format, Verified

MAKER = efi_capsules.MAKER
LIE = "Release Board, approved by nine people"
RAW, HEX = b"firmware" * 100, b":0100000041BE\n:00000001FF\n"


def exchanged(der: bytes, who: Signer = MAKER) -> bytes:
    """Put another certificate around the same key, made by a stranger, into a ContentInfo."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, LIE)])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(4242)
    builder = builder.not_valid_before(datetime(2000, 1, 1)).not_valid_after(datetime(2001, 1, 1))  # noqa: DTZ001
    made = builder.public_key(who.certificate.public_key()).sign(
        ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()
    )
    certificate = asn1_x509.Certificate.load(made.public_bytes(serialization.Encoding.DER))
    outer = cms.ContentInfo.load(der)
    outer["content"]["certificates"] = cms.CertificateSet([cms.CertificateChoices({"certificate": certificate})])
    outer["content"]["signer_infos"][0]["sid"] = cms.SignerIdentifier(
        {"issuer_and_serial_number": {"issuer": certificate.issuer, "serial_number": certificate.serial_number}}
    )
    return bytes(outer.dump(force=True))


def beside(image_format: Format, data: bytes, spoil: Callable[[bytes], bytes]) -> Verified:
    source = MemorySource(data)
    prepared = image_format.prepare(source, [MAKER.signing_key()], {"signing_time": 1_790_000_000}, targets.ANY)
    (sidecar,) = prepared.assemble(MAKER.sign_all(prepared)).sidecars
    return image_format.verify(source, MAKER.trust, {sidecar.suffix: spoil(sidecar.content)})


def capsule(spoil: Callable[[bytes], bytes]) -> Verified:
    signed = efi_capsules.capsule()
    der = spoil(uefi.read_certificate(signed[BODY_AT + 8 :], BODY_AT + 8))
    made = attribute_sets.around(efi_capsules.PAYLOAD, 0, der)
    assert (
        uefi_capsule.inspect(MemorySource(made)).signatures[0].signer.startswith(f"key {MAKER.public_key.fingerprint}")
    )
    return uefi_capsule.verify(MemorySource(made), MAKER.trust, {})


def variable(spoil: Callable[[bytes], bytes]) -> Verified:
    contents = efi_variables.certificates(MAKER)
    signed = efi_variables.update(contents, MAKER)
    inner = cms.SignedData.load(uefi.read_certificate(signed[16:], 16))
    outer = cms.ContentInfo({"content_type": "signed_data", "content": inner}).dump()
    der = cms.ContentInfo.load(spoil(outer))["content"].untag().dump(force=True)
    return uefi_variable.verify(MemorySource(signed[:16] + uefi.certificate(der) + contents), MAKER.trust, {})


def program(spoil: Callable[[bytes], bytes]) -> Verified:
    signed = efi_images.sign(efi_images.image(), MAKER)
    layout = pe_layout.read(MemorySource(signed))
    assert layout.table
    (der,) = pe_layout.read_certificates(MemorySource(signed), layout.table)
    table = pe._win_certificate(spoil(der))
    entry = pe_layout.DIRECTORY.pack(layout.end, len(table))
    return pe.verify(
        MemorySource(efi_images.put(signed[: layout.end], layout.table_entry_at, entry) + table), MAKER.trust, {}
    )


CASES: dict[str, Callable[[Callable[[bytes], bytes]], Verified]] = {
    "raw": lambda spoil: beside(raw, RAW, spoil),
    "HEX": lambda spoil: beside(ihex, HEX, spoil),
    "capsule": capsule,
    "variable": variable,
    "program": program,
}


@pytest.mark.parametrize("verified", CASES.values(), ids=CASES)
def test_an_exchanged_certificate_changes_what_it_says_and_not_whose_key_it_was(
    verified: Callable[[Callable[[bytes], bytes]], Verified],
) -> None:
    before, after = verified(bytes), verified(exchanged)
    assert before.keys == after.keys == (MAKER.public_key,)
    shown, lie = before.signatures[0].signer, after.signatures[0].signer
    assert shown == f"key {MAKER.public_key.fingerprint}, certificate in the file says CN=TEST ONLY maker"
    assert lie == f"key {MAKER.public_key.fingerprint}, certificate in the file says CN={LIE}"


def test_a_certificate_around_another_key_is_refused() -> None:
    with pytest.raises(VerificationError, match="signed by a key that is not trusted: key "):
        beside(raw, RAW, lambda der: exchanged(der, signer(MAKER.algorithm, "stranger")))
