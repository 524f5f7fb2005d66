"""One of the log's two keys is broken or stolen, the other is not: half a signature is none.

The attacker has the log's Ed25519 key, or its ML-DSA-44 key, and shows signer, mirror and verifier a checkpoint without
the other signature, with that of another head, or with one by a key of their own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from tests.client.signed import Maker
from tests.client.test_log_mirror import LogApi
from tests.simulators.instance import Instance, MemoryLog

from sealwright.client.assembly import assemble
from sealwright.client.log_mirror import mirror
from sealwright.core import canonical
from sealwright.core.errors import Code, VerificationError
from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm
from sealwright.evidence.bundle import AsOf
from sealwright.evidence.verify import verify_evidence
from sealwright.formats import FORMATS
from sealwright.policy import documents as d
from sealwright.translog import merkle

IMAGE = b"firmware"
Attack = Callable[[bytes, MemoryLog], bytes]


def taken_apart(note: bytes) -> tuple[bytes, bytes, bytes]:
    """The text with its empty line, the Ed25519 line and the ML-DSA-44 line."""
    text, _, lines = note.rpartition(b"\n\n")
    ed25519, ml_dsa = lines.splitlines(keepends=True)
    return text + b"\n\n", ed25519, ml_dsa


def without_ml_dsa(note: bytes, _: MemoryLog) -> bytes:
    text, ed25519, _ = taken_apart(note)
    return text + ed25519


def without_ed25519(note: bytes, _: MemoryLog) -> bytes:
    text, _, ml_dsa = taken_apart(note)
    return text + ml_dsa


def other_head(log: MemoryLog) -> tuple[bytes, bytes, bytes]:
    """Another head of the same size, as the real log would sign it."""
    return taken_apart(replace(log, entries=[*log.entries[:-1], b"forked"]).checkpoint())


def ml_dsa_of_another_head(note: bytes, log: MemoryLog) -> bytes:
    text, ed25519, _ = taken_apart(note)
    return text + ed25519 + other_head(log)[2]


def ed25519_of_another_head(note: bytes, log: MemoryLog) -> bytes:
    text, _, ml_dsa = taken_apart(note)
    return text + other_head(log)[1] + ml_dsa


def by_a_stranger(note: bytes, log: MemoryLog) -> bytes:
    """The text signed with the log's Ed25519 key and an ML-DSA-44 key that only the name says is the log's."""
    text, _, _ = taken_apart(note)
    return replace(log.signer, ml_dsa_key=MLDSA44PrivateKey.generate()).sign(text[:-1])


def by_a_stranger_with_the_key_id(note: bytes, log: MemoryLog) -> bytes:
    text, ed25519, line = taken_apart(by_a_stranger(note, log))
    start, _, encoded = line.decode().strip().rpartition(" ")
    blob = log.signer.ml_dsa_verifier_key.key_id + canonical.from_base64(encoded)[4:]
    return text + ed25519 + f"{start} {canonical.to_base64(blob)}\n".encode()


ATTACKS: list[tuple[Attack, Code]] = [
    (without_ml_dsa, Code.NOT_TRUSTED),
    (without_ed25519, Code.NOT_TRUSTED),
    (ml_dsa_of_another_head, Code.SIGNATURE_MISMATCH),
    (ed25519_of_another_head, Code.SIGNATURE_MISMATCH),
    (by_a_stranger, Code.NOT_TRUSTED),
    (by_a_stranger_with_the_key_id, Code.SIGNATURE_MISMATCH),
]
attacks = pytest.mark.parametrize(("attack", "code"), ATTACKS, ids=[attack.__name__ for attack, _ in ATTACKS])


@dataclass
class AttackedLog(MemoryLog):
    """A log whose checkpoints the attacker exchanges."""

    attack: Attack = field(default=lambda note, _: note)

    def checkpoint(self, size: int | None = None) -> bytes:
        honest = MemoryLog(self.origin, self.private_key, self.ml_dsa_key, self.entries)
        return self.attack(honest.checkpoint(size), honest)


def attacked(log: MemoryLog, attack: Attack) -> AttackedLog:
    return AttackedLog(log.origin, log.private_key, log.ml_dsa_key, log.entries, attack=attack)


@attacks
def test_the_signer_does_not_follow_it(attack, code):
    instance = Instance()
    instance.log.append(b"one more")
    engine = instance.new_engine()
    assert instance.catch_up(engine, log=attacked(instance.log, attack)).refusal.code is code
    result = instance.catch_up(engine)
    assert (result.refusal, result.size) == (None, len(instance.log.entries))


@pytest.fixture(scope="module")
def signed(tmp_path_factory) -> tuple[Maker, Any]:
    maker, path = Maker(), tmp_path_factory.mktemp("raw") / "router.bin"
    path.write_bytes(IMAGE)
    return maker, assemble(maker.sign(maker.prepare(path)), path.name, MemorySource(IMAGE), FORMATS)


@attacks
def test_verify_refuses_evidence_with_it(signed, attack, code):
    maker, evidence = signed
    assert verify_evidence(evidence, MemorySource(IMAGE), maker.trust(), FORMATS).checkpoint_size
    forged = replace(evidence, checkpoint=attack(evidence.checkpoint, maker.instance.log))
    with pytest.raises(VerificationError) as caught:
        verify_evidence(forged, MemorySource(IMAGE), maker.trust(), FORMATS)
    assert caught.value.code is code


@attacks
def test_a_mirror_keeps_nothing_of_it(signed, tmp_path, attack, code):
    maker, _ = signed
    log = maker.instance.log
    root = merkle.root_of([merkle.leaf_hash(log.entries[0])]).hex()
    trust = maker.trust(as_of=AsOf(size=1, root_hash=root, policy_version=0, policy_index=0))
    with pytest.raises(VerificationError) as caught:
        mirror(LogApi(attacked(log, attack)), trust, tmp_path / "copy", lambda *_: None)  # type: ignore[arg-type]
    assert caught.value.code is code
    assert not (tmp_path / "copy").exists()
    report, _ = mirror(LogApi(log), trust, tmp_path / "copy", lambda *_: None)  # type: ignore[arg-type]
    assert report.head.checkpoint.size == len(log.entries)


@attacks
def test_a_copy_whose_checkpoint_was_exchanged_is_not_continued(signed, tmp_path, attack, code):
    maker, _ = signed
    log = maker.instance.log
    root = merkle.root_of([merkle.leaf_hash(log.entries[0])]).hex()
    trust = maker.trust(as_of=AsOf(size=1, root_hash=root, policy_version=0, policy_index=0))
    mirror(LogApi(log), trust, tmp_path / "copy", lambda *_: None)  # type: ignore[arg-type]
    (tmp_path / "copy" / "checkpoint").write_bytes(attack(log.checkpoint(), log))
    with pytest.raises(VerificationError) as caught:
        mirror(LogApi(log), trust, tmp_path / "copy", lambda *_: None)  # type: ignore[arg-type]
    assert caught.value.code is code


# An installation that got its second key later


class Older(Instance):
    """An installation whose log had no second key when it was made."""

    def make_root(self, **changes: Any) -> d.Root:
        self.log.ml_dsa_key = None
        return super().make_root(**changes)

    def add_second_key(self) -> None:
        """The server signs with both from now on; the next root says so from its own entry on."""
        self.log.ml_dsa_key = MLDSA44PrivateKey.generate()
        assert self.log.ml_dsa is not None
        second = replace(self.log.ml_dsa, first_size=len(self.log.entries) + 1)
        self.log_root(self.next_root(logs=(replace(self.root.logs[0], ml_dsa=second),)))
        self.log_policy()


def test_without_a_second_key_the_log_is_followed_as_before():
    instance = Older()
    assert instance.root.logs[0].ml_dsa is None
    assert instance.sign(instance.approved())


def test_the_second_key_of_a_newer_root_is_demanded_from_its_entry_on():
    instance = Older()
    instance.sign(instance.approved())
    size = len(instance.log.entries)
    instance.add_second_key()
    refusal = instance.catch_up(log=attacked(instance.log, without_ml_dsa)).refusal
    assert (refusal.code, "ML-DSA-44" in refusal.message) == (Code.NOT_TRUSTED, True)
    assert instance.catch_up().refusal is None
    assert instance.sign(instance.approved())
    alone = replace(instance.log, ml_dsa_key=None)
    assert instance.root.logs[0].ml_dsa.first_size == size + 1
    assert instance.catch_up(instance.new_engine(), log=alone).refusal.code is Code.NOT_TRUSTED


def test_evidence_from_before_the_second_key_stays_valid(signed):
    maker, evidence = signed
    older = replace(evidence, checkpoint=without_ml_dsa(evidence.checkpoint, maker.instance.log))
    size = len(maker.instance.log.entries)
    for first_size, is_valid in ((size + 1, True), (size, False)):
        trust = maker.trust(log_ml_dsa=replace(maker.instance.log.ml_dsa, first_size=first_size))
        if is_valid:
            assert verify_evidence(older, MemorySource(IMAGE), trust, FORMATS).checkpoint_size == size
        else:
            with pytest.raises(VerificationError, match="not signed by the ML-DSA-44 key"):
                verify_evidence(older, MemorySource(IMAGE), trust, FORMATS)
    assert verify_evidence(older, MemorySource(IMAGE), maker.trust(log_ml_dsa=None), FORMATS).checkpoint_size == size


def test_a_firmware_key_cannot_be_the_logs_second_key():
    """What it signs as a message could be a checkpoint."""
    instance = Instance()
    profile = next(s for s in instance.sections.values() if isinstance(s, d.KeyProfile))
    key = instance.log.signer.ml_dsa_verifier_key.subject_public_key_info
    instance.put(replace(profile, public_key=key, algorithm=Algorithm.ML_DSA_44, signs="message"))
    instance.log_policy()
    refusal = instance.catch_up().refusal
    assert (refusal.code, "has the key of a log or witness" in refusal.message) == (Code.POLICY_INVALID, True)
