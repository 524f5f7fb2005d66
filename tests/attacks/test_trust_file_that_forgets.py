"""Attack: a trust file is refreshed while a newer root has no policy under it, and forgets the policy that it knew.

From then on it would take a signature under an older policy, if a signer's stolen identity says that it was in force.
"""

from dataclasses import replace

import pytest
from tests.client.signed import Maker

from sealwright.client import trust_refresh
from sealwright.core.errors import Code, RefusedError, VerificationError
from sealwright.evidence.bundle import AsOf, TrustFile
from sealwright.service.messages import CheckpointAnswer, EntriesAnswer, PolicyAnswer, ProofAnswer
from sealwright.translog import merkle, proofs


class Server(Maker):
    """What a server shows to who refreshes a trust file."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.roots = [self.instance.signed_root(self.instance.root)]

    def next_root(self, **changes) -> None:
        root = self.instance.next_root(**changes)
        self.roots.append(self.instance.signed_root(root))
        self.instance.log_root(root)

    def get(self, answer, _path, **query):
        entries = self.instance.log.entries
        if answer is PolicyAnswer:
            return PolicyAnswer(roots=tuple(self.roots), root_index=0)
        if answer is CheckpointAnswer:
            return CheckpointAnswer(checkpoint=self.instance.log.checkpoint())
        if answer is EntriesAnswer:
            return EntriesAnswer(start=query["start"], entries=tuple(entries[query["start"] : query["stop"]]))
        return ProofAnswer(proof=tuple(proofs.consistency_proof(query["old"], query["new"], self._subtree)))

    def refreshed(self, held: TrustFile) -> TrustFile:
        return trust_refresh.refresh(self, held, lambda _done, _all: None)

    def held(self) -> TrustFile:
        root_hash = merkle.root_of([merkle.leaf_hash(self.instance.log.entries[0])]).hex()
        return self.trust(as_of=AsOf(size=1, root_hash=root_hash, policy_version=0, policy_index=0))


def test_the_policy_that_was_known_is_never_forgotten():
    server = Server()
    known = server.refreshed(server.held())
    assert (known.as_of.policy_version, known.as_of.policy_index) == (1, 1)
    server.next_root()
    with pytest.raises(RefusedError, match="no policy is logged under root version 2") as refused:
        server.refreshed(known)
    assert refused.value.code is Code.POLICY_NOT_CURRENT
    index = server.instance.log_policy()
    newer = server.refreshed(known)
    assert (newer.as_of.policy_version, newer.as_of.policy_index) == (2, index)
    assert len(newer.roots) == 2


def test_where_none_was_known_a_root_alone_is_taken():
    server = Server()
    server.next_root()
    newer = server.refreshed(server.held())
    assert (len(newer.roots), newer.as_of.policy_version) == (2, 0)


@pytest.mark.parametrize("is_stripped", [True, False])
def test_the_second_log_key_goes_or_changes_only_by_a_signed_root(is_stripped):
    server = Server()
    held, good = server.held(), server.roots
    log = replace(server.instance.root.logs[0], ml_dsa=None if is_stripped else Maker().instance.log.ml_dsa)
    forged = server.instance.signed_root(replace(server.instance.root, logs=(log,)), signers=()).document
    server.roots = [replace(good[0], document=forged)]
    with pytest.raises((RefusedError, VerificationError)):
        server.refreshed(held)
    server.roots = good
    assert server.refreshed(held).log_ml_dsa == server.instance.log.ml_dsa
