"""What evidence says is in the log: the checkpoint that a trust file trusts, the chain of roots, entries under it.

Specification: ``docs/spec/evidence.md``, steps 2 to 9.
"""

from collections.abc import Sequence

from sealwright.core import records
from sealwright.core.digests import NO_INSTANCE, document_digest
from sealwright.core.errors import Code, RefusedError, VerificationError
from sealwright.evidence.bundle import Evidence, LoggedDocument, TrustFile
from sealwright.policy.documents import Outcome, Root
from sealwright.policy.entries import GrantingEntry
from sealwright.policy.roots import check_root, open_next_root
from sealwright.translog import merkle
from sealwright.translog.log_keys import OpenedCheckpoint, open_checkpoint
from sealwright.translog.notes import parse_vkey


def opened_checkpoint(evidence: Evidence, trust: TrustFile) -> OpenedCheckpoint:
    """Return the checkpoint, trusted; ``VerificationError`` (``log-inconsistent``) if it forks the trust file's."""
    opened = open_checkpoint(
        evidence.checkpoint,
        origin=trust.log,
        log_keys=trust.log_keys,
        witnesses=[parse_vkey(w.key) for w in trust.witnesses],
        quorum=trust.witness_quorum,
    )
    size, root_hash = opened.checkpoint.size, opened.checkpoint.root.hex()
    if size == trust.as_of.size and root_hash != trust.as_of.root_hash:
        raise VerificationError(
            f"the log forked: root hash at size {size}",
            expected=trust.as_of.root_hash,
            got=root_hash,
            code=Code.LOG_INCONSISTENT,
        )
    return opened


def verify_root(evidence: Evidence, trust: TrustFile, outcome: Outcome, opened: OpenedCheckpoint) -> tuple[Root, str]:
    """The root in force and its digest: known to the trust file, or following by signatures from the newest that is."""
    newest: tuple[Root, str] | None = None
    for logged in evidence.roots:
        newest = _next_root(logged, newest, trust)
        verify_granting("root", logged, opened)
    if newest is None or evidence.roots[-1].index != outcome.root_index:
        raise mismatch("root entry", str(outcome.root_index), str(evidence.roots[-1].index))
    if newest[0].version < len(trust.roots) and evidence.outcome_index >= trust.as_of.size:
        # Signers release nothing once a newer root is logged, so this is the work of one that a newer root dropped.
        raise RefusedError(
            f"root version {newest[0].version} was replaced when the outcome was logged", code=Code.ROOT_INVALID
        )
    if (trust.log, trust.log_key) not in {(log.origin, log.key) for log in newest[0].logs}:
        raise RefusedError(f"the root in force does not name log {trust.log} with this key", code=Code.WRONG_LOG)
    return newest


def _next_root(logged: LoggedDocument, previous: tuple[Root, str] | None, trust: TrustFile) -> tuple[Root, str]:
    root = records.parse(Root, logged.signed.document)
    if previous is not None and root.version != previous[0].version + 1:
        raise mismatch("root version", str(previous[0].version + 1), str(root.version))
    if root.version <= len(trust.roots):
        instance = NO_INSTANCE if root.version == 1 else trust.instance
        digest = document_digest("root", instance, logged.signed.document)
        if digest != trust.roots[root.version - 1]:
            raise mismatch(f"digest of root version {root.version}", trust.roots[root.version - 1], digest)
        check_root(root)
        return root, digest
    if previous is None:
        raise RefusedError(
            f"root version {root.version} is newer than the trust file knows, and nothing leads to it",
            code=Code.ROOT_INVALID,
            hint="get a newer trust file from the maker",
        )
    return open_next_root(logged.signed, previous[0], previous[1], trust.instance)


def verify_granting(kind: str, logged: LoggedDocument, opened: OpenedCheckpoint) -> None:
    """Verify that a signed root or policy is an entry of the log."""
    entry = records.load(GrantingEntry, {"entry": kind, "format": 1, "signed": records.dump(logged.signed)})
    verify_inclusion(records.serialise(entry), logged.index, logged.proof, opened)


def verify_inclusion(entry: bytes, index: int, proof: Sequence[bytes], opened: OpenedCheckpoint) -> None:
    """Verify that an entry's bytes stand at ``index`` of the log (RFC 9162, section 2.1.3.2)."""
    checkpoint = opened.checkpoint
    merkle.verify_inclusion(
        merkle.leaf_hash(entry), index=index, size=checkpoint.size, proof=proof, root=checkpoint.root
    )


def mismatch(what: str, expected: str, got: str) -> VerificationError:
    """Return the error for two things in evidence that should be one."""
    return VerificationError(what, expected=expected, got=got, code=Code.EVIDENCE_MISMATCH)
