"""No number of a stateful key signs twice: not after a restart, an old keystore, a clone, a second signer, a fork."""

import shutil
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.keystores.conftest import PIN, TEMPLATE
from tests.simulators.instance import Clock, Instance, MemoryHeads, SoftWitness

from sealwright.core import lms
from sealwright.core.errors import Code, SealwrightError, UnavailableError
from sealwright.core.keys import Algorithm, HssLmsPublicKey, PublicKey
from sealwright.keystores.interface import Keystore
from sealwright.keystores.numbers import Block
from sealwright.keystores.opening import create_partition, open_ceremony, open_keystore
from sealwright.policy import documents as d

HSS = Algorithm.HSS_LMS


class StatefulPartition:
    """A real partition of key files in this process, as the engine wants it."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.store: Keystore | None = None
        self.signed = 0
        self.shift = 0
        """What a keystore that lies adds to its block."""
        self.failure: SealwrightError | None = None
        """Why it gives no signature."""

    def create(self, _algorithm):
        ceremony = open_ceremony(self.uri, PIN)
        public = ceremony.create_key("lms", HSS, 0, TEMPLATE, "sha256-n24-h5-w8").public_key
        self.store = open_keystore(self.uri, PIN)
        return public

    def sign(self, tasks):
        if self.failure is not None:
            return [self.failure] * len(tasks)
        self.signed += len(tasks)
        return [
            self.store.sign(
                t.public_key.fingerprint, t.algorithm, t.payload, t.block and Block(*(n + self.shift for n in t.block))
            )
            for t in tasks
        ]

    def counters(self):
        return self.store.counters()


class Case:
    """An installation with a product whose key is stateful; its signer announces blocks as it needs them."""

    def __init__(self, folder) -> None:
        uri = f"files:{folder / 'p'}"
        create_partition(uri, PIN)
        self.folder = folder
        self.partition = StatefulPartition(uri)
        self.instance = Instance(start=False)
        self.instance.partitions["lms-production"] = self.partition
        self.instance.with_product("lms", algorithm=HSS)
        self.instance.log_policy()
        self.instance.start_signer()
        self.key = self.key_of(1)
        self.seen: list[int] = []

    def with_second_key(self) -> "Case":
        """A second stateful key of the product."""
        self.instance.with_key("lms/production/2", algorithm=HSS)
        self.instance.log_policy()
        return self

    def submission(self, *keys: int):
        """Approved: a small image for each of these keys, or for the first."""
        keys = keys or (1,)
        request = self.instance.make_request(b"small", product="lms")
        names = [f"{n}.bin" for n in range(len(keys))]
        request = replace(
            request,
            artifacts=tuple(self.instance.artifact(b"small", name=name) for name in names),
            slots=tuple(
                self.instance.slot(b"small", key_profile=f"lms/production/{key}", name=name)
                for key, name in zip(keys, names, strict=True)
            ),
        )
        return self.instance.vote(self.instance.submit(request, messages=(b"small",) * len(keys)), "ben", "cleo")

    def sign(self, *keys: int) -> int:
        """Sign; when a session with a block must be announced first, log it and ask again.  Return the last number."""
        index, result = self.instance.ask(self.submission(*keys))
        answer = result.signed[0]
        if answer.refusal is not None and answer.refusal.code is Code.SESSION_ENDED:
            assert result.announcement is not None
            self.announce(result)
            index, result = self.instance.ask(self.submission(*keys))
        outcome = self.instance.outcome_of(result)
        self.instance.log_outcome(index, outcome)
        signatures = self.instance.round(release=(index,)).released[0].signatures
        for signature, number in zip(signatures, keys or (1,), strict=True):
            key = self.key_of(number)
            key.verify(HSS, b"small", signature)
            assert isinstance(key.key, HssLmsPublicKey)
            self.seen += lms.leaf_indices(key.key.hss, signature)
        return self.seen[-1]

    def key_of(self, number: int) -> PublicKey:
        return PublicKey(self.instance.sections["key-profile", f"lms/production/{number}"].public_key)

    @property
    def marks(self) -> dict[str, int]:
        """Of each key, the end of its newest block in the log."""
        return self.instance.engine._follower.state.marks

    def announce(self, result) -> None:
        self.instance.session = result.session
        self.instance.log.append(self.instance.granting("session", result.announcement))
        assert self.instance.catch_up().announcement is None

    def restart(self) -> None:
        self.instance.start_signer()


@pytest.fixture
def case(tmp_path):
    return Case(tmp_path)


def test_the_first_signature_needs_a_block_in_the_log_and_the_next_ones_use_it(case):
    assert not case.instance.engine._follower.state.marks
    assert [case.sign() for _ in range(3)] == [1, 2, 3]
    assert case.instance.engine._follower.state.marks == {case.key.fingerprint: 9}


def test_nothing_is_signed_before_the_block_is_in_the_log(case):
    _, result = case.instance.ask(case.submission())
    assert result.signed[0].refusal.code is Code.SESSION_ENDED
    assert case.partition.signed == 0
    _, result = case.instance.ask(case.submission())  # announced, not logged
    assert result.signed[0].refusal.code is Code.SESSION_ENDED
    assert case.partition.signed == 0


def test_a_block_that_is_used_up_is_followed_by_another(case):
    assert [case.sign() for _ in range(20)] == list(range(1, 21))


def test_a_restart_burns_the_rest_of_the_block(case):
    case.sign()
    case.restart()
    assert case.sign() == 9


def test_an_old_copy_of_the_keystore_repeats_no_number(case):
    case.sign()
    shutil.copytree(case.folder / "p", case.folder / "old")
    for _ in range(4):
        case.sign()
    shutil.rmtree(case.folder / "p")
    shutil.copytree(case.folder / "old", case.folder / "p")
    case.partition.store = open_keystore(case.partition.uri, PIN)
    assert case.sign() == 6, "the signer that went on knows how far it was"
    shutil.rmtree(case.folder / "p")
    shutil.copytree(case.folder / "old", case.folder / "p")
    case.partition.store = open_keystore(case.partition.uri, PIN)
    case.restart()
    assert case.sign() == 9, "and the log knows what no signer remembers"
    assert len(set(case.seen)) == len(case.seen)


def test_a_cloned_signer_with_a_cloned_keystore_ends_the_first_and_goes_on_above(case):
    case.sign()
    original, session = case.instance.engine, case.instance.session
    shutil.copytree(case.folder / "p", case.folder / "clone")
    clone = open_keystore(f"files:{case.folder / 'clone'}", PIN)
    first_store, case.partition.store = case.partition.store, clone
    case.restart()
    assert case.sign() == 9
    case.partition.store = first_store
    case.instance.engine, case.instance.session = original, session
    _, result = case.instance.ask(case.submission())
    assert result.signed[0].refusal.code is Code.SESSION_ENDED
    assert result.announcement is None, "an ended session does not come back with another block"


def test_a_keystore_that_takes_a_number_outside_the_block_gets_nothing_out(case):
    case.sign()
    case.partition.shift = 8
    _, result = case.instance.ask(case.submission())
    assert '"failure":"state-exhausted"' in case.instance.outcome_of(result).document.decode()
    case.partition.shift = 0
    assert case.sign() > 9, "the rest of the block is burnt, and what was taken too"


def test_a_key_that_is_used_up_is_refused_for_good(case):
    while True:
        index, result = case.instance.ask(case.submission())
        refusal = result.signed[0].refusal
        if refusal and refusal.code is Code.STATE_EXHAUSTED:
            break
        if refusal:
            case.announce(result)
        else:
            case.instance.log_outcome(index, case.instance.outcome_of(result))
            case.instance.round(release=(index,))
    assert case.partition.signed == 31
    assert case.instance.round().announcement is None


def silent():
    raise UnavailableError("the worker does not answer", code=Code.KEYSTORE_UNAVAILABLE)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda c: setattr(c.partition, "counters", silent), Code.KEYSTORE_UNAVAILABLE),
        (lambda c: setattr(c.partition, "counters", dict), Code.NOT_FOUND),
        (lambda c: c.instance.partitions.pop("lms-production"), Code.NOT_FOUND),
    ],
    ids=["does not answer", "lost the key", "is not held here"],
)
def test_a_stateful_key_whose_keystore_fails_ends_no_session_of_the_other_products(case, spoil, code):
    instance = case.instance
    other = instance.vote(instance.submit(), "ben", "cleo")
    waiting, result = instance.ask(other)
    instance.log_outcome(waiting, instance.outcome_of(result))
    spoil(case)
    _, result = instance.ask(case.submission())
    assert result.signed[0].refusal.code is code
    assert result.session == instance.session
    assert result.announcement is None
    assert instance.round(release=(waiting,)).released[0].signatures


def test_a_block_that_outlived_its_session_is_of_no_use_once_a_clone_was_there(case):
    case.with_second_key()
    assert [case.sign(1), case.sign(2)] == [1, 1]
    assert case.sign(1) == 2, "the first key's block is that of the session before"
    original, session = case.instance.engine, case.instance.session
    case.restart()
    case.instance.engine, case.instance.session = original, session
    signed = case.partition.signed
    for keys in ((1,), (2,), (1, 2)):
        _, result = case.instance.ask(case.submission(*keys))
        assert result.signed[0].refusal.code is Code.SESSION_ENDED
        assert result.announcement is None
    assert case.partition.signed == signed


def with_witnesses(case: Case, count: int, quorum: int) -> None:
    """The root lists a second signer, and demands ``quorum`` of ``count`` witnesses; all cosign."""
    instance = case.instance
    case.second_identity = Ed25519PrivateKey.generate()
    second = d.SignerIdentity(id="signer-2", key=case.second_identity.public_key().public_bytes_raw(), valid_from=0)
    witnesses = [SoftWitness(f"witness-{n}.example", Clock(instance.clock.time)) for n in range(count)]
    listed = tuple(d.Witness(name=w.name, key=str(w.vkey)) for w in witnesses)
    signers = (*instance.root.signers, second)
    instance.log_root(instance.next_root(signers=signers, witnesses=listed, witness_quorum=quorum))
    instance.log_policy()
    instance.log.witnesses = witnesses


@pytest.mark.parametrize(("count", "quorum"), [(0, 0), (2, 0), (2, 1), (4, 2)])
def test_with_two_signers_nothing_is_signed_where_two_forks_can_both_have_their_witnesses(case, count, quorum):
    with_witnesses(case, count, quorum)
    other = case.instance.approved()
    session = case.instance.catch_up().session
    _, result = case.instance.ask(case.submission())
    refusal = result.signed[0].refusal
    assert refusal.code is Code.WITNESSES_MISSING
    assert f"2 signers, and a quorum of {quorum} of {count} witnesses" in refusal.message
    assert result.session == session
    assert case.instance.sign(other), "keys without numbers are not concerned"


def test_with_two_signers_and_most_witnesses_a_fork_is_not_followed(case):
    with_witnesses(case, 3, 2)
    assert case.sign() == 1
    fork = case.instance.log.copy()
    fork.witnesses = fork.witnesses[:1]  # the others have seen the log
    second = case.instance.new_engine(heads=MemoryHeads(), identity=case.second_identity, signer_id="signer-2")
    assert case.instance.catch_up(second, fork).refusal.code is Code.NOT_TRUSTED


def test_of_two_signers_that_announce_at_once_one_announces_again_above(case):
    with_witnesses(case, 1, 1)
    instance, other = case.instance, case.second_identity
    instance.start_signer()
    engines = {"signer-1": instance.engine, "signer-2": instance.new_engine(heads=MemoryHeads(), identity=other,
                                                                            signer_id="signer-2")}  # fmt: skip
    sessions = {"signer-1": instance.session}
    result = instance.catch_up(engines["signer-2"])
    sessions["signer-2"] = result.session
    instance.log.append(instance.granting("session", result.announcement))
    announced = {}
    for name, engine in engines.items():  # both need a block, neither has seen the other's
        submission = case.submission()
        index = instance.log.append(instance.make_intent(submission, signer=name, session=sessions[name]))
        instance.catch_up(engine)
        announced[name] = instance.catch_up(engine, sign=(instance.order(submission, index),))
        assert announced[name].signed[0].refusal.code is Code.SESSION_ENDED
    for result in announced.values():
        instance.log.append(instance.granting("session", result.announcement))
    assert instance.catch_up(engines["signer-1"]).announcement is None
    again = instance.catch_up(engines["signer-2"])
    assert again.session != announced["signer-2"].session, "its block was marked already"
    instance.log.append(instance.granting("session", again.announcement))
    assert instance.catch_up(engines["signer-2"]).announcement is None
    assert engines["signer-1"]._blocks._open[case.key.fingerprint] == [1, 9]
    assert engines["signer-2"]._blocks._open[case.key.fingerprint] == [9, 17]
