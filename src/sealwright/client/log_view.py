"""The log as a client sees it: heads, entries and proofs, each checked against the trust file before it is believed."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from sealwright.client.api import Api
from sealwright.core import canonical, records
from sealwright.core.errors import Code, FormatError, RefusedError, VerificationError
from sealwright.evidence.bundle import TrustFile
from sealwright.policy.documents import RestrictionKind
from sealwright.policy.entries import Entry, GrantingEntry, RestrictionEntry, parse_entry
from sealwright.policy.fold import LogState
from sealwright.service.messages import CheckpointAnswer, EntriesAnswer, ProofAnswer
from sealwright.service.restrictions import Logged
from sealwright.translog import merkle
from sealwright.translog.checkpoints import Checkpoint
from sealwright.translog.log_keys import open_checkpoint
from sealwright.translog.notes import parse_vkey

PORTION_ENTRIES = 500
PROOF_SUFFIX = ".tlog-proof"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A checkpoint with a good signature that continues the log as the trust file knows it.  ``open_head`` makes it."""

    checkpoint: Checkpoint
    note: bytes
    witnesses: tuple[str, ...]
    as_of_size: int
    """Size of the log in the trust file, which this one continues."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenEntry:
    """An entry with the proof that it is in the log; what it says may still be invalid."""

    index: int
    data: bytes
    proof: tuple[bytes, ...]
    head: Head

    @property
    def entry(self) -> Entry | None:
        """What the entry says, or None for garbage."""
        try:
            return parse_entry(self.data)
        except FormatError:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogReport:
    """What following the whole log showed."""

    head: Head
    state: LogState
    counts: dict[str, int]
    """Entries that count, by kind."""
    ignored: tuple[int, ...]
    """Indices of entries that everybody who follows the log ignores."""


def head(api: Api, trust: TrustFile) -> Head:
    """Fetch the newest checkpoint and check it."""
    return open_head(api, trust, api.get(CheckpointAnswer, "/v1/log/checkpoint").checkpoint)


def open_head(api: Api, trust: TrustFile, note: bytes) -> Head:
    """Check a checkpoint: signed by the log, witnessed as trust demands, and no other history than trust knows."""
    opened = open_checkpoint(
        note,
        origin=trust.log,
        log_keys=trust.log_keys,
        witnesses=[parse_vkey(w.key) for w in trust.witnesses],
        quorum=trust.witness_quorum,
    )
    checkpoint, as_of = opened.checkpoint, trust.as_of
    if checkpoint.size < as_of.size:
        raise VerificationError(
            "the server shows a shorter log than the trust file knows",
            expected=f"at least {as_of.size} entries",
            got=str(checkpoint.size),
            code=Code.LOG_INCONSISTENT,
        )
    check_grown(api, as_of.size, as_of.root_hash, checkpoint)
    return Head(checkpoint=checkpoint, note=note, witnesses=tuple(sorted(opened.witness_times)), as_of_size=as_of.size)


def check_grown(api: Api, old_size: int, old_root: str, checkpoint: Checkpoint) -> None:
    """Have the server prove that ``checkpoint`` continues a log of ``old_size`` entries; ``VerificationError`` else."""
    proof: tuple[bytes, ...] = ()
    if 0 < old_size < checkpoint.size:
        proof = api.get(ProofAnswer, "/v1/log/consistency", old=old_size, new=checkpoint.size).proof
    merkle.verify_consistency(
        old_size=old_size,
        old_root=bytes.fromhex(old_root),
        new_size=checkpoint.size,
        new_root=checkpoint.root,
        proof=proof,
    )


def entry(api: Api, trust: TrustFile, index: int) -> ProvenEntry:
    """Fetch one entry with its proof, and check it."""
    newest = head(api, trust)
    size = newest.checkpoint.size
    if index >= size:
        raise RefusedError(f"the log has {size} entries, the last is {size - 1}", code=Code.NOT_FOUND)
    (data,) = _entries(api, index, index + 1)
    proof = api.get(ProofAnswer, "/v1/log/inclusion", index=index, size=size).proof
    check_included(data, index, proof, newest.checkpoint)
    return ProvenEntry(index=index, data=data, proof=proof, head=newest)


def verify(api: Api, trust: TrustFile, progress: Callable[[int, int], None]) -> LogReport:
    """Follow the log from its first entry, as a signer does; ``VerificationError`` where it is not what is signed."""
    newest = head(api, trust)
    return follow(newest, download(api, newest.checkpoint.size, progress), trust)


def follow(newest: Head, entries: Iterable[bytes], trust: TrustFile) -> LogReport:
    """Fold ``entries``, which must be all those of ``newest``; ``VerificationError`` otherwise."""
    state, tree = LogState(instance=trust.instance, origin=trust.log), merkle.CompactRange()
    counts: Counter[str] = Counter()
    ignored, roots = [], []
    for data in entries:
        applied = state.apply(data)
        tree.append(merkle.leaf_hash(data))
        if applied is None:
            ignored.append(tree.size - 1)
            continue
        counts[kind_of(applied)] += 1
        if state.root is not None and state.root.index == tree.size - 1:
            roots.append(state.root.digest)
        if tree.size == trust.as_of.size:
            _check_policy(state, trust)
    if tree.root() != newest.checkpoint.root:
        raise VerificationError(
            f"the {tree.size} entries that the server sent are not those of its checkpoint",
            expected=newest.checkpoint.root.hex(),
            got=tree.root().hex(),
            code=Code.LOG_INCONSISTENT,
        )
    if tuple(roots[: len(trust.roots)]) != trust.roots:
        raise VerificationError("the roots in the log are not those of the trust file", code=Code.NOT_TRUSTED)
    return LogReport(head=newest, state=state, counts=dict(sorted(counts.items())), ignored=tuple(ignored))


def download(api: Api, size: int, progress: Callable[[int, int], None], *, start: int = 0) -> Iterator[bytes]:
    """Yield the entries from ``start`` up to ``size``, fetched in portions."""
    for at in range(start, size, PORTION_ENTRIES):
        stop = min(at + PORTION_ENTRIES, size)
        yield from _entries(api, at, stop)
        progress(stop, size)


def kind_of(entry: Entry) -> str:
    """Return what people call an entry: the kind of a restriction, else the kind of entry."""
    return str(entry.kind) if isinstance(entry, RestrictionEntry) else entry.entry


def signed_document(entry: Entry) -> bytes | None:
    """Return the document inside a granting entry."""
    return entry.signed.document if isinstance(entry, GrantingEntry) else None


def proof_text(proven: ProvenEntry) -> bytes:
    """Return the proof as a C2SP tlog-proof: index, hashes from the leaf up, an empty line, the checkpoint as it is."""
    lines = ["c2sp.org/tlog-proof@v1", f"index {proven.index}", *map(canonical.to_base64, proven.proof), "", ""]
    return "\n".join(lines).encode() + proven.head.note


def check_logged(
    api: Api, trust: TrustFile, logged: Logged, *, kind: RestrictionKind, subject: str, person: str, document: str
) -> None:
    """Check that exactly this restriction is in the log; only then may anybody be told that it is done."""
    newest = open_head(api, trust, logged.checkpoint)
    check_included(logged.entry, logged.index, logged.proof, newest.checkpoint)
    entry = records.parse(RestrictionEntry, logged.entry)
    for wanted, got in (
        (kind, entry.kind),
        (subject, entry.subject),
        (person, entry.person),
        (document, entry.document),
    ):
        if wanted != got:
            raise VerificationError("the server logged something else", expected=wanted, got=got)


def _entries(api: Api, start: int, stop: int) -> tuple[bytes, ...]:
    answer = api.get(EntriesAnswer, "/v1/log/entries", start=start, stop=stop)
    if answer.start != start or len(answer.entries) != stop - start:
        raise VerificationError(
            f"the server does not show entries {start} to {stop - 1} of its log", code=Code.LOG_INCONSISTENT
        )
    return answer.entries


def check_included(data: bytes, index: int, proof: tuple[bytes, ...], checkpoint: Checkpoint) -> None:
    """Check that an entry is in the log of ``checkpoint``; ``VerificationError`` otherwise."""
    merkle.verify_inclusion(
        merkle.leaf_hash(data), index=index, size=checkpoint.size, proof=proof, root=checkpoint.root
    )


def _check_policy(state: LogState, trust: TrustFile) -> None:
    in_force = state.policy.policy.version if state.policy else 0
    if in_force != trust.as_of.policy_version:
        raise VerificationError(
            f"policy version in the first {state.size} entries",
            expected=str(trust.as_of.policy_version),
            got=str(in_force),
            code=Code.NOT_TRUSTED,
        )
