"""The minutes of a key ceremony in the hands of people: read, sign, compare with what is in force."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sealwright.client import earlier, ssh
from sealwright.client.administration import Desk
from sealwright.client.compose import new_salt, sign_bytes
from sealwright.client.files import read_small
from sealwright.client.new_keys import check_new, check_public_key, wanted
from sealwright.client.offline import load_evidence
from sealwright.core import records
from sealwright.core.envelopes import Envelope, SignatureKind, SignedDocument
from sealwright.core.errors import Code, FormatError, RefusedError, VerificationError
from sealwright.core.keys import PublicKey
from sealwright.core.ssharmour import dearmour
from sealwright.evidence.bundle import TrustFile
from sealwright.evidence.key_attestation import load_roots
from sealwright.evidence.minutes import CheckedMinutes, check_minutes, check_profile, profile_of, proven_profiles
from sealwright.policy.documents import KeyProfile
from sealwright.policy.minutes import MAX_SCRIPT_BYTES
from sealwright.policy.signatures import Namespace, fingerprint, verify_envelope

MAX_MINUTES_BYTES = 4 << 20
MAX_SIGNATURE_BYTES = 32 * 1024
MAX_CHAIN_BYTES = 256 * 1024


def load(path: Path) -> SignedDocument:
    """Read a file of minutes."""
    data = read_small(path, max_bytes=MAX_MINUTES_BYTES, what="minutes")
    try:
        return records.parse(SignedDocument, data, max_bytes=MAX_MINUTES_BYTES)
    except FormatError as e:
        raise FormatError(f"{path} holds no minutes: {e.message}", code=Code.INVALID_DOCUMENT) from None


def load_script(path: Path) -> bytes:
    """Read the bytes of a ceremony script."""
    return read_small(path, max_bytes=MAX_SCRIPT_BYTES, what="ceremony script")


def load_chain(path: Path) -> tuple[bytes, ...]:
    """Read the certificates of an attestation, in the order of the file."""
    pem = read_small(path, max_bytes=MAX_CHAIN_BYTES, what="attestation")
    return tuple(certificate.public_bytes(Encoding.DER) for certificate in load_roots(pem))


def load_anchors(path: Path | None) -> Sequence[x509.Certificate]:
    """Read the vendor's roots that a verifier trusts; none where no file is named."""
    return load_roots(read_small(path, max_bytes=MAX_CHAIN_BYTES, what="attestation root")) if path else ()


def sign(path: Path, trust: TrustFile, identity: Path) -> tuple[str, CheckedMinutes]:
    """Add the signature of the participant whose key this is; the file changes as a whole or not."""
    signed = load(path)
    checked = check_minutes(signed.document, trust.instance)
    mine = ssh.public_key(identity).fingerprint
    person = next((s.person for s in checked.script.signers if mine in map(fingerprint, s.authenticators)), None)
    if person is None:
        raise RefusedError(
            "the script names no participant with this key",
            code=Code.NOT_PERMITTED,
            hint=f"participants: {', '.join(p.person for p in checked.script.participants)}",
        )
    _check_first(signed, mine, person)
    envelope = sign_bytes(signed.document, "minutes", instance=trust.instance, identity=identity, signer=person)
    _add(path, signed, envelope)
    return person, checked


def add_signature(path: Path, trust: TrustFile, file: Path) -> tuple[str, CheckedMinutes]:
    """Add what ``ssh-keygen -Y sign`` made over the digest, by the participant whose key it is."""
    signed = load(path)
    checked = check_minutes(signed.document, trust.instance)
    text = read_small(file, max_bytes=MAX_SIGNATURE_BYTES, what="signature").decode("ascii", "replace")
    signature = dearmour(text)
    for signer in checked.script.signers:
        for authenticator in signer.authenticators:
            envelope = Envelope(
                signer=signer.person,
                authenticator=fingerprint(authenticator),
                kind=SignatureKind.SSHSIG,
                signature=signature,
            )
            with suppress(VerificationError, FormatError):
                verify_envelope(envelope, checked.digest, signer.authenticators, Namespace.MINUTES)
                _check_first(signed, envelope.authenticator, signer.person)
                _add(path, signed, envelope)
                return signer.person, checked
    raise VerificationError(
        f"{file} is no participant's signature of these minutes",
        hint=f"`ssh-keygen -Y sign -n {Namespace.MINUTES} -f KEY` over the 32 raw bytes of {checked.digest}",
    )


def _check_first(signed: SignedDocument, authenticator: str, person: str) -> None:
    if any(envelope.authenticator == authenticator for envelope in signed.signatures):
        raise RefusedError(f"{person} signed these minutes already", code=Code.CONFLICT)


def _add(path: Path, signed: SignedDocument, envelope: Envelope) -> None:
    _replace(path, records.serialise(replace(signed, signatures=(*signed.signatures, envelope))))


def check_against(checked: CheckedMinutes, evidence: Path, trust: TrustFile) -> tuple[KeyProfile, ...]:
    """Return the key profiles that an evidence proves and these minutes are of; refuse when there is none."""
    proven = [p for p in proven_profiles(load_evidence(evidence), trust) if p.minutes == checked.digest]
    if not proven:
        raise VerificationError(
            f"{evidence.name} proves no key that names these minutes",
            expected=checked.digest,
            got="another digest or none",
            code=Code.EVIDENCE_MISMATCH,
        )
    for profile in proven:
        check_profile(checked, profile)
    return tuple(proven)


def adopt(desk: Desk, checked: CheckedMinutes) -> tuple[KeyProfile, ...]:
    """Put the keys of verified minutes into the policy draft, each with the minutes' digest."""
    profiles = tuple(profile_of(checked, key, new_salt(os.urandom)) for key in checked.minutes.keys)
    known = earlier.fetch(desk)
    for profile in profiles:
        known.check_name(profile.id, PublicKey(profile.public_key).fingerprint)
        check_public_key(PublicKey(profile.public_key), profile.algorithm, desk.draft.all(KeyProfile))
        check_new(wanted(profile), desk.draft, desk.in_force.revocations)
        desk.draft.put(profile)
    return profiles


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.new")
    draft.write_bytes(content)
    draft.replace(path)
