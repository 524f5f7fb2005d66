"""Attack: of two entries that revoke the same, the server shows the later one, and what lies between seems good."""

import pytest
from tests.client.signed import Maker

from sealwright.client import revocations
from sealwright.core.errors import VerificationError
from sealwright.evidence.bundle import AsOf
from sealwright.policy import documents as d
from sealwright.policy.fold import LogState
from sealwright.service.restrictions_log import LoggedRestriction, RestrictionsAnswer
from sealwright.translog import merkle

KIND, KEY = d.RestrictionKind.REVOKE_KEY_PROFILE, "gateway/production/1"


class Server(Maker):
    """Its owner chooses which entries it shows."""

    def shown(self, *indices: int) -> revocations.Revocations:
        self.indices = indices
        entries, standing = self.instance.log.entries, self.instance.standing()
        root_hash = merkle.root_of([merkle.leaf_hash(entry) for entry in entries]).hex()
        as_of = AsOf(size=len(entries), root_hash=root_hash, policy_version=0, policy_index=0)
        return revocations.fetch(self, self.trust(as_of=as_of), standing.root, standing.sections)

    def get(self, _answer, _path, **_query) -> RestrictionsAnswer:
        entries = self.instance.log.entries
        logged = (LoggedRestriction(index=i, entry=entries[i], proof=self._proof(i)) for i in self.indices)
        return RestrictionsAnswer(checkpoint=self.instance.log.checkpoint(), restrictions=tuple(logged))


def test_the_first_revocation_is_what_counts():
    server = Server()
    first, second = (server.instance.restrict(KIND, KEY) for _ in range(2))
    state = LogState(instance=server.instance.instance, origin=server.instance.log.origin)
    for entry in server.instance.log.entries:
        state.apply(entry)
    revocations.check_complete(server.shown(first), state)
    revocations.check_complete(server.shown(first, second), state)
    for indices in ((), (second,)):
        with pytest.raises(VerificationError, match=f"holds revoke-key-profile {KEY} at index {first}"):
            revocations.check_complete(server.shown(*indices), state)


def test_the_order_in_which_a_server_shows_them_changes_nothing():
    server = Server()
    first, second = (server.instance.restrict(KIND, KEY) for _ in range(2))
    assert server.shown(second, first).key(KEY).index == first
