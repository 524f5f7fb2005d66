"""Following the log: hash every entry, fold it, and believe nothing until a checkpoint confirms it.

The server brings entries and checkpoints; the follower checks that its own root hash is the checkpoint's, that the log
key and the witnesses named by the root signed it, and that it leads on from the head it has stored.  Whatever does not
fit makes it forget everything unconfirmed and start over: a lying server gains a delay.
"""

from collections.abc import Sequence

from sealwright.core.errors import Code, RefusedError, SealwrightError
from sealwright.policy.authorise import Standing
from sealwright.policy.documents import MAX_CLOCK_SKEW_SECONDS
from sealwright.policy.entries import GrantingEntry, RestrictionEntry
from sealwright.policy.fold import LogState
from sealwright.policy.sections import Sections, load_complete
from sealwright.signer.ports import Clock, Head, HeadStore
from sealwright.translog.log_keys import open_checkpoint
from sealwright.translog.merkle import CompactRange, leaf_hash
from sealwright.translog.notes import parse_vkey


class Follower:
    """One signer's view of the log."""

    def __init__(self, *, instance: str, origin: str, heads: HeadStore, clock: Clock) -> None:
        self._instance, self._origin, self._heads, self._clock = instance, origin, heads, clock
        self.head = heads.load()
        self.epoch = 0
        """Grows with every entry that can change what is allowed: root, policy, restriction."""
        self._start_over()

    def _start_over(self) -> None:
        self.state = LogState(instance=self._instance, origin=self._origin)
        self._tree = CompactRange()
        self._confirmed_size = 0
        self._sections: tuple[str, Sections] | None = None

    @property
    def is_current(self) -> bool:
        """Whether everything taken is confirmed and at least as far as the stored head."""
        return self.state.size == self._confirmed_size and self._confirmed_size >= self.head.size > 0

    @property
    def needs_policy(self) -> bool:
        """Whether the sections of the policy in force are still to be given."""
        policy = self.state.policy
        return policy is not None and (self._sections is None or self._sections[0] != policy.digest)

    def take(self, start: int, entries: Sequence[bytes], checkpoint: bytes) -> None:
        """Follow ``entries``; raises, and starts over, when they contradict what is known."""
        if start != self.state.size:
            raise RefusedError(f"entries from {start}, expected from {self.state.size}", code=Code.LOG_INCONSISTENT)
        try:
            for data in entries:
                self._tree.append(leaf_hash(data))
                entry = self.state.apply(data)
                granting = isinstance(entry, GrantingEntry) and entry.entry != "session"
                self.epoch += granting or isinstance(entry, RestrictionEntry)
                if self.state.size == self.head.size and self._tree.root().hex() != self.head.root_hash:
                    raise RefusedError(
                        f"the log differs from the one followed up to size {self.head.size}",
                        code=Code.LOG_INCONSISTENT,
                        hint="the log was forked, or restored from a backup: docs/operate/backup.md",
                    )
            if checkpoint:
                self._confirm(checkpoint)
        except SealwrightError:
            self._start_over()
            raise

    def _confirm(self, note: bytes) -> None:
        if self.state.root is None:
            raise RefusedError("the log does not begin with this installation's root", code=Code.WRONG_INSTANCE)
        root = self.state.root.root
        log = next(log for log in root.logs if log.origin == self._origin)
        opened = open_checkpoint(
            note,
            origin=self._origin,
            log_keys=log.keys,
            witnesses=[parse_vkey(w.key) for w in root.witnesses],
            quorum=root.witness_quorum,
        )
        size, root_hash = opened.checkpoint.size, opened.checkpoint.root
        if (size, root_hash) != (self.state.size, self._tree.root()):
            raise RefusedError(
                f"checkpoint of size {size} is not over the {self.state.size} entries given",
                code=Code.LOG_INCONSISTENT,
            )
        if size < self.head.size:
            raise RefusedError(
                f"the log has {size} entries, {self.head.size} were followed before",
                code=Code.LOG_INCONSISTENT,
                hint="the log was truncated, or restored from a backup: docs/operate/backup.md",
            )
        if size > self.head.size:
            now, witnessed = self.now(), max(opened.witness_times.values(), default=0)
            if witnessed > now + MAX_CLOCK_SKEW_SECONDS:
                # Not remembered: one witness with a wrong clock must not stop this signer for good.
                raise RefusedError(
                    f"a witness is {witnessed - now} s ahead of the signer's clock",
                    code=Code.CLOCK_UNTRUSTED,
                    hint="set the clock of the signer's host, or leave that witness out",
                )
            head = Head(size=size, root_hash=root_hash.hex(), time=max(now, witnessed))
            self._heads.store(head)  # durable before anything stands on it
            self.head = head
        self._confirmed_size = size

    def take_sections(self, sections: Sequence[bytes]) -> None:
        """Load the complete policy in force; raises when it is not that."""
        root, policy = self.state.root, self.state.policy
        if root is None or policy is None:
            raise RefusedError("no policy is in force", code=Code.POLICY_NOT_CURRENT)
        self._sections = policy.digest, load_complete(policy.policy, sections, root.root, self._instance)

    def standing(self) -> Standing:
        """Return what is in force now; ``RefusedError`` unless root, policy and all its sections are known."""
        root, policy = self.state.root, self.state.policy
        if not self.is_current or root is None:
            raise RefusedError("the log is not followed up to a confirmed checkpoint", code=Code.LOG_INCONSISTENT)
        if policy is None:
            raise RefusedError(
                "no policy under the newest root is logged", code=Code.POLICY_NOT_CURRENT, hint="log one under it"
            )
        if self._sections is None or self._sections[0] != policy.digest:
            raise RefusedError(
                f"the sections of policy version {policy.policy.version} are missing", code=Code.POLICY_INCOMPLETE
            )
        return Standing(
            instance=self._instance,
            origin=self._origin,
            root=root.root,
            policy=policy.policy,
            sections=self._sections[1],
            restrictions=self.state.restrictions,
        )

    def now(self) -> int:
        """Return the time, never before one already stored; ``RefusedError`` when the clock fell far behind."""
        now = self._clock.now()
        if now < self.head.time - MAX_CLOCK_SKEW_SECONDS:
            raise RefusedError(
                f"the signer's clock is {self.head.time - now} s behind a time it has seen",
                code=Code.CLOCK_UNTRUSTED,
                hint="set the clock of the signer's host",
            )
        return max(now, self.head.time)
