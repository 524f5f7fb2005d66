"""A token that goes away, hangs, crashes or lies while people sign over HTTP: nothing wrong leaves, nothing is lost."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.simulators.live import Live
from tests.simulators.shim import CRASH, FLIP, HANG, Shim
from tests.simulators.softhsm import SoftHsm

from sealwright.client.standing import fetch, needed
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.policy import documents as d
from sealwright.service.messages import Result
from sealwright.wiring import canaries, partitions
from sealwright.wiring import configuration as settings

AT_ONCE = 3
TIMEOUT_SECONDS = 3


@pytest.fixture(scope="module")
def monkeypatched() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield monkeypatch


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory, monkeypatched: pytest.MonkeyPatch) -> Iterator[tuple[SoftHsm, Shim]]:
    folder = tmp_path_factory.mktemp("hsm")
    hsm = SoftHsm(folder)
    yield hsm, Shim(folder, hsm, monkeypatched)
    hsm.close()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, shim: tuple[SoftHsm, Shim]) -> Iterator[Live]:
    """An installation whose keys are in tokens behind the troubled module."""
    live = Live(tmp_path_factory.mktemp("live")).make()
    setting = partitions.keystore_setting(f"pkcs11:module-path={shim[1].path}")
    settings.write(replace(live.configuration, keystore=settings.in_folder(setting, live.configuration.folder)))
    live.start()
    try:
        yield live.found_policy()
    finally:
        live.stop()


class Load:
    """People who ask for signatures one after another until they are stopped."""

    def __init__(self, live: Live) -> None:
        self._live, self._stop = live, threading.Event()
        self.requests: list[d.Request] = []
        self.results: list[Result] = []
        self._threads = [threading.Thread(target=self._work, args=(i,)) for i in range(AT_ONCE)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        count = 0
        while not self._stop.is_set():
            request, _ = self._live.submit(image=b"%d %d" % (number, count), environment="development")
            self.requests.append(request)
            self.results.append(self._live.result(request, wait=1))
            count += 1

    def signed(self) -> int:
        return sum(result.status.state == "signed" for result in self.results)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in 90 s"
        time.sleep(0.05)


def assert_all_signed(live: Live, requests: list[d.Request]) -> None:
    """Every request got its signature, and each one is right."""
    with live.api("ada") as api:
        profile = needed(fetch(api, live.trust)).sections.get(d.KeyProfile, "router/development/1")
    assert profile is not None
    key = PublicKey(profile.public_key)
    for request in requests:
        wait_for(lambda request=request: live.result(request).status.state == "signed")
        (signature,) = live.result(request).signatures
        key.verify(Algorithm.ECDSA_P256_SHA256, bytes.fromhex(request.slots[0].digest), signature)


@pytest.mark.slow
def test_a_token_in_trouble_under_load_loses_no_request_and_signs_none_wrong(
    live: Live, shim: tuple[SoftHsm, Shim], tmp_path: Path
) -> None:
    hsm, module = shim
    details: set[str] = set()
    with Load(live) as load:
        wait_for(lambda: load.signed() > 5)

        def trouble_is_said() -> bool:
            details.update(result.status.detail for result in load.results if result.status.state != "signed")
            return True

        for answer in ("CKR_DEVICE_REMOVED", "CKR_SESSION_HANDLE_INVALID", "CKR_USER_NOT_LOGGED_IN", CRASH):
            module.trouble("C_Sign", answer)
            back = load.signed()
            wait_for(lambda back=back: trouble_is_said() and load.signed() > back + 5)
        module.trouble("C_Sign", "CKR_SESSION_CLOSED")
        module.trouble("C_OpenSession", "CKR_SESSION_COUNT", times=3)
        back = load.signed()
        wait_for(lambda: trouble_is_said() and load.signed() > back + 5)
        hsm.tokens_folder.rename(tmp_path / "away")
        wait_for(lambda: trouble_is_said() and any("keystore-unavailable" in detail for detail in details))
        (tmp_path / "away").rename(hsm.tokens_folder)
        back = load.signed()
        wait_for(lambda: load.signed() > back + 5)
    assert_all_signed(live, load.requests)


@pytest.mark.slow
def test_why_a_request_waits_for_its_keystore_is_said_to_who_asks_and_to_who_operates(
    live: Live, shim: tuple[SoftHsm, Shim]
) -> None:
    shim[1].trouble("C_Sign", "CKR_DEVICE_REMOVED", times=10_000)
    request, _ = live.submit(image=b"waits", environment="development")
    said = "not signed, and tried again by itself: key router/development/1: keystore-unavailable"
    wait_for(lambda: said in live.result(request).status.detail)
    failing = "C_Sign answered CKR_DEVICE_REMOVED"
    wait_for(lambda: any(failing in str(key.failure) for key in canaries.failing(live.configuration)))
    assert f"request {request.id}: {said}" in (live.folder / "server.out").read_text()
    shim[1].well()
    assert_all_signed(live, [request])


@pytest.mark.slow
def test_a_token_that_signs_wrong_is_caught_by_the_signer(live: Live, shim: tuple[SoftHsm, Shim]) -> None:
    shim[1].trouble("C_Sign", FLIP)
    request, _ = live.submit(image=b"flipped", environment="development")
    assert_all_signed(live, [request])
    assert shim[1].calls("C_Sign") > 1


@pytest.mark.slow
def test_a_module_that_hangs_costs_its_time_and_then_goes_on(live: Live, shim: tuple[SoftHsm, Shim]) -> None:
    """With the time-out of the settings instead of the 30 s."""
    partitions = {
        name: replace(setting, timeout_seconds=TIMEOUT_SECONDS)
        for name, setting in live.configuration.partitions.items()
    }
    settings.write(replace(live.configuration, partitions=partitions))
    live.kill("signer")
    live.start("signer")
    request, _ = live.submit(image=b"before", environment="development")
    assert live.result(request).status.state == "signed"
    shim[1].trouble("C_Sign", HANG)
    requests = [live.submit(image=b"hangs %d" % i, environment="development")[0] for i in range(5)]
    assert_all_signed(live, requests)
