"""DER that would cost its reader dearly is refused by counting, before anything decodes it, in every format."""

import struct
from collections.abc import Callable
from dataclasses import replace

import pytest
from asn1crypto import x509
from tests.formats import dfu_files, efi_capsules, efi_images
from tests.formats.attribute_sets import around
from tests.formats.efi_capsules import MAKER
from tests.formats.efi_variables import lists as signature_list

from sealwright.core.errors import FormatError
from sealwright.core.images import MemorySource
from sealwright.formats import cms, dfu, ihex, pe, pe_layout, raw, signature_lists, uefi, uefi_capsule, uefi_variable
from sealwright.formats.der import MAX_ELEMENTS, MAX_OBJECT_IDENTIFIER_BYTES, check_der


def element(tag: int, body: bytes) -> bytes:
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + body


def identifier(length: int) -> bytes:
    return element(6, b"\x2a" + b"\xff" * (length - 2) + b"\x01")


def content_info(kind: bytes) -> bytes:
    return element(0x30, kind + element(0xA0, element(0x30, b"")))


LONG = identifier(20_000)


def test_object_identifiers_of_64_bytes_are_read_and_longer_ones_are_refused() -> None:
    check_der(content_info(identifier(MAX_OBJECT_IDENTIFIER_BYTES)))
    with pytest.raises(FormatError, match="object identifier of 65 bytes, at most 64 are accepted") as e:
        check_der(content_info(identifier(MAX_OBJECT_IDENTIFIER_BYTES + 1)))
    assert e.value.at == 2


def test_ten_thousand_elements_are_read_and_one_more_is_refused() -> None:
    check_der(element(0x30, b"\5\0" * (MAX_ELEMENTS - 1)))
    with pytest.raises(FormatError, match="DER of more than 10000 elements"):
        check_der(element(0x30, b"\5\0" * MAX_ELEMENTS))


def certificate(kind: bytes) -> bytes:
    """The maker's certificate with another attribute type in its names."""
    given = x509.Certificate.load(MAKER.certificate_der)
    fields = given["tbs_certificate"]
    name = element(0x30, element(0x31, element(0x30, kind + element(12, b"x"))))
    body = [fields[f].dump() for f in ("version", "serial_number", "signature")]
    body += [name, fields["validity"].dump(), name, fields["subject_public_key_info"].dump()]
    return element(
        0x30, element(0x30, b"".join(body)) + given["signature_algorithm"].dump() + given["signature_value"].dump()
    )


def in_a_program(der: bytes) -> None:
    data = efi_images.image()
    data += bytes(-len(data) % 8)
    table = struct.pack("<IHH", 8 + len(der), 0x200, 2) + der
    table += bytes(-len(table) % 8)
    entry_at = pe_layout.read(MemorySource(data)).table_entry_at
    pe.inspect(MemorySource(efi_images.put(data, entry_at, struct.pack("<II", len(data), len(table))) + table))


def in_a_dfu_file(der: bytes) -> None:
    block = der + struct.pack("<I8s", len(der), b"SWDFUSIG")
    dfu.inspect(MemorySource(dfu_files.with_suffix(b"F" * 16 + block)))


READERS: dict[str, Callable[[bytes], object]] = {
    "program": in_a_program,
    "capsule": lambda der: uefi_capsule.inspect(MemorySource(around(efi_capsules.PAYLOAD, 0, der))),
    "variable": lambda der: uefi_variable.inspect(MemorySource(uefi.time(0) + uefi.certificate(der) + bytes(64))),
    "DFU": in_a_dfu_file,
    "file beside an image": lambda der: raw.verify(MemorySource(b"x"), MAKER.trust, {".p7s": der}),
    "file beside a HEX file": lambda der: ihex.verify(MemorySource(HEX), MAKER.trust, {".p7s": der}),
}
HEX = b":0100000041BE\n:00000001FF\n"


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_every_reader_of_cms_refuses_it(reader: Callable[[bytes], object]) -> None:
    with pytest.raises(FormatError, match="object identifier of 20000 bytes"):
        reader(content_info(LONG))
    with pytest.raises(FormatError, match="DER of more than 10000 elements"):
        reader(element(0x30, b"\5\0" * MAX_ELEMENTS))
    with pytest.raises(FormatError, match=r"not a CMS|not a PKCS #7|CMS content type is"):
        reader(content_info(identifier(60)))


def test_a_certificate_that_names_its_holder_so_is_refused_in_db_and_in_a_key_profile() -> None:
    for kind, length in ((b"\6\3\x55\4\3", 0), (identifier(60), 0), (LONG, 20_000)):
        der = certificate(kind)
        entries = signature_list(signature_lists.X509, der)
        key = replace(MAKER.signing_key(), certificates=(der,))
        if not length:
            assert uefi_variable.inspect(MemorySource(entries)).facts["Entries"] == "1"
            assert cms.only_key([key], "raw") == key
            continue
        with pytest.raises(FormatError, match=f"object identifier of {length} bytes"):
            uefi_variable.inspect(MemorySource(entries))
        with pytest.raises(FormatError, match=r"key profile test/firmware is not X\.509 in DER"):
            cms.only_key([key], "raw")
