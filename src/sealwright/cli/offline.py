"""``inspect``, ``verify``, ``version``: commands that need neither server nor network."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sealwright import __version__
from sealwright.cli.beside_text import Beside, signature_file_json, spell_signature_file
from sealwright.cli.lean import Parser
from sealwright.cli.option_text import option_rows
from sealwright.cli.output import UsageError, iso, note, show, show_json, show_table, utc
from sealwright.client.comparison import Change, Inspected, changes
from sealwright.client.files import FileSource
from sealwright.client.images import also_claimed, choose_format, naming
from sealwright.client.offline import (
    VerifiedFile,
    check_expected,
    files_beside,
    known_contents,
    load_trust,
    signatures_beside,
    verify_file,
    write_content,
)
from sealwright.client.stateful import label_of
from sealwright.core.images import Range
from sealwright.core.keys import PublicKey
from sealwright.evidence.bundle import EVIDENCE_SUFFIX
from sealwright.evidence.verify import VerifiedEvidence
from sealwright.formats import FORMATS, claimed_by
from sealwright.formats.interface import Inspection
from sealwright.policy.counting import why_not
from sealwright.policy.documents import Environment, KeySet

if TYPE_CHECKING:
    from sealwright.client.devices import DeviceCheck


def version(arguments: Sequence[str]) -> None:
    """Print the version."""
    if Parser("version", "Say which version this is.").parse_args(arguments).json:
        show_json({"version": __version__})
    else:
        show(f"sealwright {__version__}")


def verify(arguments: Sequence[str]) -> None:
    """Verify one image with its evidence."""
    parser = Parser(
        "verify", "Check that an image is what was approved, logged and signed. Opens no network connection."
    )
    parser.add_argument("image", metavar="IMAGE", type=Path)
    parser.add_argument("--evidence", metavar="FILE", type=Path, help=f"default: IMAGE{EVIDENCE_SUFFIX}")
    parser.add_argument(
        "--trust", metavar="FILE", type=Path, help="trust file of the maker; default: $SEALWRIGHT_TRUST"
    )
    parser.add_argument(
        "--environment",
        choices=[str(e) for e in Environment],
        default=str(Environment.PRODUCTION),
        help="what the image must have been signed for; default: production",
    )
    parser.add_argument("--product", help="the product it must have been signed for")
    parser.add_argument("--release", help="the release it must have been signed as")
    parser.add_argument(
        "--log", metavar="DIR", type=Path, help="a copy of the log: proves that nothing was revoked or vetoed before"
    )
    parser.add_argument(
        "--control-dtb", metavar="FILE", type=Path, help="a U-Boot device with this devicetree must take the image too"
    )
    chosen = parser.parse_args(arguments)
    trust = chosen.trust or os.environ.get("SEALWRIGHT_TRUST")
    if not trust:
        raise UsageError("no trust file is named", hint="get it from the maker of the image, and name it with --trust")
    checked = verify_file(
        chosen.image,
        chosen.evidence,
        load_trust(Path(trust)),
        FORMATS,
        log=chosen.log,
        control_dtb=chosen.control_dtb,
    )
    check_expected(checked.verified, environment=chosen.environment, product=chosen.product, release=chosen.release)
    if chosen.json:
        show_json(_verified_json(chosen.image, checked))
    else:
        _show_verified(chosen.image, checked)
        for text in checked.notes:
            note(text)


def inspect(arguments: Sequence[str]) -> None:
    """Describe one image."""
    parser = Parser("inspect", "Say what an image is, what a signature covers, and which signatures it carries.")
    parser.add_argument("image", metavar="IMAGE", type=Path)
    parser.add_argument("--format", metavar="NAME", help=f"one of {', '.join(FORMATS)}; by default it is detected")
    contents = f"write the bytes that a signature covers to FILE ({', '.join(known_contents(FORMATS))})"
    parser.add_argument("--content", metavar="FILE", type=Path, help=contents)
    parser.add_argument(
        "--option", metavar="NAME=VALUE", action="append", default=[], help="with --content: as for `sign`"
    )
    parser.add_argument("--against", metavar="OLD", type=Path, help="say also what changed since another image")
    chosen = parser.parse_args(arguments)
    if chosen.option and not chosen.content:
        raise UsageError("--option says what --content writes", hint="name the file to write with --content")
    changed = None
    with FileSource(chosen.image) as source:
        image_format = choose_format(source, chosen.format)
        claims = None if chosen.format else also_claimed(source, image_format)
        names = [known.name for known in claimed_by(source)]
        with naming(chosen.image if chosen.against else None):
            inspection = image_format.inspect(source)
        if chosen.against:
            changed = _changes(chosen.against, chosen.format, Inspected(source=source, inspection=inspection))
        if chosen.content:
            write_content(image_format, source, chosen.option, chosen.content)
        beside = signatures_beside(chosen.image, source, image_format)
    if chosen.json:
        against = {} if changed is None else {"against": _against_json(chosen.against, changed)}
        show_json(_inspection_json(chosen.image, inspection, beside) | {"claimed_by": names} | against)
    else:
        _show_inspection(chosen.image, inspection, beside)
        if changed is not None:
            _show_changes(chosen.against, changed)
    if claims:
        note(f"{chosen.image}: {claims}")


def _changes(old: Path, format_name: str | None, new: Inspected) -> tuple[Change, ...]:
    with FileSource(old) as source:
        with naming(old):
            inspection = choose_format(source, format_name).inspect(source)
        return changes(Inspected(source=source, inspection=inspection), new)


def _show_verified(image: Path, checked: VerifiedFile) -> None:
    verified = checked.verified
    request = verified.approved.request
    scope = verified.approved.scope
    idle = {b.digest: why for b in verified.approved.ballots if (why := why_not(b, scope))}
    approvals = [f"{b.vote.person} ({b.vote.checked})" for b in verified.approved.ballots if b.digest not in idle]
    rows = [
        ("product", f"{request.product} {request.release}"),
        ("environment", request.environment),
        ("requested by", request.requester),
        ("approved by", ", ".join(approvals) or "nobody: the rules ask for no approval"),
    ]
    rows += [
        ("does not count", f"a vote of {b.vote.person}: {idle[b.digest]}")
        for b in verified.approved.ballots
        if b.digest in idle
    ]
    for profile in dict.fromkeys(verified.signing_keys):
        fingerprint = PublicKey(profile.public_key).fingerprint[:16]
        rows.append(("signed by key", f"{profile.id}, {profile.algorithm}, {profile.grade} key {fingerprint}"))
        if profile.minutes:
            rows.append(("minutes", profile.minutes))
        if label := label_of(profile):
            rows.append(("note", label))
    rows += [("key set", _spell_key_set(key_set, verified)) for key_set in verified.key_sets]
    rows += [
        ("format", verified.artifact.image_format),
        *option_rows(verified.artifact),
        ("signed at", utc(verified.outcome.time)),
        ("log", f"{request.log}, entry {verified.outcome_index} of {verified.checkpoint_size}"),
    ]
    if checked.history:
        rows.append(("history", f"proven up to {checked.history.size} entries of the log copy"))
    rows += [
        ("witnesses", "witnessed" if verified.is_witnessed else "unwitnessed"),
        ("installation", verified.grade),
        ("gates", "none"),
    ]
    if checked.device:
        rows.append(("device", checked.device.summary))
    show(f"verified: {image}")
    show_table(rows)


def _verified_json(image: Path, checked: VerifiedFile) -> dict[str, Any]:
    verified = checked.verified
    request = verified.approved.request
    return {
        "verified": True,
        "image": str(image),
        "evidence": str(checked.evidence),
        "artifact": {
            "name": verified.artifact.name,
            "sha256": verified.artifact.sha256,
            "size": verified.artifact.size,
        },
        "format": verified.artifact.image_format,
        "options": dict(verified.artifact.options),
        "product": request.product,
        "release": request.release,
        "environment": request.environment,
        "request": {"id": request.id, "digest": verified.approved.request_digest},
        "requester": request.requester,
        "approvals": [
            {"person": b.vote.person, "checked": b.vote.checked}
            for b in verified.approved.ballots
            if not why_not(b, verified.approved.scope)
        ],
        "not_counted": [
            {"person": b.vote.person, "checked": b.vote.checked, "why": why}
            for b in verified.approved.ballots
            if (why := why_not(b, verified.approved.scope))
        ],
        "keys": [
            {
                "profile": profile.id,
                "algorithm": profile.algorithm,
                "fingerprint": PublicKey(profile.public_key).fingerprint,
                "grade": profile.grade,
            }
            | ({"minutes": profile.minutes} if profile.minutes else {})
            | ({"note": label_of(profile)} if label_of(profile) else {})
            for profile in dict.fromkeys(verified.signing_keys)
        ],
        "key_sets": [
            {
                "id": key_set.id,
                "rule": key_set.rule,
                "members": list(key_set.members),
                "found": _found_members(key_set, verified),
            }
            for key_set in verified.key_sets
        ],
        "signed_at": iso(verified.outcome.time),
        "log": {
            "origin": request.log,
            "outcome_index": verified.outcome_index,
            "checkpoint_size": verified.checkpoint_size,
            "proven_size": checked.history.size if checked.history else None,
        },
        "witnessed": verified.is_witnessed,
        "grade": verified.grade,
        "gates": [],
        "notes": list(checked.notes),
    } | ({"device": _device_json(checked.device)} if checked.device else {})


def _device_json(device: "DeviceCheck") -> dict[str, Any]:
    return {
        "control_dtb": str(device.control_dtb),
        "required_mode": device.anchors.mode,
        "required": [
            {
                "name": anchor.name,
                "algo": anchor.algo,
                "fingerprint": anchor.key.fingerprint,
                "signed_every_configuration": has_signed,
            }
            for anchor, has_signed in device.required
        ],
    }


def _spell_key_set(key_set: KeySet, verified: VerifiedEvidence) -> str:
    found = _found_members(key_set, verified)
    missing = [member for member in key_set.members if member not in found]
    asked = f"{key_set.id}, {key_set.rule} of {len(key_set.members)} must sign: found {', '.join(found)}"
    return asked + (f"; not found {', '.join(missing)}" if missing else "")


def _found_members(key_set: KeySet, verified: VerifiedEvidence) -> list[str]:
    found = {profile.id for profile in verified.signing_keys}
    return [member for member in key_set.members if member in found]


def _show_inspection(image: Path, inspection: Inspection, beside: Beside) -> None:
    show(f"{image}: {inspection.format}")
    show_table(inspection.facts.items())
    show("signatures:" + ("" if inspection.signatures else " none inside the file"))
    said = {path: spell_signature_file(found) for path, found in beside}
    for path in files_beside(image):
        show(f"  beside the file: {path.name}" + (f": {said[path]}" if path in said else ""))
    show_table((s.name, f"{s.algorithm} by {s.signer}") for s in inspection.signatures)
    is_signed = bool(inspection.signatures or files_beside(image))
    show("covered by a signature:" if is_signed else "a signature would cover:")
    show_table((_span(part), f"{part.stop - part.start} bytes") for part in inspection.covered)
    told = next((label for label in inspection.facts if label.startswith("Not covered")), "")
    nothing = f" see {told!r} above; by the other profiles nothing" if told else " nothing"
    show("not covered:" + ("" if inspection.uncovered else nothing))
    show_table((_span(part), reason) for part, reason in inspection.uncovered)


def _show_changes(old: Path, changed: Sequence[Change]) -> None:
    show(f"changed since {old}:" + ("" if changed else " nothing"))
    show_table((change.label, _spell_change(change)) for change in changed)


def _spell_change(change: Change) -> str:
    spelled = " -> ".join("(not there)" if value is None else value for value in (change.before, change.after))
    return f"{spelled} (lower: devices that count refuse it, others go back)" if change.is_rollback else spelled


def _against_json(old: Path, changed: Sequence[Change]) -> dict[str, Any]:
    return {
        "image": str(old),
        "changes": [
            {"label": c.label, "before": c.before, "after": c.after, "rollback": c.is_rollback} for c in changed
        ],
    }


def _span(part: Range) -> str:
    return f"{part.start:#x}-{part.stop:#x}"


def _inspection_json(image: Path, inspection: Inspection, beside: Beside) -> dict[str, Any]:
    return {
        "image": str(image),
        "format": inspection.format,
        "facts": dict(inspection.facts),
        "beside": [path.name for path in files_beside(image)],
        "signature_files": [signature_file_json(path.name, found) for path, found in beside],
        "signatures": [{"name": s.name, "algorithm": s.algorithm, "signer": s.signer} for s in inspection.signatures],
        "covered": [{"start": part.start, "stop": part.stop} for part in inspection.covered],
        "uncovered": [{"start": p.start, "stop": p.stop, "reason": reason} for p, reason in inspection.uncovered],
    }
