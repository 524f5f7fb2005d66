"""SUIT envelopes, the signing half: an authentication block for each key, over the digest of the manifest.

The manifest keeps its bytes; blocks that are there keep theirs.  Before anything is laid out every digest is compared,
so that nobody signs a manifest whose payloads are others (draft-ietf-suit-manifest-34, section 8.3).  Severable members
may be left out of the signed envelope; that changes no signed byte.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Any

from sealwright.core import records
from sealwright.core.errors import Code, FormatError
from sealwright.core.images import ByteSource, Message
from sealwright.core.patches import Edit, Patch
from sealwright.formats import cose, suit_lint, suit_text, suit_verification
from sealwright.formats import deterministic_cbor as cbor
from sealwright.formats.cms_shapes import check_signature
from sealwright.formats.interface import SigningKey, Slot, TargetProfile
from sealwright.formats.suit_envelope import MAX_BLOCKS, Authentication, Digest, Element, Envelope, digest_of
from sealwright.formats.suit_labels import AUTHENTICATION
from sealwright.formats.suit_verification import Parsed

NAME = "suit"
NUMBERS, SKIPPED, BLOCKS = "cose_numbers", "cose_numbers_skipped", "blocks"
"""Limits of a target profile: COSE numbers that it verifies, those that it passes over, how many blocks it reads."""


class Existing(StrEnum):
    """What to do with an envelope that is signed already."""

    REFUSE = "refuse"
    APPEND = "append"  # add blocks, keep the others


class Hash(StrEnum):
    """The hash of the manifest, where the envelope does not state one yet."""

    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"


class KeyId(StrEnum):
    """What a block says of its key, unsigned."""

    NONE = "none"  # as in the examples of the draft
    FINGERPRINT = "fingerprint"  # SHA-256 of the SubjectPublicKeyInfo


class Severed(StrEnum):
    """Severable members, as the drafts write them."""

    COSWID = "coswid"
    DEPENDENCY_RESOLUTION = "dependency-resolution"
    PAYLOAD_FETCH = "payload-fetch"
    CANDIDATE_VERIFICATION = "candidate-verification"
    INSTALL = "install"
    TEXT = "text"


_HASHES = {Hash.SHA256: -16, Hash.SHA384: -43, Hash.SHA512: -44}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the caller chooses."""

    existing: Existing = Existing.REFUSE
    hash: Hash | None = None
    """Absent: SHA-256.  Only for an envelope without authentication wrapper."""
    cose_numbers: cose.Numbers = cose.Numbers.FULLY_SPECIFIED
    key_id: KeyId = KeyId.NONE
    sever: Annotated[tuple[Severed, ...], records.Bounds(0, 6)] | None = None
    """Members to leave out of the signed envelope."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """One block that lacks its signature."""

    key: SigningKey
    protected: bytes
    message: bytes

    def slot(self, name: str) -> Slot:
        algorithm = self.key.algorithm
        return Slot(
            name=name,
            key_profile=self.key.profile,
            algorithm=algorithm,
            message=Message((self.message,)),
            digest=hashlib.new(algorithm.hash_name, self.message).digest(),
            whole_message=None if algorithm.is_prehashed else self.message,
        )

    def block(self, signature: bytes, key_id: KeyId) -> bytes:
        """Return the COSE_Sign1; ``VerificationError`` for a signature that is not one of the key."""
        key = self.key
        check_signature(key.public_key, key.algorithm, self.message, signature)
        named = {cose.KEY_ID: bytes.fromhex(key.public_key.fingerprint)} if key_id is KeyId.FINGERPRINT else {}
        return cose.sign1(self.protected, named, None, cose.cose_signature(key.algorithm, signature))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An envelope whose digests are right; its new blocks lack their signatures."""

    image_size: int
    wrapper: Authentication
    """What is there, or what is to be there first."""
    drafts: tuple[_Draft, ...]
    chosen: Options
    before: tuple[Edit, ...]
    """Edits in front of the wrapper's: the head of the map."""
    at: int
    old: bytes
    after: tuple[Edit, ...]
    """Edits behind it: severed members."""

    @property
    def options(self) -> Mapping[str, Any]:
        value: Mapping[str, Any] = records.dump(self.chosen)
        return value

    @property
    def slots(self) -> tuple[Slot, ...]:
        """One a key, named by the place of its block."""
        first = len(self.wrapper.blocks) + 1
        return tuple(draft.slot(f"block-{number}") for number, draft in enumerate(self.drafts, first))

    def assemble(self, signatures: Mapping[str, bytes]) -> Patch:
        """Return the patch; ``VerificationError`` for a signature that no device would accept."""
        names = [slot.name for slot in self.slots]
        if signatures.keys() != set(names):
            raise _invalid(f"signatures for {sorted(signatures)}, expected exactly {names}")
        more = (d.block(signatures[n], self.chosen.key_id) for n, d in zip(names, self.drafts, strict=True))
        wrapper = Authentication(digest=self.wrapper.digest, blocks=(*self.wrapper.blocks, *more))
        new = cbor.encode(AUTHENTICATION) + cbor.encode(wrapper.encoded)
        edits = (*self.before, Edit(offset=self.at, old=self.old, new=new), *self.after)
        return Patch(old_size=self.image_size, edits=edits)


def prepare(
    image: ByteSource, keys: Sequence[SigningKey], options: Mapping[str, Any], target: TargetProfile
) -> Prepared:
    """Compare every digest of the envelope, and lay out one block for each key."""
    chosen = records.load(Options, dict(options))
    _check_keys(keys, chosen, target)
    parsed = suit_verification.take_apart(image)
    suit_verification.check_digests(image, parsed)
    suit_text.check_listed(parsed.manifest)
    suit_lint.findings(parsed.manifest)  # what inspect would refuse is not signed
    wrapper = _wrapper(image, parsed, chosen)
    _check_existing(wrapper, keys, chosen.existing)
    _check_room(len(wrapper.blocks) + len(keys), target)
    severed = _severed(parsed, chosen)
    element = parsed.envelope.find(AUTHENTICATION)
    at = element.start if element else parsed.envelope.manifest.start
    old = image.read(at, element.stop - at) if element else b""
    return Prepared(
        image_size=image.size,
        wrapper=wrapper,
        drafts=tuple(_draft(key, chosen, wrapper.digest) for key in keys),
        chosen=chosen,
        before=_head_edit(parsed.envelope, is_wrapper_new=element is None, fewer=len(severed)),
        at=at,
        old=old,
        after=tuple(_cut(image, element) for element in severed),
    )


def _check_keys(keys: Sequence[SigningKey], chosen: Options, target: TargetProfile) -> None:
    check_together(keys)
    for key in keys:
        key.public_key.check_algorithm(key.algorithm)
        target.check(NAME, key)
    _check_numbers([cose.algorithm_number(key.algorithm, chosen.cose_numbers) for key in keys], target)


def check_together(keys: Sequence[SigningKey]) -> None:
    """Raise ``FormatError`` unless these keys can sign one envelope, each in a block of its own."""
    if not keys:
        raise _invalid(f"{NAME} takes at least one key")
    if len({key.public_key.spki_der for key in keys}) < len(keys):
        raise _invalid("one key is given twice; a second block by it proves nothing")


def _check_numbers(numbers: Sequence[int], target: TargetProfile) -> None:
    """Raise ``FormatError`` for a COSE number that the target does not know, or if it knows none of them."""
    known = {int(number) for number in target.limits.get(NUMBERS, "").split()}
    skipped = {int(number) for number in target.limits.get(SKIPPED, "").split()}
    strange = [str(number) for number in numbers if known and number not in known | skipped]
    if strange or (known and not known & set(numbers)):
        raise FormatError(
            f"target {target.name} verifies no COSE number {', '.join(strange or map(str, numbers))}",
            code=Code.TARGET_CANNOT_VERIFY,
            hint=f"it knows {', '.join(map(str, sorted(known)))}; option cose_numbers chooses old or new numbers",
        )


def _wrapper(image: ByteSource, parsed: Parsed, chosen: Options) -> Authentication:
    """Return the wrapper of the envelope, or the one that it is to have."""
    if parsed.authentication is not None:
        stated = parsed.authentication.digest
        if chosen.hash is not None and stated.algorithm != _HASHES[chosen.hash]:
            raise _invalid(f"option hash is {chosen.hash}, the envelope states its digest by {stated.hash_name}")
        return parsed.authentication
    number = _HASHES[chosen.hash or Hash.SHA256]
    return Authentication(digest=digest_of(image, parsed.envelope.manifest.wrapped, number), blocks=())


def _check_existing(wrapper: Authentication, keys: Sequence[SigningKey], existing: Existing) -> None:
    blocks = suit_verification.blocks_of(wrapper)
    if blocks and existing is Existing.REFUSE:
        raise FormatError(
            f"envelope is signed already, by {len(blocks)} authentication blocks",
            code=Code.ALREADY_SIGNED,
            hint="option existing=append adds a block and keeps the others",
        )
    for number, block in enumerate(blocks, 1):
        for key in keys:
            named = block.sign1.key_id if block.sign1 else None
            if named == bytes.fromhex(key.public_key.fingerprint) or suit_verification.is_by(
                block, key.public_key, wrapper.digest.encoded
            ):
                raise FormatError(
                    f"envelope is signed with key profile {key.profile} already, by block {number}",
                    code=Code.ALREADY_SIGNED,
                )


def _check_room(count: int, target: TargetProfile) -> None:
    most = min(int(target.limits.get(BLOCKS, MAX_BLOCKS)), MAX_BLOCKS)
    if count > most:
        raise FormatError(f"{count} authentication blocks, at most {most} are read", code=Code.TARGET_CANNOT_VERIFY)


def _severed(parsed: Parsed, chosen: Options) -> tuple[Element, ...]:
    """Return the members to leave out, in the order of the file."""
    wanted = set(chosen.sever or ())
    if len(wanted) < len(chosen.sever or ()):
        raise _invalid("option sever names a member twice")
    here = {m.title: element for m in parsed.manifest.digests if (element := parsed.envelope.find(m))}
    if missing := sorted(wanted - here.keys()):
        raise _invalid(
            f"envelope has no severable member {', '.join(missing)}",
            hint=f"it has: {', '.join(sorted(here)) or 'none'}",
        )
    _check_left(parsed, wanted)
    return tuple(sorted((here[title] for title in wanted), key=lambda element: element.start))


def _check_left(parsed: Parsed, severed: Collection[str]) -> None:
    """Raise ``FormatError`` where severing takes away what covers an integrated payload."""
    kept = {member: steps for member, steps in parsed.manifest.sequences.items() if member.title not in severed}
    manifest = replace(parsed.manifest, sequences=kept)
    for payload in suit_verification.unchecked_payloads(parsed.envelope, manifest):
        raise _invalid(
            f"integrated payload {str(payload.label)[:60]!r} is fetched by what option sever takes away",
            hint="sever what fetches no integrated payload, or build the envelope without the payload",
        )


def _draft(key: SigningKey, chosen: Options, digest: Digest) -> _Draft:
    protected = cose.protected_header({cose.ALGORITHM: cose.algorithm_number(key.algorithm, chosen.cose_numbers)})
    return _Draft(key=key, protected=protected, message=cose.signature_structure(protected, digest.encoded))


def _head_edit(envelope: Envelope, *, is_wrapper_new: bool, fewer: int) -> tuple[Edit, ...]:
    """Return the edit that makes the map count its members right, if their number changes."""
    count = len(envelope.elements)
    # Also the old head is known: parse accepts the shortest one alone.
    old, new = cbor.encode_head(cbor.MAP, count), cbor.encode_head(cbor.MAP, count + is_wrapper_new - fewer)
    return () if old == new else (Edit(offset=envelope.map_at, old=old, new=new),)


def _cut(image: ByteSource, element: Element) -> Edit:
    return Edit(offset=element.start, old=image.read(element.start, element.stop - element.start), new=b"")


def _invalid(message: str, hint: str = "") -> FormatError:
    return FormatError(message, code=Code.INVALID_DOCUMENT, hint=hint)
