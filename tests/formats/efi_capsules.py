"""Capsules made for tests, and what OpenSSL is asked about them."""

import random
import subprocess
from pathlib import Path

from tests.formats.efi_images import RSA
from tests.formats.throwaway import Signer, signer
from tests.verifiers import openssl

from sealwright.core.images import MemorySource
from sealwright.formats import capsule_layout, targets, uefi, uefi_capsule

IMAGE_TYPE = "058b7d83-50d5-4c47-a195-60d86ad341c4"  # what U-Boot for QEMU's arm64 machine calls itself
PAYLOAD = random.Random(5).randbytes(5_000)  # noqa: S311  (the same each time)
MAKER = signer(RSA, "maker")
STRANGER = signer(RSA, "stranger")


def capsule(data: bytes = PAYLOAD, who: Signer = MAKER, **options: object) -> bytes:
    """Sign a payload, or a capsule that is there, for QEMU's machine unless ``options`` say otherwise."""
    source = MemorySource(data)
    chosen = options if uefi_capsule.matches(source) else {"image_type": IMAGE_TYPE, **options}
    prepared = uefi_capsule.prepare(source, [who.signing_key()], chosen, targets.ANY)
    return b"".join(prepared.assemble(who.sign_all(prepared)).apply(source))


def openssl_verify(signed: bytes, anchor: Path | None, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Cut certificate and payload out by the specification and ask OpenSSL about payload and monotonic count."""
    at = capsule_layout.BODY_AT
    der = uefi.read_certificate(signed[at + 8 :], at + 8)
    (folder / "capsule.p7").write_bytes(der)
    (folder / "capsule.tbs").write_bytes(signed[at + 8 + 24 + len(der) :] + signed[at : at + 8])
    return openssl.cms_verify(folder / "capsule.p7", folder / "capsule.tbs", anchor)
