"""Blocks of signature numbers of stateful keys: announced with a session, in the log before a number of them is used.

A block begins above every block that the log holds for the key and above what the keystore counted.  So a keystore that
was put back from an old copy, a second signer and a signer that was cloned each get numbers that nobody had; what a
process does not use is burnt with it (RFC 8554, section 9.2; draft-ietf-pquip-hbs-state, section 6).  A block outlives
its session: the log gives its numbers to nobody else, and the engine uses them only while its session is the newest.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

from sealwright.core import lms
from sealwright.core.errors import Code, RefusedError, SealwrightError, UnavailableError
from sealwright.core.keys import HssLmsPublicKey, PublicKey
from sealwright.core.number_blocks import block_size
from sealwright.policy.authorise import Approved
from sealwright.policy.documents import MAX_MARKS, Mark, Root
from sealwright.policy.fold import LogState
from sealwright.signer.ports import Partition, SigningTask

FIRST_NUMBER = 1
"""Number 0 is in the certificate that was made with the key."""
MAX_KEPT_BYTES = 64 << 20
"""So many bytes of signatures are kept to be given again; then nothing new is signed until some requests expire."""
MAX_FAILURES = 8
"""In so many rounds in a row a key may fail: each costs the numbers that it was to use."""


class Blocks:
    """What this process may use; and the keys for which its next session shall have a block."""

    def __init__(self) -> None:
        self._open: dict[str, list[int]] = {}
        """Key to first number and end of what is left of its block."""
        self._planned: Counter[str] = Counter()
        """Key to how many signatures were promised in this round."""
        self._wanted: dict[str, tuple[int, int, int]] = {}
        """Key to how many signatures it shall make, the first number that its keystore has left, and its capacity."""
        self._announced: dict[str, tuple[int, int, int]] = {}
        """The same of the keys that the newest announcement has a block for."""
        self._failures: Counter[str] = Counter()
        self._failed: set[str] = set()
        """Keys that failed in this round, and before it in how many since their last signature."""
        self._kept: dict[tuple[str, str, bytes], tuple[int, bytes]] = {}
        """Request, key and digest of the payload to the request's end and the signature that was made."""
        self._kept_bytes = 0

    @property
    def wanted(self) -> bool:
        """Whether a new session is needed."""
        return bool(self._wanted)

    def begin_round(self) -> None:
        """Nothing is promised yet."""
        self._planned.clear()
        self._failures.update(self._failed)
        self._failed.clear()

    def plan(
        self, tasks: Sequence[tuple[SigningTask, Partition | None]], state: LogState, now: int
    ) -> dict[str, tuple[int, int]]:
        """Promise a signature for each of these tasks of stateful keys, all or none; return the blocks of the keys.

        The keystores are asked first: a session that ends ends for all products, and must not for a key that is gone.
        """
        assert state.root is not None  # noqa: S101 - authorise had it
        _check_witnesses(state.root.root)
        self._make_room(now)
        keys = {task.public_key.fingerprint: (task.public_key, partition) for task, partition in tasks}
        counts = Counter(task.public_key.fingerprint for task, _ in tasks)
        lacking = {}
        for key, (public, partition) in keys.items():
            self._check_failures(key)
            first, stop = self._open.get(key, (0, 0))
            if stop - first < self._planned[key] + counts[key]:
                lacking[key] = _source(public, partition, counts[key], state.marks.get(key, 0))
        if lacking:
            self._wanted |= lacking
            text = f"key {min(lacking)[:16]} has too few signature numbers in this session"
            hint = "the signer announces a session with a new block"
            raise RefusedError(text, code=Code.SESSION_ENDED, hint=hint)
        self._planned += counts
        return {key: (self._open[key][0], self._open[key][1]) for key in keys}

    def made_before(self, request: str, task: SigningTask) -> bytes | None:
        """Return the signature that this process made of the same payload for a request (its digest), if it has it.

        Else a server could use a key up with one approved request, by logging intent after intent for it.
        """
        return self._kept.get(_place(request, task), (0, None))[1]

    def used(self, approved: Approved, task: SigningTask, made: bytes | SealwrightError) -> bytes | SealwrightError:
        """Advance behind a signature or a failure; a number outside the block does not leave, and burns the rest."""
        key, fingerprint = task.public_key.key, task.public_key.fingerprint
        if not isinstance(key, HssLmsPublicKey):
            return made
        block = self._open.get(fingerprint, [0, 0])  # burnt by the task before it
        number = _number(key, made) if isinstance(made, bytes) else block[0]
        if isinstance(made, bytes) and not block[0] <= number < block[1]:
            text = f"the keystore used number {number}, its block is {block[0]} to below {block[1]}"
            made = RefusedError(text, code=Code.STATE_EXHAUSTED)
        if isinstance(made, bytes):
            self._kept[_place(approved.request_digest, task)] = approved.request.expires, made
            self._kept_bytes += len(made)
            del self._failures[fingerprint]
        elif made.code is Code.KEY_NOT_READY:  # said before a number is taken
            return made
        else:
            self._failed.add(fingerprint)
            if made.code is Code.STATE_EXHAUSTED:
                self._open.pop(fingerprint, None)
        block[0] = number + 1  # a task that fails may have taken one, which an old copy of the keystore forgets
        return made

    def is_overtaken(self, logged: Mapping[str, int]) -> bool:
        """Whether another signer's blocks were logged over ours that are not in the log yet, and never can be then."""
        if all(self._open[key][0] >= logged.get(key, 0) for key in self._announced):
            return False
        for key in self._announced:
            del self._open[key]
        self._wanted |= self._announced
        return True

    def announce(self, logged: Mapping[str, int]) -> tuple[Mark, ...]:
        """Open blocks for the keys that wanted one; return what the session document says of them."""
        wanted, self._wanted, self._announced = self._wanted, {}, {}
        for key, (count, next_number, capacity) in list(wanted.items())[:MAX_MARKS]:
            first = max(FIRST_NUMBER, next_number, logged.get(key, 0))
            stop = min(capacity, first + max(count, block_size(capacity)))
            if stop - first >= count:  # else another signer took them since; said when the key is asked for again
                self._open[key], self._announced[key] = [first, stop], (count, next_number, capacity)
        return tuple(Mark(key=key, first=self._open[key][0], stop=self._open[key][1]) for key in self._announced)

    def _check_failures(self, key: str) -> None:
        if self._failures[key] >= MAX_FAILURES:
            text = f"key {key[:16]} failed {MAX_FAILURES} times in a row, which cost numbers each time"
            hint = "mend its keystore, then restart the signer"
            raise UnavailableError(text, code=Code.KEYSTORE_UNAVAILABLE, hint=hint)

    def _make_room(self, now: int) -> None:
        """Forget what was made for requests that are over; a living one would be given another number."""
        if self._kept_bytes >= MAX_KEPT_BYTES:
            self._kept = {place: kept for place, kept in self._kept.items() if now < kept[0]}
            self._kept_bytes = sum(len(made) for _, made in self._kept.values())
        if self._kept_bytes >= MAX_KEPT_BYTES:
            text = f"{len(self._kept)} signatures of stateful keys are kept for requests that have not expired"
            hint = "ask again when some have; a restart of the signer forgets all"
            raise UnavailableError(text, code=Code.SIGNER_UNAVAILABLE, hint=hint)


def _place(request: str, task: SigningTask) -> tuple[str, str, bytes]:
    return request, task.public_key.fingerprint, hashlib.sha256(task.payload).digest()


def _check_witnesses(root: Root) -> None:
    """Signers for whom a log is forked get the same numbers, unless any two quorums of witnesses have one in common."""
    if len(root.signers) > 1 and 2 * root.witness_quorum <= len(root.witnesses):
        raise RefusedError(
            f"the root lists {len(root.signers)} signers, and a quorum of {root.witness_quorum} of "
            f"{len(root.witnesses)} witnesses: a forked log would let two of them use one number",
            code=Code.WITNESSES_MISSING,
            hint="`sealwright policy root remove-signer`, or a root that demands more than half of its witnesses",
        )


def _source(public: PublicKey, partition: Partition | None, count: int, logged: int) -> tuple[int, int, int]:
    """Return what a block of a key is made from; ``RefusedError`` when there can be none for ``count`` signatures."""
    key, name, counter = public.key, public.fingerprint[:16], None
    assert isinstance(key, HssLmsPublicKey)  # noqa: S101 - no other is stateful
    if partition is not None:
        counter = partition.counters().get(public.fingerprint)
    if counter is None or not 0 <= counter[0] <= counter[1] == key.hss.capacity:
        raise RefusedError(
            f"this signer does not hold the stateful key {name} with a counter of its {key.hss.capacity} numbers",
            code=Code.NOT_FOUND,
            hint="a key whose counter is lost or damaged is not used any more: rotate it",
        )
    left = counter[1] - max(FIRST_NUMBER, counter[0], logged)
    if left < count:
        text = f"key {name} has {max(0, left)} signature numbers left, {count} are wanted at once"
        raise RefusedError(text, code=Code.STATE_EXHAUSTED, hint="rotate the key")
    return count, *counter


def _number(key: HssLmsPublicKey, signature: bytes) -> int:
    """Return the number of a signature that verifies: its leaves, read as digits."""
    number = 0
    for leaf in lms.leaf_indices(key.hss, signature):
        number = number << key.hss.top.tree.height | leaf
    return number
