"""The server's documents: what their order rests on."""

from dataclasses import replace

from sealwright.core.envelopes import Envelope, SignatureKind, SignedDocument
from sealwright.service.ports import Proposal
from sealwright.storage.documents import Documents

SIGNATURE = Envelope(signer="root-a", authenticator="a" * 64, kind=SignatureKind.SSHSIG, signature=b"x")


def test_of_proposals_in_one_second_the_one_that_came_last_is_the_newest(tmp_path):
    Documents.create(tmp_path / "documents.sqlite")
    documents = Documents(tmp_path / "documents.sqlite")
    try:
        came = [
            Proposal(
                digest=digest * 64,
                kind="policy",
                signed=SignedDocument(document=f"{{{digest}}}".encode(), signatures=(SIGNATURE,)),
                state="open",
                created=1,
            )
            for digest in "cab"
        ]
        for proposal in came:
            documents.put_proposal(proposal).result()
        documents.put_proposal(replace(came[0], state="applied")).result()  # a new state is no new arrival
        assert [p.digest[0] for p in documents.proposals()] == ["b", "a", "c"]
        assert [p.state for p in documents.proposals()] == ["open", "open", "applied"]
    finally:
        documents.close()
