"""Any file: a detached signature beside it, and the file itself untouched.

The signature is a CMS unless another output is chosen, covers the whole file and, but for SSHSIG, the time of signing.
``matches`` claims nothing, since a raw image has no magic number: raw is what is left when no other format matches, and
stands last in the registry.  The outputs: ``raw_cms``, ``raw_cose``, ``raw_ssh``, ``raw_minisign``;
``docs/formats/raw.md``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from sealwright.core import records
from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.images import ByteSource, Message, Range
from sealwright.core.patches import Patch, Sidecar
from sealwright.formats import cms, raw_cms, raw_cose, raw_minisign, raw_ssh
from sealwright.formats.cms_shapes import DATA, digest_name
from sealwright.formats.cose import Numbers
from sealwright.formats.interface import (
    ExistingSignature,
    Inspection,
    SigningKey,
    Slot,
    TargetProfile,
    Trust,
    Verified,
)
from sealwright.formats.raw_outputs import SUFFIXES, Digest, Draft, Output, check_together, suffix_of

name = "raw"
SUFFIX = ".p7s"
OUTPUTS = "outputs"  # limit of a target profile: what it reads beside a raw file
_CHECKS = {
    Output.CMS: raw_cms.check,
    Output.COSE: raw_cose.check,
    Output.SSHSIG: raw_ssh.check,
    Output.MINISIGN: raw_minisign.check,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the caller chooses."""

    signing_time: records.Time | None = None
    """Not for SSHSIG, which has no place for it; required otherwise."""
    output: Output | None = None
    """Absent: CMS."""
    cose_numbers: Numbers | None = None
    """Absent: the fully specified ones."""
    namespace: Annotated[str, records.Pattern("[a-z0-9][a-z0-9._/@-]{0,95}")] | None = None
    """Of an SSHSIG; absent: ``file``, as people use for files."""
    trusted_comment: Annotated[str, records.Pattern("[!-~]([ -~]{0,254}[!-~])?")] | None = None
    """Of a minisign file, behind the time; absent: the time alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A file hashed, its signatures laid out: one for each key."""

    size: int
    drafts: tuple[Draft, ...]
    options: Mapping[str, Any]

    @property
    def slots(self) -> tuple[Slot, ...]:
        """One signature a key (minisign, two); of several keys ``signature-1`` and so on, in their order."""
        if len(self.drafts) == 1:
            return self.drafts[0].slots()
        return tuple(
            replace(slot, name=f"{cms.SLOT}-{n}") for n, draft in enumerate(self.drafts, 1) for slot in draft.slots()
        )

    def assemble(self, signatures: Mapping[str, bytes]) -> Patch:
        """Return a patch without edits, each signature as a sidecar."""
        names = [slot.name for slot in self.slots]
        values = (signatures[name] for name in names)
        if signatures.keys() != set(names):
            raise _invalid(f"signatures for {sorted(signatures)}, expected exactly {names}")
        sidecars = (
            Sidecar(suffix=draft.suffix, content=draft.content([next(values) for _ in draft.slots()]))
            for draft in self.drafts
        )
        return Patch(old_size=self.size, sidecars=tuple(sidecars))


def matches(image: ByteSource) -> bool:  # noqa: ARG001  (the interface names it)
    """Return False: a raw image claims nothing."""
    return False


def inspect(image: ByteSource) -> Inspection:
    """Say how large the file is; nothing else is known of it."""
    return Inspection(format=name, facts={"Size": f"{image.size} bytes"}, covered=_whole(image))


def prepare(
    image: ByteSource, keys: Sequence[SigningKey], options: Mapping[str, Any], target: TargetProfile
) -> Prepared:
    """Hash the file and lay out what is signed."""
    chosen = _normal(records.load(Options, dict(options)))
    if not keys:
        raise _invalid(f"{name} takes at least one key")
    for key in keys:
        key.public_key.check_algorithm(key.algorithm)
        target.check(name, key)
    _check_output(chosen.output or Output.CMS, target)
    check_together(keys)
    if image.size == 0:
        raise FormatError("image is empty", at=0)
    drafts = tuple(_draft(key, chosen, _hasher(image)) for key in keys)
    return Prepared(size=image.size, options=records.dump(chosen), drafts=drafts)


def verify(image: ByteSource, trust: Trust, sidecars: Mapping[str, bytes]) -> Verified:
    """Check every signature file beside the image, each by itself; there must be one at least."""
    present = [suffix for suffix in SUFFIXES if suffix in sidecars]
    if not present:
        raise VerificationError(f"image has no {SUFFIX} file beside it", hint=f"keep IMAGE{SUFFIX} beside IMAGE")
    found, keys = [], []
    for suffix in present:
        output = SUFFIXES[suffix]
        algorithm, signer, key = _CHECKS[output](sidecars[suffix], trust, _hasher(image))
        if suffix_of(output, algorithm) != suffix:
            expected = suffix_of(output, algorithm)
            raise VerificationError(f"{suffix} file holds a signature {algorithm}", expected=expected, got=suffix)
        label = cms.SLOT if len(present) == 1 else f"{cms.SLOT} {suffix}"
        found.append(ExistingSignature(name=label, algorithm=algorithm, signer=signer))
        keys.append(key)
    return Verified(format=name, signatures=tuple(found), keys=tuple(keys))


def _normal(chosen: Options) -> Options:
    """Leave out what is the default or has no place, so that one choice has one spelling in the frozen options."""
    output = chosen.output or Output.CMS
    if chosen.signing_time is None and output is not Output.SSHSIG:
        raise _invalid("missing members ['signing_time']")
    for option, value, its in (
        ("cose_numbers", chosen.cose_numbers, Output.COSE),
        ("namespace", chosen.namespace, Output.SSHSIG),
        ("trusted_comment", chosen.trusted_comment, Output.MINISIGN),
    ):
        if value and output is not its:
            raise _invalid(f"options of another output than {output}", hint=f"{option} is for {its}")
    if (chosen.namespace or "").startswith(raw_ssh.RESERVED):
        raise _invalid(f"namespace {chosen.namespace} is that of votes and policies, not of files")
    return replace(
        chosen,
        output=None if output is Output.CMS else output,
        signing_time=None if output is Output.SSHSIG else chosen.signing_time,
        cose_numbers=None if chosen.cose_numbers is Numbers.FULLY_SPECIFIED else chosen.cose_numbers,
        namespace=None if chosen.namespace == raw_ssh.DEFAULT_NAMESPACE else chosen.namespace,
    )


def _check_output(output: Output, target: TargetProfile) -> None:
    accepted = target.limits.get(OUTPUTS)
    if accepted is not None and output not in accepted.split():
        raise FormatError(
            f"target {target.name} cannot read output {output}",
            code=Code.TARGET_CANNOT_VERIFY,
            hint=f"it accepts: {', '.join(accepted.split())}",
        )


def _draft(key: SigningKey, chosen: Options, digest: Digest) -> Draft:
    if chosen.output is Output.SSHSIG:
        namespace = chosen.namespace or raw_ssh.DEFAULT_NAMESPACE
        return raw_ssh.SshDraft(key=key, digest=digest(raw_ssh.HASH), namespace=namespace)
    if chosen.output is Output.MINISIGN:
        comment = raw_minisign.comment_of(chosen.signing_time or 0, chosen.trusted_comment)
        return raw_minisign.MinisignDraft(key=key, digest=digest(raw_minisign.HASH), trusted_comment=comment)
    message_digest = digest(digest_name(key.algorithm))
    if chosen.output is Output.COSE:
        return raw_cose.CoseDraft(
            key=key,
            digest=message_digest,
            signing_time=chosen.signing_time or 0,
            numbers=chosen.cose_numbers or Numbers.FULLY_SPECIFIED,
        )
    return raw_cms.CmsDraft(
        inner=cms.Draft(
            key=cms.only_key([key], name),
            content_type=DATA,
            message_digest=message_digest,
            signing_time=chosen.signing_time,
        )
    )


def _hasher(image: ByteSource) -> Digest:
    whole = Message(_whole(image))
    known: dict[str, bytes] = {}

    def digest(hash_name: str) -> bytes:
        if hash_name not in known:
            known[hash_name] = whole.digest(image, hash_name)
        return known[hash_name]

    return digest


def _whole(image: ByteSource) -> tuple[Range, ...]:
    return (Range(0, image.size),)


def _invalid(message: str, hint: str = "") -> FormatError:
    return FormatError(message, code=Code.INVALID_DOCUMENT, hint=hint)
