"""Following the log: what is confirmed when, what is remembered, and what makes it start over."""

import pytest
from tests.simulators.instance import Instance, MemoryHeads

from sealwright.core.errors import Code, RefusedError, SealwrightError, UnavailableError
from sealwright.policy.documents import RestrictionKind
from sealwright.signer.follower import Follower
from sealwright.signer.ports import Head
from sealwright.signer.protocol import Round


def follower_of(instance: Instance, heads: MemoryHeads | None = None) -> Follower:
    return Follower(
        instance=instance.instance, origin=instance.log.origin, heads=heads or MemoryHeads(), clock=instance.clock
    )


def code_of(call, *arguments) -> Code:
    with pytest.raises(SealwrightError) as error:
        call(*arguments)
    return error.value.code


def test_nothing_is_current_before_a_checkpoint():
    instance = Instance()
    assert not follower_of(instance).is_current
    assert not follower_of(instance, MemoryHeads(instance.heads.head)).is_current


def test_entries_in_pieces_are_confirmed_by_one_checkpoint():
    instance = Instance()
    follower = follower_of(instance)
    for index, entry in enumerate(instance.log.entries):
        follower.take(index, [entry], b"")
        assert not follower.is_current
    follower.take(len(instance.log.entries), [], instance.log.checkpoint())
    assert follower.is_current
    assert follower.head.size == len(instance.log.entries)


def test_entries_after_a_checkpoint_are_not_confirmed_by_it():
    instance = Instance()
    follower = follower_of(instance)
    follower.take(0, instance.log.entries, instance.log.checkpoint())
    follower.take_sections(instance.section_bytes())
    assert follower.standing()
    follower.take(len(instance.log.entries), [b"more"], b"")
    assert code_of(follower.standing) is Code.LOG_INCONSISTENT


def test_the_stages_before_anything_may_be_signed():
    instance = Instance(start=False)
    follower = follower_of(instance)
    assert code_of(follower.standing) is Code.LOG_INCONSISTENT
    follower.take(0, instance.log.entries, instance.log.checkpoint())
    assert code_of(follower.standing) is Code.POLICY_NOT_CURRENT
    assert code_of(follower.take_sections, ()) is Code.POLICY_NOT_CURRENT
    assert not follower.needs_policy
    instance.log_policy()
    follower.take(1, instance.log.entries[1:], instance.log.checkpoint())
    assert follower.needs_policy
    assert code_of(follower.standing) is Code.POLICY_INCOMPLETE
    follower.take_sections(instance.section_bytes())
    assert not follower.needs_policy
    assert follower.standing().policy == instance.policy


def test_a_log_whose_first_entry_is_not_the_root_is_not_followed():
    instance = Instance()
    follower = follower_of(instance)
    assert code_of(follower.take, 0, instance.log.entries[1:], instance.log.checkpoint()) is Code.WRONG_INSTANCE


@pytest.mark.parametrize("checkpoint", [b"x", b"\n", b"log.example/acme\n1\nAAAA\n\n\xe2\x80\x94 a b\n"])
def test_a_checkpoint_that_is_none_makes_it_start_over(checkpoint):
    instance = Instance()
    follower = follower_of(instance)
    with pytest.raises(SealwrightError):
        follower.take(0, instance.log.entries, checkpoint)
    assert follower.state.size == 0
    follower.take(0, instance.log.entries, instance.log.checkpoint())
    assert follower.is_current


def test_starting_over_forgets_the_policy_but_not_the_head():
    instance = Instance()
    follower = follower_of(instance)
    follower.take(0, instance.log.entries, instance.log.checkpoint())
    follower.take_sections(instance.section_bytes())
    size = len(instance.log.entries)
    assert code_of(follower.take, size, [b"x"], instance.log.checkpoint()) is Code.LOG_INCONSISTENT
    assert follower.head.size == size
    assert follower.state.policy is None
    assert code_of(follower.take, 0, instance.log.entries[:1], instance.log.checkpoint(1)) is Code.LOG_INCONSISTENT
    follower.take(0, instance.log.entries, instance.log.checkpoint())
    assert code_of(follower.standing) is Code.POLICY_INCOMPLETE


def test_the_epoch_grows_with_what_can_take_an_approval_back_only():
    instance = Instance()
    follower = follower_of(instance)
    follower.take(0, instance.log.entries, instance.log.checkpoint())
    before = follower.epoch

    def epochs_of(*entries) -> int:
        nonlocal before
        size = follower.state.size
        for entry in entries:
            instance.log.append(entry)
        follower.take(size, instance.log.entries[size:], instance.log.checkpoint())
        grown, before = follower.epoch - before, follower.epoch
        return grown

    assert epochs_of(b"rubbish", instance.log.entries[0], instance.log.entries[1]) == 0
    assert epochs_of(instance.make_intent(instance.approved())) == 0
    assert epochs_of(instance.granting("policy", instance.signed_policy(instance.make_policy()))) == 1
    restricted = instance.log.copy()
    instance.restrict(RestrictionKind.VETO, "0" * 64)
    assert epochs_of() == 1
    assert len(restricted.entries) < len(instance.log.entries)


class FailingHeads(MemoryHeads):
    """A disk that takes nothing while ``failing``."""

    failing = False

    def store(self, head: Head) -> None:
        if self.failing:
            raise UnavailableError("disk is gone", code=Code.STORAGE_UNAVAILABLE)
        super().store(head)


def test_a_head_that_could_not_be_stored_does_not_count():
    instance = Instance()
    heads = FailingHeads()
    instance.heads = heads
    instance.start_signer()
    submission = instance.approved()
    index = instance.log.append(instance.make_intent(submission))
    remembered, heads.failing = heads.head, True
    order = (instance.order(submission, index),)
    size = len(instance.log.entries)
    for _ in range(2):  # the second time must not take the head for stored
        assert instance.catch_up(sign=order).refusal.code is Code.STORAGE_UNAVAILABLE
        answer = instance.engine.handle(Round(start=instance._taken(instance.engine), sign=order)).signed[0]
        assert answer.refusal is not None
    assert instance.signatures_made == 0
    assert heads.head == remembered
    heads.failing = False
    assert instance.round(sign=order).signed[0].outcome
    assert heads.head.size == size


def test_a_head_is_stored_once_a_checkpoint_and_never_goes_back():
    class Counting(MemoryHeads):
        stored: list[int] = []  # noqa: RUF012 - one list a test

        def store(self, head: Head) -> None:
            self.stored.append(head.size)
            super().store(head)

    instance = Instance()
    heads = Counting()
    follower = follower_of(instance, heads)
    follower.take(0, instance.log.entries[:1], instance.log.checkpoint(1))
    follower.take(1, instance.log.entries[1:], instance.log.checkpoint())
    follower.take(len(instance.log.entries), [], instance.log.checkpoint())
    assert heads.stored == [1, len(instance.log.entries)]


def test_the_time_is_never_before_one_that_was_stored():
    instance = Instance()
    head = Head(size=1, root_hash="0" * 64, time=instance.clock.now() + 500)
    follower = follower_of(instance, MemoryHeads(head))
    assert follower.now() == head.time
    instance.clock.time += 1000
    assert follower.now() == instance.clock.time
    instance.clock.time -= 1101
    with pytest.raises(RefusedError, match="601 s behind"):
        follower.now()
