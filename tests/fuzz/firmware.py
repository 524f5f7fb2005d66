"""Targets that are firmware formats: each as a whole, and what stands beside or around them."""

import hashlib
from collections.abc import Callable
from functools import cache
from types import ModuleType

from tests.formats.throwaway import signer
from tests.fuzz import repairs, taken
from tests.fuzz.harness import Finding, FormatTarget, Signing, Target, known, refused

from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm
from sealwright.formats import (
    dfu,
    dfuse,
    esp32,
    fit,
    ihex,
    mcuboot,
    pe,
    pe_layout,
    raw,
    srec,
    suit,
    uefi_capsule,
    uefi_variable,
    uf2,
    uki,
)
from sealwright.formats.fit_control import Anchors, anchors_of, verify_for_device
from sealwright.formats.fit_key_node import with_key_node

P256, RSA, ED25519 = Algorithm.ECDSA_P256_SHA256, Algorithm.RSA_PKCS1_SHA256, Algorithm.ED25519
TIME = {"signing_time": 1_790_000_000}
FLAT = {**TIME, "profile": "flat", "base": 0x0800_0000, "size": 4096, "fill": 255}
RAW_IMAGE = bytes(range(256)) * 4
"""What the fuzzed signature files stand beside."""
UKI_PARTS = {".linux": b"kernel" * 20, ".initrd": b"initrd", ".cmdline": b"quiet"}
CAPSULE = {"image_type": "058b7d83-50d5-4c47-a195-60d86ad341c4"}
MCUBOOT = {"version": "1.2.3+4", "header_size": 0x20, "pad_header": True}
UPDATE = {"variable": "db", "timestamp": 1_790_000_000}
ELEMENT = {**TIME, "signature_address": 0x0807_F000}


def _memory(module: ModuleType, read: Callable[[bytes], bytes]) -> FormatTarget:
    signings = (Signing(algorithm=P256, options=options) for options in (TIME, FLAT, {**TIME, "profile": "file"}))
    return FormatTarget(module, *signings, taken=read)


FIT = FormatTarget(fit, Signing(algorithm=RSA, options={"key_name": "fuzz"}))


def flattened_image(data: bytes) -> None:
    """FIT images, also as the device with the seeds' key sees them."""
    FIT(data)
    if refused(lambda: verify_for_device(MemorySource(data), _anchors())) is not None:
        FIT.check_accepted(data)


@cache
def _anchors() -> Anchors:
    return anchors_of(FIT.known.sidecars[".dtb"])


def control_devicetree(data: bytes) -> None:
    """The anchors of a device, a signed image against them, and one key more."""
    anchors = refused(lambda: anchors_of(data))
    more = refused(lambda: with_key_node(data, signer(RSA).public_key, RSA, "fuzz"))
    if anchors is None:
        return
    image = MemorySource(known("u-boot-fit-control").sidecars[".itb"])
    verified = refused(lambda: verify_for_device(image, anchors))
    if verified is not None and not set(verified.keys) <= set(known("u-boot-fit-control").keys):
        raise Finding("a device takes an image by a key that did not sign it")
    if more is not None and len(anchors_of(more).keys) != len(anchors.keys) + 1:
        raise Finding("a key more is not one more anchor")


def unified_kernel(data: bytes) -> None:
    """The input as an image, and as the stub of a new one, which must hold its parts."""
    image = MemorySource(data)
    layout = refused(lambda: pe_layout.read(image))
    if layout is None:
        return
    uki.facts(image, layout)
    refused(lambda: uki.pcr11(image))
    parts = {name: MemorySource(content) for name, content in UKI_PARTS.items()}
    built = refused(lambda: b"".join(uki.build(image, parts)))
    if built is None:
        return
    found = uki.parts_of(pe_layout.read(MemorySource(built)))
    if {name: built[at.start : at.start + at.virtual_size] for name, at in found.items()} != UKI_PARTS:
        raise Finding("the image built does not hold what was given")


def _beside(name: str) -> Callable[[bytes], None]:
    """The input as the signature file beside a fixed image."""

    def run(data: bytes) -> None:
        for suffix in known(name).sidecars:
            refused(lambda: raw.verify(MemorySource(RAW_IMAGE), known(name).trust, {suffix: data}))  # noqa: B023
            other = MemorySource(RAW_IMAGE + b"!")
            if refused(lambda: raw.verify(other, known(name).trust, {suffix: data})) is not None:  # noqa: B023
                raise Finding("a signature is accepted for another image")

    return run


def minisign_file(data: bytes) -> None:
    """The same, and of what is accepted the trusted comment is one that was signed."""
    said = known("raw-minisign")
    _beside("raw-minisign")(data)
    accepted = refused(lambda: raw.verify(MemorySource(RAW_IMAGE), said.trust, {".minisig": data}))
    if accepted is not None and trusted_comment(data) not in said.contents:
        raise Finding("a trusted comment is accepted that nobody signed")


def trusted_comment(data: bytes) -> str:
    """Return the digest of the third line of a minisign file."""
    return hashlib.sha256(data.split(b"\n")[2]).hexdigest()


TARGETS: dict[str, Target] = {
    "uefi-pe": Target(
        run=FormatTarget(
            pe,
            Signing(algorithm=RSA),
            Signing(algorithm=RSA, options={"existing": "append", **TIME}, verifies=False),
            taken=taken.uefi_program,
        )
    ),
    "u-boot-fit": Target(run=flattened_image, repair=repairs.devicetree),
    "raw-cms": Target(run=_beside("raw-cms")),
    "mcuboot": Target(
        run=FormatTarget(
            mcuboot, Signing(algorithm=P256), Signing(algorithm=ED25519, options=MCUBOOT), taken=taken.mcuboot
        ),
        repair=repairs.mcuboot,
    ),
    "intel-hex": Target(run=_memory(ihex, taken.intel_hex), repair=repairs.intel_hex),
    "s-record": Target(run=_memory(srec, taken.s_record), repair=repairs.s_record),
    "uf2": Target(run=_memory(uf2, taken.uf2)),
    "dfu": Target(run=FormatTarget(dfu, Signing(algorithm=P256, options=TIME)), repair=repairs.dfu),
    "dfuse": Target(run=FormatTarget(dfuse, Signing(algorithm=P256, options=ELEMENT)), repair=repairs.dfuse),
    "esp32-secure-boot-v2": Target(
        run=FormatTarget(
            esp32,
            Signing(algorithm=P256),
            Signing(algorithm=P256, options={"existing": "append"}, verifies=False),
            taken=taken.esp32,
        ),
        repair=repairs.esp32,
    ),
    "uefi-capsule": Target(
        run=FormatTarget(
            uefi_capsule,
            Signing(algorithm=RSA),
            Signing(algorithm=RSA, options=CAPSULE),
            taken=taken.uefi_capsule,
        ),
        repair=repairs.capsule,
    ),
    "uefi-variable": Target(
        run=FormatTarget(uefi_variable, Signing(algorithm=RSA, options=UPDATE), taken=taken.uefi_variable)
    ),
    "suit": Target(
        run=FormatTarget(
            suit,
            Signing(algorithm=P256),
            Signing(algorithm=ED25519, options={"existing": "append", "sever": ["text"]}, verifies=False),
            taken=taken.suit,
            by_parts=True,
        ),
        repair=repairs.suit,
    ),
    "raw-cose": Target(run=_beside("raw-cose")),
    "raw-sshsig": Target(run=_beside("raw-sshsig")),
    "raw-minisign": Target(run=minisign_file),
    "u-boot-fit-control": Target(run=control_devicetree, repair=repairs.devicetree),
    "uki": Target(run=unified_kernel),
}
