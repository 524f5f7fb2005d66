"""What a running signer says of its keys, as doctor and server pass it on."""

import os
import time

import pytest
from tests.simulators.live import Live

from sealwright.service.messages import Health
from sealwright.signer.canary import Condition, Conditions
from sealwright.wiring import canaries, doctor, doctor_records

WAIT_SECONDS = 60


@pytest.fixture
def live(tmp_path):
    live = Live(tmp_path).make()
    try:
        yield live.start().found_policy()
    finally:
        live.stop()


@pytest.mark.slow
def test_a_running_signer_tells_of_its_keys_and_a_failing_one_reaches_doctor_and_server(live):
    configuration = live.configuration
    deadline = time.monotonic() + WAIT_SECONDS
    while not ((found := canaries.read_conditions(configuration)) and found.keys) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert {condition.partition for condition in found.keys} == {"router-production", "router-development"}
    assert not canaries.failing(configuration)
    findings = [f for f in doctor_records.examine(configuration) if f.subject == "canaries"]
    assert [(f.level, f.found) for f in findings] == [
        (doctor.Level.FINE, "2 keys sign and verify; stateful keys are not asked")
    ]
    with live.api("ada") as api:
        assert api.get(Health, "/v1/status").status == "ok"
    live.kill("signer")
    assert not [f for f in doctor_records.examine(configuration) if f.subject == "canaries"], "nothing runs"
    ill = Condition(
        partition="router-production", key="ab" * 32, algorithm="ed25519", time=int(time.time()), failure="it lies"
    )
    told = Conditions(type="canaries", format=1, time=int(time.time()), keys=(ill,))
    canaries.write_conditions(configuration, told)
    with live.api("ada") as api:
        health = api.get(Health, "/v1/status")
    assert (health.status, health.detail) == ("degraded", f"key {'ab' * 8}: it lies")


def test_the_doctor_names_a_key_that_fails_and_a_schedule_that_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "peek", lambda _path: (None, True))  # as if the signer ran
    configuration = Live(tmp_path).make().configuration
    ill = Condition(partition="p", key="ab" * 32, algorithm="ed25519", time=1, failure="it lies")
    canaries.write_conditions(configuration, Conditions(type="canaries", format=1, time=1, keys=(ill,)))
    findings = list(doctor.check_canaries(configuration))
    assert [f.level for f in findings] == [doctor.Level.PROBLEM, doctor.Level.WARNING]
    assert findings[0].found == f"key {'ab' * 8} in partition p is refused: it lies"
    canaries.path_of(configuration).write_bytes(os.urandom(8))
    assert [f.level for f in doctor.check_canaries(configuration)] == [doctor.Level.NOTE]
