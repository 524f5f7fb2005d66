"""What an administrator changes: people, products and keys in a draft, and revocations; proposals are beside it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sealwright.client import settings as connection
from sealwright.client.api import Api
from sealwright.client.compose import new_restriction, sign_document
from sealwright.client.differences import Difference, between
from sealwright.client.drafts import Draft, load_draft
from sealwright.client.files import read_small
from sealwright.client.log_view import check_logged
from sealwright.client.review import check_additions, notes_on
from sealwright.client.settings import Settings
from sealwright.client.standing import InForce, fetch
from sealwright.core import sshsig
from sealwright.core.digests import document_digest
from sealwright.core.envelopes import SignedDocument
from sealwright.core.errors import Code, FormatError, RefusedError
from sealwright.policy.documents import Person, Pipeline, RestrictionKind
from sealwright.policy.sections import parse_section
from sealwright.policy.signatures import fingerprint
from sealwright.service.messages import RestrictBody
from sealwright.service.restrictions import Logged

MAX_KEY_LINE_BYTES = 16 * 1024


@dataclass(slots=True)
class Desk:
    """An administrator's connection, what is in force, and the draft being edited."""

    settings: Settings
    api: Api
    in_force: InForce
    draft: Draft
    stale: str = ""
    """Why a draft that is kept was left out; empty when none was."""

    @property
    def changes(self) -> tuple[Difference, ...]:
        """What the draft changes."""
        return between(self.in_force.sections, self.draft.sections)

    def change_of(self, kind: str, section_id: str) -> Difference | None:
        """What the draft changes about one section."""
        return next((d for d in self.changes if (d.kind, d.id) == (kind, section_id)), None)

    def has(self, kind: str, section_id: str) -> bool:
        """Whether the draft has a section."""
        return any((s.type, s.id) == (kind, section_id) for s in map(parse_section, self.draft.sections))

    def check(self) -> list[str]:
        """Compile the draft as signer and server will, and say what else is odd about it."""
        now = int(time.time())
        sections = self.draft.check(self.in_force.root, self.in_force.root_digest, now=now)
        check_additions(self.draft, self.in_force)
        return notes_on(sections, self.in_force.revocations)

    def save(self) -> None:
        """Keep the draft; what says again what is in force is taken over from there, with its salt."""
        self.draft.take_over(self.in_force.sections)
        path = connection.draft_path()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.draft.save(path)


@contextmanager
def editing() -> Iterator[Desk]:
    """Connect, fetch what is in force and take up the draft, or begin one from the policy in force."""
    with reading() as desk:
        if desk.stale:
            raise RefusedError(
                desk.stale,
                code=Code.CONFLICT,
                hint="somebody changed the policy meanwhile: `sealwright policy discard`, then make the changes again",
            )
        yield desk


@contextmanager
def reading() -> Iterator[Desk]:
    """The same for looking and revoking: a draft that does not fit what is in force is left out, and no obstacle."""
    settings = connection.load()
    with settings.api() as api:
        in_force = fetch(api, settings.trust)
        fresh = Draft(
            instance=settings.trust.instance,
            base_version=in_force.policy_version,
            sections=in_force.sections,
            entropy=os.urandom,
        )
        draft, stale = _kept(settings, in_force)
        yield Desk(settings=settings, api=api, in_force=in_force, draft=draft or fresh, stale=stale)


def _kept(settings: Settings, in_force: InForce) -> tuple[Draft | None, str]:
    """Return the draft that is kept, if it fits, and why not if it does not."""
    path = connection.draft_path()
    if not path.is_file():
        return None, ""
    draft = load_draft(path, os.urandom)
    if draft.instance != settings.trust.instance:
        return None, f"{path} is a draft for another installation"
    if draft.base_version != in_force.policy_version:
        stale = f"the draft changes policy version {draft.base_version}, {in_force.policy_version} is in force"
        return None, "" if draft.sections == in_force.sections else stale
    return draft, ""


def read_public_key(path: Path) -> str:
    """Return the OpenSSH public key line of a ``.pub`` file, without its comment; one key a file."""
    text = read_small(path, max_bytes=MAX_KEY_LINE_BYTES, what="public key").decode("ascii", "replace")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if len(lines) != 1:
        raise FormatError(
            f"{path} holds {len(lines)} lines, one public key belongs there",
            code=Code.INVALID_DOCUMENT,
            hint="give the .pub file of an SSH key",
        )
    return sshsig.parse_public_key(" ".join(lines[0].split()[:2])).line()


def owners(desk: Desk) -> dict[str, str]:
    """Return whose each authenticator in force is, by fingerprint."""
    sections = desk.in_force.standing.sections if desk.in_force.standing else None
    holders: list[Person | Pipeline] = [*sections.all(Person), *sections.all(Pipeline)] if sections else []
    found = {fingerprint(a): holder.id for holder in holders for a in holder.authenticators}
    return found | {
        fingerprint(a): admin.person for admin in desk.in_force.root.administrators for a in admin.authenticators
    }


def restrict(settings: Settings, api: Api, kind: RestrictionKind, subject: str, reason: str) -> Logged:
    """Sign and send a restriction; return only with proof that it is in the log."""
    restriction = new_restriction(
        kind, subject, person=api.who(), reason=reason, now=int(time.time()), entropy=os.urandom
    )
    signed: SignedDocument = sign_document(
        restriction, instance=settings.trust.instance, identity=settings.identity, signer=api.who()
    )
    logged = api.post(Logged, "/v1/restrictions", RestrictBody(restriction=signed))
    document = document_digest("restriction", settings.trust.instance, signed.document)
    check_logged(api, settings.trust, logged, kind=kind, subject=subject, person=api.who(), document=document)
    return logged
