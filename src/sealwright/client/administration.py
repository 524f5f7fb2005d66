"""What an administrator changes: people, products and keys in a draft; proposals, their signatures, their logging."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sealwright.client import settings as connection
from sealwright.client.api import Api
from sealwright.client.compose import new_restriction, sign_bytes, sign_document
from sealwright.client.differences import Difference, between, of_roots
from sealwright.client.drafts import Draft, load_draft
from sealwright.client.files import read_small
from sealwright.client.log_view import check_logged
from sealwright.client.review import check_additions, notes_on
from sealwright.client.settings import Settings
from sealwright.client.standing import InForce, fetch
from sealwright.core import records, sshsig
from sealwright.core.digests import document_digest
from sealwright.core.envelopes import SignedDocument
from sealwright.core.errors import Code, FormatError, RefusedError
from sealwright.policy.documents import Policy, RestrictionKind, Root
from sealwright.policy.fold import open_policy
from sealwright.policy.roots import open_next_root
from sealwright.policy.sections import load_complete, parse_section
from sealwright.policy.signatures import Namespace, who_signed
from sealwright.service.messages import (
    Applied,
    ApplyBody,
    ProposalAnswer,
    ProposalsAnswer,
    ProposeBody,
    RestrictBody,
    SignBody,
)
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


def propose(desk: Desk, *, renew: bool = False) -> ProposalAnswer:
    """Sign the draft's head and send it with its sections; ``renew`` proposes an unchanged policy for longer."""
    settings, now = desk.settings, int(time.time())
    if not desk.changes and desk.in_force.standing is not None and not renew:
        raise RefusedError(
            "the draft changes nothing",
            code=Code.CONFLICT,
            hint="edit people, products or keys first; --renew proposes the same policy with a later expiry",
        )
    desk.check()
    head = desk.draft.head(desk.in_force.root_digest, now=now)
    signed = sign_document(head, instance=settings.trust.instance, identity=settings.identity, signer=desk.api.who())
    return desk.api.post(
        ProposalAnswer, "/v1/proposals", ProposeBody(kind="policy", signed=signed, sections=desk.draft.sections)
    )


def proposals(api: Api) -> tuple[ProposalAnswer, ...]:
    """Return all proposals, the newest first."""
    return api.get(ProposalsAnswer, "/v1/proposals").proposals


def open_proposals(api: Api, in_force: InForce) -> list[ProposalAnswer]:
    """Return the proposals that can still come into force, the newest first."""
    return [p for p in proposals(api) if p.state == "open" and not _is_superseded(p, in_force)]


def _is_superseded(proposal: ProposalAnswer, in_force: InForce) -> bool:
    if proposal.kind == "root":
        return records.parse(Root, proposal.signed.document).version <= in_force.root.version
    policy = records.parse(Policy, proposal.signed.document)
    return policy.version <= in_force.policy_version


def open_proposal(settings: Settings, api: Api, in_force: InForce, digest: str) -> ProposalAnswer:
    """Fetch a proposal and check that it is what it says: its digest, root and complete sections."""
    if not digest:
        digest = next((p.digest for p in open_proposals(api, in_force)), "")
        if not digest:
            raise RefusedError("there is no open proposal", code=Code.NOT_FOUND, hint="`sealwright policy propose`")
    found = api.get(ProposalAnswer, f"/v1/proposals/{digest}")
    if found.kind == "policy":
        policy = records.parse(Policy, found.signed.document)
        load_complete(policy, found.sections, in_force.root, settings.trust.instance)
    else:
        records.parse(Root, found.signed.document)
    return found


def changes_of(in_force: InForce, proposal: ProposalAnswer) -> tuple[Difference, ...]:
    """Return what a proposal changes in what is in force."""
    if proposal.kind == "root":
        return (of_roots(in_force.root, records.parse(Root, proposal.signed.document)),)
    return between(in_force.sections, proposal.sections)


def drop_applied(settings: Settings, applied: Sequence[ProposalAnswer]) -> bool:
    """Remove the draft if that is what was applied; return whether there is one with something else in it."""
    path = connection.draft_path()
    if not path.is_file():
        return False
    draft = load_draft(path, os.urandom)
    mine = draft.instance == settings.trust.instance and any(draft.sections == p.sections for p in applied)
    if mine:
        path.unlink()
    return not mine


def sign(settings: Settings, api: Api, proposal: ProposalAnswer) -> ProposalAnswer:
    """Add one's own signature to a proposal."""
    envelope = sign_bytes(
        proposal.signed.document,
        proposal.kind,
        instance=settings.trust.instance,
        identity=settings.identity,
        signer=api.who(),
    )
    return api.post(ProposalAnswer, f"/v1/proposals/{proposal.digest}/signatures", SignBody(envelope=envelope))


def signers_of(in_force: InForce, proposal: ProposalAnswer) -> frozenset[str]:
    """Return the administrators in force who signed a proposal."""
    namespace = Namespace.ROOT if proposal.kind == "root" else Namespace.POLICY
    return who_signed(proposal.signed.signatures, proposal.digest, in_force.root.administrators, namespace)[0]


def apply(settings: Settings, api: Api, in_force: InForce, chosen: Sequence[ProposalAnswer]) -> int:
    """Have proposals logged together; checked here first, so that a missing signature is told at once."""
    root, digest = in_force.root, in_force.root_digest
    for proposal in chosen:
        if proposal.kind == "root":
            root, digest = open_next_root(proposal.signed, root, digest, settings.trust.instance)
        else:
            open_policy(proposal.signed, root, digest, settings.trust.instance)
    applied = api.post(Applied, "/v1/apply", ApplyBody(proposals=tuple(p.digest for p in chosen)))
    return applied.index


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
