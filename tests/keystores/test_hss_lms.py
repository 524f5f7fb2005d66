"""HSS/LMS keys in the encrypted key files: numbers are spent before use, nodes may be lost, state may not."""

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pyhsslms
import pytest
from tests.keystores.conftest import PIN, TEMPLATE

from sealwright.core import lms
from sealwright.core.errors import (
    Code,
    ConfigurationError,
    FormatError,
    RefusedError,
    UnavailableError,
    VerificationError,
)
from sealwright.core.keys import Algorithm, HssLmsPublicKey, PublicKey
from sealwright.keystores import hss_lms_keys, private_keys
from sealwright.keystores.numbers import Block, Counter
from sealwright.keystores.opening import create_partition, open_ceremony, open_keystore
from sealwright.keystores.worker_client import Item, Worker

SMALL = "sha256-n24-h5-w4"
MESSAGE = b"firmware"
HSS = Algorithm.HSS_LMS


@pytest.fixture
def partition(tmp_path):
    uri = f"files:{tmp_path / 'p'}"
    create_partition(uri, PIN)
    return uri


def make(uri, parameters=SMALL, label="router/lms"):
    ceremony = open_ceremony(uri, PIN)
    try:
        return ceremony.create_key(label, HSS, 0, TEMPLATE, parameters)
    finally:
        ceremony.close()


def leaf(key: PublicKey, signature: bytes) -> int:
    assert isinstance(key.key, HssLmsPublicKey)
    return lms.leaf_indices(key.key.hss, signature)[-1]


@pytest.mark.parametrize("parameters", [SMALL, "shake-n32-h5-w8", "2xsha256-n32-h5-w4"])
def test_a_key_signs_and_pyhsslms_takes_it_and_refuses_another_message(partition, parameters):
    created = make(partition, parameters)
    key = created.public_key
    assert isinstance(key.key, HssLmsPublicKey)
    assert key.key.hss.name == parameters
    assert PublicKey(key.spki_der).key == key.key
    store = open_keystore(partition, PIN)
    signature = store.sign(key.fingerprint, HSS, MESSAGE, Block(1, 9))
    key.verify(HSS, MESSAGE, signature)
    with pytest.raises(VerificationError):
        key.verify(HSS, MESSAGE + b"x", signature)
    judge = pyhsslms.HssPublicKey.deserialize(key.key.raw)
    assert judge.verify(MESSAGE, signature)
    assert not judge.verify(MESSAGE + b"x", signature)


def test_the_certificate_is_number_0_and_no_signature_has_it_again(partition):
    created = make(partition)
    store = open_keystore(partition, PIN)
    assert store.counters() == {created.public_key.fingerprint: Counter(1, 32)}
    signature = store.sign(created.public_key.fingerprint, HSS, MESSAGE, Block(0, 32))
    assert leaf(created.public_key, signature) == 1


def test_without_a_block_or_above_it_nothing_is_signed_and_nothing_spent(partition):
    key = make(partition).public_key
    store = open_keystore(partition, PIN)
    with pytest.raises(RefusedError, match="got no block") as e:
        store.sign(key.fingerprint, HSS, MESSAGE)
    assert e.value.code is Code.STATE_EXHAUSTED
    assert leaf(key, store.sign(key.fingerprint, HSS, MESSAGE, Block(4, 5))) == 4
    with pytest.raises(RefusedError, match="no signature left"):
        store.sign(key.fingerprint, HSS, MESSAGE, Block(4, 5))
    assert store.counters()[key.fingerprint] == Counter(5, 32)


def test_two_open_stores_share_one_counter(partition):
    key = make(partition).public_key
    stores = [open_keystore(partition, PIN) for _ in range(2)]
    leaves = [leaf(key, stores[i % 2].sign(key.fingerprint, HSS, MESSAGE, Block(1, 32))) for i in range(31)]
    assert leaves == list(range(1, 32))


def sign_when_ready(store, key: PublicKey) -> bytes:
    """Sign, once the tree is made again."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return store.sign(key.fingerprint, HSS, MESSAGE, Block(1, 32))
        except UnavailableError as e:
            if e.code is not Code.KEY_NOT_READY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def turned(data: bytes, *positions: int) -> bytes:
    changed = bytearray(data)
    for position in positions:
        changed[position] ^= 1
    return bytes(changed)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(os.urandom(24 * 63)),
        lambda path: path.write_bytes(turned(path.read_bytes(), 0)),
        lambda path: path.write_bytes(turned(path.read_bytes(), 24, 48)),
        lambda path: path.write_bytes(turned(path.read_bytes(), 24 * 63 - 1)),
    ],
    ids=["gone", "empty", "cut", "random", "root", "inner nodes", "last leaf"],
)
def test_a_lost_or_damaged_tree_is_made_again_and_kept_and_costs_no_number(partition, tmp_path, damage):
    key = make(partition).public_key
    nodes = tmp_path / "p" / f"{key.fingerprint}.nodes"
    whole = nodes.read_bytes()
    assert open_keystore(partition, PIN).sign(key.fingerprint, HSS, MESSAGE, Block(1, 32)), "at once, with its tree"
    damage(nodes)
    signature = sign_when_ready(open_keystore(partition, PIN), key)
    key.verify(HSS, MESSAGE, signature)
    assert leaf(key, signature) == 2
    assert nodes.read_bytes() == whole
    assert nodes.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "p").iterdir() if path.name.startswith(".")] == []


def test_a_tree_of_another_key_is_not_taken(partition, tmp_path):
    one, other = (make(partition, label=label).public_key for label in ("one", "other"))
    paths = [tmp_path / "p" / f"{key.fingerprint}.nodes" for key in (one, other)]
    whole = paths[0].read_bytes()
    shutil.copy(paths[1], paths[0])
    one.verify(HSS, MESSAGE, sign_when_ready(open_keystore(partition, PIN), one))
    assert paths[0].read_bytes() == whole


def test_while_a_tree_is_made_login_and_other_keys_are_served(partition, tmp_path):
    created = make(partition, "sha256-n32-h10-w4").public_key
    ceremony = open_ceremony(partition, PIN)
    other = ceremony.create_key("other", Algorithm.ED25519, 256, TEMPLATE).public_key
    ceremony.close()
    nodes = tmp_path / "p" / f"{created.fingerprint}.nodes"
    size = nodes.stat().st_size
    os.truncate(nodes, size - 1)
    worker = Worker(partition, PIN)
    try:
        wanted = [
            Item(created.fingerprint, HSS, MESSAGE, Block(1, 9)),
            Item(other.fingerprint, Algorithm.ED25519, MESSAGE),
        ]
        refused, made = worker.sign(wanted)
        assert refused.code is Code.KEY_NOT_READY
        assert "is being made again" in refused.message
        other.verify(Algorithm.ED25519, MESSAGE, made)
        assert worker.counters() == {created.fingerprint: Counter(1, 1024)}
        deadline = time.monotonic() + 120
        while not isinstance((made := worker.sign(wanted[:1])[0]), bytes):
            assert made.code is Code.KEY_NOT_READY
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert leaf(created, made) == 1
        assert nodes.stat().st_size == size
    finally:
        worker.close()


def test_a_lost_counter_stops_its_key_and_no_other(partition, tmp_path):
    lost = make(partition, label="lost").public_key
    (tmp_path / "p" / "counters.sqlite").unlink()
    kept = make(partition, label="kept").public_key
    store = open_keystore(partition, PIN)
    assert store.counters() == {kept.fingerprint: Counter(1, 32)}
    with pytest.raises(ConfigurationError, match="does not know how far"):
        store.sign(lost.fingerprint, HSS, MESSAGE, Block(1, 32))
    assert leaf(kept, store.sign(kept.fingerprint, HSS, MESSAGE, Block(1, 32))) == 1


def test_the_worker_passes_blocks_and_counters(partition):
    key = make(partition).public_key
    worker = Worker(partition, PIN)
    try:
        assert worker.counters() == {key.fingerprint: Counter(1, 32)}
        made = worker.sign([Item(key.fingerprint, HSS, MESSAGE, Block(7, 9))] * 3)
        assert [leaf(key, s) for s in made[:2]] == [7, 8]
        assert made[2].code is Code.STATE_EXHAUSTED
        assert worker.counters() == {key.fingerprint: Counter(9, 32)}
    finally:
        worker.close()


def test_a_row_takes_its_numbers_together_at_its_first_message_and_keeps_to_its_block(partition):
    key = make(partition).public_key
    store, other = open_keystore(partition, PIN), open_keystore(partition, PIN)
    sign = store.signing(key.fingerprint, HSS, Block(1, 8), 3)
    with pytest.raises(FormatError, match="are signed whole"):
        sign(bytes(65_537))
    assert store.counters()[key.fingerprint] == Counter(1, 32), "nothing was taken for what is not signed"
    made = [sign(MESSAGE)]
    assert other.counters()[key.fingerprint] == Counter(4, 32), "durable for all three before the first is made"
    made += [other.sign(key.fingerprint, HSS, MESSAGE, Block(1, 8)), *(sign(MESSAGE) for _ in range(5))]
    assert [leaf(key, signature) for signature in made] == [1, 4, 2, 3, 5, 6, 7]
    with pytest.raises(RefusedError, match="no signature left in the block 1 to 7"):
        sign(MESSAGE)


def test_numbers_taken_for_a_row_that_was_not_finished_are_never_given_out_again(partition):
    key = make(partition).public_key
    open_keystore(partition, PIN).signing(key.fingerprint, HSS, Block(1, 32), 5)(MESSAGE)  # and is gone
    assert leaf(key, open_keystore(partition, PIN).sign(key.fingerprint, HSS, MESSAGE, Block(1, 32))) == 6


def test_parameters_that_are_not_offered_are_named():
    for wrong in ("sha256-n32-h20-w8", "4xsha256-n32-h5-w8", "md5-n32-h5-w8", "sha256-n24-h5-w3"):
        with pytest.raises(ConfigurationError, match="no parameters") as e:
            hss_lms_keys.HssLmsPrivateKey.generate(wrong)
        assert "sha256-n24-h10-w8" in e.value.hint


def test_levels_whose_trees_take_longer_than_a_worker_may_are_refused_before_a_key_is_made():
    for wrong in ("2xsha256-n24-h15-w8", "3xshake-n32-h15-w4", "2xsha256-n32-h15-w2"):
        with pytest.raises(ConfigurationError, match=r"a lower tree of .* hashes takes longer") as e:
            hss_lms_keys.check_parameters(wrong)
        assert (e.value.setting, "height 10, or one level" in e.value.hint) == ("parameters", True)
    for right in ("sha256-n24-h15-w8", "2xsha256-n32-h15-w1", "3xshake-n32-h10-w8", "1xsha256-n32-h15-w8"):
        hss_lms_keys.check_parameters(right)


def test_a_stateful_key_is_never_imported_and_never_signs_without_a_number(partition):
    key = hss_lms_keys.HssLmsPrivateKey.generate(SMALL)
    ceremony = open_ceremony(partition, PIN)
    with pytest.raises(RefusedError, match="never taken in"):
        ceremony.import_key("x", key, ())
    with pytest.raises(ValueError, match="number"):
        private_keys.sign(key, HSS, MESSAGE)
    again = hss_lms_keys.load_pkcs8(key.pkcs8_der())
    assert again is not None
    assert again.complete() == key
    assert key.seed.seed.hex() not in repr(key)
    for at in range(0, len(key.pkcs8_der()), 3):
        assert hss_lms_keys.load_pkcs8(key.pkcs8_der()[:at]) is None


@pytest.mark.slow
def test_eight_worker_processes_that_sign_at_once_take_no_number_twice(partition):
    key = make(partition, "sha256-n24-h10-w4").public_key
    workers = [Worker(partition, PIN) for _ in range(8)]
    items = [Item(key.fingerprint, HSS, MESSAGE, Block(1, 1024))] * 5
    try:
        with ThreadPoolExecutor(8) as threads:
            batches = [threads.submit(worker.sign, items) for worker in workers for _ in range(8)]
            made = [signature for batch in batches for signature in batch.result()]
    finally:
        for worker in workers:
            worker.close()
    numbers = [leaf(key, signature) for signature in made if isinstance(signature, bytes)]
    assert len(numbers) == 320
    assert sorted(numbers) == list(range(1, 321))
    for signature in made[::40]:
        key.verify(HSS, MESSAGE, signature)


def test_two_signers_with_blocks_of_their_own_and_a_copied_counter_take_no_number_twice(partition, tmp_path):
    key = make(partition, "sha256-n24-h10-w4").public_key
    copy = f"files:{tmp_path / 'copy'}"
    shutil.copytree(tmp_path / "p", tmp_path / "copy")
    blocks = {partition: Block(1, 33), copy: Block(33, 65)}  # as two sessions in the log have them
    stores = {uri: open_keystore(uri, PIN) for uri in blocks}
    numbers = [
        leaf(key, stores[uri].sign(key.fingerprint, HSS, MESSAGE, blocks[uri])) for _ in range(32) for uri in blocks
    ]
    assert sorted(numbers) == list(range(1, 65))
    for uri, store in stores.items():
        with pytest.raises(RefusedError, match="no signature left"):
            store.sign(key.fingerprint, HSS, MESSAGE, blocks[uri])
