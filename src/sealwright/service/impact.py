"""Which products and releases did a key sign, and who approved them? The officer's question at three in the morning."""

from dataclasses import dataclass

from sealwright.core import records
from sealwright.core.records import Count
from sealwright.policy.documents import MAX_CLOCK_SKEW_SECONDS, MAX_REQUEST_SECONDS, Outcome, Request
from sealwright.service.ledger import Ledger
from sealwright.service.ports import DocumentStore, RequestState

# What is signed after a time was asked for at most this long before it: no signer takes an older request.
LONGEST_WAIT_SECONDS = MAX_REQUEST_SECONDS + 2 * MAX_CLOCK_SKEW_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedImage:
    """One image that the key signed."""

    product: str
    release: str
    environment: str
    artifact: str
    sha256: str
    """Of the image before it was signed: whoever asked assembles the signed file, no server sees it."""
    slot: str
    key_profile: str
    key: str
    """Fingerprint of the key itself, which a name may not tell apart from another one."""
    request: str
    requester: str
    approvers: tuple[str, ...]
    requested: Count
    time: Count
    """When it was signed, by the clock of the signer."""
    intent_index: Count
    outcome_index: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """Everything the key signed since then, and the log state that was asked."""

    key: str
    since: Count
    """Counts for the time of signing."""
    log_size: Count
    log_root: str
    images: tuple[SignedImage, ...]


def of_key(ledger: Ledger, documents: DocumentStore, key: str, since: int) -> Impact:
    """Return what a key (profile id or fingerprint) signed from ``since`` on (POSIX seconds, time of signing)."""
    checkpoint, _ = ledger.log.head()
    images: list[SignedImage] = []
    for digest in documents.requests_by_key(key, max(0, since - LONGEST_WAIT_SECONDS)):
        row, signed = documents.row(digest), documents.signatures(digest)
        if row is None or row.state is not RequestState.SIGNED or signed is None:
            continue
        attempt = documents.attempt(signed[0])
        if attempt is None or attempt.outcome is None or attempt.outcome_index is None:
            continue
        stored = documents.stored(digest)
        request = records.parse(Request, stored.request.document)
        outcome = records.parse(Outcome, documents.document(attempt.outcome).document)
        if outcome.time < since:
            continue
        named = {d: person for d, person, _, _ in stored.votes}
        digests = {artifact.name: artifact.sha256 for artifact in request.artifacts}
        images += [
            SignedImage(
                product=request.product,
                release=request.release,
                environment=request.environment,
                artifact=slot.artifact,
                sha256=digests[slot.artifact],
                slot=slot.slot,
                key_profile=slot.key_profile,
                key=done.key,
                request=request.id,
                requester=request.requester,
                approvers=tuple(named[d] for d in attempt.votes),
                requested=request.created,
                time=outcome.time,
                intent_index=attempt.intent_index,
                outcome_index=attempt.outcome_index,
            )
            for slot, done in zip(request.slots, outcome.slots, strict=True)
            if key in (slot.key_profile, done.key)
        ]
    return Impact(key=key, since=since, log_size=checkpoint.size, log_root=checkpoint.root.hex(), images=tuple(images))
