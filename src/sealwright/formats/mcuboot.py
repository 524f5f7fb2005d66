"""MCUboot: a bare application gets header, hash and signature; an image built without a signature gets the signature.

The hash and the signature cover header, payload and protected TLVs.  Ed25519 signs the 32-byte hash as its message.
Encrypted and compressed images, RSA, several signatures, and padding to the slot are not done here.
Reference: MCUboot docs/design.md; boot/bootutil/src/image_validate.c; ``docs/formats/mcuboot.md``.
"""

from collections.abc import Mapping

from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.images import ByteSource, Message, Range
from sealwright.formats import mcuboot_layout as layout
from sealwright.formats import mcuboot_signing
from sealwright.formats.interface import ExistingSignature, Inspection, Trust, Verified
from sealwright.formats.mcuboot_layout import ALGORITHMS, SIGNATURES, Entry, Kind, Layout, kind_name

name = mcuboot_signing.NAME
Options = mcuboot_signing.Options
prepare = mcuboot_signing.prepare
matches = layout.has_magic

_REASONS = {
    Kind.SHA256: "hash of all covered bytes: recomputed and compared when verifying",
    Kind.KEYHASH: "hash of the public key: must be that of a trusted key",
    Kind.ECDSA_SIG: "the signature itself",
    Kind.ED25519: "the signature itself",
}


def inspect(image: ByteSource) -> Inspection:
    """Describe an image, or a bare application that is to become one."""
    if not matches(image):
        layout.check_size(image)
        facts = {"Kind": "application without MCUboot header", "Size": f"{image.size} bytes"}
        return Inspection(format=name, facts=facts, covered=(Range(0, image.size),))
    found = layout.parse(image)
    info = Range(found.signed_end, found.signed_end + layout.INFO.size)
    return Inspection(
        format=name,
        facts=_facts(found),
        signatures=_signatures(found),
        covered=(Range(0, found.signed_end),),
        uncovered=(
            (info, "length of the TLVs that follow: they must fill the rest of the file"),
            *((Range(entry.at, entry.end), _reason(entry)) for entry in found.entries),
        ),
    )


def verify(image: ByteSource, trust: Trust, sidecars: Mapping[str, bytes]) -> Verified:  # noqa: ARG001  (it has none)
    """Check structure, hash, key and signature as the bootloader does, and that the file holds nothing else."""
    found = layout.parse(image)
    layout.check_supported(found)
    kinds = [entry.kind for entry in found.entries]
    if not SIGNATURES & set(kinds):
        raise VerificationError("image is not signed: it has no signature TLV")
    if len(kinds) != 3 or kinds[:2] != [Kind.SHA256, Kind.KEYHASH] or kinds[2] not in ALGORITHMS:
        raise FormatError(
            f"TLVs outside the protected area are {', '.join(map(kind_name, kinds))}; "
            "accepted are SHA256, KEYHASH and one signature, ECDSA_SIG or ED25519",
            at=found.signed_end,
            code=Code.UNSUPPORTED_IMAGE,
        )
    stated, key_hash, signature = (entry.value for entry in found.entries)
    image_hash = Message((Range(0, found.signed_end),)).digest(image, "sha256")
    if stated != image_hash:
        raise VerificationError(
            "image hash differs", expected=stated.hex(), got=image_hash.hex(), code=Code.IMAGE_MISMATCH
        )
    key = next((key for key in trust.keys if key.fingerprint == key_hash.hex()), None)
    if key is None:
        trusted = " or ".join(key.fingerprint for key in trust.keys) or "a trusted key"
        raise VerificationError(
            "image is signed by a key that is not trusted",
            expected=trusted,
            got=key_hash.hex(),
            code=Code.NOT_TRUSTED,
        )
    key.verify(ALGORITHMS[Kind(kinds[2])], image_hash, signature)
    return Verified(format=name, signatures=_signatures(found), keys=(key,))


def _facts(found: Layout) -> dict[str, str]:
    header, counter = found.header, found.security_counter()
    facts = {
        "Kind": "MCUboot image",
        "Version": str(header.version),
        "Load address": f"{header.load_address:#x}" if header.load_address else "none",
        "Flags": layout.flag_names(header.flags),
        "Security counter": "none" if counter is None else str(counter),
        "Header": f"{header.header_size} bytes",
        "Payload": f"{header.image_size} bytes",
    }
    for i, (number, version) in enumerate(found.dependencies()):
        facts[f"Dependency {i + 1}"] = f"image {number} in version {version} or newer"
    for entry in found.entries:
        if entry.kind == Kind.SHA256:
            facts["Hash in the image"] = entry.value.hex()
    # What is signed but not understood is shown, so that an approver can ask.
    for i, entry in enumerate(found.protected):
        if entry.kind not in (Kind.SEC_CNT, Kind.DEPENDENCY):
            facts[f"Protected TLV {i + 1}, {kind_name(entry.kind)}"] = entry.value[:64].hex() or "empty"
    return facts


def _signatures(found: Layout) -> tuple[ExistingSignature, ...]:
    """List the signatures, each with the key hash that precedes it."""
    signatures: list[ExistingSignature] = []
    signer = "key not named"
    for entry in found.entries:
        if entry.kind == Kind.KEYHASH:
            signer = f"key {entry.value.hex()}"
        elif entry.kind in SIGNATURES:
            kind = Kind(entry.kind)
            label = f"signature-{len(signatures) + 1}" if signatures else mcuboot_signing.SLOT
            algorithm = str(ALGORITHMS[kind]) if kind in ALGORITHMS else kind.name
            signatures.append(ExistingSignature(name=label, algorithm=algorithm, signer=signer))
            signer = "key not named"
    return tuple(signatures)


def _reason(entry: Entry) -> str:
    known = _REASONS.get(Kind(entry.kind)) if entry.kind in list(Kind) else None
    return known or f"TLV {kind_name(entry.kind)} outside the protected area: refused when verifying"
