"""MCUboot: a bare application gets header, hash and signature; an image built without a signature gets the signature.

The hash and the signature cover header, payload and protected TLVs.  Ed25519 signs that hash as its message.
Encrypted and compressed images, "pure" Ed25519, several signatures, and padding to the slot are not done here.
Reference: MCUboot docs/design.md; boot/bootutil/src/image_validate.c; ``docs/formats/mcuboot.md``.
"""

from collections.abc import Mapping
from hashlib import sha256
from uuid import UUID

from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.images import ByteSource, Message, Range
from sealwright.core.keys import PublicKey
from sealwright.formats import mcuboot_algorithms as algorithms
from sealwright.formats import mcuboot_boot_record, mcuboot_options, mcuboot_signing
from sealwright.formats import mcuboot_layout as layout
from sealwright.formats.interface import ExistingSignature, Inspection, Trust, Verified
from sealwright.formats.mcuboot_algorithms import HASHES
from sealwright.formats.mcuboot_layout import SIGNATURES, Entry, Kind, Layout, kind_name

name = mcuboot_signing.NAME
Options = mcuboot_options.Options
prepare = mcuboot_signing.prepare
matches = layout.has_magic

MAX_SHOWN = 64
"""Bytes of a TLV that ``inspect`` shows."""
_HASH_REASON = "hash of all covered bytes: recomputed and compared when verifying"
_SIGNATURE_REASON = "the signature itself"
_REASONS = {
    **dict.fromkeys(HASHES, _HASH_REASON),
    **dict.fromkeys(algorithms.SIGNATURES, _SIGNATURE_REASON),
    Kind.KEYHASH: "hash of the public key: must be that of a trusted key",
    Kind.PUBKEY: "the public key: must be a trusted one",
}
_UNDERSTOOD = (Kind.SEC_CNT, Kind.DEPENDENCY, Kind.UUID_VID, Kind.UUID_CID)


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
        facts=_facts(image, found),
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
    if not SIGNATURES & {entry.kind for entry in found.entries}:
        raise VerificationError("image is not signed: it has no signature TLV")
    hash_entry, named, signature = _three(found)
    hash_kind = Kind(hash_entry.kind)
    image_hash = Message((Range(0, found.signed_end),)).digest(image, HASHES[hash_kind])
    if hash_entry.value != image_hash:
        raise VerificationError(
            "image hash differs", expected=hash_entry.value.hex(), got=image_hash.hex(), code=Code.IMAGE_MISMATCH
        )
    key = _trusted_key(named, hash_kind, trust)
    scheme = algorithms.scheme_of_trusted(key)
    if scheme is None or scheme.signature != signature.kind or hash_kind not in scheme.hashes:
        raise VerificationError(
            f"{kind_name(signature.kind)} over {hash_kind.name} is no signature of the key {key.fingerprint[:16]}"
        )
    key.verify(scheme.algorithm, image_hash, signature.value)
    return Verified(format=name, signatures=_signatures(found), keys=(key,))


def _three(found: Layout) -> tuple[Entry, Entry, Entry]:
    """Return hash, key and signature; ``FormatError`` where there is anything else."""
    kinds = [entry.kind for entry in found.entries]
    accepted = (HASHES.keys(), {Kind.KEYHASH, Kind.PUBKEY}, algorithms.SIGNATURES)
    if len(kinds) != 3 or not all(kind in could for kind, could in zip(kinds, accepted, strict=True)):
        raise FormatError(
            f"TLVs outside the protected area are {', '.join(map(kind_name, kinds))}; "
            "accepted are one hash, KEYHASH or PUBKEY, and one signature",
            at=found.signed_end,
            code=Code.UNSUPPORTED_IMAGE,
        )
    hash_entry, named, signature = found.entries
    return hash_entry, named, signature


def _trusted_key(named: Entry, hash_kind: Kind, trust: Trust) -> PublicKey:
    """Return the trusted key that the image names, by its hash or in full."""

    def named_as(key: PublicKey) -> bytes:
        if named.kind == Kind.PUBKEY:
            return algorithms.public_bytes(key)
        return algorithms.key_hash(key, hash_kind)

    key = next((key for key in trust.keys if named_as(key) == named.value), None)
    if key is None:
        raise VerificationError(
            "image is signed by a key that is not trusted",
            expected=" or ".join(named_as(key).hex() for key in trust.keys) or "a trusted key",
            got=named.value.hex(),
            code=Code.NOT_TRUSTED,
        )
    return key


def _facts(image: ByteSource, found: Layout) -> dict[str, str]:
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
    for kind, label in ((Kind.UUID_VID, "Vendor identifier"), (Kind.UUID_CID, "Class identifier")):
        if (value := found.protected_value(kind)) is not None:
            facts[label] = str(UUID(bytes=value))
    for entry in found.entries:
        if entry.kind in HASHES:
            facts["Hash in the image"] = _spell_hash(entry, image, found)
    # What is signed but not understood is shown, so that an approver can ask.
    for i, entry in enumerate(found.protected):
        if entry.kind == Kind.BOOT_RECORD:
            facts |= mcuboot_boot_record.facts(entry.value)
        if entry.kind not in _UNDERSTOOD:
            facts[f"Protected TLV {i + 1}, {kind_name(entry.kind)}"] = _spell_value(entry.value)
    return facts


def _spell_hash(entry: Entry, image: ByteSource, found: Layout) -> str:
    """Spell a hash and what it should be: nobody who looks at an image shall take a broken one for a good one."""
    image_hash = Message((Range(0, found.signed_end),)).digest(image, HASHES[Kind(entry.kind)])
    is_right = entry.value == image_hash
    return f"{entry.value.hex()} ({'right' if is_right else f'WRONG, computed {image_hash.hex()}'})"


def _spell_value(value: bytes) -> str:
    """Spell the value of a TLV; of a long one how many bytes are left out, and the SHA-256 of all."""
    left_out = len(value) - MAX_SHOWN
    more = f"... {left_out} bytes more; SHA-256 of all {sha256(value).hexdigest()}" if left_out > 0 else ""
    return (value[:MAX_SHOWN].hex() or "empty") + more


def _signatures(found: Layout) -> tuple[ExistingSignature, ...]:
    """List the signatures, each with the key that the TLV before it names."""
    signatures: list[ExistingSignature] = []
    signer, hash_kind = "key not named", None
    for entry in found.entries:
        if entry.kind in HASHES:
            hash_kind = Kind(entry.kind)
        elif entry.kind == Kind.KEYHASH:
            signer = f"key {entry.value.hex()}"
        elif entry.kind == Kind.PUBKEY:
            signer = f"key in the image, SHA-256 {sha256(entry.value).hexdigest()}"
        elif entry.kind in SIGNATURES:
            label = f"signature-{len(signatures) + 1}" if signatures else mcuboot_signing.SLOT
            algorithm = _algorithm_name(Kind(entry.kind), hash_kind)
            signatures.append(ExistingSignature(name=label, algorithm=algorithm, signer=signer))
            signer = "key not named"
    return tuple(signatures)


def _algorithm_name(signature: Kind, hash_kind: Kind | None) -> str:
    for scheme in algorithms.SCHEMES:
        if scheme.signature == signature and hash_kind in scheme.hashes:
            return str(scheme.algorithm)
    return signature.name


def _reason(entry: Entry) -> str:
    known = _REASONS.get(Kind(entry.kind)) if entry.kind in list(Kind) else None
    return known or f"TLV {kind_name(entry.kind)} outside the protected area: refused when verifying"
