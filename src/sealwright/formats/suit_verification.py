"""Which digests of a SUIT envelope are right, and by whom its authentication blocks are.

Every byte that a device may use must be under the digest in the authentication wrapper: the manifest directly,
severable members and integrated payloads through digests in the manifest.
Reference: draft-ietf-suit-manifest-34, sections 8.3, 8.5 and 10; RFC 9052, section 4.4.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.images import ByteSource, Range
from sealwright.core.keys import PublicKey
from sealwright.formats import cose, suit_flow
from sealwright.formats import deterministic_cbor as cbor
from sealwright.formats.suit_envelope import (
    Authentication,
    Digest,
    Element,
    Envelope,
    digest_of,
    parse,
    read_authentication,
)
from sealwright.formats.suit_labels import Command, Parameter
from sealwright.formats.suit_manifest import Manifest, read

COSE_KINDS = {17: "COSE_Mac0", 18: "COSE_Sign1", 97: "COSE_Mac", 98: "COSE_Sign"}
"""What a block can be (section 8.3); only COSE_Sign1 is checked here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """An envelope with everything in it taken apart; no digest is compared yet."""

    envelope: Envelope
    authentication: Authentication | None
    manifest: Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One authentication block."""

    kind: str
    sign1: cose.Sign1 | None

    @property
    def description(self) -> str:
        """Its algorithm where it is known."""
        if self.sign1 is None:
            return self.kind
        number = self.sign1.header.get(cose.ALGORITHM)
        return str(self.sign1.algorithm or f"COSE algorithm {str(number)[:20]}")

    @property
    def signer(self) -> str:
        """The key it names, which nothing vouches for."""
        key_id = self.sign1.key_id if self.sign1 else None
        return "key not named" if key_id is None else f"key {key_id[:32].hex()}"


def take_apart(image: ByteSource) -> Parsed:
    """Parse it all; ``FormatError``."""
    envelope = parse(image)
    return Parsed(
        envelope=envelope, authentication=read_authentication(image, envelope), manifest=read(image, envelope)
    )


def blocks_of(authentication: Authentication) -> tuple[Block, ...]:
    """Read the authentication blocks; ``FormatError`` for one that is no COSE structure in deterministic CBOR."""
    return tuple(_block(data) for data in authentication.blocks)


def _block(data: bytes) -> Block:
    if len(data) > cose.MAX_SIGN1_BYTES:
        raise FormatError(f"authentication block of {len(data)} bytes, at most {cose.MAX_SIGN1_BYTES} are read")
    # Strictly and within bounds first; what comes then has seen neither a hostile length nor a strange tag.
    value = cbor.decode(data, what="authentication block")
    if not isinstance(value, cbor.Tagged) or value.number not in COSE_KINDS or not isinstance(value.value, list):
        raise FormatError("authentication block is none of COSE's tagged signatures and MACs")
    if value.number != cose.SIGN1_TAG:
        return Block(kind=COSE_KINDS[value.number], sign1=None)
    signed = cose.parse_sign1(data)
    if signed.payload is not None:
        raise FormatError("authentication block has a payload of its own; a SUIT block signs the digest beside it")
    return Block(kind=COSE_KINDS[value.number], sign1=signed)


def check_digests(image: ByteSource, parsed: Parsed) -> None:
    """Compare every digest; ``VerificationError`` names the first that is wrong or missing."""
    envelope, manifest = parsed.envelope, parsed.manifest
    if parsed.authentication is not None:
        _compare(image, "manifest", envelope.manifest.wrapped, parsed.authentication.digest)
    for member, digest in manifest.digests.items():
        if (element := envelope.find(member)) is not None:
            _compare(image, member.title, element.wrapped, digest)
    if envelope.payloads:
        wanted = payload_digests(manifest)
        for payload in envelope.payloads:
            check_payload(image, payload, wanted.get(str(payload.label), frozenset()))


def payload_digests(manifest: Manifest) -> dict[str, frozenset["Wanted"]]:
    """Return for each URI of a fetch the digests that its component may be compared with."""
    wanted: dict[str, frozenset[Wanted]] = {}
    # Commands share their sets of values: each combination is looked at once.
    fetches = {
        (effect.values(Parameter.URI), effect.values(Parameter.IMAGE_DIGEST), effect.index in manifest.dependencies)
        for effect in suit_flow.effects(manifest)
        if effect.number == Command.FETCH
    }
    for uris, digests, is_dependency in fetches:
        found = frozenset(Wanted(digest, is_dependency) for digest in suit_flow.image_digests(digests))
        for uri in uris:
            if isinstance(uri, str):
                wanted[uri] = wanted.get(uri, frozenset()) | found
    return wanted


@dataclass(frozen=True, slots=True)
class Wanted:
    """A digest that a payload may have; that of a dependency is the digest of the manifest in it."""

    digest: Digest
    is_of_manifest: bool


def check_payload(image: ByteSource, payload: Element, wanted: frozenset[Wanted]) -> None:
    """Raise ``VerificationError`` unless a digest in the manifest covers this integrated payload."""
    if not wanted:
        raise VerificationError(
            f"integrated payload {str(payload.label)[:60]!r} is covered by no digest in the manifest",
            code=Code.IMAGE_MISMATCH,
            hint="a fetch of its label, of a component with an image-digest, covers it",
        )
    found = {
        kind: _payload_digest(image, payload, *kind)
        for kind in {(w.digest.algorithm, w.is_of_manifest) for w in wanted}
    }
    if any(found[one.digest.algorithm, one.is_of_manifest] == one.digest for one in wanted):
        return
    raise VerificationError(
        f"integrated payload {str(payload.label)[:60]!r} differs from its digest",
        expected=" or ".join(sorted(str(one.digest) for one in wanted)[:4]),
        got=" or ".join(sorted(map(str, found.values()))),
        code=Code.IMAGE_MISMATCH,
    )


def _payload_digest(image: ByteSource, payload: Element, algorithm: int, is_of_manifest: bool) -> Digest:
    if not is_of_manifest:
        return digest_of(image, payload.inside, algorithm)
    inner = _Inner(image, payload.inside)
    return digest_of(inner, parse(inner).manifest.wrapped, algorithm)


def signers(
    authentication: Authentication, blocks: tuple[Block, ...], keys: tuple[PublicKey, ...]
) -> list[PublicKey | None]:
    """Return for each block the trusted key that made it, or None; ``VerificationError`` where one should have.

    A block whose key is not trusted proves nothing and spoils nothing: several authors may sign one manifest.  But a
    block that a trusted key without a block of its own could have made is taken for a damaged one
    (``docs/adr/0054``).
    """
    payload = authentication.digest.encoded
    found = [next((key for key in keys if is_by(block, key, payload)), None) for block in blocks]
    idle = [key for key in keys if key not in found]
    for number, (block, key) in enumerate(zip(blocks, found, strict=True), 1):
        if key is None and any(_could_have_made(block, other) for other in idle):
            raise VerificationError(
                f"authentication block {number}: {block.description} signature does not verify with a trusted key"
            )
    return found


def is_by(block: Block, key: PublicKey, payload: bytes) -> bool:
    """Whether ``key`` made this block over ``payload``, the encoded SUIT_Digest."""
    if block.sign1 is None or not _could_have_made(block, key):
        return False
    try:
        block.sign1.verify(key, payload)
    except VerificationError:
        return False
    return True


def _could_have_made(block: Block, key: PublicKey) -> bool:
    """Whether the block's algorithm is one of this key."""
    algorithm = block.sign1.algorithm if block.sign1 else None
    if algorithm is None:
        return False
    try:
        key.check_algorithm(algorithm)
    except FormatError:
        return False
    return True


def _compare(image: ByteSource, what: str, part: Range, digest: Digest) -> None:
    found = digest_of(image, part, digest.algorithm)
    if found != digest:
        raise VerificationError(
            f"{what} differs from its SUIT_Digest", expected=str(digest), got=str(found), code=Code.IMAGE_MISMATCH
        )


def covered_parts(payload: Element, image: ByteSource, wanted: frozenset[Wanted]) -> tuple[Range, ...]:
    """Return what these digests cover of an integrated payload: all of it, of a dependency the manifest in it alone."""
    if not any(one.is_of_manifest for one in wanted):
        return (payload.inside,) if wanted else ()
    inner = parse(_Inner(image, payload.inside)).manifest.wrapped
    return (Range(payload.content + inner.start, payload.content + inner.stop),)


@dataclass(frozen=True, slots=True)
class _Inner:
    """A part of an image as a byte source: the envelope of an integrated dependency."""

    image: ByteSource
    part: Range

    @property
    def size(self) -> int:
        return self.part.stop - self.part.start

    def read(self, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise FormatError(f"{length} bytes wanted, the image ends at {self.size:#x}", at=max(offset, 0))
        return self.image.read(self.part.start + offset, length)


def unchecked_payloads(envelope: Envelope, manifest: Manifest) -> Iterator[Element]:
    """Yield the integrated payloads that no digest in the manifest covers."""
    wanted = payload_digests(manifest) if envelope.payloads else {}
    for payload in envelope.payloads:
        if not wanted.get(str(payload.label)):
            yield payload
