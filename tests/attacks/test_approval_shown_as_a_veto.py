"""Attack: the server logs a veto, a cancellation or a revocation under a document that somebody signed for another end.

A restriction acts from its entry alone, so the request is blocked; but nobody is to be shown as the author of a veto
whose document is their approval.
"""

import pytest
from tests.client.signed import Maker

from sealwright.client import revocations
from sealwright.core import records
from sealwright.core.digests import document_digest
from sealwright.core.envelopes import SignedDocument
from sealwright.evidence.bundle import AsOf
from sealwright.policy import documents as d
from sealwright.policy.entries import RestrictionEntry
from sealwright.policy.signatures import Namespace
from sealwright.service.restrictions_log import LoggedRestriction, RestrictionsAnswer
from sealwright.translog import merkle

VETO, CANCEL = d.RestrictionKind.VETO, d.RestrictionKind.CANCEL


class Server(Maker):
    """Its owner logs what they like, and answers with it and the proof."""

    def shown(self, kind: d.RestrictionKind, subject: str, signed: SignedDocument, document_type: str):
        digest = document_digest(document_type, self.instance.instance, signed.document)
        entry = RestrictionEntry(
            entry="restriction", format=1, kind=kind, subject=subject, person="ben", document=digest
        )
        self.index = self.instance.log.append(entry)
        self.signed = signed
        standing = self.instance.standing()
        return revocations.fetch_one(self, self.trust(), self.index, standing.root, standing.sections)

    def get(self, _answer, _path, **_query):
        entry = self.instance.log.entries[self.index]
        logged = LoggedRestriction(index=self.index, entry=entry, proof=self._proof(self.index), signed=self.signed)
        return RestrictionsAnswer(checkpoint=self.instance.log.checkpoint(), restrictions=(logged,))

    def trust(self, **changes):
        entries = self.instance.log.entries
        root_hash = merkle.root_of([merkle.leaf_hash(entry) for entry in entries]).hex()
        as_of = AsOf(size=len(entries), root_hash=root_hash, policy_version=0, policy_index=0)
        return super().trust(as_of=as_of, **changes)


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def submission(server):
    return server.instance.submit(server.instance.make_request(product="gateway"))


def vote(server, submission, decision):
    made = server.instance.make_vote(submission, "ben", decision=decision, reason="only if dan agrees")
    return server.instance.signed_vote(made)


def restriction(server, kind, subject):
    data = records.serialise(
        d.Restriction(
            type="restriction", format=1, salt="0" * 32, kind=kind, subject=subject, person="ben", reason="why", time=1
        )
    )
    digest = document_digest("restriction", server.instance.instance, data)
    envelope = server.instance.people["ben"].sign(digest, Namespace.RESTRICTION)
    return SignedDocument(document=data, signatures=(envelope,))


@pytest.mark.parametrize(("kind", "decision"), [(VETO, d.Decision.APPROVE), (CANCEL, d.Decision.REJECT)])
def test_a_vote_is_shown_as_the_document_of_a_veto_only_if_it_rejects(server, submission, kind, decision):
    found = server.shown(kind, submission.digest, vote(server, submission, decision), "vote")
    assert (found.kind, found.person, found.document, found.reason) == (kind, "ben", "missing", "")


def test_a_vote_that_rejects_is_shown_as_the_document_of_a_veto(server, submission):
    found = server.shown(VETO, submission.digest, vote(server, submission, d.Decision.REJECT), "vote")
    assert (found.document, found.reason) == ("signed", "only if dan agrees")


def test_a_restriction_of_one_kind_is_not_shown_as_the_document_of_another(server, submission):
    signed = restriction(server, CANCEL, submission.digest)
    assert server.shown(VETO, submission.digest, signed, "restriction").document == "missing"
    assert server.shown(CANCEL, submission.digest, signed, "restriction").document == "signed"
