"""Trouble with a token under a worker: nothing wrong is signed, nothing is lost, and the service comes back."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.keystores.conftest import PIN, make_partition, payload_of
from tests.simulators.shim import CRASH, HANG, LONG, Shim
from tests.simulators.softhsm import SoftHsm

from sealwright.core.errors import Code, ConfigurationError, UnavailableError
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.keystores.frames import Failure, Item
from sealwright.keystores.pkcs11 import Pkcs11Keystore
from sealwright.keystores.pkcs11_module import Module
from sealwright.keystores.pkcs11_uri import parse_uri
from sealwright.keystores.secrets import Secret
from sealwright.keystores.worker_client import Worker

ECDSA = Algorithm.ECDSA_P256_SHA256
GONE = (
    "CKR_DEVICE_REMOVED",
    "CKR_TOKEN_NOT_PRESENT",
    "CKR_SESSION_HANDLE_INVALID",
    "CKR_USER_NOT_LOGGED_IN",
    "CKR_DEVICE_ERROR",
    "CKR_GENERAL_ERROR",
    "CKR_KEY_HANDLE_INVALID",
)
PAYLOADS = [payload_of(ECDSA, b"%d" % i) for i in range(40)]


@pytest.fixture
def shim(new_token: tuple[SoftHsm, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shim:
    return Shim(tmp_path, new_token[0], monkeypatch)


@pytest.fixture
def key(new_token: tuple[SoftHsm, str], shim: Shim) -> PublicKey:  # noqa: ARG001 - the environment is set first
    return make_partition(new_token[1], algorithms=(ECDSA,)).keys[ECDSA].public_key


@pytest.fixture
def worker(new_token: tuple[SoftHsm, str], shim: Shim, key: PublicKey) -> Iterator[Worker]:
    """A worker that is logged in through the shim."""
    worker = Worker(shim.uri(new_token[1]), PIN, timeout_seconds=20.0)
    worker.health([key.fingerprint])
    yield worker
    worker.close()


def sign_until_done(worker: Worker, key: PublicKey, rounds: int = 30) -> tuple[list[bytes], list[str]]:
    """Ask again for what is missing, as the signer's service does; return all signatures and all reasons."""
    done: dict[int, bytes] = {}
    reasons: list[str] = []
    for _ in range(rounds):
        missing = [i for i in range(len(PAYLOADS)) if i not in done]
        if not missing:
            return [done[i] for i in range(len(PAYLOADS))], reasons
        worker._not_before = 0.0  # the pauses between starts are shown elsewhere
        try:
            answers = worker.sign([Item(key.fingerprint, ECDSA, PAYLOADS[i]) for i in missing])
        except UnavailableError as e:
            reasons.append(e.message)
            continue
        for i, answer in zip(missing, answers, strict=True):
            if isinstance(answer, Failure):
                assert answer.code is Code.KEYSTORE_UNAVAILABLE
                reasons.append(answer.message)
            else:
                done[i] = answer
    raise AssertionError(reasons)


def assert_all_right(key: PublicKey, signatures: list[bytes]) -> None:
    for payload, signature in zip(PAYLOADS, signatures, strict=True):
        key.verify(ECDSA, payload, signature)


@pytest.mark.parametrize("answer", GONE)
def test_a_token_that_goes_in_the_middle_of_a_batch_loses_and_mixes_nothing(
    worker: Worker, key: PublicKey, shim: Shim, answer: str
) -> None:
    shim.trouble("C_Sign", answer, skip=15)
    signatures, reasons = sign_until_done(worker, key)
    assert_all_right(key, signatures)
    assert reasons[0].startswith(f"C_Sign answered {answer}")
    assert shim.calls("C_Login") == 2


@pytest.mark.parametrize("function", ["C_SignInit", "C_FindObjectsInit", "C_OpenSession", "C_Initialize"])
def test_each_function_may_fail_for_a_while(worker: Worker, key: PublicKey, shim: Shim, function: str) -> None:
    shim.trouble("C_Sign", "CKR_DEVICE_REMOVED", skip=3)
    shim.trouble(function, "CKR_DEVICE_ERROR", skip=5 if function == "C_SignInit" else 0, times=3)
    signatures, reasons = sign_until_done(worker, key)
    assert_all_right(key, signatures)
    assert {reason.partition(" answered ")[0].rpartition(" ")[2] for reason in reasons} == {"C_Sign", function}


def test_a_module_out_of_sessions_is_asked_again_and_says_so_meanwhile(
    worker: Worker, key: PublicKey, shim: Shim
) -> None:
    shim.trouble("C_Sign", "CKR_SESSION_CLOSED")
    shim.trouble("C_OpenSession", "CKR_SESSION_COUNT", times=4)
    signatures, reasons = sign_until_done(worker, key)
    assert_all_right(key, signatures)
    assert sum("C_OpenSession answered CKR_SESSION_COUNT" in reason for reason in reasons) == 4
    assert shim.calls("C_Login") == 2


def test_the_session_is_given_back_when_a_worker_ends(new_token: tuple[SoftHsm, str], shim: Shim) -> None:
    worker = Worker(shim.uri(new_token[1]), PIN)
    assert worker.public_keys() == {}
    worker.close()
    assert shim.calls("C_OpenSession") == 1


def test_a_module_that_hangs_is_ended_after_its_time_and_the_batch_finishes_later(
    new_token: tuple[SoftHsm, str], key: PublicKey, shim: Shim
) -> None:
    worker = Worker(shim.uri(new_token[1]), PIN, timeout_seconds=20.0)
    worker.health([key.fingerprint])
    assert worker._running is not None
    hanging = worker._running.process
    worker._running.timeout_seconds = 1.0
    shim.trouble("C_Sign", HANG, skip=7)
    signatures, reasons = sign_until_done(worker, key)
    assert_all_right(key, signatures)
    assert any("timed out" in reason for reason in reasons)
    assert hanging.poll() == -signal.SIGKILL
    worker.close()


def test_a_module_that_crashes_takes_only_its_worker_with_it(worker: Worker, key: PublicKey, shim: Shim) -> None:
    shim.trouble("C_Sign", CRASH, skip=11)
    signatures, reasons = sign_until_done(worker, key)
    assert_all_right(key, signatures)
    assert "EOFError" in reasons[0] or "ConnectionResetError" in reasons[0]


def test_a_module_that_hangs_at_its_first_login_gets_no_second_one(
    new_token: tuple[SoftHsm, str], key: PublicKey, shim: Shim
) -> None:
    shim.trouble("C_Login", HANG)
    worker = Worker(shim.uri(new_token[1]), PIN, timeout_seconds=2.0)
    with pytest.raises(UnavailableError, match="timed out"):
        worker.health([key.fingerprint])
    for _ in range(3):
        worker._not_before = 0.0
        with pytest.raises(ConfigurationError, match="first login was not answered"):
            worker.health([key.fingerprint])
    assert shim.calls("C_Login") == 1
    worker.close()


@pytest.mark.parametrize("answer", ["CKR_DEVICE_REMOVED", "CKR_TOKEN_NOT_PRESENT"])
def test_a_token_that_goes_away_during_the_login_is_asked_again(
    worker: Worker, key: PublicKey, shim: Shim, answer: str
) -> None:
    shim.trouble("C_Sign", "CKR_DEVICE_REMOVED")
    shim.trouble("C_Login", answer, times=2)
    assert_all_right(key, sign_until_done(worker, key)[0])
    assert shim.calls("C_Login") == 4


def test_a_signature_longer_than_its_room_is_not_read(worker: Worker, key: PublicKey, shim: Shim) -> None:
    shim.trouble("C_Sign", LONG, skip=2)
    signatures, reasons = sign_until_done(worker, key)
    assert_all_right(key, signatures)
    assert reasons[0] == "C_Sign claims a signature of 70000 bytes"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        *((name, name) for name in ("CKR_PIN_INCORRECT", "CKR_PIN_LOCKED", "CKR_PIN_EXPIRED")),
        *((number, "") for number in (0x6, 0x102, 0x200, 0x80000801)),  # nobody knows whether these counted the try
    ],
)
def test_a_pin_that_the_token_refuses_after_it_came_back_is_tried_once(
    worker: Worker, key: PublicKey, shim: Shim, answer: str | int, said: str
) -> None:
    shim.trouble("C_Sign", "CKR_DEVICE_REMOVED")
    shim.trouble("C_Login", answer, times=5)
    worker.sign([Item(key.fingerprint, ECDSA, PAYLOADS[0])])
    for _ in range(4):
        worker._not_before = 0.0
        with pytest.raises(ConfigurationError, match=f"does not take the PIN: C_Login answered {said}") as refused:
            worker.sign([Item(key.fingerprint, ECDSA, PAYLOADS[0])])
        assert refused.value.code is Code.CREDENTIAL
    assert shim.calls("C_Login") == 2


def test_a_wrong_pin_is_one_call_of_the_token_with_many_asking_at_once(
    new_token: tuple[SoftHsm, str], key: PublicKey, shim: Shim
) -> None:
    worker, codes = Worker(shim.uri(new_token[1]), Secret(b"wrong-pin-000")), list[Code]()

    def ask() -> None:
        for _ in range(5):
            try:
                worker.sign([Item(key.fingerprint, ECDSA, PAYLOADS[0])])
            except ConfigurationError as e:
                codes.append(e.code)
            except UnavailableError:
                pass  # its pause

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    worker.close()
    assert shim.calls("C_Login") == 1
    assert set(codes) == {Code.CREDENTIAL}


def test_tokens_that_change_their_slots_are_found_by_their_label(
    new_token: tuple[SoftHsm, str], shim: Shim, key: PublicKey
) -> None:
    hsm, uri = new_token
    other_uri = hsm.token("camera/production", PIN.reveal().decode())
    other = make_partition(other_uri, algorithms=(ECDSA,)).keys[ECDSA].public_key
    worker, other_worker = Worker(shim.uri(uri), PIN), Worker(shim.uri(other_uri), PIN)
    worker.health([key.fingerprint])
    other_worker.health([other.fingerprint])
    before = slot_numbers(shim.uri(uri))
    shim.reverse_slots()
    assert slot_numbers(shim.uri(uri)) == {label: 1 - slot for label, slot in before.items()}
    for label_worker, expected in ((worker, key), (other_worker, other)):
        assert label_worker._running is not None
        os.kill(label_worker._running.process.pid, signal.SIGKILL)
        assert_all_right(expected, sign_until_done(label_worker, expected)[0])
        assert set(label_worker.public_keys()) == {expected.fingerprint}
        label_worker.close()


def test_a_token_in_trouble_in_another_slot_keeps_nobody_from_ours(
    new_token: tuple[SoftHsm, str], shim: Shim, key: PublicKey
) -> None:
    shim.reverse_slots()  # whichever comes first: one of two tokens does not answer, and then the other
    new_token[0].token("camera/production", PIN.reveal().decode())
    outcomes = set()
    for skip in range(3):
        shim.trouble("C_GetTokenInfo", "CKR_TOKEN_NOT_PRESENT", skip=skip)
        keystore = Pkcs11Keystore(shim.uri(new_token[1]))
        try:
            keystore.open(PIN)
            key.verify(ECDSA, PAYLOADS[0], keystore.sign(key.fingerprint, ECDSA, PAYLOADS[0]))
            outcomes.add("found")
        except UnavailableError as e:
            outcomes.add(e.message)
        keystore.close()
    gone = "no token 'router/production' in any slot; C_GetTokenInfo answered CKR_TOKEN_NOT_PRESENT (0xe0)"
    assert outcomes == {"found", gone}


def slot_numbers(uri: str) -> dict[str, int]:
    """Return the slots of the tokens that are initialised, as a new process would see them."""
    module = Module.load(parse_uri(uri).module_path)
    try:
        return {token.label: token.slot for token in module.tokens() if token.label.endswith("production")}
    finally:
        module.release()


@pytest.mark.parametrize("vanishes", ["tokens", "token"])
def test_a_storage_that_vanishes_under_load_and_returns_loses_nothing(
    new_token: tuple[SoftHsm, str], tmp_path: Path, worker: Worker, key: PublicKey, vanishes: str
) -> None:
    hsm, _ = new_token
    (token_folder,) = hsm.tokens_folder.iterdir()
    folder = hsm.tokens_folder if vanishes == "tokens" else token_folder
    running, failures = threading.Event(), list[str]()
    good: list[bytes] = []

    def load() -> None:
        while not running.is_set():
            worker._not_before = 0.0
            try:
                (answer,) = worker.sign([Item(key.fingerprint, ECDSA, PAYLOADS[0])])
            except UnavailableError as e:
                failures.append(e.message)
                continue
            if isinstance(answer, bytes):
                good.append(answer)
            else:
                failures.append(answer.message)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        wait_for(lambda: len(good) > 50)
        folder.rename(tmp_path / "away")
        wait_for(lambda: len(failures) > 2)
        (tmp_path / "away").rename(folder)
        back = len(good)
        wait_for(lambda: len(good) > back + 50)
    finally:
        running.set()
        thread.join()
    for signature in good:
        key.verify(ECDSA, PAYLOADS[0], signature)


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        threading.Event().wait(0.05)
    raise AssertionError("it did not happen in 30 s")


def test_a_worker_killed_under_load_loses_nothing(worker: Worker, key: PublicKey) -> None:
    assert worker._running is not None
    os.kill(worker._running.process.pid, signal.SIGSTOP)
    killer = threading.Timer(0.3, os.kill, (worker._running.process.pid, signal.SIGKILL))
    killer.start()
    signatures, reasons = sign_until_done(worker, key)
    killer.join()
    assert_all_right(key, signatures)
    assert len(reasons) == 1


def test_an_ecdsa_key_handle_of_another_login_is_never_used(
    new_token: tuple[SoftHsm, str], shim: Shim, key: PublicKey
) -> None:
    """A keystore opened again reads its handles anew; those of before the loss could be other keys by now."""
    keystore = Pkcs11Keystore(shim.uri(new_token[1]))
    keystore.open(PIN)
    before = shim.calls("C_FindObjectsInit")
    keystore.close()
    with pytest.raises(UnavailableError, match="is not open"):
        keystore.sign(key.fingerprint, ECDSA, PAYLOADS[0])
    keystore.open(PIN)
    assert shim.calls("C_FindObjectsInit") == 2 * before
    keystore.close()
