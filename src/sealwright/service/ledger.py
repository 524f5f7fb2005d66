"""The log and what follows from it: the server's own fold, the policy in force, proofs for those who ask."""

import threading
from collections.abc import Sequence

from sealwright.core import records
from sealwright.core.envelopes import SignedDocument
from sealwright.core.errors import Code, RefusedError
from sealwright.policy.authorise import Standing
from sealwright.policy.entries import Entry, GrantingEntry, RestrictionEntry, parse_entry
from sealwright.policy.fold import LogState
from sealwright.policy.sections import Sections, load_complete
from sealwright.service.ports import DocumentStore, Log

REPLAY_ENTRIES = 4096


class Ledger:
    """Appends entries and knows what holds after them.  Any thread may call anything."""

    def __init__(self, *, instance: str, log: Log, documents: DocumentStore) -> None:
        self.instance, self.log, self._documents = instance, log, documents
        self.state = LogState(instance=instance, origin=log.origin)
        self._mutex = threading.Lock()
        self._standing: tuple[tuple[int, int], Standing] | None = None
        self.epoch = 0
        """Grows with every entry that can change what is allowed: root, policy, restriction."""
        self.roots: list[int] = []
        """Log indices of all root versions, the first one first."""
        size = log.head()[0].size
        for start in range(0, size, REPLAY_ENTRIES):
            for data in log.entries(start, min(start + REPLAY_ENTRIES, size)):
                self._apply(data)

    @property
    def origin(self) -> str:
        """The log's name."""
        return self.log.origin

    def append(self, entries: Sequence[Entry]) -> int:
        """Log entries in one commit; return the index of the first.  They are durable and published then."""
        data = [records.serialise(entry) for entry in entries]
        with self._mutex:
            first, _ = self.log.append(data)
            if self.state.size < first:
                # An earlier append failed half way, as at a full disk, and was durable all the same.
                for entry in self.log.entries(self.state.size, first):
                    self._apply(entry)
            for entry in data:
                self._apply(entry)
        return first

    def _apply(self, data: bytes) -> None:
        entry = self.state.apply(data)
        if isinstance(entry, GrantingEntry) and entry.entry == "root":
            self.roots.append(self.state.size - 1)
        self.epoch += isinstance(entry, RestrictionEntry) or (
            isinstance(entry, GrantingEntry) and entry.entry != "session"
        )

    def standing(self) -> Standing:
        """Return what is in force; ``RefusedError`` while there is no policy under the newest root."""
        with self._mutex:
            root, policy = self.state.root, self.state.policy
            if root is None or policy is None:
                raise RefusedError(
                    "no policy is in force",
                    code=Code.POLICY_NOT_CURRENT,
                    hint="make one with `sealwright policy propose` and log it with `sealwright policy apply`",
                )
            key = root.index, policy.index
            if self._standing is None or self._standing[0] != key:
                sections = load_complete(
                    policy.policy, self._documents.sections(policy.digest), root.root, self.instance
                )
                self._standing = key, self._make_standing(sections)
            return self._standing[1]

    def _make_standing(self, sections: Sections) -> Standing:
        root, policy = self.state.root, self.state.policy
        assert root is not None and policy is not None  # noqa: S101, PT018 - the caller has looked
        return Standing(
            instance=self.instance,
            origin=self.origin,
            root=root.root,
            policy=policy.policy,
            sections=sections,
            restrictions=self.state.restrictions,
        )

    def policy_sections(self) -> tuple[bytes, ...]:
        """Return the complete sections of the policy in force, for the signer."""
        policy = self.state.policy
        return self._documents.sections(policy.digest) if policy else ()

    def granting(self, index: int) -> SignedDocument:
        """Return the signed document of the granting entry at ``index``."""
        entry = parse_entry(self.log.entries(index, index + 1)[0])
        if not isinstance(entry, GrantingEntry):
            raise RefusedError(f"log index {index} grants nothing", code=Code.NOT_FOUND)
        return entry.signed
