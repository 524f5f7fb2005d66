"""SUIT envelopes: a manifest of commands for a device, its digest, and signatures over that.

Implemented is draft-ietf-suit-manifest-34 (the wire format of -37, and of the RFC it becomes), read with the companions
that IANA's registry cites.  COSE_Sign, MACs, delegation and the decryption of payloads are not done here.
Page: ``docs/formats/suit.md``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from sealwright.core.errors import Code, VerificationError
from sealwright.core.images import ByteSource, Range, uncovered
from sealwright.formats import suit_envelope, suit_lint, suit_signing, suit_text, suit_verification
from sealwright.formats.interface import ExistingSignature, Inspection, Trust, Verified
from sealwright.formats.suit_labels import AUTHENTICATION
from sealwright.formats.suit_verification import Block, Parsed

name = suit_signing.NAME
Options = suit_signing.Options
prepare = suit_signing.prepare
matches = suit_envelope.claims

_LABELS = "tag, map and labels: the one deterministic encoding of what stands there"
_WRAPPER = "authentication wrapper: the digest is compared with the manifest, the blocks are the signatures"
_PAYLOAD = "integrated payload that no digest in the manifest covers: refused when verifying"
_DEPENDENCY = "dependency beside its manifest: the device checks it by the digests and signatures in there"


def inspect(image: ByteSource) -> Inspection:
    """Describe an envelope and what its commands do; wrong digests are told, not refused."""
    parsed = suit_verification.take_apart(image)
    blocks = () if parsed.authentication is None else suit_verification.blocks_of(parsed.authentication)
    covered = _covered(image, parsed)
    return Inspection(
        format=name,
        facts=dict(_facts(image, parsed)),
        signatures=_signatures(blocks),
        covered=covered,
        uncovered=tuple(_uncovered(image, parsed, covered)),
    )


def verify(image: ByteSource, trust: Trust, sidecars: Mapping[str, bytes]) -> Verified:  # noqa: ARG001  (it has none)
    """Check every digest, and that at least one block is by a trusted key and none is damaged."""
    parsed = suit_verification.take_apart(image)
    authentication = parsed.authentication
    if authentication is None or not authentication.blocks:
        raise VerificationError("envelope is not signed: it has no authentication block")
    blocks = suit_verification.blocks_of(authentication)
    suit_verification.check_digests(image, parsed)
    keys = suit_verification.signers(authentication, blocks, trust.keys)
    found = tuple(key for key in keys if key is not None)
    if not found:
        raise VerificationError(
            "no authentication block is by a trusted key",
            expected=" or ".join(key.fingerprint[:16] for key in trust.keys) or "a trusted key",
            got=" and ".join(f"{block.description} by {block.signer}" for block in blocks),
            code=Code.NOT_TRUSTED,
        )
    checked = [
        replace(signature, signer=f"key {key.fingerprint}")  # the block's own word is not signed
        for signature, key in zip(_signatures(blocks), keys, strict=True)
        if key is not None
    ]
    return Verified(format=name, signatures=tuple(checked), keys=tuple(dict.fromkeys(found)))


def _signatures(blocks: tuple[Block, ...]) -> tuple[ExistingSignature, ...]:
    return tuple(
        ExistingSignature(name=f"block-{number}", algorithm=block.description, signer=block.signer)
        for number, block in enumerate(blocks, 1)
    )


def _facts(image: ByteSource, parsed: Parsed) -> Iterator[tuple[str, str]]:
    yield "Kind", f"SUIT envelope, {'tagged' if parsed.envelope.is_tagged else 'without tag'}"
    yield "Manifest digest", _manifest_digest(parsed)
    try:
        suit_verification.check_digests(image, parsed)
        yield "Digests", "every digest of what is here is right" + _but(image, parsed)
    except VerificationError as e:
        yield "Digests", f"WRONG: {e.message}"
    for number, finding in enumerate(suit_lint.findings(parsed.manifest), 1):
        yield f"Warning {number}", finding
    budget = suit_text.MAX_FACTS
    for label, value in suit_text.facts(parsed.manifest):
        yield label, value
        budget -= 1
        if budget == 0:
            yield "More", "not everything that the manifest says is listed"
            break
    for payload in parsed.envelope.payloads:
        yield f"Integrated payload {suit_text.printable(str(payload.label))}", f"{payload.stop - payload.content} bytes"


def _but(image: ByteSource, parsed: Parsed) -> str:
    """Say what the digests of an envelope with integrated dependencies leave to the device."""
    whole = sum(payload.stop - payload.content for payload in parsed.envelope.payloads)
    covered = _covered(image, parsed)
    inside = sum(
        part.stop - part.start
        for part in covered
        for payload in parsed.envelope.payloads
        if payload.content <= part.start < part.stop <= payload.stop
    )
    return "" if whole == inside else f"; {whole - inside} bytes in dependencies are checked by the device alone"


def _manifest_digest(parsed: Parsed) -> str:
    return "none stated" if parsed.authentication is None else str(parsed.authentication.digest)


def _covered(image: ByteSource, parsed: Parsed) -> tuple[Range, ...]:
    """What the digest in the wrapper covers: the manifest, and through it members and payloads."""
    envelope = parsed.envelope
    wanted = suit_verification.payload_digests(parsed.manifest) if envelope.payloads else {}
    parts = [envelope.manifest.wrapped]
    parts += [element.wrapped for member in parsed.manifest.digests if (element := envelope.find(member))]
    for payload in envelope.payloads:
        parts += suit_verification.covered_parts(payload, image, wanted.get(str(payload.label), frozenset()))
    return tuple(sorted(parts, key=lambda part: part.start))


def _uncovered(image: ByteSource, parsed: Parsed, covered: tuple[Range, ...]) -> Iterator[tuple[Range, str]]:
    special: dict[Range, str] = {}
    for payload in parsed.envelope.payloads:
        inside = [part for part in covered if payload.content <= part.start < part.stop <= payload.stop]
        if not inside:
            special[payload.inside] = _PAYLOAD
        else:
            ends = (Range(payload.content, inside[0].start), Range(inside[-1].stop, payload.stop))
            special |= {part: _DEPENDENCY for part in ends if part.start < part.stop}
    if (wrapper := parsed.envelope.find(AUTHENTICATION)) is not None:
        special[wrapper.wrapped] = _WRAPPER
    known = [*covered, *special]
    parts = [(part, _LABELS) for part in uncovered(image.size, known)] + list(special.items())
    yield from sorted(parts, key=lambda one: one[0].start)
