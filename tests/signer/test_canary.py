"""A key whose canary does not verify signs nothing, and signs again once one does."""

import pytest
from tests.client.paired import AnyPartition
from tests.simulators.instance import Clock, Instance

from sealwright.core import records
from sealwright.core.errors import Code, RefusedError, UnavailableError
from sealwright.core.keys import Algorithm
from sealwright.signer import canary
from sealwright.signer.canary import ActiveKey, Canaries, task_of
from sealwright.signer.ports import SigningTask

STATELESS = [
    Algorithm.RSA_PSS_SHA384, Algorithm.ECDSA_P256_SHA256, Algorithm.ED25519, Algorithm.ML_DSA_44,
    Algorithm.SLH_DSA_SHA2_128F,
]  # fmt: skip


class Token(AnyPartition):
    """A partition that can begin to lie, or be away."""

    lies = away = False

    def sign(self, tasks):
        if self.away:
            raise UnavailableError("gone", code=Code.KEYSTORE_UNAVAILABLE)
        return [made[:-1] + bytes([made[-1] ^ 1]) if self.lies else made for made in super().sign(tasks)]


class Case:
    def __init__(self, *algorithms: Algorithm) -> None:
        self.token, self.clock, self.told = Token(), Clock(), []
        self.canaries = Canaries({"p": self.token}, self.clock, self.told.append)
        self.keys = [ActiveKey("p", self.token.create(a), a) for a in algorithms or [Algorithm.ECDSA_P256_SHA256]]

    def sign(self, key: ActiveKey):
        payload = b"x" * 48 if key.algorithm is Algorithm.RSA_PSS_SHA384 else b"x" * 32
        task = SigningTask(public_key=key.public_key, algorithm=key.algorithm, payload=payload)
        (made,) = self.canaries["p"].sign([task])
        return made


@pytest.fixture
def case():
    return Case()


def test_every_stateless_kind_of_key_sings_before_it_signs_and_then_on_its_schedule():
    case = Case(*STATELESS)
    for key in case.keys:
        assert isinstance(case.sign(key), bytes)
    assert case.token.signed == 2 * len(STATELESS)
    case.canaries.sing(case.keys)
    assert case.token.signed == 2 * len(STATELESS), "none is due yet"
    case.clock.time += canary.INTERVAL_SECONDS
    case.canaries.sing(case.keys)
    assert case.token.signed == 3 * len(STATELESS)
    assert [c.failure for c in case.told[-1].keys] == [None] * len(STATELESS)
    assert records.parse(canary.Conditions, records.serialise(case.told[-1])) == case.told[-1]


def test_a_partition_that_begins_to_lie_is_refused_until_its_canary_succeeds(case):
    (key,) = case.keys
    assert isinstance(case.sign(key), bytes)
    case.token.lies = True
    case.clock.time += canary.INTERVAL_SECONDS
    case.canaries.sing(case.keys)
    assert "does not verify" in case.told[-1].keys[0].failure
    before = case.token.signed
    refused = case.sign(key)
    assert isinstance(refused, UnavailableError)
    assert refused.code is Code.CANARY_FAILED
    assert case.token.signed == before, "it was not even asked"
    case.token.lies = False
    assert case.sign(key).code is Code.CANARY_FAILED, "not before a canary succeeded"
    case.clock.time += canary.RETRY_SECONDS
    assert isinstance(case.sign(key), bytes)
    case.canaries.sing(case.keys)
    assert case.told[-1].keys[0].failure is None


def test_a_key_that_lies_from_the_start_signs_nothing(case):
    case.token.lies = True
    assert case.sign(case.keys[0]).code is Code.CANARY_FAILED
    assert case.token.signed == 1


def test_a_keystore_that_was_away_signs_as_soon_as_it_is_back(case):
    (key,) = case.keys
    case.token.away = True
    assert case.sign(key).code is Code.KEYSTORE_UNAVAILABLE
    case.canaries.sing(case.keys)
    assert case.told[-1].keys[0].failure == "keystore-unavailable: gone"
    case.token.away = False
    assert isinstance(case.sign(key), bytes)


def test_a_keystore_that_goes_away_between_canaries_is_told_at_once(case):
    (key,) = case.keys
    assert isinstance(case.sign(key), bytes)
    case.token.away = True
    with pytest.raises(UnavailableError):
        case.sign(key)
    case.token.away = False
    case.canaries.sing(case.keys)
    assert case.told[-1].keys[0].failure == "keystore-unavailable: gone"
    assert isinstance(case.sign(key), bytes)


def test_one_ill_key_does_not_stop_the_others():
    case = Case(Algorithm.ECDSA_P256_SHA256, Algorithm.ED25519)
    well, ill = case.keys
    case.token.lies = True
    assert case.canaries.try_key(ill) is not None
    case.token.lies = False
    tasks = [SigningTask(public_key=k.public_key, algorithm=k.algorithm, payload=b"x" * 32) for k in (ill, well, ill)]
    first, second, third = case.canaries["p"].sign(tasks)
    assert isinstance(second, bytes)
    assert first.code is third.code is Code.CANARY_FAILED


def test_keys_that_left_the_policy_are_forgotten_and_stateful_keys_never_sing(case):
    case.canaries.sing(case.keys)
    assert len(case.told[-1].keys) == 1
    stateful = ActiveKey("p", case.keys[0].public_key, Algorithm.HSS_LMS)
    case.canaries.sing([stateful])
    assert case.told[-1].keys == ()
    assert case.token.signed == 1


def test_a_partition_that_is_not_here_is_said_so(case):
    case.canaries.sing([ActiveKey("elsewhere", case.keys[0].public_key, case.keys[0].algorithm)])
    assert "holds no partition elsewhere" in case.told[-1].keys[0].failure


def test_the_text_is_no_digest_and_no_beginning_of_a_message_that_a_format_signs(case):
    text = task_of(ActiveKey("p", case.keys[0].public_key, Algorithm.ED25519)).payload
    assert text.startswith(canary.TEXT)
    assert len(text) > 64, "longer than any digest that a whole-message key could be asked to sign"
    # CMS attributes, COSE structures, SSHSIG, MCUboot, ELF, PE and devicetree begin otherwise.
    assert not text.startswith(
        (b"\x31", b"\x84", b"SSHSIG", b"\x3d\xb8\xf3\x96", b"\x7fELF", b"MZ", b"\xd0\x0d\xfe\xed")
    )
    digest = task_of(case.keys[0]).payload
    assert len(digest) == 32


def test_the_engine_names_active_keys_and_refuses_one_that_lies():
    instance = Instance(start=False)
    token = Token()
    instance.partitions["meter-production"] = token
    instance.with_product("meter")
    instance.log_policy()
    plain = instance.partitions
    instance.partitions = Canaries(plain, instance.clock)
    instance.start_signer()
    names = {key.partition for key in instance.engine.active_keys()}
    assert names == {"router-production", "router-development", "meter-production"}
    request = instance.make_request(product="meter")
    index, result = instance.ask(instance.vote(instance.submit(request), "ben", "cleo"))
    assert '"failure"' not in instance.outcome_of(result).document.decode()
    token.lies = True
    instance.clock.time += canary.INTERVAL_SECONDS
    instance.partitions.sing(instance.engine.active_keys())
    request = instance.make_request(product="meter")
    index, result = instance.ask(instance.vote(instance.submit(request), "ben", "cleo"))
    outcome = instance.outcome_of(result)
    assert '"failure":"canary-failed"' in outcome.document.decode()
    instance.log_outcome(index, outcome)
    assert instance.round(release=(index,)).released[0].signatures == (b"",)
    instance.restrict("revoke-key-profile", "meter/production/1")
    instance.catch_up()
    assert "meter-production" not in {key.partition for key in instance.engine.active_keys()}


def test_a_task_of_a_foreign_key_fails_as_the_partition_says(case):
    class Strict(Token):
        def sign(self, tasks):
            return [RefusedError("no such key", code=Code.NOT_FOUND)] * len(tasks)

    canaries = Canaries({"p": Strict()}, case.clock)
    task = SigningTask(public_key=case.keys[0].public_key, algorithm=case.keys[0].algorithm, payload=b"x" * 32)
    (made,) = canaries["p"].sign([task])
    assert made.code is Code.NOT_FOUND
