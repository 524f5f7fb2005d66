"""The server has one intent signed again, hoping for a second signature over the same slots."""

import pytest
from tests.simulators.instance import Instance

from sealwright.core.errors import Code
from sealwright.policy import fold
from sealwright.signer import engine
from sealwright.signer.protocol import Round


def test_an_intent_is_used_once():
    instance = Instance()
    submission = instance.approved()
    index, result = instance.ask(submission)
    assert instance.outcome_of(result)
    before = instance.signatures_made
    again = instance.round(sign=(instance.order(submission, index),))
    assert instance.code_of(again) is Code.INTENT_USED
    assert instance.signatures_made == before


def test_an_intent_twice_in_one_round_is_used_once():
    instance = Instance()
    submission = instance.approved()
    index = instance.log.append(instance.make_intent(submission))
    first, second = instance.round(sign=(instance.order(submission, index),) * 2).signed
    assert first.outcome
    assert second.refusal.code is Code.INTENT_USED
    assert instance.signatures_made == 1


def test_a_signer_made_to_start_over_remembers_what_it_used():
    instance = Instance()
    submission = instance.approved()
    index, _ = instance.ask(submission)
    size = len(instance.log.entries)
    lie = Round(start=size, entries=(b"a lie",), checkpoint=instance.log.checkpoint())
    assert instance.engine.handle(lie).refusal.code is Code.LOG_INCONSISTENT
    again = instance.round(sign=(instance.order(submission, index),))
    assert instance.code_of(again) is Code.INTENT_USED


def test_a_restarted_signer_does_not_take_the_intents_of_its_former_session():
    instance = Instance()
    submission = instance.approved()
    index, _ = instance.ask(submission)
    instance.start_signer()
    again = instance.round(sign=(instance.order(submission, index),))
    assert instance.code_of(again) is Code.SESSION_ENDED


def test_a_new_intent_for_a_living_request_is_allowed_and_visible():
    instance = Instance()
    submission = instance.approved()
    assert instance.sign(submission)
    assert instance.sign(submission)


@pytest.mark.parametrize("made_to_start_over", [False, True])
def test_no_used_intent_comes_back_when_memory_is_pruned(monkeypatch, made_to_start_over):
    monkeypatch.setattr(fold, "REMEMBERED_INTENTS", 4)
    monkeypatch.setattr(engine, "REMEMBERED_INTENTS", 4)
    instance = Instance()
    submission = instance.submit(instance.make_request(environment="development"))
    used = []
    for _ in range(30):
        index, result = instance.ask(submission)
        assert instance.outcome_of(result)
        used.append(index)
    assert len(instance.engine._used) <= 2 * 4 + 1
    if made_to_start_over:
        lie = Round(start=len(instance.log.entries), entries=(b"a lie",), checkpoint=instance.log.checkpoint())
        assert instance.engine.handle(lie).refusal.code is Code.LOG_INCONSISTENT
    before = instance.signatures_made
    answers = instance.round(sign=tuple(instance.order(submission, index) for index in used)).signed
    codes = [answer.refusal.code for answer in answers]
    assert set(codes[:-4]) == {Code.INTENT_NOT_LOGGED}
    assert set(codes[-4:]) == {Code.INTENT_USED}
    assert instance.signatures_made == before


def test_flooding_the_log_with_intents_does_not_bring_a_used_one_back(monkeypatch):
    monkeypatch.setattr(fold, "REMEMBERED_INTENTS", 4)
    monkeypatch.setattr(engine, "REMEMBERED_INTENTS", 4)
    instance = Instance()
    submission = instance.submit(instance.make_request(environment="development"))
    index, _ = instance.ask(submission)
    for _ in range(40):
        instance.log.append(instance.make_intent(submission, session="0" * 64))
    again = instance.round(sign=(instance.order(submission, index),))
    assert instance.code_of(again) is Code.INTENT_NOT_LOGGED
