"""``sealwright key remove`` and ``key revoke``: out of the policy to come, or out of use at once and for ever."""

from typing import Annotated

import typer

from sealwright.cli.drafting import confirm, keep
from sealwright.cli.key_arguments import Json, Profile
from sealwright.cli.output import note, show, show_json
from sealwright.client import administration
from sealwright.client.keys import find
from sealwright.client.review import after_revocation
from sealwright.core.keys import PublicKey
from sealwright.policy.documents import KeyProfile, RestrictionKind

Yes = Annotated[bool, typer.Option("--yes", help="do not ask before revoking")]


def remove(profile: Profile, json: Json = False) -> None:
    """Take a key out of the policy draft; it stays in its keystore, and what it signed stays signed.

    This is of the policy to come; use revoke for a key that may be in wrong hands.
    """
    with administration.editing() as desk:
        find(desk.draft, profile)
        desk.draft.remove("key-profile", profile)
        keep(desk, ("key-profile", profile), json=json)


def revoke(
    profile: Profile,
    reason: Annotated[str, typer.Option(help="why; kept with the signed document, and shown to everybody")],
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Revoke a key at once and for ever: by a log entry, not by the next policy."""
    with administration.reading() as desk:
        known = _in_force(desk, profile)
        if known is not None:
            note(f"{profile} is {PublicKey(known.public_key).fingerprint}, {known.algorithm}, for {known.product}")
        for text in after_revocation(desk.in_force, RestrictionKind.REVOKE_KEY_PROFILE, profile):
            note(f"warning: {text}")
        confirm(f"revoke key {profile} for ever?", yes=yes, otherwise="nothing was revoked")
        logged = administration.restrict(desk.settings, desk.api, RestrictionKind.REVOKE_KEY_PROFILE, profile, reason)
    if json:
        show_json({"kind": str(RestrictionKind.REVOKE_KEY_PROFILE), "subject": profile, "index": logged.index})
        return
    show(f"done: key {profile} is revoked at log index {logged.index}, inclusion proven")
    note(f"what it signed: `sealwright impact --key {profile}`")


def _in_force(desk: administration.Desk, profile: str) -> KeyProfile | None:
    standing = desk.in_force.standing
    return standing.sections.get(KeyProfile, profile) if standing else None
