"""Signature lists and signed updates of UEFI variables, and what OpenSSL is asked about them."""

import struct
import subprocess
from pathlib import Path

from asn1crypto import cms
from tests.formats.efi_images import RSA
from tests.formats.throwaway import Signer, signer
from tests.verifiers import openssl

from sealwright.core.images import MemorySource
from sealwright.formats import signature_lists, targets, uefi, uefi_variable

OWNER = "5ea1c0de-0000-4000-8000-000000000001"
SHA256 = "c1c41626-504c-4092-aca9-41f936934328"
NOW = 1_795_255_872
KEK = signer(RSA, "key exchange key")
STRANGER = signer(RSA, "stranger")


def lists(kind: str, *entries: bytes) -> bytes:
    """Pack entries of one type and size, by the specification."""
    size = 16 + len(entries[0])
    head = struct.pack("<16sIII", uefi.guid(kind), 28 + size * len(entries), 0, size)
    return head + b"".join(uefi.guid(OWNER) + entry for entry in entries)


def certificates(*who: Signer) -> bytes:
    return b"".join(lists(signature_lists.X509, each.certificate_der) for each in who)


def update(data: bytes, who: Signer = KEK, variable: str = "db", **options: object) -> bytes:
    source, chosen = MemorySource(data), {"variable": variable, "timestamp": NOW, **options}
    prepared = uefi_variable.prepare(source, [who.signing_key()], chosen, targets.ANY)
    return b"".join(prepared.assemble(who.sign_all(prepared)).apply(source))


def openssl_verify(
    signed: bytes, message: bytes, anchor: Path | None, folder: Path
) -> "subprocess.CompletedProcess[str]":
    """Ask OpenSSL about the PKCS #7 of an update over ``message``; it wants the ContentInfo that UEFI leaves out."""
    der = cms.SignedData.load(uefi.read_certificate(signed[16:], 16))
    signature, content = folder / "update.p7s", folder / "update.tbs"
    signature.write_bytes(cms.ContentInfo({"content_type": "signed_data", "content": der}).dump())
    content.write_bytes(message)
    return openssl.cms_verify(signature, content, anchor)
