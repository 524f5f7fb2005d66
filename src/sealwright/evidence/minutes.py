"""What the minutes of a key ceremony prove: that script, keys, token and attestations fit, and who was there.

Pure and offline.  Whether the minutes are those of a key in force is another question: its profile carries their
digest, and administrators signed that into the policy (``proven_profiles``).
Specification: ``docs/spec/minutes.md``, "Verification".
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asn1crypto import core, parser
from cryptography import x509

from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.envelopes import SignedDocument
from sealwright.core.errors import Code, FormatError, RefusedError, VerificationError
from sealwright.core.keys import Algorithm, HssLmsPublicKey, PublicKey
from sealwright.evidence.bundle import Evidence, TrustFile
from sealwright.evidence.in_the_log import opened_checkpoint, verify_granting, verify_root
from sealwright.evidence.key_attestation import Attested, load_roots, verify_yubihsm
from sealwright.policy.documents import KeyGrade, KeyProfile, Outcome, State
from sealwright.policy.fold import open_policy
from sealwright.policy.minutes import (
    Backup,
    MadeKey,
    Minutes,
    ModuleData,
    PlannedKey,
    Script,
    parse_script,
)
from sealwright.policy.sections import load_proven
from sealwright.policy.signatures import Namespace, who_signed

KEPT_INSIDE = {
    "SENSITIVE": True,
    "EXTRACTABLE": False,
    "ALWAYS_SENSITIVE": True,
    "NEVER_EXTRACTABLE": True,
    "LOCAL": True,
}
UNSHOWN: Mapping[str, frozenset[str]] = {"nss": frozenset({"LOCAL"})}
"""What a device does not keep, by its name; of every other one all five are demanded."""
_TBS_KEY_AT = 6
"""The public key's place in a TBSCertificate with a version (RFC 5280, section 4.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedMinutes:
    """Minutes that fit their script, and how each key is kept; nobody need have signed yet."""

    minutes: Minutes
    script: Script
    digest: str
    attested: Mapping[str, Attested]
    """What the vendor's attestation says, by key profile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedMinutes:
    """Minutes that enough of those present signed."""

    checked: CheckedMinutes
    present: tuple[str, ...]
    """Who signed, in the order of the script."""


def check_minutes(document: bytes, instance: str, *, roots: Sequence[x509.Certificate] = ()) -> CheckedMinutes:
    """Check all that needs no signature of a person; ``VerificationError`` says what does not fit.

    ``roots``: where attestations must end, instead of at the roots that the script names.
    """
    minutes = records.parse(Minutes, document)
    script = parse_script(minutes.script)
    if minutes.ended < minutes.started:
        raise _refused("they end before they begin")
    _check_module(minutes, script)
    if len(minutes.keys) != len(script.keys):
        raise _refused(f"the script wants {len(script.keys)} keys, {len(minutes.keys)} are there")
    attested = {}
    for planned, made in zip(script.keys, minutes.keys, strict=True):
        _check_key(script, planned, made)
        if (found := _check_grade(minutes, script, made, roots)) is not None:
            attested[made.profile] = found
    digest = document_digest("minutes", instance, document)
    return CheckedMinutes(minutes=minutes, script=script, digest=digest, attested=attested)


def verify_minutes(signed: SignedDocument, instance: str, *, roots: Sequence[x509.Certificate] = ()) -> VerifiedMinutes:
    """Check the minutes and who signed them; ``RefusedError`` (``quorum-not-met``) when too few did."""
    checked = check_minutes(signed.document, instance, roots=roots)
    present, foreign = who_signed(signed.signatures, checked.digest, checked.script.signers, Namespace.MINUTES)
    if foreign:
        raise VerificationError(
            f"minutes: the signature of {foreign[0].signer} is not one of a participant over these minutes",
            hint="they were changed after they were signed, are another installation's, or a stranger signed",
        )
    if len(present) < checked.script.signatures:
        missing = [p.person for p in checked.script.participants if p.person not in present]
        raise RefusedError(
            f"minutes: {len(present)} of {checked.script.signatures} signatures are there",
            code=Code.QUORUM_NOT_MET,
            hint=f"still to sign: {', '.join(missing)}, with `sealwright key minutes sign`",
        )
    ordered = tuple(p.person for p in checked.script.participants if p.person in present)
    return VerifiedMinutes(checked=checked, present=ordered)


def profile_of(checked: CheckedMinutes, key: MadeKey, salt: str) -> KeyProfile:
    """Return the key profile that the policy gets, with the digest of the minutes."""
    script = checked.script
    planned = next(p for p in script.keys if script.profile(p) == key.profile)
    return KeyProfile(
        type="key-profile",
        format=1,
        salt=salt,
        id=key.profile,
        product=script.product,
        environment=script.environment,
        purpose=planned.purpose,
        partition=script.partition,
        public_key=key.public_key,
        algorithm=key.algorithm,
        signs="digest" if key.algorithm.is_prehashed else "message",
        certificates=(key.certificate,),
        grade=key.grade,
        origin="generated",
        state=State.ACTIVE,
        image_format=planned.image_format,
        minutes=checked.digest,
    )


def check_profile(checked: CheckedMinutes, profile: KeyProfile) -> None:
    """Raise ``VerificationError`` unless ``profile`` is that of a key in these minutes, member by member."""
    made = next((key for key in checked.minutes.keys if key.profile == profile.id), None)
    if made is None:
        raise _refused(f"no key {profile.id} was made there")
    wanted = records.dump(profile_of(checked, made, profile.salt))
    found = records.dump(profile)
    for name in sorted((wanted.keys() | found.keys()) - {"state"}):  # a policy may end a key
        if wanted.get(name) != found.get(name):
            raise VerificationError(
                f"key {profile.id} is not as its minutes say: {name}",
                expected=str(wanted.get(name))[:80],
                got=str(found.get(name))[:80],
                code=Code.EVIDENCE_MISMATCH,
            )


def proven_profiles(evidence: Evidence, trust: TrustFile) -> tuple[KeyProfile, ...]:
    """Return the key profiles of the policy that an evidence proves to have been logged, without its image."""
    if evidence.instance != trust.instance:
        raise VerificationError("evidence of another installation than the trust file's", code=Code.EVIDENCE_MISMATCH)
    opened = opened_checkpoint(evidence, trust)
    outcome = records.parse(Outcome, evidence.outcome.document)
    root, root_digest = verify_root(evidence, trust, outcome, opened)
    policy, _ = open_policy(evidence.policy.signed, root, root_digest, trust.instance)
    verify_granting("policy", evidence.policy, opened)
    proven = [(s.document, s.index, s.proof) for s in evidence.sections]
    return load_proven(policy, proven, root, trust.instance).all(KeyProfile)


def _check_module(minutes: Minutes, script: Script) -> None:
    """What people read on the module and what the token says of itself are one module, as far as it can be seen."""
    stated, observed = script.module, minutes.module
    if (observed.kind == "files") != (stated is None):
        raise _refused(f"the script is for {'key files' if stated is None else 'a token'}, the keystore is another")
    if stated is not None and stated.token_serial is not None and stated.token_serial != observed.serial:
        raise _differ("serial number of the token", stated.token_serial, observed.serial or "none")
    if script.attestation is not None and script.attestation.kind != observed.device:
        raise _differ("device that attests", script.attestation.kind, observed.device)


def _check_key(script: Script, planned: PlannedKey, made: MadeKey) -> None:
    public = PublicKey(made.public_key)
    if (made.profile, made.algorithm) != (script.profile(planned), planned.algorithm):
        raise _differ("key", f"{script.profile(planned)}, {planned.algorithm}", f"{made.profile}, {made.algorithm}")
    public.check_algorithm(made.algorithm)
    if planned.size_bits is not None and public.size_bits != planned.size_bits:
        raise _differ(f"size of key {made.profile}", str(planned.size_bits), str(public.size_bits))
    parameters = public.key.hss.name if isinstance(public.key, HssLmsPublicKey) else None
    if planned.parameters != parameters:
        raise _differ(f"parameters of key {made.profile}", str(planned.parameters), str(parameters))
    if (planned.backup is Backup.SEALED_COPY) != bool(made.copies):
        raise _differ(f"copies of key {made.profile}", planned.backup, f"{len(made.copies)} files")
    check_possession(made.certificate, public, made.algorithm)


def check_possession(certificate: bytes, public: PublicKey, algorithm: Algorithm) -> None:
    """Check that a self-signed certificate is this key's, signed by itself: whoever made it had the private half."""
    try:
        parts = _children(certificate)
        if len(parts) != 3 or _children(parts[0])[_TBS_KEY_AT] != public.spki_der:
            raise _refused("the certificate is that of another key")
        signature = bytes(core.OctetBitString.load(parts[2], strict=True).native)
    except (ValueError, TypeError, IndexError):
        raise FormatError("minutes: not a certificate", code=Code.INVALID_DOCUMENT) from None
    payload = hashlib.new(algorithm.hash_name, parts[0]).digest() if algorithm.is_prehashed else parts[0]
    public.verify(algorithm, payload, signature)


def _check_grade(minutes: Minutes, script: Script, made: MadeKey, roots: Sequence[x509.Certificate]) -> Attested | None:
    """Work the grade out anew: what the token said of the key, and what the vendor attests."""
    attested = None
    if minutes.module.kind == "files":
        if made.attributes or made.attestation:
            raise _refused(f"key {made.profile} is in a file, and has the attributes of a token")
        grade = KeyGrade.SOFTWARE
    else:
        _check_kept_inside(minutes.module.device, made)
        attested = _check_attestation(minutes, script, made, roots)
        grade = KeyGrade.HARDWARE_CLAIMED if attested is None else KeyGrade.HARDWARE_ATTESTED
    if not made.grade == grade == script.grade:
        raise _differ(f"grade of key {made.profile}", f"{script.grade} by the script", f"{made.grade}, proven {grade}")
    return attested


def _check_kept_inside(device: str, made: MadeKey) -> None:
    said: dict[str, bool] = {}
    for attribute in made.attributes:
        if attribute.name in said:
            raise _refused(f"key {made.profile}: {attribute.name} is there twice")
        said[attribute.name] = attribute.value
    for name, value in KEPT_INSIDE.items():
        if (name in said or name not in UNSHOWN.get(device, ())) and said.get(name) is not value:
            raise _differ(
                f"key {made.profile}: {name}, as the token says it", str(value), str(said.get(name, "nothing"))
            )


def _check_attestation(
    minutes: Minutes, script: Script, made: MadeKey, roots: Sequence[x509.Certificate]
) -> Attested | None:
    rule = script.attestation
    if rule is None:
        if made.attestation:
            raise _refused(f"key {made.profile} has an attestation that the script does not ask for")
        return None
    anchors = roots or load_roots(rule.roots.encode())
    found = verify_yubihsm(made.attestation, anchors, made.public_key, at_seconds=minutes.ended)
    if script.module is not None:  # an attested grade has one
        _check_stated(script.module, found)
    return found


def _check_stated(stated: ModuleData, found: Attested) -> None:
    if (stated.serial, stated.firmware) != (found.serial, found.firmware):
        raise _differ(
            "attestation: serial number and firmware",
            f"{stated.serial}, {stated.firmware}",
            f"{found.serial}, {found.firmware}",
        )


def _children(der: bytes) -> list[bytes]:
    content, found = parser.parse(der, strict=True)[4], []
    while content:
        found.append(content[: parser.peek(content)])
        content = content[len(found[-1]) :]
    return found


def _refused(message: str) -> VerificationError:
    return VerificationError(f"minutes: {message}", code=Code.EVIDENCE_MISMATCH)


def _differ(what: str, expected: str, got: str) -> VerificationError:
    return VerificationError(f"minutes: {what}", expected=expected, got=got, code=Code.EVIDENCE_MISMATCH)
