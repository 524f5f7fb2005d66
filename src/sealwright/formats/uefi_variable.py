"""Authenticated UEFI variables: updates of PK, KEK, db and dbx, as firmware with Secure Boot on takes them.

The image is what the variable shall hold: EFI signature lists.  The signature covers name, vendor GUID, attributes,
time and contents; the first three stand in no file, so ``verify`` tries those that an update can be for and says which
it was (ADR 0038).  SbatLevel, the list of revoked generations of boot loaders, is read for people and not signed here:
it travels in a section of a program (``.sbatl``), which is signed as one.
Reference: UEFI 2.10, section 8.2.2; ``docs/formats/uefi-variable.md``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sealwright.core import records
from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.images import ByteSource, Message, Range
from sealwright.core.patches import Edit, Patch
from sealwright.formats import bare_signature, cms, sbat, signature_lists, uefi
from sealwright.formats.bare_signature import BareSignature
from sealwright.formats.interface import Inspection, SigningKey, Slot, TargetProfile, Trust, Verified

name = "uefi-variable"
MAX_IMAGE_BYTES = signature_lists.MAX_BYTES + uefi.MAX_CERTIFICATE_BYTES + 64
MAX_LISTED = 64
CERTIFICATE_KEYS = "certificate_keys"  # limit of a target profile: of what kind the keys in certificates may be
GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
IMAGE_SECURITY = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
# NON_VOLATILE, BOOTSERVICE_ACCESS, RUNTIME_ACCESS, TIME_BASED_AUTHENTICATED_WRITE_ACCESS
ATTRIBUTES = 0x27
APPEND_WRITE = 0x40


class Variable(StrEnum):
    """What an update is for."""

    PK = "PK"
    KEK = "KEK"
    DB = "db"
    DBX = "dbx"

    @property
    def vendor(self) -> str:
        """The GUID under which firmware keeps it."""
        return GLOBAL if self in (Variable.PK, Variable.KEK) else IMAGE_SECURITY


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the caller chooses.  ``timestamp`` must be later than that of the update before, unless it appends."""

    variable: Variable
    timestamp: records.Time
    append: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Signature lists read and hashed; only the signature is missing."""

    size: int
    time: bytes
    draft: bare_signature.Draft
    options: Mapping[str, Any]

    @property
    def slots(self) -> tuple[Slot, ...]:
        return (self.draft.slot(),)

    def assemble(self, signatures: Mapping[str, bytes]) -> Patch:
        """Return one edit: EFI_VARIABLE_AUTHENTICATION_2 before the contents."""
        header = self.time + uefi.certificate(self.draft.assemble(signatures))
        return Patch(old_size=self.size, edits=(Edit(offset=0, old=b"", new=header),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """A signed update as read."""

    time: bytes
    signature: BareSignature
    data_at: int
    data: bytes


def matches(image: ByteSource) -> bool:
    """Say whether it begins like a signature list, a signed update, or an SbatLevel."""
    head = image.read(0, min(64, image.size))
    return signature_lists.matches(head) or _is_update(head) or sbat.matches(head)


def inspect(image: ByteSource) -> Inspection:
    """Describe the contents, and of a signed update its time and signer."""
    data = _read(image)
    if sbat.matches(data):
        facts = {"Kind": "SbatLevel: revoked generations of boot loaders", **sbat.facts(data)}
        return Inspection(
            format=name, facts=facts, uncovered=((Range(0, len(data)), "SbatLevel is not signed itself"),)
        )
    if not _is_update(data):
        facts = {"Kind": "EFI signature lists, unsigned", **_facts(signature_lists.read(data))}
        return Inspection(format=name, facts=facts, covered=(Range(0, len(data)),))
    update = _parse(data)
    time = datetime.fromtimestamp(uefi.read_time(update.time, 0), UTC).isoformat()
    facts = {
        "Kind": "signed update of a UEFI variable",
        "Time": time,
        "Variable": _claimed(image, update),
    }
    return Inspection(
        format=name,
        facts={**facts, **_facts(signature_lists.read(update.data, update.data_at))},
        signatures=(update.signature.describe(cms.SLOT),),
        covered=(Range(0, uefi.TIME.size), Range(update.data_at, len(data))),
        uncovered=((Range(uefi.TIME.size, update.data_at), "certificate: holds the signature itself"),),
    )


def prepare(
    image: ByteSource, keys: Sequence[SigningKey], options: Mapping[str, Any], target: TargetProfile
) -> Prepared:
    """Read the lists and lay out the signature."""
    chosen = records.load(Options, dict(options))
    key = cms.only_key(keys, name)
    uefi.PKCS7.check(name, key)
    target.check(name, key)
    data = _read(image)
    _check_unsigned(data)
    entries = signature_lists.read(data)
    _check_contents(chosen, entries)
    _check_certificates(entries, target)
    time = uefi.time(chosen.timestamp)
    message = Message((_head(chosen.variable, append=chosen.append) + time, Range(0, len(data))))
    return Prepared(
        size=image.size,
        time=time,
        draft=bare_signature.draft(key, image, message, has_content_info=False),
        options=records.dump(chosen),
    )


def verify(image: ByteSource, trust: Trust, sidecars: Mapping[str, bytes]) -> Verified:  # noqa: ARG001  (none here)
    """Check the signature, and say in its name which variable the update is for."""
    data = _read(image)
    if not _is_update(data):
        raise VerificationError("variable contents carry no signature")
    update = _parse(data)
    signature_lists.read(update.data, update.data_at)
    key = update.signature.trusted_key(trust)
    for what, head in _heads():
        if update.signature.is_over(image, _signed_message(update, head), key):
            return Verified(format=name, signatures=(update.signature.describe(what),), keys=(key,))
    raise VerificationError(
        "update is not what was signed, for no variable that it could be for", code=Code.IMAGE_MISMATCH
    )


def _claimed(image: ByteSource, update: Update) -> str:
    """Say which variable the key in the file signed for: the file does not name it, the signature fits one alone."""
    for what, head in _heads():
        if update.signature.is_claimed_over(image, _signed_message(update, head)):
            return what
    return "the signature does not match this file, for no variable that it could be for"


def _signed_message(update: Update, head: bytes) -> Message:
    return Message((head + update.time + update.data,))


def _heads() -> Iterator[tuple[str, bytes]]:
    """Yield what the signed bytes begin with for each update that there can be, and its name."""
    for variable in Variable:
        yield f"{variable}", _head(variable, append=False)
        if variable is not Variable.PK:
            yield f"{variable}, appended", _head(variable, append=True)


def _head(variable: Variable, *, append: bool) -> bytes:
    attributes = ATTRIBUTES | (APPEND_WRITE if append else 0)
    return variable.encode("utf-16-le") + uefi.guid(variable.vendor) + attributes.to_bytes(4, "little")


def _read(image: ByteSource) -> bytes:
    if image.size > MAX_IMAGE_BYTES:
        raise FormatError(f"variable of {image.size} bytes, at most {MAX_IMAGE_BYTES} are accepted", at=MAX_IMAGE_BYTES)
    return image.read(0, image.size)


def _is_update(head: bytes) -> bool:
    """Whether an EFI_VARIABLE_AUTHENTICATION_2 is there: a time, then a certificate of PKCS #7."""
    at = uefi.TIME.size
    return head[at + 4 : at + 24] == uefi.certificate(b"")[4:]


def _parse(data: bytes) -> Update:
    time = data[: uefi.TIME.size]
    uefi.read_time(time, 0)
    der = uefi.read_certificate(data[len(time) :], len(time))
    data_at = len(time) + uefi.CERTIFICATE_HEADER.size + len(der)
    signature = bare_signature.parse(der, has_content_info=False)
    return Update(time=time, signature=signature, data_at=data_at, data=data[data_at:])


def _check_unsigned(data: bytes) -> None:
    if _is_update(data):
        raise FormatError(
            f"update is already signed by {_parse(data).signature.signer}",
            code=Code.ALREADY_SIGNED,
            hint="a variable takes one signature: sign the signature lists themselves",
        )
    if sbat.matches(data):
        raise FormatError(
            "SbatLevel is not an authenticated variable",
            code=Code.UNSUPPORTED_IMAGE,
            hint="put it into section .sbatl of a program (shim's revocations.efi) and sign that as uefi-pe",
        )


def _check_contents(chosen: Options, entries: Sequence[signature_lists.Entry]) -> None:
    """Refuse before anybody approves what firmware would refuse."""
    if chosen.variable is Variable.PK:
        if len(entries) != 1 or entries[0].type != signature_lists.X509 or chosen.append:
            raise _cannot("PK holds exactly one certificate and is never appended to")
    elif chosen.variable is not Variable.DBX and any(e.type in signature_lists.REVOKED_CERTIFICATES for e in entries):
        raise _cannot(f"{chosen.variable} takes no revoked certificates, only dbx does")


def _check_certificates(entries: Sequence[signature_lists.Entry], target: TargetProfile) -> None:
    """Refuse certificates around keys that the target's firmware takes in no variable."""
    accepted = target.limits.get(CERTIFICATE_KEYS)
    for number, entry in enumerate(entries, 1):
        if accepted is None or entry.type != signature_lists.X509:
            continue
        kind = signature_lists.key_kind(entry.data)
        if kind not in accepted.split():
            raise FormatError(
                f"target {target.name} takes no certificate of a key of kind {kind}: entry {number}",
                code=Code.TARGET_CANNOT_VERIFY,
                hint=f"it accepts: {accepted}",
            )


def _cannot(message: str) -> FormatError:
    return FormatError(message, code=Code.TARGET_CANNOT_VERIFY)


def _facts(entries: Sequence[signature_lists.Entry]) -> dict[str, str]:
    """Name the entries, by their numbers; where there are too many, certificates and keys go before hashes."""
    order = sorted(enumerate(entries, 1), key=lambda numbered: numbered[1].rank)
    facts = {"Entries": str(len(entries))}
    facts |= {f"Entry {number}": str(entry) for number, entry in order[:MAX_LISTED]}
    if len(order) > MAX_LISTED:
        facts["And"] = signature_lists.summary([entry for _, entry in order[MAX_LISTED:]])
    return facts
