"""The log is forked, truncated or restored from a backup, before a signer that knows it and a freshly installed one."""

import hashlib

import pytest
from tests.simulators.instance import Instance, MemoryHeads, MemoryLog

from sealwright.core.errors import Code
from sealwright.policy.documents import RestrictionKind
from sealwright.signer.engine import Engine
from sealwright.signer.ports import Head
from sealwright.signer.protocol import Round
from sealwright.translog.merkle import leaf_hash, root_of


def as_of(log: MemoryLog, size: int) -> MemoryHeads:
    """What an administrator gives a new signer to start from."""
    root_hash = root_of(leaf_hash(entry) for entry in log.entries[:size]).hex()
    return MemoryHeads(Head(size=size, root_hash=root_hash, time=0))


def fork(instance: Instance, at: int) -> MemoryLog:
    """A log with the same key that lacks what the real one holds from ``at`` on, and is longer than it."""
    other = instance.log.copy(at)
    while len(other.entries) <= len(instance.log.entries):
        other.append(b"filler %d" % len(other.entries))
    return other


def with_a_veto() -> tuple[Instance, int]:
    instance = Instance()
    at = instance.restrict(RestrictionKind.VETO, hashlib.sha256(b"some request").hexdigest())
    instance.log_policy()
    assert instance.catch_up().refusal is None
    return instance, at


def test_a_running_signer_does_not_follow_a_shorter_log():
    instance, at = with_a_veto()
    size = len(instance.log.entries)
    shorter = Round(start=size, checkpoint=instance.log.checkpoint(at))
    assert instance.engine.handle(shorter).refusal.code is Code.LOG_INCONSISTENT


def test_a_running_signer_does_not_follow_a_fork():
    instance, at = with_a_veto()
    other = fork(instance, at)
    size = len(instance.log.entries)
    longer = Round(start=size, entries=tuple(other.entries[size:]), checkpoint=other.checkpoint())
    assert instance.engine.handle(longer).refusal.code is Code.LOG_INCONSISTENT
    # It has started over, and takes the fork no better from the beginning.
    assert instance.catch_up(log=other).refusal.code is Code.LOG_INCONSISTENT
    assert instance.catch_up().refusal is None
    assert instance.sign(instance.approved())


def restarted(instance: Instance) -> Engine:
    return instance.new_engine()


def freshly_installed(instance: Instance) -> Engine:
    return instance.new_engine(heads=as_of(instance.log, len(instance.log.entries)))


@pytest.mark.parametrize("start", [restarted, freshly_installed])
def test_a_signer_that_starts_does_not_follow_a_truncated_log(start):
    instance, at = with_a_veto()
    engine = start(instance)
    result = instance.catch_up(engine, log=instance.log.copy(at))
    assert result.refusal.code is Code.LOG_INCONSISTENT
    assert result.announcement is None


@pytest.mark.parametrize("start", [restarted, freshly_installed])
def test_a_signer_that_starts_does_not_follow_a_fork(start):
    instance, at = with_a_veto()
    engine = start(instance)
    result = instance.catch_up(engine, log=fork(instance, at))
    assert result.refusal.code is Code.LOG_INCONSISTENT
    assert result.announcement is None
    assert instance.catch_up(engine).announcement is not None


@pytest.mark.parametrize("start", [restarted, freshly_installed])
def test_a_signer_that_starts_follows_the_real_log_only_when_it_is_whole(start):
    instance, at = with_a_veto()
    engine = start(instance)
    half = Round(start=0, entries=tuple(instance.log.entries[:at]))
    assert engine.handle(half).announcement is None
    assert instance.catch_up(engine).announcement is not None


def test_a_log_restored_from_a_backup_that_grew_anew_is_refused():
    instance, at = with_a_veto()
    instance.log = instance.log.copy(at)  # restored; the veto is gone, and the server goes on
    for _ in range(4):
        instance.log_policy()
    assert instance.catch_up(instance.new_engine()).refusal.code is Code.LOG_INCONSISTENT


def test_a_signer_without_any_as_of_announces_nothing_before_a_checkpoint():
    instance = Instance()
    engine = instance.new_engine(heads=MemoryHeads())
    assert engine.handle(Round(start=0, entries=tuple(instance.log.entries))).announcement is None


def test_the_log_of_another_installation_is_refused():
    instance, other = Instance(), Instance()
    engine = instance.new_engine(heads=MemoryHeads())
    other.log.private_key = instance.log.private_key
    assert instance.catch_up(engine, log=other.log).refusal.code is Code.WRONG_INSTANCE


def test_a_checkpoint_of_another_origin_is_refused():
    instance = Instance()
    other = instance.log.copy()
    other.origin = "log.example/other"
    assert instance.catch_up(instance.new_engine(), log=other).refusal.code is Code.NOT_TRUSTED


def test_entries_that_do_not_begin_where_the_signer_stands_are_refused():
    instance = Instance()
    skipping = Round(start=len(instance.log.entries) + 1, entries=(b"x",), checkpoint=instance.log.checkpoint())
    assert instance.engine.handle(skipping).refusal.code is Code.LOG_INCONSISTENT
    assert instance.sign(instance.approved())
