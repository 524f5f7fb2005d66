"""Firmware that is a set of signed attributes: its signature would be one over any other firmware named in it."""

import struct
from pathlib import Path

import pytest
from tests.formats import attribute_sets
from tests.formats.attribute_sets import COUNT, around, attributes_for, bare, with_attributes
from tests.formats.efi_capsules import IMAGE_TYPE, MAKER, PAYLOAD, capsule, openssl_verify
from tests.formats.efi_variables import KEK, NOW, certificates
from tests.verifiers import mkeficapsule

from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.images import MemorySource, Message, Range
from sealwright.formats import bare_signature, targets, uefi, uefi_capsule, uefi_variable
from sealwright.formats.capsule_layout import BODY_AT

PLAIN, COUNT_VALUE, EVIL = attribute_sets.firmware_that_is_attributes()


def check(data: bytes) -> None:
    uefi_capsule.verify(MemorySource(data), MAKER.trust, {})


def pkcs7(signed: bytes) -> bytes:
    return uefi.read_certificate(signed[BODY_AT + 8 :], BODY_AT + 8)


def test_openssl_takes_a_bare_signature_over_attributes_for_the_firmware_that_they_name(tmp_path: Path) -> None:
    """Why we make none: nobody who looks at the second capsule can tell."""
    attributes = PLAIN + COUNT.pack(COUNT_VALUE)
    der = bare(b"other firmware" + COUNT.pack(0))
    assert openssl_verify(around(EVIL, 0, der), MAKER.anchor(tmp_path), tmp_path).returncode != 0
    key = MAKER.signing_key()
    with pytest.raises(FormatError, match=r"is one ASN\.1 SET") as e:
        bare_signature.draft(key, MemorySource(b""), Message((attributes,)), has_content_info=True)
    assert e.value.code is Code.INVALID_DOCUMENT
    forged = around(EVIL, 0, with_attributes(bare(attributes), attributes))
    assert openssl_verify(forged, MAKER.anchor(tmp_path), tmp_path).returncode == 0


def test_firmware_that_is_attributes_with_its_count_is_not_prepared_and_with_another_count_it_is() -> None:
    with pytest.raises(FormatError, match="as signed attributes it would be a signature over other content") as e:
        capsule(PLAIN, monotonic_count=COUNT_VALUE)
    assert (e.value.code, "fw_version" in e.value.hint) == (Code.INVALID_DOCUMENT, True)
    check(capsule(PLAIN + b"\0", monotonic_count=COUNT_VALUE))
    check(capsule(PLAIN, monotonic_count=COUNT_VALUE, fw_version=1, lowest_supported_version=1))


@pytest.mark.parametrize(
    ("head", "is_set"),
    [
        (b"\x31\x0e", True),
        (b"\x31\x81\x0d", True),
        (b"\x31\x84\0\0\0\x0a", True),  # not minimal: DER it is not, and some read it
        (b"\x31\x80", True),  # indefinite
        (b"\x31\x0f", False),
        (b"\x31\x82\0\x0d", False),
        (b"\x31\xc0", False),  # `xor eax, eax`, as programs for x86 begin
        (b"\x30\x0e", False),
    ],
)
def test_every_spelling_of_a_set_that_fills_the_message_is_found(head: bytes, is_set: bool) -> None:
    payload = head.ljust(8, b"\0")
    assert len(payload) + COUNT.size == 16
    try:
        capsule(payload)
    except FormatError as e:
        assert "one ASN.1 SET" in e.message  # noqa: PT017  (which payloads are refused is the fact)
        assert is_set
    else:
        assert not is_set


def test_a_set_in_pieces_is_found_across_them() -> None:
    source = MemorySource(b"\x82\0\x05hello")
    assert bare_signature.reads_as_set(source, Message((b"\x31", Range(0, source.size))))
    assert not bare_signature.reads_as_set(source, Message((b"\x31", Range(0, source.size), b"\0")))
    assert not bare_signature.reads_as_set(source, Message((b"\x31",)))


def test_attributes_that_were_signed_are_no_firmware_of_their_own(tmp_path: Path) -> None:
    """The other way: OpenSSL takes attributes of mkeficapsule as a payload of a hundred bytes, we do not."""
    key, anchor = MAKER.private_file(tmp_path), MAKER.anchor(tmp_path)
    theirs = mkeficapsule.build(PAYLOAD, tmp_path, image_type=IMAGE_TYPE, count=5, key=key, certificate=anchor)
    check(theirs)
    attributes = bare_signature.parse(pkcs7(theirs), has_content_info=True).attributes
    assert attributes is not None
    content = attributes.signed_attributes
    (count,) = COUNT.unpack(content[-8:])
    stripped = around(content[:-8], count, bare(content, attributes.signature))
    assert openssl_verify(stripped, anchor, tmp_path).returncode == 0
    with pytest.raises(VerificationError, match="reads as signed attributes"):
        check(stripped)


def test_a_variable_cannot_begin_as_a_set_whatever_it_holds() -> None:
    """Its name comes first in what is signed: P, K or d, never 0x31."""
    heads = {head[0] for _, head in uefi_variable._heads()}
    assert heads == {ord("P"), ord("K"), ord("d")}
    contents = certificates(MAKER)
    for variable in uefi_variable.Variable:
        prepared = uefi_variable.prepare(
            MemorySource(contents), [KEK.signing_key()], {"variable": str(variable), "timestamp": NOW}, targets.ANY
        )
        assert not bare_signature.reads_as_set(MemorySource(contents), prepared.slots[0].message)


def test_what_we_sign_is_never_attributes_for_something_else() -> None:
    """The set that names the signed content is another message than the content."""
    content = PAYLOAD + struct.pack("<Q", 3)
    der = pkcs7(capsule(monotonic_count=3))
    forged = around(PAYLOAD, 3, with_attributes(der, attributes_for(content)))
    with pytest.raises(VerificationError, match="not what was signed"):
        check(forged)
