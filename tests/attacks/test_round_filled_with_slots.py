"""Attack: fill rounds with slots as a requester without quorum, until their answer is late or fits no frame."""

from types import SimpleNamespace
from typing import Any

import pytest
from tests.simulators.instance import Clock

from sealwright.core.keys import Algorithm
from sealwright.policy.documents import MAX_SLOTS
from sealwright.service.desk import MAX_ROUND_SLOTS, Desk
from sealwright.signer.protocol import MAX_FRAME_BYTES
from sealwright.wiring.signer_link import ROUND_TIMEOUT_SECONDS

SECONDS_OF_A_SLOW_SIGNATURE = 3
LARGEST_SIGNATURE, OUTCOME_SLOT = 1024, 400  # RSA of 8192 bits; key, signature, certificate and algorithm by name


def ready(*slots: int, algorithm: Algorithm = Algorithm.ED25519) -> Desk:
    """A desk on which requests with so many slots have their quorum."""
    nothing: Any = None
    ledger: Any = SimpleNamespace(epoch=1)
    desk = Desk(
        ledger=ledger, documents=nothing, judge=nothing, clock=Clock(), on_ready=lambda: None, on_end=lambda _: None
    )
    for number, count in enumerate(slots):
        checked = SimpleNamespace(digest=f"{number}")
        live: Any = SimpleNamespace(
            checked=checked, profiles=(SimpleNamespace(algorithm=algorithm),) * count, not_before=0, epoch=1
        )
        desk._ready[checked.digest] = live
    return desk


def test_a_round_takes_no_more_slots_than_its_answer_can_hold():
    desk = ready(*[MAX_SLOTS] * 160)
    taken = desk.take_ready(256)
    assert sum(len(live.profiles) for live in taken) == MAX_ROUND_SLOTS
    assert 4 * MAX_ROUND_SLOTS * (LARGEST_SIGNATURE + OUTCOME_SLOT) / 3 < MAX_FRAME_BYTES
    assert desk.take_ready(256)[0].checked.digest == str(len(taken))


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_round_of_large_signatures_fits_its_answer_and_one_of_slow_ones_its_time(algorithm: Algorithm) -> None:
    taken = sum(len(live.profiles) for live in ready(*[20] * 160, algorithm=algorithm).take_ready(256))
    assert 4 * taken * (algorithm.most_signature_bytes + OUTCOME_SLOT) / 3 < MAX_FRAME_BYTES
    assert not algorithm.is_slow or taken * SECONDS_OF_A_SLOW_SIGNATURE < ROUND_TIMEOUT_SECONDS
    assert taken >= 20


@pytest.mark.parametrize("slots", [(1,) * 300, (MAX_SLOTS,), (MAX_ROUND_SLOTS + 1, 1)])
def test_every_request_has_its_turn(slots):
    desk, seen = ready(*slots), []
    while taken := desk.take_ready(256):
        assert len(taken) <= 256
        seen += [live.checked.digest for live in taken]
    assert seen == [str(number) for number in range(len(slots))]
