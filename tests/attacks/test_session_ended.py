"""The server plays with session entries: an ended session logged again, a forged one, none at all."""

from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric import ed25519
from tests.simulators.instance import Instance, MemoryHeads

from sealwright.core import records
from sealwright.core.errors import Code
from sealwright.policy.documents import Session
from sealwright.signer.protocol import Round


def test_a_signer_without_a_logged_session_signs_nothing():
    instance = Instance(start=False)
    instance.log_policy()
    instance.engine = instance.new_engine()
    instance.session = instance.catch_up().session
    assert instance.refusal(instance.approved()) is Code.SESSION_ENDED


def test_an_intent_from_before_the_session_is_refused():
    instance = Instance(start=False)
    instance.log_policy()
    instance.engine = instance.new_engine()
    result = instance.catch_up()
    instance.session = result.session
    submission = instance.approved()
    index = instance.log.append(instance.make_intent(submission))
    instance.log.append(instance.granting("session", result.announcement))
    assert instance.code_of(instance.round(sign=(instance.order(submission, index),))) is Code.SESSION_ENDED
    assert instance.sign(submission)


def test_an_ended_session_logged_again_stays_ended():
    instance = Instance()
    older, older_session, old_entry = instance.engine, instance.session, instance.log.entries[-1]
    instance.heads = MemoryHeads(instance.heads.head)
    instance.start_signer()
    instance.log.append(old_entry)
    submission = instance.approved()
    index = instance.log.append(instance.make_intent(submission, session=older_session))
    instance.catch_up(older)
    ask = Round(start=len(instance.log.entries), sign=(instance.order(submission, index),))
    assert instance.code_of(older.handle(ask)) is Code.SESSION_ENDED
    assert instance.sign(submission)


def test_the_session_logged_again_does_not_end_the_intents_before():
    instance = Instance()
    submission = instance.approved()
    index = instance.log.append(instance.make_intent(submission))
    instance.log.append(instance.log.entries[2])
    assert instance.round(sign=(instance.order(submission, index),)).signed[0].outcome


def test_a_session_forged_with_another_key_does_not_end_the_real_one():
    instance = Instance()
    stranger = instance.new_engine(heads=MemoryHeads(), identity=ed25519.Ed25519PrivateKey.generate())
    forged = instance.catch_up(stranger).announcement
    instance.log.append(instance.granting("session", forged))
    assert instance.sign(instance.approved())


def test_a_session_that_claims_to_know_more_than_the_log_holds_does_not_count():
    instance = Instance()
    newer = instance.new_engine(heads=MemoryHeads())
    announced = instance.catch_up(newer).announcement
    session = records.parse(Session, announced.document)
    from_a_fork = newer._signed("session", records.serialise(replace(session, size=session.size + 100)))
    instance.log.append(instance.granting("session", from_a_fork))
    assert instance.sign(instance.approved())


def test_an_announcement_is_made_once():
    instance = Instance()
    engine = instance.new_engine(heads=MemoryHeads())
    first, second = instance.catch_up(engine).announcement, instance.catch_up(engine).announcement
    assert first == second
