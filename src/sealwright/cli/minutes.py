"""``sealwright key minutes``: what a key ceremony left on paper is shown, signed, verified and brought into a draft."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography.hazmat.primitives import hashes

from sealwright.cli.drafting import keep
from sealwright.cli.output import UsageError, iso, note, show, show_json, show_table, utc
from sealwright.cli.typed import noun
from sealwright.client import administration
from sealwright.client import minutes as paper
from sealwright.client.new_keys import apart
from sealwright.client.settings import TRUST, load_trust
from sealwright.core.envelopes import SignedDocument
from sealwright.core.keys import PublicKey
from sealwright.evidence.bundle import TrustFile
from sealwright.evidence.key_attestation import Attested
from sealwright.evidence.minutes import CheckedMinutes, check_minutes, verify_minutes
from sealwright.policy.minutes import CertificateStatus, Certification, MadeKey, Standard
from sealwright.policy.signatures import Namespace, who_signed

minutes = noun("minutes of key ceremonies: show, sign, verify, adopt")
File = Annotated[Path, typer.Argument(metavar="FILE", help="minutes.json of a ceremony")]
Trust = Annotated[
    Path | None, typer.Option("--trust", metavar="FILE", help="trust file of the installation; else $SEALWRIGHT_TRUST")
]
Json = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
FIPS_140_2_ENDED = 1_790_035_200
"""On 2026-09-21 the CMVP moved the last FIPS 140-2 certificates to its historical list."""


@minutes.command("show")
def show_minutes(file: File, trust: Trust = None, json: Json = False) -> None:
    """Show what minutes say, and who signed them so far; it says nothing about enough."""
    signed = paper.load(file)
    checked = check_minutes(signed.document, _trust(trust).instance)
    _show(checked, _present(checked, signed), json=json)


@minutes.command()
def sign(
    file: File,
    identity: Annotated[
        Path | None, typer.Option("--identity", help="the participant's SSH key, as the script names it")
    ] = None,
    signature: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="add what `ssh-keygen -Y sign` made elsewhere, instead of signing here"),
    ] = None,
    trust: Trust = None,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask before signing")] = False,
    json: Json = False,
) -> None:
    """Show what minutes say, and add one's signature to the file."""
    if (identity is None) == (signature is None):
        raise UsageError("one of --identity and --signature is needed", hint="see `sealwright key minutes sign --help`")
    known = _trust(trust)
    signed = paper.load(file)
    checked = check_minutes(signed.document, known.instance)
    if not json:
        _show(checked, _present(checked, signed), json=False)
    if (
        identity
        and not yes
        and sys.stdin is not None
        and sys.stdin.isatty()
        and not typer.confirm("sign this?", err=True)
    ):
        note("nothing was signed")
        raise typer.Abort
    if identity:
        person, checked = paper.sign(file, known, identity)
    elif signature:
        person, checked = paper.add_signature(file, known, signature)
    present = _present(checked, paper.load(file))
    if json:
        show_json(_as_json(checked, present))
        return
    note(f"signed by {person}: {len(present)} of {checked.script.signatures} signatures are there")


@minutes.command()
def verify(
    file: File,
    trust: Trust = None,
    evidence: Annotated[
        Path | None, typer.Option(help="evidence of an image: proves that a policy in the log names these minutes")
    ] = None,
    attestation_root: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM of the vendor's root, instead of what the script names")
    ] = None,
    json: Json = False,
) -> None:
    """Check minutes: script, keys, token, attestations, and that enough of those present signed.  Opens no network."""
    known = _trust(trust)
    verified = verify_minutes(paper.load(file), known.instance, roots=paper.load_anchors(attestation_root))
    proven = paper.check_against(verified.checked, evidence, known) if evidence else ()
    if json:
        show_json(_as_json(verified.checked, verified.present) | {"verified": True, "proven": [p.id for p in proven]})
        return
    show(f"verified: {file}")
    _show(verified.checked, verified.present, json=False)
    for profile in proven:
        show(f"the policy in the log names these minutes for {profile.id}")
    if not proven:
        note("that a policy names them is shown by --evidence of an image, and by `sealwright key show`")


@minutes.command()
def adopt(file: File, json: Json = False) -> None:
    """Put the keys of minutes that enough people signed into the policy draft."""
    with administration.editing() as desk:
        verified = verify_minutes(paper.load(file), desk.settings.trust.instance)
        profiles = paper.adopt(desk, verified.checked)
        if (still := apart(profiles[0], desk.draft)) and not json:
            note(still)
        keep(desk, *(("key-profile", profile.id) for profile in profiles), json=json)


def read_script(path: Path) -> bytes:
    """Read the bytes of a script."""
    return paper.load_script(path)


def read_attestation(text: str) -> tuple[str, tuple[bytes, ...]]:
    """Read ``PROFILE=FILE``."""
    profile, equals, file = text.partition("=")
    if not equals or not file:
        raise UsageError("--attestation takes PROFILE=FILE", hint="such as router/production/2026=attestation.pem")
    return profile, paper.load_chain(Path(file))


def show_finished(path: Path, checked: CheckedMinutes, *, json: bool) -> None:
    """Say where the minutes lie and what is next."""
    if json:
        show_json({**_as_json(checked, ()), "file": str(path)})
        return
    show(str(path))
    _show(checked, (), json=False)
    note(
        f"next: {checked.script.signatures} of those present sign: `sealwright key minutes sign {path} --identity KEY`"
    )
    note("then `sealwright key minutes adopt` brings the keys into the policy draft")


def _trust(path: Path | None) -> TrustFile:
    chosen = path or os.environ.get(TRUST)
    if not chosen:
        raise UsageError("no trust file is named", hint="--trust FILE; beside the signer it is trust.json")
    return load_trust(Path(chosen))


def _present(checked: CheckedMinutes, signed: SignedDocument) -> tuple[str, ...]:
    people, _ = who_signed(signed.signatures, checked.digest, checked.script.signers, Namespace.MINUTES)
    return tuple(p.person for p in checked.script.participants if p.person in people)


def _show(checked: CheckedMinutes, present: tuple[str, ...], *, json: bool) -> None:
    if json:
        show_json(_as_json(checked, present))
        return
    script, observed = checked.script, checked.minutes.module
    rows = [
        ("ceremony", f"{script.id}: {script.reason}"),
        ("minutes", checked.digest),
        ("when", f"{utc(checked.minutes.started)} to {utc(checked.minutes.ended)}"),
        ("partition", script.partition),
    ]
    if stated := script.module:
        rows.append(("module", f"{stated.vendor} {stated.model}, serial {stated.serial}, firmware {stated.firmware}"))
        rows += [("certificate", _spell(c)) for c in stated.certifications]
    said = ", ".join(t for t in (observed.manufacturer, observed.model, observed.serial, observed.firmware) if t)
    tried = "" if observed.is_tried else "; not tried on this device"
    rows.append(("keystore says", f"{observed.device}{': ' if said else ''}{said}{tried}"))
    for participant in script.participants:
        signed = "signed" if participant.person in present else "not signed"
        rows.append(("participant", f"{participant.person}, {participant.role}: {signed}"))
    rows.append(("signatures", f"{len(present)} of {script.signatures} that the script demands"))
    show_table(rows)
    for key in checked.minutes.keys:
        show(f"key {key.profile}")
        show_table(_key_rows(checked, key))
    for certification in script.module.certifications if script.module else ():
        if _is_outdated(certification, checked.minutes.ended):
            note(f"certificate {certification.certificate}: FIPS 140-2 has none that is active since 2026-09-21")


def _key_rows(checked: CheckedMinutes, key: MadeKey) -> list[tuple[str, str]]:
    planned = next(p for p in checked.script.keys if checked.script.profile(p) == key.profile)
    rows = [
        ("algorithm", f"{key.algorithm}, {PublicKey(key.public_key).size_bits} bits"),
        ("fingerprint", PublicKey(key.public_key).fingerprint),
        ("grade", key.grade),
        ("backup", f"{planned.backup}{', ' if key.copies else ''}{', '.join(c.name for c in key.copies)}"),
    ]
    if key.attributes:
        rows.append(("token says", ", ".join(f"{a.name} {str(a.value).lower()}" for a in key.attributes)))
    if (attested := checked.attested.get(key.profile)) is not None:
        rows.append(("attested by", _spell_attested(attested)))
    if key.taken_up:
        rows.append(("note", "taken up after an interruption"))
    return rows


def _is_outdated(found: Certification, at: int) -> bool:
    is_active = found.status is CertificateStatus.ACTIVE
    return found.standard is Standard.FIPS_140_2 and is_active and at >= FIPS_140_2_ENDED


def _spell(found: Certification) -> str:
    grade = f"level {found.level}" if found.level else str(found.assurance)
    profile = f", {found.profile}" if found.profile else ""
    return f"{found.standard} {grade}, number {found.certificate}{profile}: {found.status} on {found.checked}"


def _spell_attested(found: Attested) -> str:
    root = found.root.fingerprint(hashes.SHA256()).hex()
    return (
        f"device {found.serial}, firmware {found.firmware}, object {found.object_id:#06x}; root "
        f"{found.root.subject.rfc4514_string()}, SHA-256 {root}"
    )


def _as_json(checked: CheckedMinutes, present: tuple[str, ...]) -> dict[str, Any]:
    return {
        "ceremony": checked.script.id,
        "digest": checked.digest,
        "started": iso(checked.minutes.started),
        "ended": iso(checked.minutes.ended),
        "signed_by": list(present),
        "needed": checked.script.signatures,
        "keys": [
            {
                "profile": key.profile,
                "algorithm": str(key.algorithm),
                "fingerprint": PublicKey(key.public_key).fingerprint,
                "grade": str(key.grade),
                "attributes": {a.name: a.value for a in key.attributes},
                "taken_up": key.taken_up,
                "copies": [c.name for c in key.copies],
            }
            | ({"attested_by": checked.attested[key.profile].serial} if key.profile in checked.attested else {})
            for key in checked.minutes.keys
        ],
    }
