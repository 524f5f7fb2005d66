"""What the doctor looks for in the records: log, guard, the signer's memory, database, policy, keys."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from sealwright.client import stateful
from sealwright.client.review import short_of_people
from sealwright.client.revocations import Revocations
from sealwright.core.errors import Code, ConfigurationError, RefusedError, SealwrightError
from sealwright.core.keys import PublicKey
from sealwright.keystores.secrets import read_secret
from sealwright.keystores.worker_client import Worker
from sealwright.policy.documents import DAY_SECONDS, KeyProfile, Person, Pipeline, RestrictionKind, State
from sealwright.policy.fold import LogState, PolicyInForce, Restrictions, RootInForce
from sealwright.policy.sections import Sections, load_complete
from sealwright.signer.heads import peek
from sealwright.storage import documents_copy, log_check, log_guard
from sealwright.storage.log_reader import LogReader
from sealwright.translog.checkpoints import Checkpoint
from sealwright.translog.log_keys import LogKeys, open_checkpoint
from sealwright.translog.merkle import CompactRange, leaf_hash
from sealwright.translog.notes import SignatureType, VerifierKey
from sealwright.wiring.access import partition_trouble
from sealwright.wiring.configuration import Configuration, PartitionSetting
from sealwright.wiring.doctor import (
    Check,
    Finding,
    check_address,
    check_canaries,
    check_files,
    check_machine,
    check_processes,
    expiry,
    fine,
    note,
    problem,
    run,
    warning,
)
from sealwright.wiring.private_keys import public_ed25519, public_ml_dsa_44
from sealwright.wiring.stateful_counters import is_lost

BATCH = 4096
LONG_BEFORE_SECONDS = 90 * DAY_SECONDS
NEXT_KEY = "make the next key with `sealwright key create`: an old counter would let numbers sign twice"
PUT_BACK = "put the right one back; no backup has it"
RESTORE_HINT = "see docs/operate/backup.md: put the newest database back; an older one never continues"


def examine(configuration: Configuration) -> list[Finding]:
    """Look at everything."""
    checks: dict[str, Check] = {
        "files": check_files,
        "identity": check_identities,
        "processes": check_processes,
        "canaries": check_canaries,
        "network": check_address,
        "machine": check_machine,
        "log": check_log,
        "database": check_database,
        "policy": check_in_force,
    }
    return run(configuration, checks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A log as its entries make it."""

    state: LogState
    root_hash: bytes
    log_keys: LogKeys


def replay(log: LogReader, configuration: Configuration, size: int) -> Replayed:
    """Hash and fold the first ``size`` entries; ``RefusedError`` unless they begin with this installation's root."""
    state, tree = LogState(instance=configuration.instance, origin=configuration.origin), CompactRange()
    for start in range(0, size, BATCH):
        for data in log.entries(start, min(start + BATCH, size)):
            tree.append(leaf_hash(data))
            state.apply(data)
    keys = log_keys_of(state)
    return Replayed(state=state, root_hash=tree.root(), log_keys=keys)


def log_keys_of(state: LogState) -> LogKeys:
    """Return the keys that the root in force names for the log."""
    if state.root is None:
        raise RefusedError("the log does not begin with this installation's root", code=Code.WRONG_INSTANCE)
    return next(log.keys for log in state.root.root.logs if log.origin == state.origin)


def check_log(configuration: Configuration) -> Iterator[Finding]:
    """The log adds up, and neither the guard nor the signer knows more of it."""
    # In this order: what is remembered never runs ahead of the log, also while it grows.
    guarded = log_guard.read_note(log_guard.path_of(configuration.guard, configuration.origin))
    head, _ = peek(configuration.signer_head)
    with LogReader(configuration.log_database) as log:
        checkpoint, signed = log.head()
        replayed = replay(log, configuration, checkpoint.size)
        log_check.verify_head(checkpoint, signed, replayed.log_keys)
        if replayed.root_hash != checkpoint.root or log.root(checkpoint.size) != checkpoint.root:
            yield problem("log", "its entries have another root than its head says", RESTORE_HINT)
            return
        known = open_checkpoint(guarded, origin=configuration.origin, log_keys=replayed.log_keys).checkpoint
        bad = [
            *_knows_more("the guard", known.size, known.root.hex(), log, checkpoint),
            *_knows_more("the signer", head.size, head.root_hash, log, checkpoint),
        ]
    yield from bad or [
        fine("log", f"{checkpoint.size} entries, head signed, guard agrees"),
        fine("signer memory", f"follows up to {head.size}, {checkpoint.size - head.size} behind the log"),
    ]


def _knows_more(who: str, size: int, root_hash: str, log: LogReader, checkpoint: Checkpoint) -> Iterator[Finding]:
    if size > checkpoint.size:
        yield problem("log", f"it has {checkpoint.size} entries, {who} knows {size}: an old copy", RESTORE_HINT)
    elif log.root(size).hex() != root_hash:
        yield problem("log", f"it is not the one that {who} knows at size {size}: a fork", RESTORE_HINT)


def check_identities(configuration: Configuration) -> Iterator[Finding]:
    """Log key and signer identity can be read, and are those that the root names."""
    with LogReader(configuration.log_database) as log:
        state = replay(log, configuration, log.size).state
    keys = log_keys_of(state)
    named: dict[str, tuple[str, Callable[[str], bytes], bytes | None]] = {
        "log key": (configuration.log_key, public_ed25519, keys.ed25519.public_key),
        "signer identity": (configuration.signer_identity, public_ed25519, _signer_key(configuration, state)),
    }
    ml_dsa, source = keys.ml_dsa, configuration.log_ml_dsa_key
    if ml_dsa is None:
        yield from _not_named(configuration)
    elif not source:
        yield problem(
            "identity", "the root names an ML-DSA-44 key for the log, server.log_ml_dsa_key is not set", PUT_BACK
        )
    else:
        named["log ML-DSA-44 key"] = source, public_ml_dsa_44, ml_dsa.public_key
    for what, (source, public_of, expected) in named.items():
        kind, _, where = source.partition(":")
        if kind != "file":
            yield note("identity", f"the {what} comes from {source}, which only its process can read")
            continue
        try:
            found = public_of(Path(where).read_text("ascii"))
        except FileNotFoundError:
            continue  # said among the files
        except ValueError:
            found = b""
        if found != expected:
            how = "is not the one that the root names" if found else "does not hold 32 bytes in hex"
            remedy = PUT_BACK
            if found and expected is None:  # a signer that no root has named yet
                remedy = f"`sealwright policy root add-signer {configuration.signer_id} --key {found.hex()}`"
            yield problem("identity", f"the {what} in {where} {how}", remedy)
        else:
            yield fine("identity", f"the {what} is the one that the root names")


def _not_named(configuration: Configuration) -> Iterator[Finding]:
    """The root is from before the second key: how far the way to it is gone."""
    kind, _, where = configuration.log_ml_dsa_key.partition(":")
    if not kind:
        found = "Ed25519 alone signs the log's checkpoints: docs/operate/running.md says how a second key is added"
    elif kind == "file":
        key = VerifierKey(
            configuration.origin, SignatureType.ML_DSA_44, public_ml_dsa_44(Path(where).read_text("ascii"))
        )
        found = f"the root does not name the log's ML-DSA-44 key yet; `sealwright policy root log-key {key}`"
    else:
        found = "the root does not name the log's ML-DSA-44 key yet"
    yield note("identity", found)


def _signer_key(configuration: Configuration, state: LogState) -> bytes | None:
    signer = state.signer(configuration.signer_id, state.size)
    return signer.key if signer else None


def check_database(configuration: Configuration) -> Iterator[Finding]:
    """The database is whole and of our version."""
    documents_copy.check(configuration.documents_database)
    yield fine("database", "whole, and of this program's version")


def check_in_force(configuration: Configuration) -> Iterator[Finding]:
    """Root and policy are in force, complete, and will be for a while; the keys that they name are there."""
    state = _state(configuration)
    root, policy, sections, restrictions = _in_force(configuration, state)
    yield from expiry(
        "root", f"root version {root.root.version}", root.root.expires, "renew it: `sealwright policy root renew`",
        soon_seconds=LONG_BEFORE_SECONDS,
    )  # fmt: skip
    if policy is None or sections is None:
        yield note("policy", "none is in force yet: `sealwright policy propose`, then `sealwright policy apply`")
        return
    what = f"policy version {policy.policy.version}"
    bad = list(expiry("policy", what, policy.policy.expires, "`sealwright policy propose` renews it"))
    yield from bad or [fine("policy", f"version {policy.policy.version} is in force and complete")]
    yield from _revoked(sections, restrictions)
    for text in short_of_people(sections, Revocations.of(restrictions)):
        yield warning("policy", text, "`sealwright people add`, or `sealwright product change` asks for fewer")
    yield from check_keys(configuration, sections, restrictions)
    yield from _numbers(configuration, sections, restrictions, state)


def _numbers(
    configuration: Configuration, sections: Sections, restrictions: Restrictions, state: LogState
) -> Iterator[Finding]:
    """How far stateful keys are used up, by the blocks that the log marks."""
    for profile in sections.all(KeyProfile):
        numbers = stateful.numbers_of(profile, lambda fingerprint: state.marks.get(fingerprint, 0))
        is_revoked = restrictions.find(RestrictionKind.REVOKE_KEY_PROFILE, profile.id) is not None
        if numbers is None or is_revoked or profile.state is not State.ACTIVE:
            continue
        if is_lost(configuration, profile):
            yield problem("keys", f"{profile.id}: its counter is lost, and without it nothing is signed", NEXT_KEY)
        elif numbers.is_used_up:
            remedy = "rotate it: make the next key with `sealwright key create`, then `sealwright policy propose`"
            yield problem("keys", f"{profile.id} is used up: {numbers}", remedy)
        elif numbers.is_few:
            remedy = "make the next key with `sealwright key create` before this one is used up"
            yield warning("keys", f"{profile.id}: {numbers}", remedy)
        else:
            yield fine("keys", f"{profile.id}: {numbers}")
        if label := stateful.label_of(profile):
            yield note("keys", f"{profile.id}: {label}")


def _revoked(sections: Sections, restrictions: Restrictions) -> Iterator[Finding]:
    """What the policy names and the log revoked: the policy does not say it, and the signer refuses it."""
    for kind, remedy, known in (
        (RestrictionKind.REVOKE_KEY_PROFILE, "key remove", sections.all(KeyProfile)),
        (RestrictionKind.REVOKE_PERSON, "people remove", sections.all(Person)),
        (RestrictionKind.REVOKE_PERSON, "", sections.all(Pipeline)),
    ):
        for section in known:
            if (index := restrictions.find(kind, section.id)) is not None:
                then = f"; `sealwright {remedy} {section.id}` takes it out of the next policy" if remedy else ""
                yield note("revoked", f"{section.type} {section.id}, since log index {index}{then}")


def check_keys(configuration: Configuration, sections: Sections, restrictions: Restrictions) -> Iterator[Finding]:
    """Every key that may sign has its partition, is in it, and has a certificate that lasts."""
    revoked = restrictions.by_kind[RestrictionKind.REVOKE_KEY_PROFILE]
    profiles = [p for p in sections.all(KeyProfile) if p.state is State.ACTIVE and p.id not in revoked]
    bad = [finding for profile in profiles for finding in _certificates(profile)]
    by_partition = defaultdict(list)
    for profile in profiles:
        by_partition[profile.partition].append(profile)
    is_running = peek(configuration.signer_head)[1]
    for partition, its in sorted(by_partition.items()):
        bad += _partition(configuration, partition, its, is_running=is_running)
    yield from bad
    if is_running:
        yield note(
            "keys", "not looked for in their partitions, which the running signer has: stop it to have that done"
        )
    elif not bad:
        number = len(profiles)
        yield fine(
            "keys", "the only one is in its partition" if number == 1 else f"all {number} are in their partitions"
        )


def _partition(
    configuration: Configuration, name: str, profiles: Sequence[KeyProfile], *, is_running: bool
) -> Iterator[Finding]:
    setting = configuration.partitions.get(name)
    if setting is None:
        which = ", ".join(profile.id for profile in profiles)
        remedy = f'say where it is under [partitions."{name}"] in sealwright.toml of the signer that holds it'
        yield problem("keys", f"no partition {name} is known here, of {which}", remedy)
        return
    if trouble := partition_trouble(configuration, name, for_owner=True):
        yield problem("keys", f"partition {name}: {trouble.found}", trouble.remedy)
        return
    if is_running:
        return
    yield from _keys_in(setting, name, profiles)


def _keys_in(setting: PartitionSetting, name: str, profiles: Sequence[KeyProfile]) -> Iterator[Finding]:
    try:
        secret = read_secret(setting.secret)
    except SealwrightError as e:
        yield problem("keys", f"partition {name}: {e.message}", e.hint or "put the secret back; no backup has it")
        return
    worker = Worker(setting.uri, secret, user=setting.user)
    try:
        worker.health([PublicKey(profile.public_key).fingerprint for profile in profiles])
    except SealwrightError as e:
        remedy = e.hint or "put the partition back as it was, from a copy of its files or by the vendor's tool"
        yield problem("keys", f"partition {name}: {e.message}", remedy)
    finally:
        worker.close()


def _certificates(profile: KeyProfile) -> Iterator[Finding]:
    for der in profile.certificates[:1]:
        until = int(x509.load_der_x509_certificate(der).not_valid_after_utc.timestamp())
        yield from expiry(
            "keys", f"the certificate of {profile.id}", until, "make the next key before devices refuse this one",
            soon_seconds=LONG_BEFORE_SECONDS,
        )  # fmt: skip


def _state(configuration: Configuration) -> LogState:
    with LogReader(configuration.log_database) as log:
        return replay(log, configuration, log.size).state


def _in_force(
    configuration: Configuration, state: LogState
) -> tuple[RootInForce, PolicyInForce | None, Sections | None, Restrictions]:
    root, policy = state.root, state.policy
    if root is None:
        raise ConfigurationError("no root is in force", setting="log")
    if policy is None:
        return root, None, None, state.restrictions
    found = documents_copy.sections(configuration.documents_database, policy.digest)
    sections = load_complete(policy.policy, found, root.root, configuration.instance)
    return root, policy, sections, state.restrictions
