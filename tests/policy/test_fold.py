"""The fold of the log: the same bytes give the same state, and nothing in them is an error."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulators.instance import Instance, MemoryHeads

from sealwright.core import canonical, records
from sealwright.policy import fold
from sealwright.policy.documents import RestrictionKind, Session, SignerIdentity
from sealwright.policy.entries import GrantingEntry, OutcomeEntry
from sealwright.policy.fold import LogState


def folded(instance: Instance, entries: list[bytes] | None = None) -> LogState:
    state = LogState(instance=instance.instance, origin=instance.log.origin)
    for entry in instance.log.entries if entries is None else entries:
        state.apply(entry)
    return state


def a_busy_log() -> Instance:
    instance = Instance()
    instance.sign(instance.approved())
    instance.restrict(RestrictionKind.VETO, "1" * 64)
    instance.log_root(instance.next_root())
    instance.log_policy()
    instance.sign(instance.approved())
    return instance


BUSY = a_busy_log()


def test_every_entry_of_an_honest_log_counts():
    state = LogState(instance=BUSY.instance, origin=BUSY.log.origin)
    assert all(state.apply(entry) is not None for entry in BUSY.log.entries)
    assert state.size == len(BUSY.log.entries)
    assert state.root.root.version == 2
    assert state.policy.policy.version == state.newest_policy_version == 2


def test_the_same_bytes_give_the_same_state():
    assert folded(BUSY) == folded(BUSY)


def mutated(entry: bytes, at: int, what: bytes) -> bytes:
    at %= len(entry) + 1
    return entry[:at] + what + entry[at + len(what) :]


@settings(max_examples=400, deadline=None)
@given(
    which=st.integers(0, len(BUSY.log.entries) - 1),
    at=st.integers(0, 4000),
    what=st.one_of(st.binary(min_size=1, max_size=4), st.sampled_from([b'"', b"{", b"}", b"0", b"null", b"\\u0000"])),
)
def test_no_mangled_entry_stops_the_fold(which, at, what):
    entries = list(BUSY.log.entries)
    entries[which] = mutated(entries[which], at, what)
    assert folded(BUSY, entries).size == len(entries)


scalars = st.one_of(st.booleans(), st.integers(0, 1 << 53), st.text(max_size=20), st.just("0" * 64))
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner))
kinds = st.sampled_from(["root", "policy", "session", "restriction", "intent", "outcome", "timestamped"])


@settings(max_examples=200, deadline=None)
@given(kind=kinds, member=st.integers(0, 20), value=values)
def test_no_entry_with_an_odd_member_stops_the_fold(kind, member, value):
    entries = [e for e in BUSY.log.entries if canonical.decode(e)["entry"] == kind] or BUSY.log.entries[:1]
    document = canonical.decode(entries[0])
    document[sorted(document)[member % len(document)]] = value
    try:
        data = canonical.encode(document)
    except canonical.FormatError:
        return
    state = folded(BUSY)
    state.apply(data)
    assert state.size == len(BUSY.log.entries) + 1


@settings(max_examples=200, deadline=None)
@given(kind=st.sampled_from(["root", "policy", "session"]), member=st.integers(0, 20), value=values)
def test_no_document_with_an_odd_member_stops_the_fold(kind, member, value):
    entry = next(e for e in BUSY.log.entries if canonical.decode(e)["entry"] == kind)
    signed = records.parse(GrantingEntry, entry).signed
    document = canonical.decode(signed.document)
    document[sorted(document)[member % len(document)]] = value
    try:
        signed = replace(signed, document=canonical.encode(document))
    except canonical.FormatError:
        return
    state = folded(BUSY)
    before = state.root, state.policy, dict(state.sessions)
    state.apply(records.serialise(GrantingEntry(entry=kind, format=1, signed=signed)))
    assert (state.root, state.policy, state.sessions) == before


def test_a_restriction_counts_from_its_first_entry_on():
    instance = Instance()
    first = instance.restrict(RestrictionKind.REVOKE_PERSON, "ben")
    instance.restrict(RestrictionKind.REVOKE_PERSON, "ben")
    state = folded(instance)
    assert state.restrictions.find(RestrictionKind.REVOKE_PERSON, "ben") == first
    assert state.restrictions.find(RestrictionKind.REVOKE_PERSON, "cleo") is None
    assert state.restrictions.find(RestrictionKind.VETO, "ben") is None


def test_the_first_outcome_of_an_intent_counts():
    instance = Instance()
    at = instance.log.append(OutcomeEntry(entry="outcome", format=1, intent_index=1, document="1" * 64))
    instance.log.append(OutcomeEntry(entry="outcome", format=1, intent_index=1, document="2" * 64))
    assert folded(instance).outcomes[1] == (at, "1" * 64)


def test_memory_of_intents_and_outcomes_is_bounded(monkeypatch):
    monkeypatch.setattr(fold, "REMEMBERED_INTENTS", 3)
    instance = Instance()
    intent = instance.make_intent(instance.approved())
    indices = [instance.log.append(intent) for _ in range(10)]
    for index in indices:
        instance.log.append(OutcomeEntry(entry="outcome", format=1, intent_index=index, document="1" * 64))
    state = folded(instance)
    assert list(state.intents) == list(state.outcomes) == indices[-3:]


@pytest.mark.parametrize(
    ("valid_from", "valid_until", "index", "listed"),
    [(0, None, 0, True), (5, None, 4, False), (5, None, 5, True), (0, 5, 4, True), (0, 5, 5, False), (5, 5, 5, False)],
)
def test_a_signer_is_listed_from_and_until(valid_from, valid_until, index, listed):
    instance = Instance(start=False)
    key = instance.identity.public_key().public_bytes_raw()
    identity = SignerIdentity(id="signer-1", key=key, valid_from=valid_from, valid_until=valid_until)
    instance.log_root(instance.next_root(signers=(identity,)))
    assert (folded(instance).signer("signer-1", index) is not None) is listed
    assert folded(instance).signer("signer-2", index) is None


def session_of(instance: Instance) -> tuple[Session, object]:
    engine = instance.new_engine(heads=MemoryHeads())
    announcement = instance.catch_up(engine).announcement
    assert announcement is not None
    return records.parse(Session, announcement.document), engine


@pytest.mark.parametrize(("size", "counts"), [(2, False), (3, True), (4, False)])
def test_a_session_counts_if_it_followed_the_session_before_it_and_no_further_than_the_log(size, counts):
    # Entries 0 and 1 are root and policy, 2 is the session before; this one is entry 3.
    instance = Instance()
    session, engine = session_of(instance)
    before = folded(instance).sessions["signer-1"]
    signed = engine._signed("session", records.serialise(replace(session, size=size)))
    at = instance.log.append(instance.granting("session", signed))
    assert folded(instance).sessions["signer-1"] == ((session.session, at) if counts else before)


def test_a_session_signed_by_another_key_is_passed_over():
    instance = Instance()
    engine = instance.new_engine(heads=MemoryHeads())
    session, _ = session_of(instance)
    engine._identity = ed25519.Ed25519PrivateKey.generate()
    before = folded(instance).sessions
    instance.log.append(instance.granting("session", engine._signed("session", records.serialise(session))))
    assert folded(instance).sessions == before


def test_a_session_of_a_signer_that_the_root_dropped_is_passed_over():
    instance = Instance()
    session, engine = session_of(instance)
    key = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    instance.log_root(instance.next_root(signers=(SignerIdentity(id="signer-2", key=key, valid_from=0),)))
    before = folded(instance).sessions
    signed = engine._signed("session", records.serialise(session))
    instance.log.append(instance.granting("session", signed))
    assert folded(instance).sessions == before
